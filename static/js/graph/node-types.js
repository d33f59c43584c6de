// Node types, from rows of GET /api/nodes or from ComfyUI's object_info.
import { list, object, text } from "./values.js";

const BY_INPUT = {
	model: "MODEL",
	clip: "CLIP",
	vae: "VAE",
	positive: "CONDITIONING",
	negative: "CONDITIONING",
	conditioning: "CONDITIONING",
	latent_image: "LATENT",
	latent: "LATENT",
	samples: "LATENT",
	image: "IMAGE",
	images: "IMAGE",
	pixels: "IMAGE",
	mask: "MASK",
	control_net: "CONTROL_NET",
	clip_vision: "CLIP_VISION",
	noise: "NOISE",
	guider: "GUIDER",
	sampler: "SAMPLER",
	sigmas: "SIGMAS",
	audio: "AUDIO",
	video: "VIDEO",
};
const WIDGETS = new Set(["INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"]);

export class NodeTypes {
	#types = new Map();

	constructor(given) {
		const rows = Array.isArray(given) ? given : list(given?.nodes);
		for (const row of rows) this.#types.set(row.class_type, row);
		if (rows.length) return;
		const entries = given instanceof Map ? given : Object.entries(object(given));
		for (const [name, info] of entries) this.#types.set(name, info);
	}

	title(name) {
		return text(this.#types.get(name)?.display_name);
	}

	outputs(name) {
		const info = this.#types.get(name);
		const types = list(info?.outputs ?? info?.output);
		const names = list(info?.output_name);
		return types.map((type, at) => ({ name: text(names[at]) || typeName(type), type: typeName(type) }));
	}

	// The names of the widgets in order, as far as object_info has them.
	widgets(name) {
		const { required, optional } = object(this.#types.get(name)?.input);
		const inputs = Object.entries({ ...object(required), ...object(optional) });
		return inputs.filter(([, spec]) => WIDGETS.has(typeName(spec?.[0]))).map(([input]) => input);
	}

	input(name, input) {
		const { required, optional } = object(this.#types.get(name)?.input);
		const spec = object(required)[input] ?? object(optional)[input];
		return spec ? typeName(spec[0]) : (BY_INPUT[input.toLowerCase()] ?? "");
	}
}

// A list in place of a name is a combo.
export function typeName(type) {
	return Array.isArray(type) ? "COMBO" : String(type ?? "");
}

// A workflow in API format, whose nodes have no positions: sizes follow from content, positions from the
// layout.
import { slotY } from "./anchors.js";
import { arrange } from "./layout.js";
import { heightFor, isLong, placed } from "./rows.js";
import { widthOf } from "./text.js";
import { isLink, object, shown, text } from "./values.js";

const [NARROWEST, WIDEST] = [210, 340];

export class ApiWorkflow {
	#prompt;
	#types;

	constructor(workflow, types) {
		this.#prompt = object(workflow);
		this.#types = types;
	}

	level() {
		const nodes = new Map();
		for (const [id, node] of Object.entries(this.#prompt)) {
			if (node && typeof node === "object" && node.class_type !== undefined) nodes.set(id, this.#node(id, node));
		}
		const links = [...nodes.keys()].flatMap((id) => this.#links(id, nodes));
		for (const node of nodes.values()) this.#measure(node);
		arrange(nodes, links);
		return { nodes, links, groups: [] };
	}

	title() {
		return "";
	}

	has(path) {
		return path.length === 0;
	}

	#node(id, node) {
		const type = text(node.class_type);
		/** @type {any} */
		const made = {
			id,
			path: id,
			type,
			title: text(node._meta?.title) || this.#types.title(type) || type || "?",
			kind: "node",
			x: 0,
			y: 0,
			w: NARROWEST,
			h: 40,
			mode: null,
			collapsed: false,
			color: null,
			background: null,
			inputs: [],
			outputs: [],
			rows: [],
			note: "",
		};
		made.outputs = this.#types.outputs(type).map((output) => ({ ...output, isLinked: false }));
		for (const [name, value] of Object.entries(object(node.inputs))) {
			if (isLink(value, this.#prompt)) made.inputs.push({ name, type: this.#types.input(type, name), isLinked: true });
			else made.rows.push({ label: name, value: shown(value) });
		}
		return made;
	}

	#links(id, nodes) {
		const values = Object.values(object(this.#prompt[id].inputs)).filter((value) => isLink(value, this.#prompt));
		return values
			.map(([from, slot], at) => {
				const source = nodes.get(String(from));
				const input = nodes.get(id).inputs[at];
				if (!source) return null;
				while (source.outputs.length <= slot && source.outputs.length < 64)
					source.outputs.push({ name: "", type: "", isLinked: false });
				const output = source.outputs[slot] ?? {};
				output.type ||= input.type;
				output.name ||= output.type;
				output.isLinked = true;
				return { id: null, from: String(from), fromSlot: slot, to: id, toSlot: at, type: output.type, via: [] };
			})
			.filter(Boolean);
	}

	#measure(node) {
		for (const slots of [node.inputs, node.outputs]) for (const [at, slot] of slots.entries()) slot.y = slotY(at);
		const slots = Math.max(node.inputs.length, node.outputs.length);
		const wide = node.rows.map((row) => (isLong(row) ? 280 : widthOf(`${row.label}  ${row.value}`, 12) + 52));
		node.w = Math.min(Math.max(NARROWEST, widthOf(node.title, 14) * 1.1 + 70, ...wide), WIDEST);
		node.h = heightFor(node.rows, slots);
		node.rows = placed(node.rows, slots, node.h);
	}
}

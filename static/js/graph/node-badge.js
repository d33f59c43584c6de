// The state of a node, drawn onto it: a badge above, a bar below its title, an error at the bottom.
import { TITLE } from "./rows.js";
import { svg } from "./svg.js";
import { widthOf, wrap } from "./text.js";

const BAR = 4;

export class NodeBadge {
	#element;
	#node;
	#parts = svg("g", { class: "badges", "aria-hidden": "true" });
	#shown = "";

	constructor(element, node) {
		this.#element = element;
		this.#node = node;
	}

	// `state`: {name, step, steps, message} or null. Returns whether something changed.
	show(state, words) {
		const key = state ? `${state.name} ${state.step}/${state.steps} ${state.message}` : "";
		if (key === this.#shown) return false;
		this.#shown = key;
		if (state) this.#element.dataset.state = state.name;
		else delete this.#element.dataset.state;
		this.#parts.replaceChildren(...(state ? this.#drawn(state, words) : []));
		if (!this.#parts.isConnected) this.#element.append(this.#parts);
		return true;
	}

	#drawn(state, words) {
		const parts = [];
		if (state.name !== "waiting") parts.push(...this.#badge(sentence(state, words)));
		if (state.name === "running") parts.push(...this.#bar(state));
		if (state.message) parts.push(...this.#error(state.message));
		return parts;
	}

	#badge(text) {
		const width = widthOf(text, 12) + 18;
		const y = -this.#above - 26;
		return [
			svg("rect", { class: "badge", x: this.#node.w - width, y, width, height: 21, rx: 10.5 }),
			svg("text", { class: "badge-text", x: this.#node.w - width / 2, y: y + 15 }, text),
		];
	}

	#bar({ step, steps }) {
		const y = this.#above ? -BAR : this.#node.h - BAR;
		const width = this.#node.w;
		const part = steps > 0 ? Math.min(Math.max((step ?? 0) / steps, 0), 1) : 0;
		return [
			svg("rect", { class: "track", x: 0, y, width, height: BAR }),
			svg("rect", { class: "filled", x: 0, y, width: Math.round(width * part), height: BAR }),
		];
	}

	#error(message) {
		const width = Math.max(this.#node.w, 260);
		const lines = wrap(message, width - 24, 13, 5);
		const y = (this.#node.collapsed ? 0 : this.#node.h) + 8;
		return [
			svg("rect", { class: "failure", x: 0, y, width, height: lines.length * 18 + 14, rx: 6 }),
			...lines.map((line, at) => svg("text", { class: "failure-text", x: 12, y: y + 21 + at * 18 }, line)),
		];
	}

	get #above() {
		return this.#node.kind === "reroute" ? 0 : TITLE;
	}
}

/** @param {NodeState} state @param {Record<string, string>} words */
export function sentence({ name, step, steps = 0 }, words) {
	const said = words[name] ?? name;
	return name === "running" && steps > 0 ? `${said} ${step ?? 0}/${steps}` : said;
}

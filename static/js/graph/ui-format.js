// A workflow in UI format, one level at a time: the root, or the inside of a subgraph.
import { slotY } from "./anchors.js";
import { safeColor } from "./palette.js";
import { viaPoints } from "./reroutes.js";
import { placed, SLOT, widgetRows } from "./rows.js";
import { widthOf } from "./text.js";
import { list, number, object, pair, shown, text } from "./values.js";

const MODES = { 2: "muted", 4: "bypassed" };
const NOTES = new Set(["Note", "MarkdownNote"]);
const [INPUT, OUTPUT] = ["-10", "-20"]; // ids of the boundaries of a subgraph

export class UiWorkflow {
	#root;
	#types;
	#subgraphs;

	constructor(workflow, types) {
		this.#root = object(workflow);
		this.#types = types;
		this.#subgraphs = new Map(list(this.#root.definitions?.subgraphs).map((graph) => [graph?.id, object(graph)]));
	}

	// `path`: the ids of the opened subgraph nodes, from the outside in.
	level(path) {
		const graph = this.#descend(path);
		const prefix = path.map((id) => `${id}:`).join("");
		const nodes = new Map();
		for (const node of list(graph.nodes)) {
			if (node && typeof node === "object") nodes.set(String(node.id), this.#node(node, prefix));
		}
		if (path.length) for (const side of sides(graph)) nodes.set(side.id, side);
		const links = list(graph.links)
			.map(link)
			.filter(({ from, to }) => nodes.has(from) && nodes.has(to));
		for (const each of links) each.via = viaPoints(graph, each);
		return { nodes, links, groups: list(graph.groups).map(group) };
	}

	title(path) {
		const at = this.#find(this.#descend(path.slice(0, -1)), path.at(-1));
		return this.#name(at ?? {});
	}

	has(path) {
		return path.every((id, at) => this.#subgraphs.has(this.#find(this.#descend(path.slice(0, at)), id)?.type));
	}

	#descend(path) {
		return path.reduce((graph, id) => this.#subgraphs.get(this.#find(graph, id)?.type) ?? {}, this.#root);
	}

	#find(graph, id) {
		return list(graph.nodes).find((node) => String(node?.id) === id);
	}

	#name(node) {
		const own = text(node.title) || text(this.#subgraphs.get(node.type)?.name);
		return own || this.#types.title(node.type) || text(node.type) || "?";
	}

	#node(node, prefix) {
		const [x, y] = pair(node.pos, [0, 0]);
		const [w, h] = pair(node.size, [210, 60]);
		const kind = this.#kind(node);
		const made = {
			id: String(node.id),
			path: prefix + node.id,
			type: text(node.type),
			title: this.#name(node),
			kind,
			x,
			y,
			w: Math.max(w, kind === "reroute" ? 40 : 60),
			h: Math.max(h, 10),
			mode: MODES[node.mode] ?? null,
			collapsed: Boolean(node.flags?.collapsed) && kind !== "reroute",
			color: safeColor(node.color),
			background: safeColor(node.bgcolor),
			inputs: [],
			outputs: [],
			rows: [],
			note: "",
		};
		if (kind === "note") made.note = plain(list(node.widgets_values).map(shown).join("\n"));
		else this.#slots(made, node);
		if (made.collapsed) made.w = Math.min(Math.max(widthOf(made.title, 14) + 60, 80), 400);
		return made;
	}

	#kind({ type }) {
		if (type === "Reroute") return "reroute";
		if (NOTES.has(type)) return "note";
		return this.#subgraphs.has(type) ? "subgraph" : "node";
	}

	// A widget input has its slot at the widget's row, all others are above.
	#slots(made, node) {
		let at = 0;
		made.inputs = list(node.inputs).map((input) => ({
			name: named(input),
			type: typeOf(input),
			widget: text(input?.widget?.name),
			isLinked: input?.link != null,
			y: input?.widget ? null : slotY(at++),
		}));
		made.outputs = list(node.outputs).map((output, slot) => ({
			name: named(output),
			type: typeOf(output),
			isLinked: list(output?.links).length > 0,
			y: slotY(slot),
		}));
		const slots = Math.max(at, made.outputs.length);
		made.rows = placed(widgetRows(node, this.#types), slots, made.h);
		for (const input of made.inputs.filter(({ y }) => y === null)) {
			const row = made.rows.find(({ label }) => label === input.widget);
			if (row) row.isLinked = input.isLinked;
			input.y = row ? row.y + 10 : Math.min(slots * SLOT + 14, made.h);
		}
	}
}

// Markdown is not rendered, as its links would be mostly addresses.
const plain = (note) =>
	note
		.slice(0, 8000)
		.replace(/!?\[([^\]\n]*)\]\([^)\s]*\)/g, "$1")
		.replace(/^#+ +/gm, "")
		.replace(/\*\*|`/g, "");
const named = (slot) => text(slot?.label) || text(slot?.localized_name) || text(slot?.name);
const typeOf = (slot) => (typeof slot?.type === "string" ? slot.type.split(",")[0] : "");

function link(given) {
	const [id, from, fromSlot, to, toSlot, type] = Array.isArray(given)
		? given
		: [given?.id, given?.origin_id, given?.origin_slot, given?.target_id, given?.target_slot, given?.type];
	return {
		id,
		from: String(from),
		fromSlot: number(fromSlot),
		to: String(to),
		toSlot: number(toSlot),
		type: String(type ?? ""),
		parent: given?.parentId,
	};
}

// The inputs and outputs of a subgraph, as two boxes at the left and right.
function sides(graph) {
	const side = (id, frame, slots, key) => {
		const [x, y] = pair(frame?.bounding, [0, 0]);
		const [w] = pair(list(frame?.bounding).slice(2), [128, 0]);
		const made = slots.map((slot, at) => ({
			name: named(slot),
			type: typeOf(slot),
			isLinked: true,
			y: 14 + at * SLOT,
		}));
		const box = {
			id,
			path: null,
			type: "",
			title: "",
			kind: "side",
			x,
			y: y + 10,
			w: Math.max(w, 60),
			h: slots.length * SLOT + 8,
		};
		return { ...box, inputs: [], outputs: [], rows: [], note: "", [key]: made };
	};
	return [
		side(INPUT, graph.inputNode, list(graph.inputs), "outputs"),
		side(OUTPUT, graph.outputNode, list(graph.outputs), "inputs"),
	];
}

function group(given) {
	const [x, y, w, h] = [0, 1, 2, 3].map((at) => number(given?.bounding?.[at], at < 2 ? 0 : 100));
	const size = Math.min(Math.max(number(given?.font_size, 24), 12), 60);
	return {
		x,
		y,
		w: Math.max(w, 0),
		h: Math.max(h, 0),
		title: text(given?.title),
		color: safeColor(given?.color),
		size,
	};
}

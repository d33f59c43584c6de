// The order of nodes over all levels: all sources of a running node are done.
import { list, object } from "./values.js";

const [INPUT, OUTPUT] = ["-10", "-20"];
const DEEPEST = 20;

export class Ancestry {
	#sources = new Map(); // path, or "path:in:slot" and "path:out:slot" of a subgraph's boundaries -> sources

	constructor(workflow, format) {
		if (format === "api") this.#fromPrompt(object(workflow));
		else {
			const subgraphs = new Map(list(workflow?.definitions?.subgraphs).map((graph) => [graph?.id, object(graph)]));
			this.#fromGraph(object(workflow), "", subgraphs);
		}
	}

	// All nodes before these.
	before(paths) {
		const seen = new Set();
		const open = [...paths];
		while (open.length) {
			for (const source of this.#sources.get(open.pop()) ?? []) {
				if (seen.has(source)) continue;
				seen.add(source);
				open.push(source);
			}
		}
		return seen;
	}

	#add(target, source) {
		if (!this.#sources.has(target)) this.#sources.set(target, []);
		this.#sources.get(target).push(source);
	}

	#fromPrompt(prompt) {
		for (const [id, node] of Object.entries(prompt)) {
			for (const value of Object.values(object(node?.inputs))) {
				if (Array.isArray(value) && value.length === 2 && Object.hasOwn(prompt, String(value[0])))
					this.#add(id, String(value[0]));
			}
		}
	}

	#fromGraph(graph, prefix, subgraphs) {
		const inner = new Map(
			list(graph.nodes)
				.filter((node) => subgraphs.has(node?.type))
				.map((node) => [String(node.id), subgraphs.get(node.type)]),
		);
		for (const link of list(graph.links)) {
			const [from, fromSlot, to, toSlot] = Array.isArray(link)
				? link.slice(1)
				: [link?.origin_id, link?.origin_slot, link?.target_id, link?.target_slot];
			this.#add(
				place(prefix, String(to), toSlot, inner, OUTPUT, "out", "in"),
				place(prefix, String(from), fromSlot, inner, INPUT, "in", "out"),
			);
		}
		for (const [id, subgraph] of inner) {
			if (prefix.split(":").length < DEEPEST) this.#fromGraph(subgraph, `${prefix}${id}:`, subgraphs);
		}
	}
}

// Inside a subgraph its boundaries stand for the slots of the node outside.
function place(prefix, id, slot, inner, side, sideWord, nodeWord) {
	if (id === side) return `${prefix}${sideWord}:${slot}`;
	return inner.has(id) ? `${prefix}${id}:${nodeWord}:${slot}` : prefix + id;
}

// Lays out nodes without positions, from left to right in the direction of the data.
import { Graph, layout } from "../../vendor/dagre/dagre.esm.js";
import { TITLE } from "./rows.js";

const MOST = 500; // nodes; above that the library takes seconds
const [COLUMN, GAP] = [90, 36];

export function arrange(nodes, links) {
	if (nodes.size > MOST) return columns(nodes, links);
	const graph = new Graph();
	graph.setGraph({ rankdir: "LR", ranksep: COLUMN, nodesep: GAP, edgesep: 12, marginx: 0, marginy: 0 });
	graph.setDefaultEdgeLabel(() => ({}));
	for (const node of nodes.values()) graph.setNode(node.id, { width: node.w, height: node.h + TITLE });
	for (const { from, to } of links) graph.setEdge(from, to);
	layout(graph);
	for (const node of nodes.values()) {
		const { x, y } = graph.node(node.id);
		node.x = x - node.w / 2;
		node.y = y - node.h / 2 + TITLE / 2;
	}
}

// Each node is one column after its last source. A cycle ends at the second visit of a node.
function columns(nodes, links) {
	const sources = Map.groupBy ? Map.groupBy(links, ({ to }) => to) : grouped(links);
	const column = new Map();
	const place = (id) => {
		const stack = [id];
		while (stack.length) {
			const at = stack.at(-1);
			const open = (sources.get(at) ?? []).filter(({ from }) => !column.has(from));
			if (!column.has(at)) column.set(at, 0);
			if (open.length) stack.push(...open.map(({ from }) => from));
			else {
				column.set(at, Math.max(0, ...(sources.get(at) ?? []).map(({ from }) => column.get(from) + 1)));
				stack.pop();
			}
		}
	};
	for (const id of nodes.keys()) if (!column.has(id)) place(id);
	const bottoms = [];
	for (const node of nodes.values()) {
		const at = Math.min(column.get(node.id), 400);
		bottoms[at] ??= 0;
		[node.x, node.y] = [at * 440, bottoms[at] + TITLE];
		bottoms[at] += node.h + TITLE + GAP;
	}
}

function grouped(links) {
	const map = new Map();
	for (const link of links) map.set(link.to, [...(map.get(link.to) ?? []), link]);
	return map;
}

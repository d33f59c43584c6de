// Reroutes that are points of a link, not nodes: from the last one that the link names to its origin.
import { list, pair } from "./values.js";

export function viaPoints(graph, link) {
	const reroutes = list(graph.reroutes ?? graph.extra?.reroutes);
	if (!reroutes.length) return [];
	const extension = list(graph.extra?.linkExtensions).find(({ id }) => id === link.id);
	const points = [];
	let next = link.parent ?? extension?.parentId;
	while (next !== undefined && next !== null && points.length < reroutes.length) {
		const reroute = reroutes.find(({ id }) => id === next);
		if (!reroute) break;
		points.unshift(pair(reroute.pos, [0, 0]));
		next = reroute.parentId;
	}
	return points;
}

// The ends of links, and the curve between them.
import { SLOT, TITLE } from "./rows.js";

export function inputAt(node, slot) {
	return side(node, node.inputs[slot], 0);
}

export function outputAt(node, slot) {
	return side(node, node.outputs[slot], node.w);
}

function side(node, slot, x) {
	if (node.collapsed) return [node.x + x, node.y - TITLE / 2];
	if (node.kind === "reroute") return [node.x + x, node.y + node.h / 2];
	return [node.x + x, node.y + (slot?.y ?? SLOT * 0.7)];
}

export const slotY = (at) => (at + 0.7) * SLOT;

// The curve through `via`, the points of reroutes. Each segment starts and ends horizontally, with a
// curvature that depends on its length.
export function curve(from, to, via = []) {
	const points = [from, ...via, to];
	let path = `M${round(from)}`;
	for (let at = 1; at < points.length; at++) {
		const [a, b] = [points[at - 1], points[at]];
		const bend = Math.hypot(b[0] - a[0], b[1] - a[1]) / 4;
		path += `C${round([a[0] + bend, a[1]])} ${round([b[0] - bend, b[1]])} ${round(b)}`;
	}
	return path;
}

const round = ([x, y]) => `${Math.round(x * 10) / 10},${Math.round(y * 10) / 10}`;

// One level of a workflow as SVG: groups, then links, then nodes.
import { curve, inputAt, outputAt } from "./anchors.js";
import { NodeBadge } from "./node-badge.js";
import { isButton, paintNode } from "./paint-node.js";
import { colorOf } from "./palette.js";
import { TITLE } from "./rows.js";
import { svg } from "./svg.js";
import { fit } from "./text.js";

export class PaintedLevel {
	element = svg("g", { class: "level" });
	nodes = new Map(); // id -> {node, element, badge}
	#links = new Map(); // node id -> its links' elements

	constructor(level, words) {
		const links = svg("g", { class: "links" }, ...level.links.map((link) => this.#link(link, level.nodes)));
		this.element.append(...level.groups.map(group), links);
		for (const [id, node] of level.nodes) {
			const element = paintNode(node, words);
			this.nodes.set(id, {
				node,
				element,
				detail: element.querySelector(".detail"),
				badge: new NodeBadge(element, node),
			});
		}
		const painted = [...this.nodes.values()];
		this.element.append(svg("g", { class: "nodes" }, ...painted.map(({ element }) => element)));
		this.bounds = boundsOf(level);
		this.buttons = painted.filter(({ node }) => isButton(node));
	}

	// Highlights the links of one node.
	highlight(id) {
		for (const link of this.element.querySelectorAll(".link.near")) link.classList.remove("near");
		for (const link of this.#links.get(id) ?? []) link.classList.add("near");
	}

	// Hides the content of nodes out of sight, which makes moving in a large graph faster.
	cull({ x, y, w, h }) {
		for (const { node, detail } of this.nodes.values()) {
			const isNear = node.x < x + w && node.x + node.w > x && node.y - TITLE < y + h && node.y + node.h > y;
			if (detail && detail.hasAttribute("display") === isNear)
				isNear ? detail.removeAttribute("display") : detail.setAttribute("display", "none");
		}
	}

	#link(link, nodes) {
		const [from, to] = [nodes.get(link.from), nodes.get(link.to)];
		const type = link.type || from.outputs[link.fromSlot]?.type;
		const path = svg("path", {
			class: "link",
			d: curve(outputAt(from, link.fromSlot), inputAt(to, link.toSlot), link.via),
		});
		path.style.setProperty("--type", colorOf(type));
		for (const id of [link.from, link.to]) this.#links.set(id, [...(this.#links.get(id) ?? []), path]);
		const points = link.via.map(([cx, cy]) => svg("circle", { class: "dot", cx, cy, r: 5 }));
		for (const point of points) point.style.setProperty("--type", colorOf(type));
		return points.length ? svg("g", {}, path, ...points) : path;
	}
}

function group({ x, y, w, h, title, color, size }) {
	const made = svg(
		"g",
		{ class: "group" },
		svg("rect", { x, y, width: w, height: h, rx: 6 }),
		svg("text", { x: x + 10, y: y + size + 2, "font-size": size }, fit(title, w - 20, size)),
	);
	if (color) made.style.setProperty("--body", color);
	return made;
}

function boundsOf({ nodes, groups }) {
	const boxes = [
		...[...nodes.values()].map(({ x, y, w, h, collapsed }) => [x, y - TITLE, x + w, collapsed ? y : y + h]),
		...groups.map(({ x, y, w, h }) => [x, y, x + w, y + h]),
	];
	if (!boxes.length) return { x: 0, y: 0, w: 400, h: 200 };
	const [left, top, right, bottom] = boxes.reduce((a, b) => [
		Math.min(a[0], b[0]),
		Math.min(a[1], b[1]),
		Math.max(a[2], b[2]),
		Math.max(a[3], b[3]),
	]);
	return { x: left, y: top, w: Math.max(right - left, 1), h: Math.max(bottom - top, 1) };
}

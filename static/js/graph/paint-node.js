// A node as SVG: box, title, slots, widgets. What changes during a run is in node-badge.js.

import { colorOf } from "./palette.js";
import { TITLE } from "./rows.js";
import { svg } from "./svg.js";
import { fit, widthOf, wrap } from "./text.js";

const CORNER = 8;
const SMALLEST = 16; // font size of a title in the overview
const BOLD = 0.92; // text is measured in regular weight

export function paintNode(node, words) {
	const group = svg("g", { class: "node", transform: `translate(${node.x} ${node.y})` });
	Object.assign(group.dataset, { id: node.id, kind: node.kind });
	if (node.mode) group.dataset.mode = node.mode;
	if (node.color) group.style.setProperty("--head", node.color);
	if (node.background ?? node.color) group.style.setProperty("--body", node.background ?? node.color);
	if (node.kind === "side") group.append(frame(node, 0), ...slots(node));
	else if (node.kind === "reroute") group.append(frame(node, 0), ...dots(node, node.h / 2));
	else if (node.collapsed) group.append(...collapsed(node, words));
	else group.append(...opened(node, words));
	return group;
}

// Everything that can be pressed is a button for screen readers; a subgraph's boundaries are not.
export const isButton = (node) => node.kind !== "side";

function opened(node, words) {
	const right = `H${node.w - CORNER}q${CORNER} 0 ${CORNER}`;
	const box = `M0 0V${node.h - CORNER}q0 ${CORNER} ${CORNER} ${CORNER}${right} -${CORNER}V0`;
	const head = `M0 0V${CORNER - TITLE}q0 -${CORNER} ${CORNER} -${CORNER}${right} ${CORNER}V0Z`;
	return [
		frame(node, TITLE),
		svg("path", { class: "body", d: `${box}Z` }),
		svg("path", { class: "head", d: head }),
		...title(node, words),
		node.h > 40 ? overview(node) : null,
		svg(
			"g",
			{ class: "detail" },
			...(node.kind === "note" ? note(node) : [...slots(node), ...node.rows.flatMap((row) => widget(row, node.w))]),
		),
	].filter(Boolean);
}

// For the overview: the title again, in a readable size.
function overview(node) {
	const { size, lines } = largest(node);
	const spans = lines.map((line, at) => svg("tspan", { x: node.w / 2, dy: at ? size * 1.15 : 0 }, line));
	const y = node.h / 2 + size * 0.35 - ((lines.length - 1) * size * 1.15) / 2;
	return svg("text", { class: "overview", y, "font-size": size, "aria-hidden": "true" }, ...spans);
}

// The largest font size in which the whole title fits; in the smallest one it may be truncated.
function largest(node) {
	for (let size = Math.min(34, node.h / 1.8); ; size -= 2) {
		const lines = wrap(
			node.title,
			(node.w - 20) * BOLD,
			size,
			Math.max(1, Math.min(3, Math.floor(node.h / (size * 1.2)))),
		);
		if (size <= SMALLEST || lines.join("").replaceAll(" ", "") === node.title.replaceAll(/\s/g, ""))
			return { size, lines };
	}
}

function collapsed(node, words) {
	const box = { x: 0, y: -TITLE, width: node.w, height: TITLE, rx: TITLE / 2 };
	return [
		svg("rect", { class: "frame", ...box }),
		svg("rect", { class: "head", ...box }),
		...title(node, words),
		...dots(node, -TITLE / 2),
	];
}

// The border: thicker with focus, colored by state.
function frame(node, above) {
	return svg("rect", { class: "frame", x: 0, y: -above, width: node.w, height: node.h + above, rx: CORNER });
}

function title(node, words) {
	const tag = node.mode ? words[node.mode] : `#${node.id}`;
	const isSubgraph = node.kind === "subgraph";
	const right = isSubgraph ? 34 : 10;
	const room = (node.w - 20 - right - Math.min(tag.length, 14) * 7) * BOLD;
	return [
		svg("text", { class: "title", x: 12, y: -10 }, fit(node.title, room, 14)),
		svg("text", { class: "tag", x: node.w - right, y: -10.5 }, fit(tag, 90, 11)),
		isSubgraph ? opener(node, words) : null,
	].filter(Boolean);
}

function opener(node, words) {
	const x = node.w - 29;
	return svg(
		"g",
		{ class: "opener", "data-open": node.id },
		svg("title", {}, words.open),
		svg("rect", { x, y: -25, width: 22, height: 20, rx: 5 }),
		svg("path", { d: `M${x + 7} -11l8 -8m-6 0h6v6` }),
	);
}

function slots(node) {
	const half = node.w / (node.inputs.some(({ y }) => y !== null) && node.outputs.length ? 2 : 1) - 22;
	const input = (slot) =>
		slot.widget
			? slot.isLinked
				? [dot(slot, 0)]
				: []
			: [dot(slot, 0), svg("text", { class: "slot", x: 14, y: slot.y + 4 }, fit(slot.name, half, 12))];
	const output = (slot) => [
		dot(slot, node.w),
		svg("text", { class: "slot end", x: node.w - 14, y: slot.y + 4 }, fit(slot.name, half, 12)),
	];
	return [...node.inputs.flatMap(input), ...node.outputs.flatMap(output)];
}

function dots(node, y) {
	const [input, output] = [node.inputs[0], node.outputs[0]];
	return [input && dot({ ...input, y }, 0), output && dot({ ...output, y }, node.w)].filter(Boolean);
}

function dot({ type, y, isLinked }, x) {
	const made = svg("circle", { class: isLinked ? "dot" : "dot free", cx: x, cy: y, r: 4.5 });
	made.style.setProperty("--type", colorOf(type));
	return made;
}

function widget(row, width) {
	const box = svg("rect", { class: "widget", x: 14, y: row.y, width: width - 28, height: row.height, rx: 6 });
	if (row.lines) {
		const lines = wrap(row.value, width - 46, 12, row.lines);
		return [
			box,
			...lines.map((line, at) => svg("text", { class: "value start", x: 22, y: row.y + 17 + at * 15 }, line)),
		];
	}
	const room = width - 48;
	const label = fit(
		row.label,
		row.value && !row.isLinked ? room - Math.min(widthOf(row.value.slice(0, 40), 12) + 10, room * 0.45) : room,
		12,
	);
	const value = row.isLinked ? "" : fit(row.value, row.label ? room - widthOf(label, 12) - 10 : room, 12);
	const y = row.y + row.height / 2 + 4;
	return [
		box,
		svg("text", { class: "label", x: 22, y }, label),
		svg("text", { class: "value", x: width - 22, y }, value),
	];
}

function note(node) {
	const lines = wrap(node.note, node.w - 28, 13, Math.max(1, Math.floor((node.h - 16) / 17)));
	return lines.map((line, at) => svg("text", { class: "prose", x: 14, y: 22 + at * 17 }, line));
}

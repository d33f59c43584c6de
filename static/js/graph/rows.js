// The rows of a node: its widgets with their values and positions.
import { list, object, shown, text } from "./values.js";

export const SLOT = 20;
export const ROW = 24;
export const TITLE = 30;
const GAP = 6;
const LINE = 15;
const CONTROL = new Set(["fixed", "increment", "decrement", "randomize"]);

// [{label, value}] from the file; old files have no names.
export function widgetRows(node, types) {
	const named = object(node.widgets_values_named);
	if (Object.keys(named).length) return rows(Object.entries(named));
	if (!Array.isArray(node.widgets_values)) return rows(Object.entries(object(node.widgets_values)));
	const told = list(node.inputs)
		.filter((input) => input?.widget)
		.map((input) => text(input.widget.name) || text(input.name));
	const names = told.length ? told : types.widgets(node.type);
	const values = [...node.widgets_values];
	const pairs = names.map((name) => {
		const value = values.shift();
		if (CONTROL.has(values[0]) && typeof value === "number") values.shift();
		return [name, value];
	});
	return rows([...pairs, ...values.map((value) => ["", value])]);
}

function rows(pairs) {
	return (
		pairs
			// Not values: ComfyUI saves the upload button among them.
			.filter(
				([label, value]) =>
					label !== "upload" && !(label === "" && value === "image") && value !== null && value !== undefined,
			)
			.map(([label, value]) => ({ label, value: shown(value) }))
	);
}

// A text that is too long for a row gets the space that the others leave.
export const isLong = (row) => row.value.includes("\n") || row.value.length > 60;

// Below the slots; rows that do not fit are omitted, as in a node that was made small.
export function placed(rows, slots, height) {
	const top = slots * SLOT + GAP;
	const long = rows.filter(isLong);
	const rest = height - top - GAP - (rows.length - long.length) * ROW;
	const each = long.length ? rest / long.length : 0;
	let y = top;
	const shown = [];
	for (const row of rows) {
		const room = isLong(row) && each >= ROW ? each : ROW;
		if (y + ROW > height + 1) break;
		shown.push({
			...row,
			y,
			height: room - 4,
			lines: room >= ROW * 1.6 ? Math.max(1, Math.floor((room - 14) / LINE)) : 0,
		});
		y += room;
	}
	return shown;
}

// The height for all rows, with long texts in a few lines.
export function heightFor(rows, slots, lines = 4) {
	const heights = rows.map((row) => (isLong(row) ? lines * LINE + 18 : ROW));
	return slots * SLOT + GAP * 2 + heights.reduce((sum, height) => sum + height, 0);
}

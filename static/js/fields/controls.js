// Which control a parameter has. Those for files come with the first workflow that takes one.
import { choiceControl } from "./choice.js";
import { numberControl } from "./number.js";
import { seedControl } from "./seed.js";
import { booleanControl, jsonControl, textControl } from "./text.js";

let uploadControl = textControl;

/** @param {Parameter} parameter @returns {(parameter: Parameter, change: () => void) => Control} */
export function controlOf({ type, upload, role }) {
	if (upload) return uploadControl;
	if (role === "seed") return seedControl;
	return (
		{ int: numberControl, float: numberControl, boolean: booleanControl, choice: choiceControl, string: textControl }[
			type
		] ?? jsonControl
	);
}

// Before fields of these are made.
export async function prepare(parameters) {
	if (parameters.some(({ upload }) => upload)) ({ uploadControl } = await import("./upload.js"));
}

// The control of a parameter. Those for files are loaded with the first workflow that needs one.
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

// To be called before such fields are built.
export async function prepare(parameters) {
	if (parameters.some(({ upload }) => upload)) ({ uploadControl } = await import("./upload.js"));
}

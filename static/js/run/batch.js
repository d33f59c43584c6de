// Lists of values for a batch, parsed from input. Pure except for the texts of faults.
import { t } from "../page/i18n.js";
import { exact, isRandom } from "./values.js";

export const MOST = 1000; // tasks per batch

// The fault of the number of seeds, or "".
export function countFault(typed) {
	if (!/^-?\d+$/.test(typed)) return t("field.needsWhole");
	if (Number(typed) < 1) return t("field.atLeast", { min: 1 });
	return Number(typed) > MOST ? t("field.atMost", { max: MOST }) : "";
}

// `count` seeds: random ones, or consecutive ones from the locked one.
export function seeds(value, count) {
	if (isRandom(value) || !/^\d+$/.test(String(value ?? ""))) return Array(count).fill(-1);
	return Array.from({ length: count }, (_, index) => exact({ type: "int" }, String(BigInt(value) + BigInt(index))));
}

// One value per line, for the parameter's type. Throws with the invalid line.
export function values(parameter, lines) {
	return lines
		.split("\n")
		.map((line) => line.trim())
		.filter(Boolean)
		.map((line) => {
			if (parameter.type === "int" || parameter.type === "float") {
				if (!Number.isFinite(Number(line))) throw new Error(t("batch.notNumber", { line }));
				return /^-?\d+$/.test(line) ? exact(parameter, line) : Number(line);
			}
			if (parameter.type === "boolean") return /^(true|1|yes|on)$/i.test(line);
			if (parameter.type !== "any") return line;
			return JSON.parse(line);
		});
}

export const tasksOf = (batch) => Object.values(batch).reduce((product, list) => product * list.length, 1);
export const isTooMany = (batch) => tasksOf(batch) > MOST;

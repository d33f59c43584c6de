// Lists of values for a batch, from what was typed. Pure but for the texts of faults.
import { t } from "../page/i18n.js";
import { exact, isRandom } from "./values.js";

export const MOST = 1000; // tasks of one batch

// What is wrong with how many seeds there are to be, or "".
export function countFault(typed) {
	if (!/^-?\d+$/.test(typed)) return t("field.needsWhole");
	if (Number(typed) < 1) return t("field.atLeast", { min: 1 });
	return Number(typed) > MOST ? t("field.atMost", { max: MOST }) : "";
}

// `count` seeds: new ones by chance, or those that follow the one that is locked.
export function seeds(value, count) {
	if (isRandom(value) || !/^\d+$/.test(String(value ?? ""))) return Array(count).fill(-1);
	return Array.from({ length: count }, (_, index) => exact({ type: "int" }, String(BigInt(value) + BigInt(index))));
}

// One value a line, for the parameter's type. Throws with the line that is none.
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

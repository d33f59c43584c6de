// Values of parameters. Whole numbers that JavaScript cannot hold are kept as their digits.
export const text = (value) => (typeof value === "string" ? value : (JSON.stringify(value ?? null) ?? ""));

export const same = (a, b) => a === b || text(a) === text(b);

export const isRandom = (value) => Number(value) === -1;

const isNumber = (parameter) => parameter?.type === "int" || parameter?.type === "float";

// For JSON.stringify: digits become the number that they are.
export function exact(parameter, value) {
	const isDigits = typeof value === "string" && /^-?\d+$/.test(value);
	return isNumber(parameter) && isDigits ? number(value) : value;
}

// From what was typed: the number, or its digits where a number would be rounded.
export function parsed(raw) {
	const value = Number(raw);
	return Number.isInteger(value) && !Number.isSafeInteger(value) && /^-?\d+$/.test(raw) ? raw : value;
}

function number(digits) {
	const value = Number(digits);
	if (Number.isSafeInteger(value)) return value;
	return JSON.rawJSON ? JSON.rawJSON(digits) : value;
}

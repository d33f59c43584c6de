// Values of parameters. Integers beyond JavaScript's exact range are kept as digits.
export const text = (value) => (typeof value === "string" ? value : (JSON.stringify(value ?? null) ?? ""));

export const same = (a, b) => a === b || text(a) === text(b);

export const isRandom = (value) => Number(value) === -1;

const isNumber = (parameter) => parameter?.type === "int" || parameter?.type === "float";

// For JSON.stringify: converts digits to the exact number.
export function exact(parameter, value) {
	const isDigits = typeof value === "string" && /^-?\d+$/.test(value);
	return isNumber(parameter) && isDigits ? number(value) : value;
}

// Parses input: a number, or its digits if a number would be rounded.
export function parsed(raw) {
	const value = Number(raw);
	return Number.isInteger(value) && !Number.isSafeInteger(value) && /^-?\d+$/.test(raw) ? raw : value;
}

function number(digits) {
	const value = Number(digits);
	if (Number.isSafeInteger(value)) return value;
	return JSON.rawJSON ? JSON.rawJSON(digits) : value;
}

// Values of untrusted workflow files, coerced to the expected type.
export const list = (value) => (Array.isArray(value) ? value : []);
export const object = (value) => (value && typeof value === "object" && !Array.isArray(value) ? value : {});
export const number = (value, fallback = 0) =>
	Number.isFinite(Number(value)) && value !== null ? Number(value) : fallback;
export const text = (value) => (typeof value === "string" ? value : "");

// Old files have positions as {"0": x, "1": y}.
export const pair = (value, fallback) => [number(value?.[0], fallback[0]), number(value?.[1], fallback[1])];

export const isLink = (value, prompt) =>
	Array.isArray(value) &&
	value.length === 2 &&
	Object.hasOwn(prompt, String(value[0])) &&
	Number.isInteger(value[1]) &&
	value[1] >= 0;

// Numbers, texts and booleans verbatim, others as JSON.
export function shown(value) {
	if (value === null || value === undefined) return "";
	return typeof value === "object" ? JSON.stringify(value) : String(value);
}

// The color of a link type: ComfyUI's for known types, a derived one for others.
const KNOWN = {
	CLIP: "#ffd500",
	CLIP_VISION: "#a8dadc",
	CLIP_VISION_OUTPUT: "#ad7452",
	CONDITIONING: "#ffa931",
	CONTROL_NET: "#6ee7b7",
	IMAGE: "#64b5f6",
	LATENT: "#ff9cf9",
	MASK: "#81c784",
	MODEL: "#b39ddb",
	STYLE_MODEL: "#c2ffae",
	VAE: "#ff6e6e",
	NOISE: "#b0b0b0",
	GUIDER: "#66ffff",
	SAMPLER: "#ecb4b4",
	SIGMAS: "#cdffcd",
	TAESD: "#dcc274",
};
const VALUES = new Set(["INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "*", ""]);
const PLAIN = "#9aa0ad";

export function colorOf(type) {
	const name = String(type ?? "").toUpperCase();
	if (KNOWN[name]) return KNOWN[name];
	if (VALUES.has(name)) return PLAIN;
	let hash = 0;
	for (const character of name) hash = (hash * 31 + Number(character.codePointAt(0))) % 3600;
	return `hsl(${hash / 10} 60% 70%)`;
}

// A color from a file is used in a style only if it is a valid color.
export function safeColor(value) {
	return typeof value === "string" && value.length < 40 && CSS.supports("color", value) ? value : null;
}

// SVG does not wrap or truncate text. Widths are measured in the page's font.
const ELLIPSIS = "…";
const LONGEST = 4000; // characters that are processed: a note may contain a whole README
/** @type {any} the 2D context, with the page's font as `family` and the last font as `asked` */
let context = null;
const widths = new Map();

export function widthOf(text, size) {
	return pen(size).measureText(text).width;
}

// The text, truncated to fit.
export function fit(text, width, size) {
	const line = text.slice(0, 400).replace(/\s+/g, " ").trim();
	if (width <= 0) return "";
	const ink = pen(size);
	if (ink.measureText(line).width <= width) return line;
	let [low, high] = [0, line.length];
	while (low < high) {
		const middle = (low + high + 1) >> 1;
		if (ink.measureText(line.slice(0, middle) + ELLIPSIS).width <= width) low = middle;
		else high = middle - 1;
	}
	return low ? line.slice(0, low).trimEnd() + ELLIPSIS : ELLIPSIS;
}

// At most `most` lines. The last one shows if there is more.
export function wrap(text, width, size, most) {
	const lines = [];
	for (const paragraph of text.slice(0, LONGEST).split("\n")) {
		for (const line of broken(paragraph.trimEnd(), width, size)) {
			if (lines.length === most) return ended(lines, width, size);
			lines.push(line);
		}
	}
	return lines;
}

function* broken(paragraph, width, size) {
	let line = "";
	for (const word of paragraph.split(/(?<=\s)|(?<=[a-z0-9])(?=[A-Z])|(?<=[\u3000-\u9fff\uff00-\uffef])/)) {
		if (line && measured(line + word, size) > width) {
			yield line.trimEnd();
			line = "";
		}
		line += word;
		while (measured(line, size) > width && line.length > 1) {
			const head = fit(line, width, size).replace(ELLIPSIS, "") || line[0];
			yield head;
			line = line.slice(head.length);
		}
	}
	yield line.trimEnd();
}

function ended(lines, width, size) {
	if (lines.length) lines.push(fit(`${lines.pop()} ${ELLIPSIS}`, width, size));
	return lines;
}

// By character: the same few recur, and the sum is precise enough.
function measured(text, size) {
	let sum = 0;
	for (const character of text) {
		if (!widths.has(character)) widths.set(character, pen(100).measureText(character).width / 100);
		sum += widths.get(character);
	}
	return sum * size;
}

function pen(size) {
	if (!context) {
		context = document.createElement("canvas").getContext("2d");
		context.family = getComputedStyle(document.body).fontFamily || "sans-serif";
	}
	const font = `${size}px ${context.family}`;
	if (context.asked !== font) context.font = context.asked = font;
	return context;
}

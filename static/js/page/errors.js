// Errors in the page's language. The gateway says them in English; in Chinese titles, hints and reasons
// go by their codes, from a table that comes with the first error.
import { language } from "./i18n.js";

/** @type {any} */
let table = null;

// True if there is more to say than before.
export async function learn() {
	if (language() !== "zh" || table) return false;
	table = await import("../strings/zh/codes.js").catch(() => null); // away: English, then
	return Boolean(table);
}

const known = () => (language() === "zh" ? table : null);

// {title, hint} of a problem document, or of a task's error, which has no title but in Chinese.
export function said({ code, title, hint }) {
	const [name, way, isMore] = known()?.CODES[code] ?? [];
	if (!name) return { title, hint };
	const isOfTask = !title;
	return { title: name, hint: (hint || isOfTask) && [way, isMore && hint].filter(Boolean).join("") };
}

export const reasonOf = (type) => known()?.REASONS[type];

// In one line.
export async function line(error) {
	await learn();
	const { code, message } = error;
	return code in (known()?.CODES ?? {}) ? `${said(error).title}：${message}` : message;
}

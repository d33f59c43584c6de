// Errors in the page's language. The gateway's are in English; in Chinese, titles, hints and reasons are
// looked up by code, in a table that is loaded with the first error.
import { language } from "./i18n.js";

/** @type {any} */
let table = null;

// Resolves to true if more texts are available than before.
export async function learn() {
	if (language() !== "zh" || table) return false;
	table = await import("../strings/zh/codes.js").catch(() => null); // unreachable: stay English
	return Boolean(table);
}

const known = () => (language() === "zh" ? table : null);

// {title, hint} of a problem document or a task's error, which has a title in Chinese only.
export function said({ code, title, hint }) {
	const [name, way, isMore] = known()?.CODES[code] ?? [];
	if (!name) return { title, hint };
	const isOfTask = !title;
	return { title: name, hint: (hint || isOfTask) && [way, isMore && hint].filter(Boolean).join("") };
}

export const reasonOf = (type) => known()?.REASONS[type];

// As one line.
export async function line(error) {
	await learn();
	const { code, message } = error;
	return code in (known()?.CODES ?? {}) ? `${said(error).title}：${message}` : message;
}

// The page in English or Chinese. t("key", {name}) returns the current text; elements with data-i18n="key"
// or data-i18n-attr="title:key;aria-label:key" are updated automatically; other code listens:
// i18n.addEventListener("language", ...). Texts are in strings/<language>/<part>.js; modules that are
// loaded later load theirs with: await texts("tasks").
import { remember, remembered } from "./remember.js";

const KEY = "gateway.language";
const tables = { en: {}, zh: {} };
const parts = new Set(); // whose texts are loaded or loading

export const languages = { en: "English", zh: "中文" };
export const i18n = new EventTarget();

const chosen = remembered(KEY);
let current =
	chosen in tables
		? chosen
		: ((navigator.languages ?? []).map((tag) => tag.slice(0, 2)).find((tag) => tag in tables) ?? "en");
document.documentElement.lang = current === "zh" ? "zh-CN" : current;
await texts("page");

export const language = () => current;

export async function texts(part) {
	parts.add(part);
	await load(current, part);
}

export function t(key, values = {}) {
	const text = tables[current][key] ?? key;
	return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

async function load(name, part) {
	Object.assign(tables[name], (await import(`../strings/${name}/${part}.js`)).default);
}

export async function setLanguage(name) {
	if (!(name in tables)) return;
	for (let known = 0; known < parts.size; ) {
		known = parts.size; // more may come meanwhile
		await Promise.all([...parts].map((part) => load(name, part)));
	}
	current = name;
	remember(KEY, name);
	document.documentElement.lang = name === "zh" ? "zh-CN" : name;
	translate(document.documentElement);
	i18n.dispatchEvent(new Event("language"));
}

// Sets the texts of an element and its descendants.
export function translate(root) {
	for (const node of marked(root, "data-i18n")) node.textContent = t(node.dataset.i18n);
	for (const node of marked(root, "data-i18n-attr")) {
		for (const pair of node.dataset.i18nAttr.split(";")) {
			const [name, key] = pair.split(":");
			node.setAttribute(name.trim(), t(key.trim()));
		}
	}
}

function marked(root, attribute) {
	const within = [...root.querySelectorAll(`[${attribute}]`)];
	return root.hasAttribute?.(attribute) ? [root, ...within] : within;
}

// Builds elements without any HTML from strings: what comes from files, tasks and servers stays text.
// el("button", { className: "quiet", i18n: "tasks.cancel", onclick: f, ariaLabel: "..." }, child, "text")
//   dataset: {..}    merged         i18n: key           the text, kept in the page's language
//   attributes: {..} as attributes  i18nAttr: "title:key;aria-label:key"    attributes, likewise
//   part: "name"     looked up by what build() answers
//   onclick: f       its answer is ignored: `false` undoes clicks
import { translate } from "./i18n.js";

export function el(tag, props = {}, ...children) {
	const node = document.createElement(tag);
	const { dataset, attributes, part, i18n, i18nAttr, ...rest } = props ?? {};
	for (const [name, value] of Object.entries(rest))
		node[name] = name.startsWith("on") ? (event) => void value?.call(node, event) : value;
	Object.assign(node.dataset, dataset);
	for (const [name, value] of Object.entries(attributes ?? {})) if (value != null) node.setAttribute(name, value);
	if (part) node.dataset.part = part;
	if (i18n) node.dataset.i18n = i18n;
	if (i18nAttr) node.dataset.i18nAttr = i18nAttr;
	if (i18n || i18nAttr) translate(node);
	node.append(...children.flat().filter((child) => child != null && child !== false));
	return node;
}

// Puts children into an element, and returns a lookup of those with a `part`, without the ones that other
// elements add to themselves later.
/** @param {Element} element @param {Element[]} children @returns {Parts} */
export function build(element, children) {
	const parts = {};
	const within = new DocumentFragment();
	within.append(...children);
	for (const each of within.querySelectorAll("[data-part]")) parts[each.dataset.part ?? ""] = each;
	element.append(within);
	return (name) => parts[name];
}

// Icons are symbols of icons.svg: icon("play"). They are hidden from screen readers.
export function icon(name) {
	const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
	const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
	use.setAttribute("href", `static/icons.svg#${name}`);
	svg.setAttribute("class", "icon");
	svg.setAttribute("aria-hidden", "true");
	svg.append(use);
	return svg;
}

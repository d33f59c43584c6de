import { translate } from "./i18n.js";

// What is not there at first has its templates in /static/html.
export async function templates(name) {
	const answer = await fetch(`/static/html/${name}.html`);
	if (!answer.ok) throw new Error(`${name}.html: HTTP ${answer.status}`);
	const page = new DOMParser().parseFromString(await answer.text(), "text/html");
	document.body.append(...page.querySelectorAll("template"));
}

// Stamps a <template> into an element, in the page's language, and answers a look-up of its parts by data-part.
export function stamp(element, id) {
	const { content } = /** @type {HTMLTemplateElement} */ (document.getElementById(id));
	const copy = document.importNode(content, true); // upgrades what is in it
	translate(copy);
	const parts = {}; // looked up before other elements stamp theirs into it
	for (const part of copy.querySelectorAll("[data-part]")) parts[part.dataset.part] = part;
	element.append(copy);
	return (name) => parts[name];
}

// The model files of a server by folder, folded and searchable. Built when opened, as there may be
// thousands.
import { el } from "../../page/dom.js";
import { t } from "../../page/i18n.js";

const MOST = 400; // listed names per folder

export class ServerModels {
	#models = {};
	#warm = new Set();
	#search = el("input", {
		type: "search",
		i18nAttr: "aria-label:servers.search;placeholder:servers.search",
		autocomplete: "off",
		spellcheck: false,
		oninput: () => this.#list(),
	});
	#count = el("small");
	#folders = el("div", { className: "folders" });
	element = el(
		"details",
		{ className: "models", ontoggle: () => this.#list() },
		el("summary", {}, el("span", { i18n: "servers.models" }), " ", this.#count),
		this.#search,
		this.#folders,
	);

	show(models, warm) {
		const isSame = JSON.stringify([models, warm]) === JSON.stringify([this.#models, [...this.#warm]]);
		this.#models = models ?? {};
		this.#warm = new Set(warm ?? []);
		const files = Object.values(this.#models).reduce((sum, names) => sum + names.length, 0);
		this.#count.textContent = t("servers.modelCount", { count: files });
		this.element.hidden = files === 0;
		if (!isSame) this.#list();
	}

	#list() {
		if (!this.element.open) return;
		const words = this.#search.value.toLowerCase().split(/\s+/).filter(Boolean);
		const fits = (name, folder) => words.every((word) => `${folder}/${name}`.toLowerCase().includes(word));
		const folders = Object.entries(this.#models)
			.map(([folder, names]) => [folder, names.filter((name) => fits(name, folder))])
			.filter(([, names]) => names.length);
		const opened = new Set([...this.#folders.querySelectorAll("details[open]")].map(({ dataset }) => dataset.folder));
		const made = folders.map(([folder, names]) => this.#folder(folder, names, words.length > 0 || opened.has(folder)));
		this.#folders.replaceChildren(...(made.length ? made : [el("p", { className: "hint", i18n: "servers.noModel" })]));
	}

	#folder(folder, names, open) {
		const rows = names
			.slice(0, MOST)
			.map((name) =>
				el(
					"li",
					{},
					name,
					this.#warm.has(name) && el("span", { className: "chip", dataset: { tone: "good" }, i18n: "servers.warm" }),
				),
			);
		if (names.length > MOST) rows.push(el("li", {}, `… ${names.length - MOST}`));
		return el(
			"details",
			{ open, dataset: { folder } },
			el("summary", {}, folder, " ", el("small", {}, String(names.length))),
			el("ul", {}, ...rows),
		);
	}
}

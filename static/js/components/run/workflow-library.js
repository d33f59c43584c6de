// The saved workflows with incremental search, each with a thumbnail of its last result.
import * as api from "../../api/api.js";
import { events } from "../../api/events.js";
import { health } from "../../api/health.js";
import { build, el, icon } from "../../page/dom.js";
import { i18n, t } from "../../page/i18n.js";
import { show, view } from "../../page/media.js";
import { href } from "../../page/router.js";
import { toast } from "../../page/toasts.js";
import { drafts, isOpened } from "../../run/drafts.js";
import { intake } from "../../run/intake.js";
import { workspace } from "../../run/workspace.js";
import { tasks } from "../../tasks/state.js";

const THUMBNAIL = 96;
const PAUSE = 500; // ms

export class WorkflowLibrary extends HTMLElement {
	/** @type {Parts} */
	#part;
	#entries = [];
	#pause = 0; // timer
	#rows = new Map(); // filename -> its link
	#thumbs = new Map(); // filename -> {url, at} of the newest image

	connectedCallback() {
		this.#part = build(this, content());
		const part = this.#part;
		part("search").oninput = () => this.#filter();
		part("search").onkeydown = (event) => this.#pressed(event);
		part("file").onchange = () => {
			if (part("file").files[0]) intake.file(part("file").files[0]);
			part("file").value = "";
		};
		part("pasting").ontoggle = () => part("text").focus();
		part("text").oninput = ({ inputType }) => this.#typed(!/^insert(Text|Line)/.test(inputType));
		part("text").onchange = () => this.#pasted(true);
		workspace.addEventListener("opened", () => this.#mark());
		intake.addEventListener("saved", () => this.load());
		tasks.addEventListener("change", ({ detail }) => this.#results(detail.changed));
		events.addEventListener("connection", ({ detail }) => detail.state === "open" && this.load());
		i18n.addEventListener("language", () => this.#build());
		drafts.addEventListener("change", () => this.#unsaved());
		health.ready.then(() => this.#unsaved());
		this.#results([...tasks.values()].map(({ task_id }) => task_id));
		this.ready = this.load();
	}

	get first() {
		return this.#entries.find(({ format }) => format)?.filename;
	}

	async load() {
		try {
			this.#entries = (await api.workflows()).workflows;
			this.#build();
		} catch (error) {
			if (!this.#entries.length) toast(error);
		}
	}

	focus() {
		this.querySelector("details")?.setAttribute("open", "");
		this.#part("search").select();
		this.#part("search").focus();
	}

	#build() {
		this.#rows = new Map(this.#entries.map((entry) => [entry.filename, row(entry)]));
		for (const [filename, link] of this.#rows) this.#thumb(link, filename);
		this.#part("list").replaceChildren(...[...this.#rows.values()].map((link) => el("li", {}, link)));
		this.#part("empty").hidden = this.#entries.length > 0;
		this.#unsaved();
	}

	// Unsaved entries: opened workflows, and changes of saved ones.
	#unsaved() {
		const all = drafts.list();
		const opened = all.filter(({ id }) => isOpened(id));
		this.#part("drafts").replaceChildren(
			...opened.map(({ id, name }) => el("li", {}, link(id, name, t("drafts.opened")))),
		);
		this.#part("drafts").hidden = !opened.length;
		const changed = new Set(all.map(({ id }) => id));
		for (const [filename, each] of this.#rows) each.classList.toggle("changed", changed.has(filename));
		this.#filter();
		this.#mark();
	}

	#filter() {
		const words = this.#part("search").value.toLowerCase().split(/\s+/).filter(Boolean);
		for (const each of this.querySelectorAll("li")) {
			each.hidden = !words.every((word) => String(each.querySelector("a")?.title).toLowerCase().includes(word));
		}
	}

	#mark() {
		for (const link of this.querySelectorAll("li a")) {
			if (link.hash === href("run", workspace.id)) link.setAttribute("aria-current", "true");
			else link.removeAttribute("aria-current");
		}
		this.#part("current").textContent = workspace.name || t("library.title");
	}

	#pressed(event) {
		const links = [...this.#rows.values()].filter((link) => !link.parentElement.hidden);
		if (event.ctrlKey || event.metaKey) return; // shortcuts of the page
		if (event.key === "Enter" && links[0]) links[0].click();
		else if (event.key === "ArrowDown") links[0]?.focus();
		else if (event.key === "Escape" && event.target.value) {
			event.target.value = "";
			this.#filter();
		} else return;
		event.preventDefault();
	}

	// Typed text is not interpreted until it is complete.
	#typed(isAtOnce) {
		clearTimeout(this.#pause);
		if (isAtOnce) this.#pasted(true);
		else this.#pause = setTimeout(() => this.#pasted(false), PAUSE);
	}

	// `isDone`: report text that is not JSON.
	#pasted(isDone) {
		const { value } = this.#part("text");
		clearTimeout(this.#pause);
		if (
			(isDone ? value.trim() : /^\s*\{[\s\S]+\}\s*$/.test(value)) &&
			intake.text(value, t("library.pasted"), isDone)
		) {
			this.#part("text").value = "";
			this.#part("pasting").open = false;
		}
	}

	#results(changed) {
		for (const id of changed) {
			const task = tasks.get(id);
			const picture = task?.workflow && task.outputs?.findLast(({ kind, url }) => kind === "image" && url);
			const known = this.#thumbs.get(task?.workflow);
			if (!picture || known?.url === picture.url || known?.at > task.created_at) continue;
			this.#thumbs.set(task.workflow, { url: picture.url, at: task.created_at });
			const link = this.#rows.get(task.workflow);
			if (link) this.#thumb(link, task.workflow);
		}
	}

	#thumb(link, filename) {
		const known = this.#thumbs.get(filename);
		if (!known) return;
		const image = link.querySelector("img") ?? el("img", { alt: "", loading: "lazy" });
		link.querySelector(".thumb").replaceChildren(image);
		show(image, view(known.url, THUMBNAIL));
	}
}

const dayOf = (time) => new Date(time).toLocaleDateString(document.documentElement.lang, { dateStyle: "medium" });

function row({ filename, format, modified_at }) {
	const about = format ? `${format.toUpperCase()} · ${dayOf(modified_at)}` : t("library.unreadable");
	return link(filename, filename, about);
}

function link(id, name, about) {
	const again = () => id === workspace.id && workspace.open(workspace.source); // the address does not change
	return el(
		"a",
		{ href: href("run", id), title: name, onclick: again },
		el("span", { className: "thumb" }, icon(isOpened(id) ? "file" : "image")),
		el(
			"span",
			{ className: "grow" },
			el("span", { className: "cut name", textContent: name.replace(/\.json$/i, "") }),
			el("small", { textContent: about }),
		),
	);
}

const content = () => [
	el("h2", { className: "unseen", part: "current" }),
	el(
		"div",
		{ className: "row search" },
		icon("search"),
		el("input", {
			type: "search",
			part: "search",
			autocomplete: "off",
			i18nAttr: "placeholder:library.search;aria-label:library.search",
		}),
		el("kbd", { attributes: { "aria-hidden": "true" } }, "/"),
	),
	el("p", { className: "hint", part: "empty", i18n: "library.empty", hidden: true }),
	el("ul", { part: "drafts", i18nAttr: "aria-label:drafts.title", hidden: true }),
	el("ul", { part: "list" }),
	el(
		"div",
		{ className: "take" },
		el(
			"div",
			{ className: "row" },
			el(
				"label",
				{ className: "button grow" },
				icon("file"),
				el("span", { i18n: "library.open" }),
				el("input", {
					type: "file",
					accept: ".json,.png,.webp,.jpg,.jpeg,application/json,image/png,image/webp",
					part: "file",
				}),
			),
		),
		el(
			"details",
			{ part: "pasting" },
			el("summary", { part: "paste", i18n: "library.paste" }),
			el("textarea", {
				part: "text",
				rows: 4,
				spellcheck: false,
				className: "mono",
				i18nAttr: "aria-label:library.json",
			}),
		),
		el("p", { className: "hint", i18n: "library.dropHint" }),
	),
];

customElements.define("workflow-library", WorkflowLibrary);

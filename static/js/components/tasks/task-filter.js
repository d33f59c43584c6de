// The filters of the table: status, text, workflow, batch. "change" on changes; for a text after a pause,
// as the API searches all tasks.
import * as api from "../../api/api.js";
import { el } from "../../page/dom.js";
import { i18n, t } from "../../page/i18n.js";
import { nameOf, STATUSES, statusWord } from "./task-words.js";

const PAUSE = 250; // ms

export class TaskFilter extends EventTarget {
	#statuses = new Set();
	#batch = "";
	#workflow = "";
	#saved = []; // names in the library
	#used = []; // names in tasks
	#text = "";
	#typed = 0;
	#chips = new Map();
	#search = el("input", {
		type: "search",
		i18nAttr: "aria-label:tasks.filter;placeholder:tasks.filter",
		maxLength: 200,
		spellcheck: false,
		autocomplete: "off",
	});
	#batches = el("select", { i18nAttr: "aria-label:tasks.batch" });
	#workflows = el("select", { i18nAttr: "aria-label:tasks.workflow" });
	element;

	constructor() {
		super();
		for (const status of STATUSES) {
			this.#chips.set(
				status,
				el(
					"button",
					{
						type: "button",
						className: "chip",
						attributes: { "aria-pressed": "false" },
						onclick: () => this.#toggle(status),
					},
					statusWord(status),
				),
			);
		}
		this.#search.oninput = () => {
			clearTimeout(this.#typed);
			this.#typed = setTimeout(() => this.#change(() => (this.#text = this.#search.value.trim())), PAUSE);
		};
		this.#workflows.onchange = () => this.#change(() => (this.#workflow = this.#workflows.value));
		this.#workflows.onfocus = () => this.#ask();
		this.#batches.onchange = () => this.#change(() => (this.#batch = this.#batches.value));
		const chips = el(
			"div",
			{ className: "statuses", attributes: { role: "group" }, i18nAttr: "aria-label:tasks.statuses" },
			...this.#chips.values(),
		);
		this.element = el("div", { className: "filter" }, this.#search, chips, this.#workflows, this.#batches);
		this.offer([], []);
		this.#ask();
		i18n.addEventListener("language", () => this.#rename());
	}

	// The query for the API; null without a filter.
	get query() {
		if (!this.#statuses.size && !this.#batch && !this.#text && !this.#workflow) return null;
		return {
			status: [...this.#statuses],
			...(this.#batch && { batch_id: this.#batch }),
			...(this.#workflow && { workflow: this.#workflow }),
			...(this.#text && { q: this.#text }),
		};
	}

	get isSet() {
		return this.query !== null;
	}

	// `isFound`: the API found the text, possibly in a part that the page does not have.
	fits(task, isFound) {
		if (this.#statuses.size && !this.#statuses.has(task.status)) return false;
		if (this.#batch && task.batch_id !== this.#batch) return false;
		if (this.#workflow && task.workflow !== this.#workflow) return false;
		return !this.#text || isFound || haystack(task).includes(folded(this.#text));
	}

	// The workflows and batches in tasks, without counts, as only some tasks are loaded.
	offer(batches, workflows) {
		this.#used = workflows;
		this.#name();
		const key = JSON.stringify(batches);
		if (this.#batches.dataset.key === key) return;
		this.#batches.dataset.key = key;
		const options = batches.map((id) => el("option", { value: id }, `${t("tasks.batch")} ${id.slice(0, 8)}`));
		this.#batches.replaceChildren(el("option", { value: "", i18n: "tasks.batchClear" }), ...options);
		this.#batches.value = this.#batch;
		if (this.#batches.selectedIndex < 0) this.#change(() => (this.#batch = this.#batches.value = ""));
		this.#batches.hidden = !batches.length;
	}

	// All saved workflows: their tasks may be on pages that were not loaded.
	async #ask() {
		const { workflows } = await api.workflows().catch(() => ({ workflows: [] })); // falls back to the names in tasks
		this.#saved = workflows.map(({ filename }) => filename);
		this.#name();
	}

	#name() {
		const names = [...new Set([...this.#saved, ...this.#used, this.#workflow])].filter(Boolean).sort();
		this.#workflows.hidden = !names.length;
		if (this.#workflows.dataset.key === JSON.stringify(names)) return;
		this.#workflows.dataset.key = JSON.stringify(names);
		this.#workflows.replaceChildren(
			el("option", { value: "", i18n: "tasks.workflowClear" }),
			...names.map((name) => new Option(name, name)),
		);
		this.#workflows.value = this.#workflow;
	}

	#toggle(status) {
		this.#change(() => {
			if (!this.#statuses.delete(status)) this.#statuses.add(status);
			this.#chips.get(status).setAttribute("aria-pressed", this.#statuses.has(status));
		});
	}

	#change(how) {
		how();
		this.dispatchEvent(new Event("change"));
	}

	#rename() {
		for (const [status, chip] of this.#chips) chip.textContent = statusWord(status);
		this.#batches.dataset.key = "";
	}
}

const seen = new WeakMap(); // valid, as task objects are immutable

// Normalizes texts like the API.
const folded = (text) => text.normalize("NFKC").toLowerCase();

function haystack(task) {
	if (!seen.has(task)) {
		const params = Object.values(task.params ?? {}).filter((value) => typeof value !== "object");
		seen.set(
			task,
			folded(
				[task.task_id, nameOf(task), task.server, task.batch_id, task.error?.code, task.error?.message, ...params].join(
					"\n",
				),
			),
		);
	}
	return seen.get(task);
}

// <task-table>: all tasks, live, newest first, with filters, selection and actions.
import { el } from "../../page/dom.js";
import { learn } from "../../page/errors.js";
import { i18n, t } from "../../page/i18n.js";
import { go, route } from "../../page/router.js";
import { isFinished, tasks } from "../../tasks/state.js";
import { act, mayDelete } from "./task-actions.js";
import { TaskFilter } from "./task-filter.js";
import { TaskPages } from "./task-pages.js";
import { TaskRow } from "./task-row.js";
import { TaskRows } from "./task-rows.js";

const COLUMNS = ["check", "status", "workflow", "server", "progress", "eta", "created", "duration", "actions"];

const RECOUNT = 2000; // ms

class TaskTable extends HTMLElement {
	#filter = new TaskFilter();
	#pages = new TaskPages();
	/** @type {TaskRows} */
	#rows;
	/** @type {Record<string, any>} */
	#parts;
	/** @type {string[]} */
	#ids = [];
	#states = new Map(); // what determines whether a task is shown
	#selected = new Set();
	#recount = 0; // timer
	#last = null; // the row ticked last, from which shift selects

	get current() {
		return route.view === "tasks" ? route.id : "";
	}

	connectedCallback() {
		if (this.#parts) return;
		this.#parts = this.#build();
		this.#rows = new TaskRows(this.#parts.scroller, this.#parts.space, (id) => new TaskRow(id, this));
		tasks.addEventListener("change", ({ detail }) => this.#changed(detail));
		tasks.addEventListener("loaded", () => {
			this.#parts.problem.show(null);
			this.#count();
		});
		tasks.addEventListener("failed", ({ detail }) => this.#parts.problem.show(detail));
		this.#filter.addEventListener("change", () => this.#refilter());
		route.addEventListener("change", () => {
			this.#rows.updateAll();
			this.#recountSoon();
		});
		i18n.addEventListener("language", () => {
			this.#rows.updateAll();
			this.#list();
			this.#learn();
		});
		this.addEventListener("keydown", (event) => this.#key(event));
		setInterval(() => this.offsetParent && this.#rows.tick(), 1000);
		this.#learn();
		this.#list();
		this.#load(() => this.#pages.use(this.#filter.query));
		tasks.load(); // the socket may have been opened before tasks were needed
	}

	// Loads the names of errors in the page's language.
	async #learn() {
		if (await learn()) this.#rows.updateAll();
	}

	isSelected(id) {
		return this.#selected.has(id);
	}

	select(id, is, isRange) {
		const [from, to] = [this.#ids.indexOf(isRange ? this.#last : id), this.#ids.indexOf(id)].sort((a, b) => a - b);
		for (const each of this.#ids.slice(Math.max(from, 0), to + 1)) this.#selected[is ? "add" : "delete"](each);
		this.#last = id;
		this.#rows.updateAll();
		this.#count();
	}

	async act(name, ids) {
		const given = [ids].flat();
		if (name === "delete" && !(await mayDelete(given.filter((id) => isFinished(tasks.get(id) ?? {})).length))) return;
		const problems = await act(name, given);
		this.#parts.problem.show(problems[0] ?? null);
	}

	#changed({ changed, removed }) {
		this.#pages.less(this.#ids.filter((id) => removed.has(id)).length);
		for (const id of removed) {
			this.#states.delete(id);
			this.#selected.delete(id);
		}
		let isOther = removed.size > 0;
		for (const id of changed) {
			const { status } = tasks.get(id) ?? {};
			if (this.#states.get(id) !== status) isOther = true;
			this.#states.set(id, status);
		}
		if (isOther) {
			this.#list();
			this.#recountSoon();
		}
		this.#rows.update(changed);
	}

	// The API is asked at intervals only, and only while the count is visible.
	#recountSoon() {
		this.#recount ||= setTimeout(async () => {
			// An unreachable gateway is reported elsewhere.
			if (this.checkVisibility()) await this.#pages.recount(this.#filter.query).catch(() => {});
			this.#recount = 0;
			this.#count();
		}, RECOUNT);
	}

	async #refilter() {
		this.#selected.clear();
		this.#list();
		await this.#load(() => this.#pages.use(this.#filter.query));
	}

	async #load(how) {
		try {
			await how();
			this.#parts.problem.show(null);
		} catch (problem) {
			this.#parts.problem.show(problem);
		}
		this.#list();
	}

	#list() {
		const all = tasks.sorted();
		this.#ids = all
			.filter((task) => this.#filter.fits(task, this.#pages.has(task.task_id)))
			.map(({ task_id }) => task_id);
		const batches = new Set(all.map(({ batch_id }) => batch_id).filter(Boolean));
		this.#filter.offer(
			[...batches],
			all.map(({ workflow }) => workflow),
		);
		this.#rows.ids = this.#ids;
		this.#count();
	}

	// The number of shown tasks, of all that match, including new ones.
	#counted() {
		const shown = this.#ids.length;
		const { count, isCapped } = this.#pages.total ?? { count: this.#filter.isSet ? shown : tasks.size };
		return t("tasks.rows", { shown, all: isCapped ? `${count}+` : Math.max(count, shown) });
	}

	#count() {
		const { count, empty, more, table, chosen, bar, all } = this.#parts;
		count.textContent = this.#counted();
		empty.textContent = t(this.#filter.isSet && tasks.size ? "tasks.noneFits" : "tasks.none");
		empty.hidden = this.#ids.length > 0;
		more.hidden = !this.#pages.hasMore(this.#filter.query);
		table.setAttribute("aria-rowcount", this.#ids.length + 1);
		const number = this.#selected.size;
		bar.hidden = number === 0;
		chosen.textContent = t("tasks.selected", { count: number });
		all.checked = number > 0 && number === this.#ids.length;
		all.indeterminate = number > 0 && !all.checked;
		const states = [...this.#selected]
			.map((id) => tasks.get(id))
			.filter((task) => task !== undefined)
			.map(isFinished);
		this.#parts.cancel.disabled = !states.includes(false);
		this.#parts.retry.disabled = this.#parts.delete.disabled = !states.includes(true);
	}

	// Up and down select tasks, like in a mail list.
	#key(event) {
		const step = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1 }[event.key];
		if (!step || event.ctrlKey || event.metaKey || event.target.closest("input[type=search], select")) return;
		const row = event.target.closest(".row");
		const at = row ? this.#ids.indexOf(row.dataset.id) + step : 0;
		if (at < 0 || at >= this.#ids.length) return;
		event.preventDefault();
		this.#rows.reveal(at)?.element.querySelector("a").focus();
		if (this.current) go("tasks", this.#ids[at], true);
	}

	#build() {
		const parts = {};
		const button = (name) =>
			(parts[name] = el("button", {
				type: "button",
				i18n: `tasks.${name}`,
				className: name === "delete" ? "danger" : "",
				onclick: () => this.act(name, [...this.#selected]),
			}));
		const header = (name) =>
			el(
				"div",
				{ className: `cell ${name}`, attributes: { role: "columnheader" } },
				name === "check"
					? parts.all
					: el("span", { i18n: `tasks.${name}`, className: name === "actions" ? "unseen" : "" }),
			);
		parts.all = el("input", {
			type: "checkbox",
			i18nAttr: "aria-label:tasks.selectAll",
			onclick: () => this.#selectAll(parts.all.checked),
		});
		parts.count = el("small", { attributes: { "aria-live": "polite" } });
		parts.chosen = el("span");
		parts.bar = el(
			"div",
			{ className: "chosen row", hidden: true },
			parts.chosen,
			...["cancel", "retry", "delete"].map(button),
			el("button", { type: "button", className: "quiet", i18n: "tasks.clear", onclick: () => this.#selectAll(false) }),
		);
		parts.problem = el("problem-box", { hidden: true });
		parts.space = el("div", { className: "space", attributes: { role: "rowgroup" } });
		parts.empty = el("p", { className: "hint empty" });
		parts.more = el("button", {
			type: "button",
			i18n: "tasks.more",
			hidden: true,
			onclick: () => this.#load(() => this.#pages.more(this.#filter.query)),
		});
		const head = el(
			"div",
			{ className: "head", attributes: { role: "row", "aria-rowindex": 1 } },
			...COLUMNS.map(header),
		);
		parts.table = el(
			"div",
			{ className: "table", i18nAttr: "aria-label:tasks.title", attributes: { role: "table" } },
			el("div", { attributes: { role: "rowgroup" } }, head),
			parts.space,
		);
		parts.scroller = el(
			"div",
			{ className: "scroller", tabIndex: -1 },
			parts.table,
			parts.empty,
			el("div", { className: "more" }, parts.more),
		);
		this.append(
			el("div", { className: "bar" }, el("h2", { i18n: "tasks.title" }), parts.count, this.#filter.element),
			parts.bar,
			parts.problem,
			parts.scroller,
		);
		return parts;
	}

	#selectAll(is) {
		this.#selected = new Set(is ? this.#ids : []);
		this.#rows.updateAll();
		this.#count();
	}
}

customElements.define("task-table", TaskTable);

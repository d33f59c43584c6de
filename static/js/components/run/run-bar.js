// The run bar: run once or as a batch, the length of the queue, and refusals.

import * as api from "../../api/api.js";
import { events } from "../../api/events.js";
import { build, el, icon } from "../../page/dom.js";
import { i18n, t } from "../../page/i18n.js";
import { remember, remembered } from "../../page/remember.js";
import { styles } from "../../page/styles.js";
import { toast } from "../../page/toasts.js";
import { brief } from "../../run/format.js";
import { workspace } from "../../run/workspace.js";
import { etaOf } from "../../tasks/places.js";
import { isFinished, tasks } from "../../tasks/state.js";

const RANDOMIZE = "gateway.randomize";
const QUEUE_EVERY = 500; // ms; tasks change many times per second

// While the gateway is unreachable the module cannot be loaded, and there are no named faults.
const faultsOf = async ({ code, document }) =>
	document && code !== "away" ? (await import("../../run/faults.js")).faultsOf(document) : [];

class RunBar extends HTMLElement {
	/** @type {Parts} */
	#part;
	#isBusy = false;
	#isDue = false;
	#made = []; // the tasks of the last run

	connectedCallback() {
		this.#part = build(this, content());
		this.#part("run").onclick = () => this.run();
		this.#part("batching").addEventListener("toggle", () => this.#batching().catch(toast));
		this.#part("randomize").checked = Boolean(remembered(RANDOMIZE));
		this.#part("randomize").onchange = ({ target }) => remember(RANDOMIZE, target.checked ? "1" : "");
		this.#part("code").onclick = () => this.#code().catch(toast);
		document.addEventListener("keydown", (event) => {
			const isOurs = event.key === "Enter" && (event.ctrlKey || event.metaKey) && this.checkVisibility();
			if (!isOurs || document.querySelector("dialog[open]")) return;
			event.preventDefault();
			this.run();
		});
		this.addEventListener("batch", () => this.#show());
		for (const type of ["opened", "value"]) workspace.addEventListener(type, () => this.#show());
		workspace.addEventListener("opened", () => this.#opened());
		// The refusal does not apply to the changed values.
		workspace.addEventListener("value", () => this.#part("problem").show(null));
		workspace.addEventListener("failed", ({ detail }) => this.#part("problem").show(detail));
		tasks.addEventListener("change", () => this.#queueSoon());
		setInterval(() => this.checkVisibility() && this.#queue(), 1000);
		i18n.addEventListener("language", () => {
			this.#show();
			this.#queue();
		});
		events.addEventListener("connection", () => this.#show());
		this.#show();
		this.#queue();
	}

	async run() {
		const form = document.querySelector("run-form");
		if (this.#isBusy || !workspace.source || !this.#ofBatch("count", 1) || !form.check()) return;
		this.#isBusy = true;
		this.#show();
		this.#part("problem").show(null);
		form.complain();
		const { id } = workspace;
		try {
			const answer = await api.submit(workspace.source, this.#options());
			this.#made = answer.tasks ?? [answer];
			for (const task of this.#made) tasks.put(task, -Infinity);
			this.dispatchEvent(new CustomEvent("submitted", { detail: answer, bubbles: true }));
			this.#part("said").textContent = t("run.queued", { count: this.#made.length });
		} catch (error) {
			if (id !== workspace.id) toast(error);
			const faults = await faultsOf(error);
			const isMarked = id === workspace.id && form.complain(faults);
			if (id === workspace.id)
				this.#part("problem").show(isMarked ? new api.Problem({ title: t("form.marked") }) : error);
		}
		this.#isBusy = false;
		this.#show();
	}

	// Options that are sent with the workflow. A parameter of the batch is only in the batch.
	#options() {
		const params = workspace.params();
		const batch = this.#ofBatch("batch", null);
		for (const key of Object.keys(batch ?? {})) delete params[key];
		return { params, ...(batch && { batch }), ...(this.#part("randomize").checked && { randomize: true }) };
	}

	#ofBatch(name, none) {
		return this.#part("batching").open ? (this.#part("batch")[name] ?? none) : none;
	}

	#opened() {
		this.#part("problem").show(null);
		this.#part("batching").open = Boolean(workspace.batch?.isOpen);
	}

	async #batching() {
		const isOpen = this.#part("batching").open;
		if (workspace.batch && workspace.batch.isOpen !== isOpen) workspace.batch = { ...workspace.batch, isOpen };
		await Promise.all([import("./batch-panel.js"), styles("batch")]);
		this.#show();
	}

	async #code() {
		const { showRun } = await import("./code-dialog.js");
		if (workspace.source) await showRun(this.#options());
	}

	#show() {
		const count = this.#ofBatch("count", 1);
		const { changed } = workspace;
		this.#part("run").disabled = this.#isBusy || !workspace.source || !count;
		this.#part("code").disabled = !workspace.source || !count;
		this.#part("label").textContent = count > 1 ? t("run.many", { count }) : t("run.run");
		this.#part("changes").textContent = changed.length ? t("form.changed", { count: changed.length }) : "";
	}

	#queueSoon() {
		if (this.#isDue) return;
		this.#isDue = true;
		setTimeout(() => {
			this.#isDue = false;
			this.#queue();
		}, QUEUE_EVERY);
	}

	// The number of waiting tasks, and when all known tasks should be done.
	#queue() {
		if (this.#made.some(({ task_id }) => tasks.get(task_id)?.status !== "queued")) this.#part("said").textContent = "";
		let waiting = 0;
		let last = 0; // last place in the queue: there may be tasks that the page does not know
		let running = 0;
		let eta = 0;
		for (const task of tasks.values()) {
			if (isFinished(task)) continue;
			if (task.status === "queued") waiting += 1;
			else running += 1;
			last = Math.max(last, task.queue_position ?? 0);
			eta = Math.max(eta, etaOf(task) ?? NaN); // NaN propagates: the end is unknown
		}
		if (tasks.unread) eta = NaN;
		waiting = Math.max(waiting + tasks.unread, last);
		const words = [
			waiting + running ? t("queue.depth", { waiting, running }) : t("queue.empty"),
			eta >= 1 && t("queue.eta", { time: brief(eta) }),
		];
		this.#part("queue").textContent = words.filter(Boolean).join(" · ");
	}
}

const content = () => [
	el("problem-box", { part: "problem", role: "alert", hidden: true }),
	el("details", { part: "batching" }, el("summary", { i18n: "run.batch" }), el("batch-panel", { part: "batch" })),
	el(
		"div",
		{ className: "row wrap" },
		el(
			"div",
			{ className: "grow said" },
			el("small", { part: "queue" }),
			el("small", { className: "changes", part: "changes", attributes: { "aria-live": "polite" } }),
		),
		el("span", { className: "unseen", role: "status", part: "said" }),
		el(
			"label",
			{ i18nAttr: "title:run.randomizeTitle" },
			el("input", { type: "checkbox", part: "randomize" }),
			" ",
			el("span", { i18n: "run.randomize" }),
		),
		el("button", { className: "quiet", part: "code" }, icon("code"), el("span", { i18n: "run.code" })),
		el(
			"button",
			{ className: "primary", part: "run", disabled: true },
			icon("play"),
			el("span", { part: "label" }),
			el("kbd", { attributes: { "aria-hidden": "true" } }, "Ctrl ↵"),
		),
	),
];

customElements.define("run-bar", RunBar);

// <task-detail task-id="...">: all details of one task, live.
import * as api from "../../api/api.js";
import { el, icon } from "../../page/dom.js";
import { learn } from "../../page/errors.js";
import { i18n, t } from "../../page/i18n.js";
import { go } from "../../page/router.js";
import { isCut, isFinished, tasks } from "../../tasks/state.js";
import { act, mayDelete } from "./task-actions.js";
import { COPY, copy, curlOf } from "./task-curl.js";
import { shown as deliveries, deliveriesOf } from "./task-deliveries.js";
import { taskLog } from "./task-log.js";
import { outputs } from "./task-outputs.js";
import * as sections from "./task-sections.js";
import * as timeline from "./task-timeline.js";
import { doing, duration, expected, nameOf, statusWord, TONES } from "./task-words.js";
import "../../graph/workflow-graph.js";

const SECTIONS = ["error", "warnings", "outputs", "graph", "params", "attempts", "nodes", "deliveries", "facts", "log"];
const FOLDED = new Set(["log"]);
const ASKED_AGAIN = 2000; // ms
let nodeTypes = null; // fetched once

class TaskDetail extends HTMLElement {
	static observedAttributes = ["task-id"];
	/** @type {Record<string, any>} */
	#parts;
	#keys = new Map(); // key of the content of each section, which is rebuilt only if it changes
	/** @type {Delivery[] | null} */
	#deliveries = null;
	#later = 0; // timer of the next reload of deliveries
	#prompt = null;
	#isDue = false;
	#graph = el("workflow-graph");
	#listening = new AbortController(); // aborts the stream of this task's events

	get id() {
		return this.getAttribute("task-id") ?? "";
	}

	connectedCallback() {
		if (this.#parts) return;
		this.#parts = this.#build();
		tasks.addEventListener("change", ({ detail }) => {
			if (detail.removed.has(this.id)) this.#close();
			else if (detail.changed.has(this.id)) this.#update();
		});
		taskLog.addEventListener("loaded", ({ detail }) => detail === this.id && this.#updateSoon());
		i18n.addEventListener("language", () => {
			this.#anew();
			learn().then(() => this.#anew());
		});
		learn().then((isMore) => isMore && this.#anew());
		setInterval(() => this.id && !isFinished(tasks.get(this.id) ?? { status: "failed" }) && this.#update(), 1000);
		if (this.id) this.#open();
	}

	#anew() {
		this.#keys.clear();
		this.#update();
	}

	attributeChangedCallback(_name, before, now) {
		if (this.#parts && before !== now) this.#open();
	}

	async #open() {
		const id = this.id;
		this.hidden = !id;
		this.#keys.clear();
		this.#deliveries = this.#prompt = null;
		clearTimeout(this.#later);
		this.#section("graph").hidden = true;
		this.#parts.problem.show(null);
		this.#listening.abort();
		if (!id) return;
		this.#graph.task = null;
		this.#update();
		try {
			await tasks.answer(api.task(id));
			if (id === this.id) this.#update();
		} catch (problem) {
			if (id === this.id) this.#parts.problem.show(problem);
		}
		this.#draw(id);
		this.#tellDeliveries(id);
		this.#listening = new AbortController();
		taskLog.load(id, this.#listening.signal);
	}

	// Past events arrive together: update once.
	#updateSoon() {
		if (this.#isDue) return;
		this.#isDue = true;
		requestAnimationFrame(() => {
			this.#isDue = false;
			this.#update();
		});
	}

	async #draw(id) {
		try {
			nodeTypes ??= await api.nodes().catch(() => null);
			const { workflow, format } = await api.taskWorkflow(id);
			if (id !== this.id) return;
			this.#prompt = workflow;
			this.#section("graph").hidden = false;
			this.#graph.show({ workflow, format, nodeTypes });
			this.#graph.task = tasks.get(id);
			this.#update();
		} catch {} // the task is shown without its graph
	}

	// Deliveries send no events, so they are polled while one is pending.
	async #tellDeliveries(id) {
		clearTimeout(this.#later);
		const found = await deliveriesOf(id);
		if (id !== this.id) return;
		this.#deliveries = found;
		this.#update();
		clearTimeout(this.#later);
		if (found?.some(({ status }) => status === "pending"))
			this.#later = setTimeout(() => this.#tellDeliveries(id), ASKED_AGAIN);
	}

	#update() {
		const task = tasks.get(this.id);
		const { name, status, number, bar, doing: words, cancel, retry, remove, body } = this.#parts;
		body.hidden = !task;
		number.textContent = this.id.slice(0, 8);
		if (!task) {
			name.textContent = name.title = t("task.title");
			status.textContent = "";
			return;
		}
		name.textContent = name.title = nameOf(task);
		status.textContent = statusWord(task.status);
		status.dataset.tone = TONES[task.status] ?? "";
		const done = isFinished(task);
		bar.hidden = done;
		bar.value = Number(task.progress?.value) || 0;
		words.textContent = [
			task.status === "queued" ? "" : done ? "" : doing(task),
			done ? "" : expected(task),
			duration(task),
			task.waiting_for,
		]
			.filter(Boolean)
			.join(" · ");
		cancel.hidden = done;
		cancel.disabled = task.status === "canceling";
		retry.hidden = remove.hidden = !done;
		if (done && this.#keys.get("ended") !== task.status && this.#keys.has("ended")) {
			setTimeout(() => this.#tellDeliveries(task.task_id), 1500);
			if (isCut(task)) tasks.answer(api.task(task.task_id)).catch(() => {}); // the truncated values stay
		}
		this.#keys.set("ended", task.status);
		this.#fill(task);
		if (this.#prompt) this.#graph.task = task;
	}

	#fill(task) {
		const log = taskLog.of(task.task_id);
		const second = isFinished(task) ? 0 : Math.floor(Date.now() / 1000);
		this.#show("error", task.error, () => sections.error(task.error));
		this.#show("warnings", task.warnings, () => (task.warnings ?? []).map((text) => el("p", {}, text)));
		this.#show("outputs", task.outputs, () => outputs(task.outputs ?? []));
		this.#show("params", task.params, () => sections.params(task.params));
		this.#show("attempts", [task.attempts, task.attempts?.length && second], () =>
			timeline.attempts(task.attempts ?? []),
		);
		const seconds = task.progress?.node_seconds ?? {};
		this.#show("nodes", [log.nodes.length, log.nodes.at(-1)?.end, second, seconds, !this.#prompt], () =>
			log.nodes.length ? timeline.nodes(log.nodes, task.error?.node_id) : timeline.durations(seconds, this.#prompt),
		);
		this.#show("deliveries", this.#deliveries, () =>
			deliveries(this.#deliveries ?? [], (request) => this.#replayed(request)),
		);
		this.#show("facts", { ...task, progress: null, outputs: null, eta_seconds: null }, () => sections.facts(task));
		if (this.#section("log").open) this.#show("log", [log.messages.length, log.dropped], () => sections.log(log));
		else this.#section("log").hidden = false;
	}

	#show(name, key, make) {
		const text = JSON.stringify(key ?? null);
		if (this.#keys.get(name) === text) return;
		this.#keys.set(name, text);
		const section = this.#section(name);
		const children = make().filter(Boolean);
		section.querySelector(".content").replaceChildren(...children);
		section.hidden = !children.length;
	}

	async #replayed(request) {
		await this.#try(() => request);
		this.#tellDeliveries(this.id);
	}

	async #try(action) {
		try {
			this.#parts.problem.show(null);
			return await action();
		} catch (problem) {
			this.#parts.problem.show(problem);
			return null;
		}
	}

	async #act(name) {
		const before = new Set([...tasks.values()].map(({ task_id }) => task_id));
		const id = this.id;
		if (name === "delete" && !(await mayDelete(1))) return;
		const [problem] = await act(name, [id]);
		this.#parts.problem.show(problem ?? null);
		if (name !== "retry" || problem) return;
		const made = tasks.sorted().find(({ task_id, retry_of }) => retry_of === id && !before.has(task_id));
		if (made) go("tasks", made.task_id);
	}

	#close() {
		go("tasks");
	}

	async #copyCurl() {
		const text = await this.#try(() => curlOf(tasks.get(this.id)));
		if (text) copy(text, this.#parts.curl, t("task.copied"));
	}

	#section(name) {
		return this.#parts.sections.get(name);
	}

	#build() {
		const button = (key, onclick, className = "") => el("button", { type: "button", i18n: key, className, onclick });
		const parts = { sections: new Map() };
		for (const name of SECTIONS) {
			const content = el("div", { className: "content" });
			if (name === "graph") content.append(this.#graph);
			if (name === "nodes") content.after(el("small", { i18n: "task.nodesHint" }));
			const section = el(
				"details",
				{ className: `section ${name}`, open: !FOLDED.has(name), hidden: true },
				el("summary", {}, el("h3", { i18n: `task.${name}` })),
				content,
				name === "nodes" && el("small", { i18n: "task.nodesHint" }),
			);
			section.addEventListener("toggle", () => name === "log" && this.#update());
			parts.sections.set(name, section);
		}
		parts.name = el("h2", { className: "grow cut" });
		parts.status = el("span", { className: "chip" });
		parts.number = el("code");
		parts.bar = el("progress", { max: 1, i18nAttr: "aria-label:tasks.progress" });
		parts.doing = el("small");
		parts.cancel = button("tasks.cancel", () => this.#act("cancel"));
		parts.retry = button("tasks.retry", () => this.#act("retry"));
		parts.remove = button("tasks.delete", () => this.#act("delete"), "danger");
		parts.copyId = button("task.copyId", () => copy(this.id, parts.copyId, t("task.copied")));
		parts.curl = button(COPY, () => this.#copyCurl());
		parts.problem = el("problem-box", { hidden: true });
		const close = el(
			"button",
			{
				type: "button",
				className: "quiet icon-only",
				i18nAttr: "aria-label:tasks.close;title:tasks.close",
				onclick: () => this.#close(),
			},
			icon("close"),
		);
		parts.body = el(
			"div",
			{ className: "sections" },
			el(
				"div",
				{ className: "row wrap buttons" },
				parts.cancel,
				parts.retry,
				parts.remove,
				parts.copyId,
				parts.curl,
				parts.doing,
			),
			parts.bar,
			...parts.sections.values(),
		);
		this.append(
			el("header", { className: "row" }, parts.status, parts.name, parts.number, close),
			parts.problem,
			parts.body,
		);
		this.hidden = !this.id;
		return parts;
	}
}

customElements.define("task-detail", TaskDetail);

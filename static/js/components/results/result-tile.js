// A task in the gallery: its progress, its results, and its actions.
import * as api from "../../api/api.js";
import { build, el, icon } from "../../page/dom.js";
import { t, texts } from "../../page/i18n.js";
import { toast } from "../../page/toasts.js";
import { doing, duration, nameOf, seedsOf, TONES } from "../../run/format.js";
import { isCut, isFinished, tasks } from "../../tasks/state.js";
import { identity, mediaView } from "./media-view.js";

await texts("dialogs");

const THUMBNAIL = 480;
const SHOWN = 4;

export class ResultTile extends HTMLElement {
	#part;
	/** @type {Task} */
	#task;
	#shown = new Map(); // identity -> element
	#frame = null; // the newest preview, while an older one is loading

	constructor(task) {
		super();
		this.#part = build(this, content());
		this.dataset.id = task.task_id;
		const part = this.#part;
		part("cancel").onclick = () => this.#act(() => tasks.answer(api.cancel(task.task_id)));
		part("retry").onclick = () => this.#act(() => tasks.answer(api.retry(task.task_id)));
		part("delete").onclick = () =>
			this.#act(async () => (await import("../tasks/task-actions.js")).removeAsked(task.task_id));
		part("use").onclick = () => this.#act(async () => (await import("../../run/settings.js")).useSettings(this.#task));
		part("compare").onchange = () => this.dispatchEvent(new CustomEvent("compare", { bubbles: true }));
		this.update(task);
	}

	get task() {
		return this.#task;
	}

	get isCompared() {
		return this.#part("compare").checked;
	}

	set isCompared(value) {
		this.#part("compare").checked = value;
	}

	update(task, force = false) {
		/** @type {Partial<Task>} */
		const before = force ? {} : (this.#task ?? {});
		if (task === before) return;
		this.#task = task;
		this.#progress(task);
		if (before.status !== task.status) this.#status(task);
		if (before.error !== task.error)
			this.#part("error").show(
				task.error,
				isCut(task) ? () => this.#act(() => tasks.answer(api.task(task.task_id))) : null,
			);
		if (before.warnings !== task.warnings) this.#warnings(task.warnings ?? []);
		if (before.outputs !== task.outputs) this.#results(task.outputs ?? []);
		if (before.params !== task.params || before.status !== task.status) this.tick();
	}

	// Updates what depends on the time.
	tick() {
		const seeds = seedsOf(this.#task).map((seed) => t("task.seed", { seed }));
		this.#progress(this.#task);
		write(this.#part("facts"), [...seeds, duration(this.#task)].filter(Boolean).join(" · "));
	}

	preview(image) {
		if (isFinished(this.#task)) return;
		const img = this.#part("preview");
		const isLoading = img.src && !img.complete;
		this.#frame = image;
		if (!isLoading) this.#showFrame(img);
	}

	#showFrame(img) {
		const frame = this.#frame;
		this.#frame = null;
		if (!frame || isFinished(this.#task)) return;
		const url = URL.createObjectURL(frame);
		img.onload = img.onerror = ({ type }) => {
			URL.revokeObjectURL(url);
			img.hidden = type === "error" || isFinished(this.#task);
			this.#showFrame(img);
		};
		img.src = url;
	}

	#status(task) {
		const part = this.#part;
		const isOver = isFinished(task);
		this.dataset.status = task.status;
		part("status").textContent = t(`status.${task.status}`);
		part("status").dataset.tone = TONES[task.status] ?? "";
		part("status").hidden = task.status === "succeeded";
		part("name").textContent = part("name").title = nameOf(task);
		part("cancel").hidden = isOver;
		part("cancel").disabled = task.status === "canceling";
		for (const name of ["use", "delete"]) part(name).hidden = !isOver;
		part("retry").hidden = !isOver || task.status === "succeeded";
		part("bar").hidden = isOver;
		if (isOver) part("preview").hidden = true;
	}

	#warnings(warnings) {
		write(this.#part("notes"), warnings.join("\n"));
		this.#part("notes").hidden = !warnings.length;
	}

	#progress(task) {
		const value = task.progress?.value;
		if (isFinished(task)) return;
		this.#part("progress").value = Number.isFinite(value) ? value : 0;
		write(this.#part("doing"), doing(task));
	}

	#results(outputs) {
		const wanted = new Map(outputs.slice(0, SHOWN).map((output) => [identity(output), output]));
		for (const [key, shown] of this.#shown) {
			if (wanted.has(key)) continue;
			shown.remove();
			this.#shown.delete(key);
		}
		for (const [key, output] of wanted) {
			if (this.#shown.has(key)) continue;
			this.#shown.set(key, this.#opened(output));
			this.#part("outputs").append(this.#shown.get(key));
		}
		this.#part("outputs").dataset.count = wanted.size;
		this.#part("rest").hidden = outputs.length <= SHOWN;
		this.#part("rest").textContent = `+${outputs.length - SHOWN}`;
		this.#part("compare").parentElement.hidden = !outputs.some(({ kind, url }) => kind === "image" && url);
	}

	#opened(output) {
		const shown = mediaView(output, THUMBNAIL);
		if (output.kind !== "image" || !output.url) return shown;
		const open = () =>
			this.dispatchEvent(new CustomEvent("open", { bubbles: true, detail: { task: this.#task, output } }));
		return el("button", { className: "picture", title: output.filename, onclick: open }, shown);
	}

	async #act(action) {
		try {
			await action();
		} catch (error) {
			if (error.code === "task_not_found") (await import("../tasks/task-actions.js")).gone(this.#task.task_id);
			else toast(error);
		}
	}
}

function write(node, text) {
	if (node.textContent !== text) node.textContent = text;
}

const content = () => [
	el(
		"article",
		{ className: "panel" },
		el(
			"div",
			{ className: "frame" },
			el("img", { className: "preview", part: "preview", i18nAttr: "alt:result.preview", hidden: true }),
			el("div", { className: "outputs", part: "outputs" }),
			el("span", { className: "rest chip", part: "rest", hidden: true }),
			el("span", { className: "chip status", part: "status" }),
			el(
				"label",
				{ className: "pick", hidden: true },
				el("input", { type: "checkbox", part: "compare" }),
				el("span", { i18n: "result.compare" }),
			),
		),
		el(
			"div",
			{ className: "about" },
			el(
				"div",
				{ part: "bar" },
				el("progress", { max: 1, part: "progress", i18nAttr: "aria-label:result.progress" }),
				el("small", { className: "cut", part: "doing" }),
			),
			el("problem-box", { part: "error", hidden: true }),
			el("p", { className: "notes", part: "notes", hidden: true }),
			el("strong", { className: "cut", part: "name" }),
			el("small", { part: "facts" }),
			el(
				"div",
				{ className: "row wrap" },
				el("button", { className: "quiet", part: "cancel" }, icon("stop"), el("span", { i18n: "cancel" })),
				el("button", { className: "quiet", part: "use" }, icon("reset"), el("span", { i18n: "result.use" })),
				el("button", { className: "quiet", part: "retry" }, icon("play"), el("span", { i18n: "result.retry" })),
				el("span", { className: "grow" }),
				el(
					"button",
					{ className: "quiet icon-only", part: "delete", i18nAttr: "title:result.delete;aria-label:result.delete" },
					icon("trash"),
				),
			),
		),
	),
];

customElements.define("result-tile", ResultTile);

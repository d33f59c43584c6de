// One row of the task table.
import { el, icon } from "../../page/dom.js";
import { said } from "../../page/errors.js";
import { t } from "../../page/i18n.js";
import { show, view } from "../../page/media.js";
import { href } from "../../page/router.js";
import { isFinished, tasks } from "../../tasks/state.js";
import { clock, doing, duration, expected, nameOf, statusWord, TONES } from "./task-words.js";

const PICTURES = 3; // that fit into a row
const SMALL = 96;

export class TaskRow {
	element;
	#id;
	#table;
	#parts = {};
	/** @type {Output[] | null} */
	#outputs = null; // the displayed outputs

	// `table`: {isSelected(id), select(id, is, isRange), act(name, id), current}
	constructor(id, table) {
		this.#id = id;
		this.#table = table;
		this.element = this.#build();
		this.element.dataset.id = id;
		this.update();
	}

	update() {
		const task = tasks.get(this.#id);
		if (!task) return;
		const parts = this.#parts;
		parts.check.checked = this.#table.isSelected(this.#id);
		parts.check.setAttribute("aria-label", t("tasks.select", { id: this.#id.slice(0, 8) }));
		this.element.classList.toggle("current", this.#table.current === this.#id);
		parts.link[this.#table.current === this.#id ? "setAttribute" : "removeAttribute"]("aria-current", "true");
		write(parts.status, statusWord(task.status));
		parts.status.dataset.tone = TONES[task.status] ?? "";
		write(parts.link, nameOf(task));
		write(parts.id, this.#id.slice(0, 8));
		write(parts.server, task.server ?? "");
		this.#progress(task);
		parts.eta.title = task.waiting_for ?? "";
		parts.eta.classList.toggle("blocked", Boolean(task.waiting_for));
		write(parts.created, clock(task.created_at));
		const done = isFinished(task);
		parts.cancel.hidden = done;
		parts.cancel.disabled = task.status === "canceling";
		parts.retry.hidden = parts.remove.hidden = !done;
		for (const [button, key] of [
			[parts.cancel, "tasks.cancel"],
			[parts.retry, "tasks.retry"],
			[parts.remove, "tasks.delete"],
		]) {
			button.title = t(key);
			button.setAttribute("aria-label", `${t(key)} ${this.#id.slice(0, 8)}`);
		}
		this.tick();
	}

	// Updates what depends on the time.
	tick() {
		const task = tasks.get(this.#id);
		if (!task) return;
		write(this.#parts.duration, duration(task));
		write(this.#parts.eta, expected(task));
	}

	#progress(task) {
		const { bar, doing: words } = this.#parts;
		const value = Number(task.progress?.value) || 0;
		const isShown = task.status === "running" || task.status === "canceling";
		bar.hidden = !isShown;
		bar.value = value;
		bar.setAttribute("aria-label", t("tasks.progress"));
		write(
			words,
			task.status === "failed"
				? failure(task.error ?? {})
						.split("\n")[0]
						.slice(0, 200)
				: (task.waiting_for ?? (isShown ? [doing(task), ...(task.warnings ?? [])].join(" · ") : asked(task))),
		);
		this.#pictures(task.outputs);
		words.classList.toggle("bad", task.status === "failed");
		words.title = task.status === "failed" ? (task.error?.message ?? "") : words.textContent;
	}

	#pictures(/** @type {Output[]} */ outputs = []) {
		if (this.#outputs === outputs) return;
		this.#outputs = outputs;
		const urls = outputs
			.filter(({ kind, url }) => kind === "image" && url)
			.slice(0, PICTURES)
			.map(({ url }) => url);
		this.#parts.pictures.hidden = !urls.length;
		this.#parts.pictures.replaceChildren(
			...urls.map((url) => {
				const picture = el("img", { alt: "", loading: "lazy", decoding: "async" });
				show(picture, view(url, SMALL));
				return picture;
			}),
		);
	}

	#build() {
		const parts = this.#parts;
		const button = (name, action) =>
			(parts[name] = el("button", {
				type: "button",
				className: "quiet icon-only",
				onclick: () => this.#table.act(action, this.#id),
			}));
		const cell = (name, ...children) =>
			el("div", { className: `cell ${name}`, attributes: { role: "cell" } }, ...children);
		parts.check = el("input", {
			type: "checkbox",
			onclick: (event) => this.#table.select(this.#id, event.target.checked, event.shiftKey),
		});
		parts.status = el("span", { className: "chip" });
		parts.link = el("a", { href: href("tasks", this.#id), className: "cut" });
		parts.id = el("code", { className: "id" });
		parts.server = el("span", { className: "cut" });
		parts.bar = el("progress", { max: 1 });
		parts.doing = el("small", { className: "cut" });
		parts.pictures = el("span", { className: "pictures", hidden: true });
		for (const name of ["eta", "created", "duration"]) parts[name] = el("span", { className: "cut" });
		button("cancel", "cancel").append(icon("stop"));
		button("retry", "retry").append(icon("reset"));
		button("remove", "delete").append(icon("trash"));
		return el(
			"div",
			{ className: "row", attributes: { role: "row" } },
			cell("check", parts.check),
			cell("status", parts.status),
			cell("workflow", parts.link, parts.id),
			cell("server", parts.server),
			cell("progress", parts.pictures, parts.bar, parts.doing),
			cell("eta", parts.eta),
			cell("created", parts.created),
			cell("duration", parts.duration),
			cell("actions", parts.cancel, parts.retry, parts.remove),
		);
	}
}

// Writes changed text only, to keep screen readers, text selections and the layout undisturbed.
function write(node, text) {
	if (node.textContent !== text) node.textContent = text;
}

const failure = (error) => [said(error).title, error.message].filter(Boolean).join("：");

// The longest text parameter of the task is usually its prompt.
function asked({ params }) {
	const texts = Object.values(params ?? {}).filter((value) => typeof value === "string" && /\D/.test(value));
	return (texts.sort((a, b) => b.length - a.length)[0] ?? "").slice(0, 200);
}

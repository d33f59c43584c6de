// The tasks that the page knows: pages of GET /api/tasks, kept fresh by the WebSocket.
// However many updates come, listeners hear of them once a frame:
//   "change"   detail {changed: Set of ids, removed: Set of ids}; read the tasks with tasks.get(id)
//   "preview"  detail {task_id, image: Blob, node_id}: the newest of each task
//   "loaded" after a page was read, "failed" with a Problem
// A task object is never changed in place: another object means another state.
import * as api from "../api/api.js";
import { events } from "../api/events.js";
import { etaOf, Steps, stamped } from "./places.js";

const PAGE = 50;
const MOST = 1000; // that the API gives at once
const KEPT = 2000; // finished ones beyond that are forgotten, oldest first; the server still has them
const HIDDEN_PAUSE = 1000; // no frames in a tab that is not seen
const TERMINAL = new Set(["succeeded", "failed", "canceled", "expired"]);

/** @param {Partial<Task>} task */
export const isFinished = (task) => TERMINAL.has(task.status ?? "");

// Lists and streams show long values cut, and say so in `cut`; GET /api/task shows all of them.
export const isCut = (task) => Boolean(task.cut || task.outputs?.some((output) => output.cut));

// What is known whole stays: params and metadata never change, nor does a finished task.
function withKnown(task, known) {
	if (!known || !isCut(task)) return task;
	if (!isCut(known) && isFinished(known) && known.status === task.status) return known;
	const isOf = (path, field) => path.split(".")[0] === field;
	const kept = ["params", "metadata"].filter(
		(field) => !Object.keys(known.cut ?? {}).some((path) => isOf(path, field)),
	);
	const cut = Object.entries(task.cut ?? {}).filter(([path]) => !kept.some((field) => isOf(path, field)));
	const merged = {
		...task,
		...Object.fromEntries(kept.map((field) => [field, known[field]])),
		cut: Object.fromEntries(cut),
	};
	if (!cut.length) delete merged.cut;
	return merged;
}

class Tasks extends EventTarget {
	/** @type {Map<string, Task>} */
	#tasks = new Map();
	#heard = new Map(); // task_id -> when an event told of it: newer than any answer asked before
	#changed = new Set();
	#removed = new Set();
	#previews = new Map();
	#steps = new Steps();
	#isDue = false;
	/** @type {string | null} */
	cursor = null;
	unread = 0; // that wait, and are not here

	constructor() {
		super();
		events.addEventListener("connection", ({ detail }) => {
			if (detail.state === "open" || detail.state === "delayed") this.load();
		});
		events.addEventListener("status", ({ detail }) => this.put(detail));
		events.addEventListener("progress", ({ detail }) => this.#progress(detail));
		events.addEventListener("output", ({ detail }) => this.#output(detail));
		events.addEventListener("preview", ({ detail }) => {
			this.#previews.set(detail.task_id, detail);
			this.#schedule();
		});
	}

	get size() {
		return this.#tasks.size;
	}

	get(id) {
		return this.#tasks.get(id);
	}

	values() {
		return this.#tasks.values();
	}

	// Newest first. Sorted on demand: ask once a change, not once a row.
	sorted() {
		return [...this.#tasks.values()].sort((a, b) =>
			a.created_at < b.created_at ? 1 : a.created_at > b.created_at ? -1 : 0,
		);
	}

	// `asked`: when the request was made that this answers. An event since then says more.
	/** @param {Task} task @param {number} [asked] */
	put(task, asked = Infinity) {
		const known = this.#tasks.get(task.task_id);
		if (this.#heard.get(task.task_id) > asked || (known && isFinished(known) && !isFinished(task))) return;
		this.#heard.set(task.task_id, performance.now());
		this.#steps.note(known, task);
		this.#tasks.set(task.task_id, stamped(withKnown(task, known), task));
		this.#removed.delete(task.task_id);
		this.#changed.add(task.task_id);
		this.#schedule();
	}

	// For a request that answers a task: cancel, retry, submit, get.
	/** @param {Promise<Task>} request */
	async answer(request) {
		const asked = performance.now();
		const task = await request;
		this.put(task, asked);
		return task;
	}

	drop(id) {
		this.#steps.note(this.#tasks.get(id), { task_id: id });
		this.#tasks.delete(id);
		this.#heard.delete(id);
		this.#changed.delete(id);
		this.#removed.add(id);
		this.#schedule();
	}

	// Unless an event has told of it since.
	dropStale(id, asked) {
		if (this.#heard.get(id) < asked) this.drop(id);
	}

	// Everything anew, as many as are known: what was deleted meanwhile goes.
	async load() {
		const asked = performance.now();
		const known = Math.min(MOST, Math.max(PAGE, this.size));
		const page = await this.#fetch(known, null);
		if (!page) return;
		const seen = new Set(page.tasks.map((task) => task.task_id));
		/** @type {any} */
		const oldest = page.next_cursor ? page.tasks.at(-1)?.created_at : "";
		for (const [id, task] of [...this.#tasks]) {
			if (!seen.has(id) && task.created_at > oldest) this.dropStale(id, asked);
		}
		const unread =
			page.next_cursor &&
			import("./unfinished.js").then(({ readUnfinished }) => readUnfinished(this)).catch(() => this.unread);
		this.unread = (await unread) || 0;
	}

	more() {
		return this.#fetch(PAGE, this.cursor);
	}

	async #fetch(limit, cursor) {
		const asked = performance.now();
		try {
			const page = await api.tasks(limit, cursor);
			this.cursor = page.next_cursor;
			for (const task of page.tasks) this.put(task, asked);
			this.#tell("loaded");
			return page;
		} catch (error) {
			this.#tell("failed", error);
			return null;
		}
	}

	/** @param {ProgressUpdate} update */
	#progress({ task_id, status, progress, queue_position, eta_seconds, waiting_for }) {
		const known = this.#tasks.get(task_id);
		if (known) this.put({ ...known, status, progress, queue_position, eta_seconds, waiting_for });
	}

	#output({ task_id, output }) {
		const known = this.#tasks.get(task_id);
		if (known && !isFinished(known))
			this.put(stamped({ ...known, outputs: [...(known.outputs ?? []), output] }, known));
	}

	#schedule() {
		if (this.#isDue) return;
		this.#isDue = true;
		if (document.hidden) setTimeout(() => this.#flush(), HIDDEN_PAUSE);
		else requestAnimationFrame(() => this.#flush());
	}

	#flush() {
		this.#isDue = false;
		for (const [task, queue_position, sooner] of this.#steps.take(this.#tasks)) {
			const eta = etaOf(task);
			this.#tasks.set(
				task.task_id,
				stamped({ ...task, queue_position, eta_seconds: eta && Math.max(0, eta - sooner) }),
			);
			this.#changed.add(task.task_id);
		}
		if (this.#tasks.size > KEPT) this.#forget();
		const detail = { changed: this.#changed, removed: this.#removed };
		const previews = this.#previews;
		this.#changed = new Set();
		this.#removed = new Set();
		this.#previews = new Map();
		if (detail.changed.size || detail.removed.size) this.#tell("change", detail);
		for (const preview of previews.values()) this.#tell("preview", preview);
	}

	#forget() {
		const finished = this.sorted().filter(isFinished);
		for (const task of finished.slice(KEPT - finished.length || finished.length)) {
			if (this.#tasks.size <= KEPT) break;
			this.drop(task.task_id);
		}
	}

	#tell(type, detail) {
		this.dispatchEvent(new CustomEvent(type, { detail }));
	}
}

export const tasks = new Tasks();

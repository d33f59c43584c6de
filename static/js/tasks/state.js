// The tasks that the page knows: pages of GET /api/tasks, kept up to date by the WebSocket.
// Listeners are notified at most once a frame, however many updates arrive:
//   "change"   detail {changed: Set of ids, removed: Set of ids}; read the tasks with tasks.get(id)
//   "preview"  detail {task_id, image: Blob, node_id}: the newest of each task
//   "loaded" after a page was read, "failed" with a Problem
// A task object is never modified: another object means another state.
import * as api from "../api/api.js";
import { events } from "../api/events.js";
import { leftOf, Steps, stamped } from "./places.js";

const PAGE = 50;
const MOST = 1000; // limit of the API
const KEPT = 2000; // finished tasks beyond that are dropped, oldest first; the server still has them
const HIDDEN_PAUSE = 1000; // ms; a hidden tab has no frames
const TERMINAL = new Set(["succeeded", "failed", "canceled", "expired"]);

/** @param {Partial<Task>} task */
export const isFinished = (task) => TERMINAL.has(task.status ?? "");

// Lists and streams truncate long values, with `cut`; GET /api/task returns them in full.
export const isCut = (task) => Boolean(task.cut || task.outputs?.some((output) => output.cut));

// Keeps values that are known in full: params and metadata never change, nor does a finished task.
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
	#heard = new Map(); // task_id -> time of the last event: newer than answers to earlier requests
	#changed = new Set();
	#removed = new Set();
	#previews = new Map();
	#steps = new Steps();
	#isDue = false;
	/** @type {string | null} */
	cursor = null;
	unread = 0; // waiting tasks that are not loaded

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

	// Newest first. Sorted on demand: call once per change, not per row.
	sorted() {
		return [...this.#tasks.values()].sort((a, b) =>
			a.created_at < b.created_at ? 1 : a.created_at > b.created_at ? -1 : 0,
		);
	}

	// `asked`: the time of the request. Later events are newer.
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

	// For a request that returns a task: cancel, retry, submit, get.
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

	// Unless a later event reported it.
	dropStale(id, asked) {
		if (this.#heard.get(id) < asked) this.drop(id);
	}

	// Reloads as many tasks as are known; deleted ones are dropped.
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
			const eta = leftOf(task);
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

// The tasks that the page knows: pages of GET /api/tasks, kept fresh by the WebSocket.
// Events: "task" with the task, "removed" with its id, "loaded", "failed" with a Problem.
import * as api from "./api.js";
import { events } from "./events.js";

const PAGE = 50;
const MOST = 1000; // that the API gives at once
const TERMINAL = new Set(["succeeded", "failed", "canceled", "expired"]);

export const isFinished = (task) => TERMINAL.has(task.status);

class Tasks extends EventTarget {
  #tasks = new Map();
  #heard = new Map(); // task_id -> when an event told of it: newer than any answer asked before
  cursor = null;

  constructor() {
    super();
    events.addEventListener("connection", ({ detail }) => detail.state === "open" && this.load());
    events.addEventListener("status", ({ detail }) => this.put(detail));
    events.addEventListener("progress", ({ detail }) => this.#progress(detail));
    events.addEventListener("output", ({ detail }) => this.#output(detail));
  }

  get size() {
    return this.#tasks.size;
  }

  get(id) {
    return this.#tasks.get(id);
  }

  // `asked`: when the request was made that this answers. An event since then says more.
  put(task, asked = Infinity) {
    const known = this.#tasks.get(task.task_id);
    if (this.#heard.get(task.task_id) > asked || (known && isFinished(known) && !isFinished(task))) return;
    this.#heard.set(task.task_id, performance.now());
    this.#tasks.set(task.task_id, task);
    this.#tell("task", task);
  }

  async answer(request) {
    const asked = performance.now();
    this.put(await request, asked);
  }

  drop(id) {
    this.#tasks.delete(id);
    this.#heard.delete(id);
    this.#tell("removed", id);
  }

  // Everything anew, as many as are shown: what was deleted meanwhile goes.
  async load() {
    const asked = performance.now();
    const seen = await this.#fetch(Math.min(MOST, Math.max(PAGE, this.size)), null);
    for (const id of seen ? [...this.#tasks.keys()] : []) {
      if (!seen.has(id) && this.#heard.get(id) < asked) this.drop(id);
    }
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
      return new Set(page.tasks.map((task) => task.task_id));
    } catch (error) {
      this.#tell("failed", error);
      return null;
    }
  }

  #progress({ task_id, status, progress }) {
    const known = this.#tasks.get(task_id);
    if (known) this.put({ ...known, status, progress });
  }

  #output({ task_id, output }) {
    const known = this.#tasks.get(task_id);
    if (known && !isFinished(known)) this.put({ ...known, outputs: [...(known.outputs ?? []), output] });
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

export const tasks = new Tasks();

// What was heard of each task since the page was opened: its last messages, and when its nodes worked.
import { events } from "../events.js";

const TASKS = 200;
const MESSAGES = 200;
const NODES = 500;

class TaskLog extends EventTarget {
  #logs = new Map();

  constructor() {
    super();
    for (const type of ["status", "progress", "output"]) events.addEventListener(type, ({ detail }) => this.#heard(type, detail));
  }

  // {messages: [{at, type, detail}], dropped, nodes: [{id, type, start, end}]}
  of(id) {
    return this.#logs.get(id) ?? { messages: [], dropped: 0, nodes: [] };
  }

  #heard(type, detail) {
    const at = Date.now();
    const log = this.#log(detail.task_id);
    log.messages.push({ at, type, detail });
    if (log.messages.length > MESSAGES) {
      log.messages.shift();
      log.dropped++;
    }
    if (type !== "output") this.#turn(log, detail, at);
  }

  #log(id) {
    if (!this.#logs.has(id)) this.#logs.set(id, { messages: [], dropped: 0, nodes: [] });
    if (this.#logs.size > TASKS) this.#logs.delete(this.#logs.keys().next().value);
    return this.#logs.get(id);
  }

  // One node at a time: a new one ends the last.
  #turn({ nodes }, { status, progress }, at) {
    const works = status === "running" || status === "canceling" ? (progress?.current_node ?? null) : null;
    const last = nodes.at(-1);
    if (last && last.end === null) {
      if (last.id === works) return;
      last.end = at;
    }
    if (works !== null && nodes.length < NODES) nodes.push({ id: works, type: progress.class_type ?? "", start: at, end: null });
  }
}

export const taskLog = new TaskLog();

// One task: how far it is, what it looks like, what came out, what can be done.
import * as api from "../api.js";
import { isFinished, tasks } from "../state.js";
import { stamp } from "../template.js";
import { isSeed } from "./parameter-field.js";
import { element, identity } from "./task-output.js";

const TONES = { succeeded: "good", failed: "bad", running: "busy", canceling: "wait", queued: "wait" };

export class TaskCard extends HTMLElement {
  #part;
  #task;
  #outputs = new Map();
  #frame = null; // the newest preview, while an older one is still loading

  constructor(task) {
    super();
    this.#part = stamp(this, "task-card");
    this.#part("copy").onclick = () => this.#copy();
    this.#part("cancel").onclick = () => this.#act(() => tasks.answer(api.cancel(task.task_id)));
    this.#part("retry").onclick = () => this.#act(() => tasks.answer(api.retry(task.task_id)));
    this.#part("delete").onclick = () => this.#act(() => api.remove(task.task_id).then(() => tasks.drop(task.task_id)));
    this.#part("id").textContent = task.task_id.slice(0, 8);
    this.dataset.id = task.task_id;
    this.update(task);
  }

  get created() {
    return this.#task.created_at ?? "";
  }

  update(task) {
    this.#task = task;
    const part = this.#part;
    part("status").textContent = task.status;
    part("status").dataset.tone = TONES[task.status] ?? "";
    part("name").textContent = part("name").title = task.workflow ?? task.metadata?.file ?? "workflow";
    part("error").show(task.error);
    part("notes").textContent = (task.warnings ?? []).join("\n");
    part("cancel").hidden = isFinished(task);
    part("cancel").disabled = task.status === "canceling";
    part("retry").hidden = part("delete").hidden = !isFinished(task);
    this.#progress(task);
    this.#results(task.outputs ?? []);
    this.tick();
  }

  // What changes with the time alone.
  tick() {
    const task = this.#task;
    const seeds = Object.entries(task.params ?? {}).filter(([key]) => isSeed(key.split(".").pop()));
    const facts = [duration(task), task.server, ...seeds.map(([, seed]) => `seed\u00a0${seed}`)];
    if (task.attempts?.length > 1) facts.push(`attempt ${task.attempts.length}`);
    this.#part("facts").textContent = facts.filter(Boolean).join(" · ");
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
      this.#stage();
      this.#showFrame(img);
    };
    img.src = url;
  }

  #progress(task) {
    const { value = 0, class_type, step, steps } = task.progress ?? {};
    const position = task.queue_position ? `number ${task.queue_position} in the queue` : "waits in the queue";
    const words = [class_type, steps && `step ${step ?? 0}/${steps}`, `${Math.round(value * 100)} %`];
    this.#part("bar").hidden = isFinished(task);
    this.#part("progress").value = Number.isFinite(value) ? value : 0;
    this.#part("doing").textContent = task.status === "queued" ? position : words.filter(Boolean).join(" · ");
    if (isFinished(task)) this.#part("preview").hidden = true;
  }

  #results(outputs) {
    const wanted = new Map(outputs.map((output) => [identity(output), output]));
    for (const [key, shown] of this.#outputs) {
      if (!wanted.has(key)) {
        shown.remove();
        this.#outputs.delete(key);
      }
    }
    for (const [key, output] of wanted) {
      if (!this.#outputs.has(key)) {
        this.#outputs.set(key, element(output));
        this.#part("outputs").append(this.#outputs.get(key));
      }
    }
    this.#stage();
  }

  #stage() {
    this.#part("stage").hidden = this.#part("preview").hidden && !this.#outputs.size;
  }

  async #act(action) {
    this.#part("problem").show(null);
    try {
      await action();
    } catch (error) {
      if (error.document?.code === "task_not_found") tasks.drop(this.#task.task_id);
      else this.#part("problem").show(error);
    }
  }

  async #copy() {
    const shown = this.#part("id");
    const id = this.#task.task_id;
    try {
      await navigator.clipboard.writeText(id); // only in a secure context
      shown.textContent = "copied";
      setTimeout(() => (shown.textContent = id.slice(0, 8)), 1200);
    } catch {
      shown.textContent = id;
      getSelection().selectAllChildren(shown);
    }
  }
}

function duration({ started_at, finished_at }) {
  const seconds = ((finished_at ? Date.parse(finished_at) : Date.now()) - Date.parse(started_at)) / 1000;
  if (!(seconds >= 0)) return started_at ? "0 s" : "";
  if (seconds < 60) return `${finished_at ? seconds.toFixed(1) : Math.floor(seconds)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
}

customElements.define("task-card", TaskCard);

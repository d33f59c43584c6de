// All tasks, newest first: one card a task, which stays in its place.
import { events } from "../events.js";
import { isFinished, tasks } from "../state.js";
import { stamp } from "../template.js";
import { TaskCard } from "./task-card.js";

class TaskList extends HTMLElement {
  #part = null;
  #cards = new Map();

  connectedCallback() {
    this.#part = stamp(this, "task-list");
    this.#part("more").onclick = () => tasks.more();
    tasks.addEventListener("task", ({ detail }) => this.#put(detail));
    tasks.addEventListener("removed", ({ detail }) => this.#drop(detail));
    tasks.addEventListener("loaded", () => this.#loaded(null));
    tasks.addEventListener("failed", ({ detail }) => this.#loaded(detail));
    events.addEventListener("preview", ({ detail }) => this.#cards.get(detail.task_id)?.preview(detail.image));
    events.addEventListener("status", ({ detail }) => this.#announce(detail));
    setInterval(() => this.#tick(), 1000);
  }

  #put(task) {
    const card = this.#cards.get(task.task_id);
    if (card) return card.update(task);
    const made = new TaskCard(task);
    this.#cards.set(task.task_id, made);
    const older = [...this.#part("cards").children].find((other) => other.created < made.created);
    this.#part("cards").insertBefore(made, older ?? null);
    this.#count();
  }

  #drop(id) {
    this.#cards.get(id)?.remove();
    this.#cards.delete(id);
    this.#count();
  }

  #loaded(problem) {
    this.#part("more").hidden = !tasks.cursor;
    this.#part("problem").show(problem);
  }

  #count() {
    this.#part("count").textContent = tasks.size || "";
    this.#part("empty").hidden = tasks.size > 0;
  }

  #announce(task) {
    if (isFinished(task)) this.#part("announce").textContent = `Task ${task.task_id.slice(0, 8)} ${task.status}`;
  }

  #tick() {
    for (const [id, card] of this.#cards) {
      if (tasks.get(id)?.status === "running") card.tick();
    }
  }
}

customElements.define("task-list", TaskList);

// Older tasks, page by page. The API filters by status and batch itself, each filter with its own cursor.
import * as api from "../api.js";
import { tasks } from "../state.js";

const PAGE = 100;

export class TaskPages {
  #key = "";
  #cursor = null;

  hasMore(query) {
    return query ? this.#key === JSON.stringify(query) && this.#cursor !== null : tasks.cursor !== null;
  }

  // The first page of another filter.
  async use(query) {
    const key = JSON.stringify(query);
    if (!query || key === this.#key) return;
    this.#key = key;
    this.#cursor = null;
    await this.#read(query, key, null);
  }

  async more(query) {
    if (query) await this.#read(query, JSON.stringify(query), this.#cursor);
    else await tasks.more();
  }

  async #read(query, key, cursor) {
    const asked = performance.now();
    const page = await api.tasks(PAGE, cursor, query);
    for (const task of page.tasks) tasks.put(task, asked);
    if (this.#key === key) this.#cursor = page.next_cursor;
  }
}

// Older tasks, page by page. The API does the filtering; each filter has its own cursor and count.
import * as api from "../../api/api.js";
import { tasks } from "../../tasks/state.js";

const PAGE = 100;

export class TaskPages {
	/** @type {string | null} */
	#key = null;
	/** @type {string | null} */
	#cursor = null;
	#found = new Set(); // ids of all tasks loaded for the filter
	/** @type {{ count: number, isCapped?: boolean | null } | null} */
	total = null; // number of matching tasks, {count, isCapped}; null while unknown

	hasMore(query) {
		return query ? this.#key === JSON.stringify(query) && this.#cursor !== null : tasks.cursor !== null;
	}

	// Loads the first page of another filter.
	async use(query) {
		const key = JSON.stringify(query);
		if (key === this.#key) return;
		this.#key = key;
		this.#cursor = this.total = null;
		this.#found = new Set();
		await this.#read(query, key, null);
	}

	async more(query) {
		if (query) await this.#read(query, JSON.stringify(query), this.#cursor);
		else await tasks.more();
	}

	// Subtracts deleted tasks at once, before the next count.
	less(number) {
		if (this.total) this.total = { ...this.total, count: this.total.count - number };
	}

	// Counts again after tasks were added or deleted.
	async recount(query) {
		const key = this.#key;
		const { total, total_is_capped } = await api.tasks(1, null, { ...query, total: true });
		if (this.#key === key) this.total = { count: total ?? 0, isCapped: total_is_capped };
	}

	has(id) {
		return this.#found.has(id);
	}

	async #read(query, key, cursor) {
		const asked = performance.now();
		const page = await api.tasks(query ? PAGE : 1, cursor, { ...query, ...(!cursor && { total: true }) });
		if (this.#key !== key) return;
		for (const task of page.tasks) {
			if (query) this.#found.add(task.task_id);
			tasks.put(task, asked);
		}
		this.#cursor = page.next_cursor;
		if (page.total != null) this.total = { count: page.total, isCapped: page.total_is_capped };
	}
}

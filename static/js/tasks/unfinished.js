// Waiting and running tasks beyond the loaded page: the next ones to run are the oldest.
import * as api from "../api/api.js";

const MOST = 1000; // limit of the API
const MOST_PAGES = 20; // per click
const RUNNING = ["running", "canceling"];

// Adds them to `tasks`, and drops those that ended meanwhile. Resolves to the number of further ones.
export async function readUnfinished(tasks) {
	const asked = performance.now();
	const ask = (status) => api.tasks(MOST, null, { status, total: true });
	const { tasks: found, total } = await ask(["queued", ...RUNNING]);
	const unread = Math.max(0, (total ?? 0) - found.length);
	if (unread) found.push(...(await ask(RUNNING)).tasks);
	for (const task of found) tasks.put(task, asked);
	const seen = new Set(found.map(({ task_id }) => task_id));
	const gone = [...tasks.values()].filter(({ task_id, finished_at }) => !finished_at && !seen.has(task_id));
	if (!unread) for (const { task_id } of gone) tasks.dropStale(task_id, asked);
	return unread;
}

// Loads further pages until one has tasks to be shown, up to `most`.
export async function readMore(tasks, belongs, most) {
	const here = () => [...tasks.values()].filter(belongs).length;
	const before = here();
	for (let pages = 0; pages < MOST_PAGES && tasks.cursor && here() < most && here() === before; pages += 1) {
		if (!(await tasks.more())) return; // reported by the caller
	}
}

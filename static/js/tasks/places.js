// Queue positions and ETAs between updates of the gateway, which reports the next tasks only: those behind
// them advance by the same steps, and an ETA decreases with the clock.
import { events } from "../api/events.js";

let isAway = false;
events.addEventListener("connection", ({ detail: { state } }) => {
	if (state !== "connecting") isAway = state === "waiting";
});

const told = new WeakMap(); // task -> time of its ETA

export const stamped = (task, like) => {
	told.set(task, told.get(like) ?? performance.now());
	return task;
};

// Unknown while the gateway is away.
export const etaOf = (task) => (isAway ? null : leftOf(task));

export function leftOf(task) {
	if (task.eta_seconds == null) return null;
	return Math.max(0, task.eta_seconds - (performance.now() - (told.get(task) ?? performance.now())) / 1000);
}

const placeOf = (task) => (task?.status === "queued" ? task.queue_position : null);

export class Steps {
	#before = new Map(); // changed tasks: task_id -> earlier state

	note(known, task) {
		if (!this.#before.has(task.task_id)) this.#before.set(task.task_id, known);
	}

	// The changes of other tasks that follow from the changes since the last call: [[task, place, eta]].
	take(tasks) {
		const before = this.#before;
		if (!before.size) return [];
		this.#before = new Map();
		/** @type {any} */
		let last = null; // the last waiting task that advanced
		const left = []; // places of tasks that no longer wait
		for (const [id, known] of before) {
			const [from, task] = [placeOf(known), tasks.get(id)];
			if (from == null) continue;
			const to = placeOf(task);
			if (to == null) left.push(from);
			else if (!last || from > last.from)
				last = { from, by: from - to, sooner: (leftOf(known) ?? 0) - (leftOf(task) ?? 0) };
		}
		if (!last?.by && !left.length) return [];
		const moved = [];
		for (const task of tasks.values()) {
			const place = placeOf(task);
			if (place == null || before.has(task.task_id)) continue;
			const isBehind = last && place > last.from;
			const by =
				left.filter((each) => each < place && (!isBehind || each > last.from)).length + (isBehind ? last.by : 0);
			if (by) moved.push([task, Math.max(1, place - by), isBehind ? last.sooner : 0]);
		}
		return moved;
	}
}

// The state of each node, derived from the task and its progress. `progress.node_seconds` names the
// finished and cached nodes. Beyond that: the current node runs; nodes before it, before an output or
// before the failed node are done.
import { list, number, object } from "./values.js";

const ENDED = new Set(["succeeded", "failed", "canceled", "expired"]);

export class RunState {
	#ancestry;
	/** @type {Task | null} */
	#task = null;
	#done = new Set();
	/** @type {string | null} */
	#current = null;

	constructor(ancestry) {
		this.#ancestry = ancestry;
	}

	set task(task) {
		if (!task || task.task_id !== this.#task?.task_id || task.status === "queued") {
			this.#done.clear();
			this.#current = null;
		}
		this.#task = task;
		if (!task) return;
		const current = ENDED.has(task.status) ? null : (task.progress?.current_node ?? null);
		if (
			this.#current !== null &&
			current !== this.#current &&
			task.error?.node_id !== this.#current &&
			task.status !== "canceled"
		)
			this.#finish(this.#current);
		if (current !== null && current !== this.#current) this.#before(current);
		this.#current = current;
		for (const { node_id } of list(task.outputs)) if (!this.#done.has(String(node_id))) this.#finish(String(node_id));
		if (task.error?.node_id) this.#before(String(task.error.node_id));
	}

	/**
	 * The state of the node with that path, or of all nodes inside it; null without a task.
	 * @returns {NodeState | null}
	 */
	of(path, isSubgraph = false) {
		if (!this.#task || path === null) return null;
		const { error, status } = this.#task;
		const failed = error?.node_id === undefined || error?.node_id === null ? null : String(error.node_id);
		if (failed !== null && within(failed, path, isSubgraph)) return { name: "failed", message: error?.message };
		if (this.#current !== null && within(this.#current, path, isSubgraph)) {
			const { step, steps } = object(this.#task.progress);
			return { name: "running", step: number(step), steps: number(steps) };
		}
		const told = this.#told(path, isSubgraph);
		if (told) return told;
		if (status === "succeeded" || (!isSubgraph && this.#done.has(path))) return { name: "done" };
		if (isSubgraph && [...this.#done].some((done) => done.startsWith(`${path}:out:`))) return { name: "done" };
		return { name: "waiting" };
	}

	get failedNode() {
		return this.#task?.error?.node_id ?? null;
	}

	// Of a subgraph only some nodes are reported, and not their number: it is done when the task is.
	#told(path, isSubgraph) {
		const { progress, status } = /** @type {Task} */ (this.#task);
		const seconds = object(progress?.node_seconds);
		const through = Object.keys(seconds).filter((id) => within(id, path, isSubgraph));
		if (!through.length || (isSubgraph && !ENDED.has(status))) return null;
		return { name: through.every((id) => seconds[id] === null) ? "cached" : "done" };
	}

	#finish(path) {
		this.#done.add(path);
		this.#before(path);
	}

	#before(path) {
		for (const source of this.#ancestry.before([path])) this.#done.add(source);
	}
}

function within(id, path, isSubgraph) {
	return id === path || (isSubgraph && String(id).startsWith(`${path}:`));
}

// The history of each task: its last messages, and when its nodes worked. Collected from the socket; events
// from before the page was opened come from the gateway, which keeps them for a while.
import * as api from "../../api/api.js";
import { events } from "../../api/events.js";
import { key } from "../../api/key.js";

const TASKS = 200;
const MESSAGES = 400;
const NODES = 500;
const TYPES = ["status", "progress", "output"];

// Passes the task's kept events from the first one on to `told`, until it ends.
async function taskEvents(name, told, signal) {
	if (key.isWanted) return;
	const headers = { ...key.headers, "Last-Event-ID": "0" };
	const response = await fetch(`api/task/${encodeURIComponent(name)}/events?previews=false`, { headers, signal });
	if (!response.ok) return;
	if (!response.body) return;
	const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
	let rest = "";
	for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
		const whole = (rest + value).split("\n\n");
		rest = whole.pop() ?? "";
		for (const block of whole) {
			const [, number, event, data] = /^id: (\d+)\nevent: (\w+)\ndata: (.*)$/.exec(block) ?? [];
			if (!data) continue;
			const body = JSON.parse(data, api.exact);
			told(event, { ...(event === "output" ? { output: body } : body), id: Number(number) });
		}
	}
}

class TaskLog extends EventTarget {
	#logs = new Map();

	constructor() {
		super();
		for (const type of TYPES) events.addEventListener(type, ({ detail }) => this.#heard(detail.task_id, type, detail));
	}

	// {messages: [{at, type, detail}], dropped, nodes: [{id, type, start, end}]}
	of(id) {
		return this.#logs.get(id) ?? { messages: [], dropped: 0, nodes: [] };
	}

	// Loads missed events; "loaded" after each. Ends with the task, or by the signal.
	async load(id, signal) {
		const missed = (type, detail) => {
			if (TYPES.includes(type) && this.#heard(id, type, detail))
				this.dispatchEvent(new CustomEvent("loaded", { detail: id }));
		};
		await taskEvents(id, missed, signal).catch(() => null); // without it there are the events of the socket
	}

	// The number of a message is its time in microseconds. The last one of the stream repeats the end.
	#heard(id, type, detail) {
		const log = this.#log(id);
		const { messages } = log;
		const before = messages.findLastIndex((known) => known.detail.id < detail.id);
		if (messages[before + 1]?.detail.id === detail.id || isSame(messages[before], type, detail)) return false;
		messages.splice(before + 1, 0, { at: detail.id / 1000, type, detail });
		if (messages.length > MESSAGES) {
			messages.shift();
			log.dropped++;
		}
		if (before + 2 < messages.length) log.nodes = turns(messages);
		else turn(log.nodes, messages.at(-1));
		return true;
	}

	#log(id) {
		if (!this.#logs.has(id)) this.#logs.set(id, { messages: [], dropped: 0, nodes: [] });
		if (this.#logs.size > TASKS) this.#logs.delete(this.#logs.keys().next().value);
		return this.#logs.get(id);
	}
}

const isSame = (last, type, { finished_at }) =>
	type === "status" && finished_at && last?.type === type && last.detail.finished_at === finished_at;

function turns(messages) {
	const nodes = [];
	for (const message of messages) turn(nodes, message);
	return nodes;
}

// Only one node works at a time: a new one ends the previous one.
function turn(nodes, { at, type, detail: { status, progress } }) {
	if (type === "output") return;
	const works = status === "running" || status === "canceling" ? (progress?.current_node ?? null) : null;
	const last = nodes.at(-1);
	if (last && last.end === null) {
		if (last.id === works) return;
		last.end = at;
	}
	if (works !== null && nodes.length < NODES)
		nodes.push({ id: works, type: progress.class_type ?? "", start: at, end: null });
}

export const taskLog = new TaskLog();

// One server: its state, load, tasks and actions.
import * as api from "../../api/api.js";
import { drain, resume } from "../../api/servers.js";
import { el } from "../../page/dom.js";
import { t } from "../../page/i18n.js";
import { href } from "../../page/router.js";
import { clock, spoken } from "../tasks/task-words.js";
import { meters } from "./server-meter.js";
import { ServerModels } from "./server-models.js";
import { removed } from "./server-remove.js";
import { ServerSlots } from "./server-slots.js";

const TONES = { online: "good", offline: "bad", draining: "wait", stalled: "wait", failing: "bad" };

export class ServerCard {
	#server;
	/** @type {ServerDetail | null} */
	#detail = null;
	#changed;
	/** @type {Record<string, any>} */
	#parts = {};
	#models = new ServerModels();
	#slots;
	element;

	// `changed`: called to reload the list.
	constructor(server, changed) {
		this.#server = server;
		this.#changed = changed;
		this.#slots = new ServerSlots(server.id, (now) => this.show(now));
		this.element = this.#build();
		this.show(server);
	}

	get id() {
		return this.#server.id;
	}

	/** @param {Server} server */
	show(server) {
		this.#server = server;
		const { state, facts, reason, queue, wait, drain, resume } = this.#parts;
		state.textContent = t(`server.${server.state}`);
		state.dataset.tone = TONES[server.state] ?? "";
		const words = [
			server.version && t("servers.version", { version: server.version }),
			t("servers.since", { time: clock(server.since) }),
		];
		if (server.online && !server.connected) words.push(t("servers.noEvents"));
		if (this.#detail?.node_types) words.push(t("servers.nodeTypes", { count: this.#detail.node_types }));
		facts.textContent = words.filter(Boolean).join(" · ");
		reason.textContent = server.reason ?? "";
		reason.hidden = !server.reason;
		this.#boxes(queue, server);
		wait.textContent =
			server.wait_seconds === null
				? "–"
				: server.wait_seconds > 0
					? `~${spoken(server.wait_seconds)}`
					: t("servers.idle");
		this.#slots.show(server.slots);
		drain.hidden = server.state === "draining";
		resume.hidden = !["draining", "stalled", "failing"].includes(server.state);
	}

	async refresh() {
		try {
			/** @type {ServerDetail} */
			const detail = await api.server(this.id);
			this.#detail = detail;
			this.show(detail);
			this.#parts.memory.replaceChildren(...meters(detail.system_stats));
			this.#models.show(detail.models, detail.warm);
			this.#tasks(detail.tasks);
		} catch (problem) {
			if (problem.code === "server_not_found") this.#changed();
		}
	}

	// One box per slot, filled if it holds a task of the gateway; prompts of others follow.
	#boxes(host, { slots, running, others }) {
		const key = `${slots} ${running} ${others} ${document.documentElement.lang}`;
		if (host.dataset.key === key) return;
		host.dataset.key = key;
		const box = (kind) => el("span", { className: `slot-box ${kind}` });
		const ours = Array.from({ length: Math.min(Math.max(slots, running), 24) }, (_, at) =>
			box(at < running ? "ours" : "free"),
		);
		const strangers = Array.from({ length: Math.min(others ?? 0, 24) }, () => box("other"));
		const words = [
			t("servers.slotsUsed", { used: running, slots }),
			others ? t("servers.others", { count: others }) : "",
		]
			.filter(Boolean)
			.join(" · ");
		host.replaceChildren(
			el("span", { className: "slot-boxes", attributes: { "aria-hidden": "true" } }, ...ours, ...strangers),
			el("small", {}, words),
		);
	}

	#tasks(ids) {
		const { tasks } = this.#parts;
		const links = (ids ?? [])
			.slice(0, 50)
			.map((id) => el("a", { href: href("tasks", id) }, el("code", {}, id.slice(0, 8))));
		tasks.hidden = !links.length;
		tasks.lastChild.replaceChildren(...links);
	}

	async #do(request) {
		try {
			this.#parts.problem.show(null);
			this.show(await request());
		} catch (problem) {
			this.#parts.problem.show(problem);
		}
		this.#changed();
	}

	async #remove() {
		if (await removed(this.id)) this.#changed();
	}

	#build() {
		const parts = this.#parts;
		const { id } = this.#server;
		const button = (name, onclick, className = "") => {
			parts[name] = el("button", { type: "button", i18n: `servers.${name}`, className, onclick });
			return parts[name];
		};
		const pair = (key, name) => {
			parts[name] = el("div");
			return el("div", { className: "pair" }, el("span", { i18n: key }), parts[name]);
		};
		parts.state = el("span", { className: "chip" });
		parts.facts = el("small");
		parts.reason = el("p", { className: "reason" });
		parts.memory = el("div", { className: "memories" });
		parts.problem = el("problem-box", { hidden: true });
		parts.tasks = el(
			"div",
			{ className: "pair", hidden: true },
			el("span", { i18n: "servers.tasks" }),
			el("div", { className: "row wrap" }),
		);
		return el(
			"article",
			{ className: "panel server", attributes: { "aria-label": id } },
			el("div", { className: "row" }, parts.state, el("h3", { className: "grow", textContent: id })),
			parts.facts,
			parts.reason,
			parts.memory,
			pair("servers.queue", "queue"),
			pair("servers.wait", "wait"),
			parts.tasks,
			this.#slots.element,
			this.#models.element,
			parts.problem,
			el(
				"div",
				{ className: "row wrap buttons" },
				button("drain", () => this.#do(() => drain(id))),
				button("resume", () => this.#do(() => resume(id))),
				button("remove", () => this.#remove(), "danger"),
			),
		);
	}
}

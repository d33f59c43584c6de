// <server-panel>: the ComfyUI servers, one card each; polled while it is visible.
import * as api from "../../api/api.js";
import { health } from "../../api/health.js";
import { key } from "../../api/key.js";
import { el } from "../../page/dom.js";
import { i18n, texts } from "../../page/i18n.js";
import { ServerAdd } from "./server-add.js";
import { ServerCard } from "./server-card.js";
import { ServerDoors } from "./server-doors.js";

await texts("servers");

const LIST_EVERY = 2500;
const DETAIL_EVERY = 15_000; // ms; the gateway requests the files of each server for this

class ServerPanel extends HTMLElement {
	#cards = new Map();
	/** @type {Record<string, any>} */
	#parts;
	#doors = new ServerDoors();
	#detailed = new Map(); // id -> time of the last request for its details
	#round = 0;

	connectedCallback() {
		if (this.#parts) return;
		this.#parts = {
			cards: el("div", { className: "cards" }),
			empty: el("p", { className: "hint", i18n: "servers.none", hidden: true }),
			problem: el("problem-box", { hidden: true }),
		};
		this.#parts.add = new ServerAdd(() => this.#changed()).element;
		this.#parts.cards.append(this.#parts.add);
		this.append(el("h2", { i18n: "servers.title" }), this.#parts.problem, this.#parts.empty, this.#parts.cards);
		this.append(this.#doors.element);
		i18n.addEventListener("language", () => {
			this.#detailed.clear();
			this.#list();
		});
		new IntersectionObserver(([entry]) => entry.isIntersecting && this.#list()).observe(this);
		setInterval(() => this.checkVisibility() && !document.hidden && !key.isWanted && this.#list(), LIST_EVERY);
	}

	// After a change of a server the header's number of available ones is updated, too.
	#changed() {
		this.#list();
		health.start();
	}

	async #list() {
		const round = ++this.#round;
		try {
			const { servers } = await api.servers();
			if (round !== this.#round) return; // a newer request was sent
			this.#parts.problem.show(null);
			this.#show(servers);
			await this.#doors.read();
		} catch (problem) {
			this.#parts.problem.show(problem);
		}
	}

	#show(servers) {
		const ids = new Set(servers.map(({ id }) => id));
		for (const [id, card] of this.#cards) {
			if (ids.has(id)) continue;
			card.element.remove();
			this.#cards.delete(id);
			this.#detailed.delete(id);
		}
		for (const server of servers) {
			const card = this.#cards.get(server.id);
			if (card) card.show(server);
			else this.#make(server);
			this.#detail(server);
		}
		this.#parts.empty.hidden = servers.length > 0;
	}

	#make(server) {
		const card = new ServerCard(server, () => this.#changed());
		this.#cards.set(server.id, card);
		this.#parts.add.before(card.element);
	}

	#detail({ id, state, running }) {
		const last = this.#detailed.get(id);
		const key = `${state} ${running}`;
		if (last && last.key === key && performance.now() - last.at < DETAIL_EVERY) return;
		this.#detailed.set(id, { key, at: performance.now() });
		this.#cards.get(id).refresh();
	}
}

customElements.define("server-panel", ServerPanel);

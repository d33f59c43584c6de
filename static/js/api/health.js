// Polls the gateway's health: "health" events, with null while it is unreachable.
import * as api from "./api.js";
import { key } from "./key.js";

const EVERY = 5000;

class Health extends EventTarget {
	/** @type {GatewayHealth | null} */
	last = null;
	/** @type {PromiseWithResolvers<void>} */
	#answered = Promise.withResolvers();
	#next = 0; // timer
	#turn = 0;

	// Resolves after the first answer or failure.
	get ready() {
		return this.#answered.promise;
	}

	// Polls now, and every few seconds from now on. Late answers to earlier requests are dropped.
	async start() {
		clearTimeout(this.#next);
		const turn = ++this.#turn;
		const detail = await api.health().catch(() => null);
		if (turn !== this.#turn) return;
		this.last = detail ?? this.last;
		this.#answered.resolve();
		this.dispatchEvent(new CustomEvent("health", { detail }));
		this.#next = setTimeout(() => this.start(), EVERY);
	}
}

export const health = new Health();
key.addEventListener("change", () => health.start());

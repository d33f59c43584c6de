// Asks for the gateway's health every few seconds: "health" events, with null when it is away.
import * as api from "./api.js";
import { key } from "./key.js";

const EVERY = 5000;

class Health extends EventTarget {
	/** @type {GatewayHealth | null} */
	last = null;
	/** @type {PromiseWithResolvers<void>} */
	#answered = Promise.withResolvers();
	#next = 0; // the timer
	#turn = 0;

	// Once the gateway has answered, or did not.
	get ready() {
		return this.#answered.promise;
	}

	// Now, and every few seconds from now on. A late answer to an earlier question is not taken.
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

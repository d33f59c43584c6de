// Asks for the gateway's health every few seconds: "health" events, with null when it is away.
import * as api from "./api.js";

const EVERY = 5000;

class Health extends EventTarget {
  last = null;
  #answered = Promise.withResolvers();

  // Once the gateway has answered, or did not.
  get ready() {
    return this.#answered.promise;
  }

  async start() {
    const detail = await api.health().catch(() => null);
    this.last = detail ?? this.last;
    this.#answered.resolve();
    this.dispatchEvent(new CustomEvent("health", { detail }));
    setTimeout(() => this.start(), EVERY);
  }
}

export const health = new Health();

// Asks for the gateway's health every few seconds: "health" events, with null when it is away.
import * as api from "./api.js";

const EVERY = 5000;

class Health extends EventTarget {
  last = null;

  async start() {
    const detail = await api.health().catch(() => null);
    this.last = detail;
    this.dispatchEvent(new CustomEvent("health", { detail }));
    setTimeout(() => this.start(), EVERY);
  }
}

export const health = new Health();

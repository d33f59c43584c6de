// The bar on top: are we connected, is the gateway well.
import { events } from "../events.js";
import { health } from "../health.js";
import { stamp } from "../template.js";

class GatewayHeader extends HTMLElement {
  #part = null;

  connectedCallback() {
    this.#part = stamp(this, "gateway-header");
    events.addEventListener("connection", ({ detail }) => this.#connection(detail));
    health.addEventListener("health", ({ detail }) => this.#health(detail));
  }

  #connection({ state, delay }) {
    const seconds = Math.max(1, Math.round(delay / 1000));
    const [text, tone] = {
      open: ["live", "good"],
      connecting: ["connecting …", "wait"],
      waiting: [`connection lost, again in ${seconds} s`, "bad"],
    }[state];
    this.#chip("socket", text, tone);
  }

  #health(answer) {
    if (!answer) return this.#chip("health", "gateway away", "bad");
    const isWell = answer.status === "ok";
    this.#chip("health", String(answer.status), isWell ? "good" : "wait");
    this.#part("version").textContent = answer.version ?? "";
    this.#part("reason").textContent = answer.reason ?? "";
    this.#part("reason").hidden = isWell || !answer.reason;
  }

  #chip(name, text, tone) {
    const chip = this.#part(name);
    if (chip.textContent !== text) chip.textContent = text;
    chip.dataset.tone = tone;
  }
}

customElements.define("gateway-header", GatewayHeader);

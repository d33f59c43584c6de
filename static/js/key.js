// The API key, if the gateway wants one. The browser keeps it until it is forgotten.
// `key.ask` is called when the gateway answers 401; main.js says what it does.
import { remember, remembered } from "./remember.js";

const NAME = "gateway.key";

class Key extends EventTarget {
  #value = remembered(NAME);
  #asking = null;
  #declined = null; // the key that was refused when nobody wanted to give another
  isWanted = false; // the gateway has refused a request
  ask = async () => false; // resolves to true once there is another key

  get value() {
    return this.#value;
  }

  set value(text) {
    this.#value = text;
    remember(NAME, text);
    this.dispatchEvent(new Event("change"));
  }

  get headers() {
    return this.#value ? { Authorization: `Bearer ${this.#value}` } : {};
  }

  // A browser cannot send headers with a WebSocket: the key comes as one of its subprotocols.
  get protocols() {
    return /^[\w-]+$/.test(this.#value) ? ["comfyui-gateway", `key.${this.#value}`] : [];
  }

  // All requests that were refused wait for the same answer. `used`: the key that was refused.
  async renew(used) {
    if (used !== this.#value) return true;
    if (used === this.#declined) return false;
    this.isWanted = true;
    this.dispatchEvent(new Event("change"));
    this.#asking ??= this.ask().finally(() => (this.#asking = null));
    const isNew = await this.#asking;
    if (isNew) this.isWanted = false;
    else this.#declined = this.#value;
    if (isNew && used) location.reload(); // what is the other key's goes from the page
    return isNew;
  }
}

export const key = new Key();

// The API key, if the gateway wants one. It lives as long as the tab does.
// `key.ask` is called when the gateway answers 401; <key-dialog> puts itself there.
const NAME = "gateway.key";

class Key extends EventTarget {
  #asking = null;
  ask = async () => false; // resolves to true once there is another key

  get value() {
    return sessionStorage.getItem(NAME) ?? "";
  }

  set value(text) {
    if (text) sessionStorage.setItem(NAME, text);
    else sessionStorage.removeItem(NAME);
    this.dispatchEvent(new Event("change"));
  }

  get headers() {
    return this.value ? { Authorization: `Bearer ${this.value}` } : {};
  }

  // All requests that were refused wait for the same answer. `used`: the key that was refused.
  renew(used) {
    if (used !== this.value) return Promise.resolve(true);
    this.#asking ??= this.ask().finally(() => (this.#asking = null));
    return this.#asking;
  }
}

export const key = new Key();

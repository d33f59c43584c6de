// The API key, if the gateway wants one. The browser keeps it until it is forgotten.
// `key.ask` is called when the gateway answers 401; main.js says what it does.
import { remember, remembered } from "../page/remember.js";

const NAME = "gateway.key";

// No header can hold another one.
export const canBe = (text) => /^[\x21-\x7e]*$/.test(text);

class Key extends EventTarget {
	#value = [remembered(NAME)].find(canBe) ?? "";
	/** @type {Promise<boolean> | null} */
	#asking = null;
	#isDeclined = false; // nobody wanted to give another
	refusal = null; // the answer to the key as it is: nothing is asked with that again
	ask = async () => false; // resolves to true once there is another key

	get value() {
		return this.#value;
	}

	set value(text) {
		this.#value = text;
		this.refusal = null;
		this.#isDeclined = false;
		remember(NAME, text);
		this.dispatchEvent(new Event("change"));
	}

	get isWanted() {
		return this.refusal !== null;
	}

	/** @returns {Record<string, string>} */
	get headers() {
		return this.#value ? { Authorization: `Bearer ${this.#value}` } : {};
	}

	// A browser cannot send headers with a WebSocket: the key comes as one of its subprotocols.
	get protocols() {
		return /^[\w-]+$/.test(this.#value) ? ["comfyui-gateway", `key.${this.#value}`] : [];
	}

	// All requests that were refused wait for the same answer. `used`: the key that was refused.
	async renew(used, answer) {
		if (used !== this.#value) return true;
		if (!this.refusal) {
			this.refusal = answer;
			this.dispatchEvent(new Event("change"));
		}
		if (this.#isDeclined) return false;
		this.#asking ??= this.ask().finally(() => (this.#asking = null));
		const isNew = await this.#asking;
		this.#isDeclined = !isNew;
		if (isNew && used) location.reload(); // what is the other key's goes from the page
		return isNew;
	}
}

export const key = new Key();

// The API key, if the gateway needs one; kept by the browser until it is removed. `key.ask` is called when
// the gateway answers 401; main.js sets it.
import { remember, remembered } from "../page/remember.js";

// Another gateway may be below another path of the same origin.
const NAME = `gateway.key${new URL(document.baseURI).pathname.slice(0, -1)}`;

// Headers cannot contain other characters.
export const canBe = (text) => /^[\x21-\x7e]*$/.test(text);

class Key extends EventTarget {
	#value = [remembered(NAME)].find(canBe) ?? "";
	/** @type {Promise<boolean> | null} */
	#asking = null;
	#isDeclined = false; // the user did not enter another key
	refusal = null; // the answer that refused the current key, which is not sent again
	ask = async () => false; // resolves to true when there is another key

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

	// A browser cannot send headers with a WebSocket, so the key is sent as a subprotocol.
	get protocols() {
		return /^[\w-]+$/.test(this.#value) ? ["comfyui-gateway", `key.${this.#value}`] : [];
	}

	// All refused requests wait for the same dialog. `used`: the key that was refused.
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
		if (isNew && used) location.reload(); // removes the data of the other key from the page
		return isNew;
	}
}

export const key = new Key();
// Another tab changed it.
addEventListener("storage", (event) => event.key === NAME && location.reload());

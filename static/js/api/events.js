// The gateway's WebSocket as an EventTarget: "status", "progress", "output", "preview" of tasks, and
// "connection" for its own state. It reconnects automatically, for ever.
import * as api from "./api.js";
import { key } from "./key.js";

const FIRST_DELAY = 500;
const LONGEST_DELAY = 10_000;
const PING_EVERY = 15_000;
const SILENCE = 40_000;

class Events extends EventTarget {
	/** @type {WebSocket} */
	#socket;
	#delay = FIRST_DELAY;
	#retry = 0;
	#ping = 0;
	#isOpen = false;
	#heard = 0;

	constructor() {
		super();
		addEventListener("online", () => this.#retry && this.connect());
		// Deletions by others send no event, so everything is reloaded when the page becomes visible.
		document.addEventListener("visibilitychange", () => !document.hidden && this.#isOpen && this.#tell("open"));
		key.addEventListener("change", () => this.#retry && this.connect());
	}

	connect() {
		clearTimeout(this.#retry);
		if (key.isWanted) return; // reconnects when there is another key
		this.#retry = 0;
		this.#tell("connecting");
		const socket = new WebSocket(`${document.baseURI.replace("http", "ws")}ws`, key.protocols);
		socket.binaryType = "arraybuffer";
		socket.onopen = () => this.#opened();
		socket.onclose = () => this.#closed();
		socket.onmessage = ({ data }) => this.#received(data);
		this.#socket = socket;
	}

	#opened() {
		this.#isOpen = true;
		this.#heard = Date.now();
		this.#socket.send('{"type": "subscribe", "previews": true}');
		this.#ping = setInterval(() => this.#check(), PING_EVERY);
	}

	// A connection may break silently: then no pong arrives.
	#check() {
		if (Date.now() - this.#heard < SILENCE) return this.#socket.send('{"type": "ping"}');
		this.#socket.onclose = null;
		this.#socket.close();
		this.#closed();
	}

	#closed() {
		clearInterval(this.#ping);
		const delay = this.#delay * (0.75 + Math.random() / 2);
		if (!this.#isOpen) this.#refused(delay);
		this.#isOpen = false;
		this.#delay = Math.min(this.#delay * 2, LONGEST_DELAY);
		this.#retry = setTimeout(() => this.connect(), delay);
		this.#tell("waiting", delay);
	}

	// The browser does not say why a socket was refused; a request finds out, and asks for the key.
	#refused(delay) {
		api
			.tasks(1)
			.then(() => !this.#isOpen && this.#tell("delayed", delay))
			.catch(() => null);
	}

	#received(data) {
		this.#heard = Date.now();
		const message = typeof data === "string" ? parse(data) : preview(data);
		if (message?.type === "subscribed") {
			this.#delay = FIRST_DELAY;
			this.#tell("open");
		} else if (message?.type === "task_update" && typeof message.task_id === "string") {
			this.dispatchEvent(new CustomEvent(message.event, { detail: message }));
		}
	}

	#tell(state, delay) {
		this.dispatchEvent(new CustomEvent("connection", { detail: { state, delay } }));
	}
}

function parse(text) {
	try {
		return /\d{16}/.test(text) ? JSON.parse(text, api.exact) : JSON.parse(text); // keeps all digits of seeds
	} catch {
		return null;
	}
}

// >I 4, >I length, JSON, image
function preview(buffer) {
	const view = new DataView(buffer);
	if (buffer.byteLength < 8 || view.getUint32(0) !== 4) return null;
	const end = 8 + view.getUint32(4);
	if (end > buffer.byteLength) return null;
	const head = parse(new TextDecoder().decode(buffer.slice(8, end)));
	const type = /^image\/(png|jpeg|webp|gif)$/.test(head?.content_type) ? head.content_type : "image/jpeg";
	return head && { ...head, type: "task_update", event: "preview", image: new Blob([buffer.slice(end)], { type }) };
}

export const events = new Events();

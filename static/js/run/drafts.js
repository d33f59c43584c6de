// Unsaved work: changes of saved workflows, and opened files. It is kept until saved or discarded, across
// tabs and sessions: one localStorage entry per workflow, key and gateway. Values are merged one by one, so
// that tabs keep each other's; a tab's own are in its sessionStorage and take precedence. A draft is {id,
// name, values: {key: value}, batch, at}; the text of an opened file is stored separately.
import { health } from "../api/health.js";
import { key } from "../api/key.js";

const DRAFT = "gateway.draft.";
const TEXT = "gateway.text.";
const OPEN = "gateway.open.";
const TAB = () => sessionStorage;
const ALL = () => localStorage;
const MOST = 50;
const ROOM = 3_000_000; // characters, of about five million

export const isOpened = (id) => id.startsWith("~");
/** @param {Source} source */
export const idOf = ({ filename, name, text }) => filename ?? `~${hash(`${name}\n${text}`)}`;

class Drafts extends EventTarget {
	constructor() {
		super();
		addEventListener("storage", ({ key: name }) => (!name || name.startsWith(DRAFT)) && this.#tell()); // other tabs
	}

	// Empty until the gateway has reported its id.
	get #scope() {
		return `${hash(`${key.value}\n${health.last?.gateway ?? ""}`)}.`;
	}

	/** @returns {Draft | null} */
	of(id) {
		return read(TAB, DRAFT + this.#scope + id) ?? read(ALL, DRAFT + this.#scope + id);
	}

	// Changes by another tab after this tab's last change.
	newer(id) {
		const shared = read(ALL, DRAFT + this.#scope + id);
		return shared?.at > (read(TAB, DRAFT + this.#scope + id)?.at ?? 0) ? shared : null;
	}

	// Stores the tab's state, and merges the changed values (by key) and the batch.
	put(draft, changed, isBatch) {
		const entry = this.#scope + draft.id;
		const at = Date.now();
		const shared = read(ALL, DRAFT + entry);
		const batch = isBatch || !shared ? draft.batch : shared.batch;
		const values = { ...shared?.values };
		for (const each of changed) {
			if (each in draft.values) values[each] = draft.values[each];
			else delete values[each];
		}
		write(TAB, DRAFT + entry, JSON.stringify({ ...draft, at }));
		if (!Object.keys(values).length && !batch && !isOpened(draft.id)) remove(ALL, DRAFT + entry);
		else keep(DRAFT, entry, JSON.stringify({ ...draft, values, batch, at }));
		this.#tell();
	}

	text(id) {
		return read(ALL, TEXT + this.#scope + id) ?? read(TAB, TEXT + this.#scope + id);
	}

	// If there is no space, the text is kept for the lifetime of the tab.
	putText(id, text) {
		const entry = this.#scope + id;
		const said = JSON.stringify(text);
		if (!keep(TEXT, entry, said)) write(TAB, TEXT + entry, said);
	}

	discard(id) {
		for (const storage of [TAB, ALL]) for (const kind of [DRAFT, TEXT]) remove(storage, kind + this.#scope + id);
		this.#tell();
	}

	// Newest first.
	list() {
		return namesOf(DRAFT + this.#scope)
			.map((name) => read(ALL, name))
			.filter(Boolean)
			.sort((a, b) => b.at - a.at);
	}

	#tell() {
		this.dispatchEvent(new Event("change"));
	}

	// The id of the workflow that was open last.
	get last() {
		return read(TAB, OPEN + this.#scope) ?? read(ALL, OPEN + this.#scope);
	}

	set last(id) {
		for (const storage of [TAB, ALL]) write(storage, OPEN + this.#scope, JSON.stringify(id));
	}
}

export const drafts = new Drafts();

// Deletes the oldest entries to make space. Returns false if that fails.
function keep(kind, entry, text) {
	const others = namesOf(DRAFT)
		.filter((name) => name !== DRAFT + entry)
		.map((name) => [name.slice(DRAFT.length), read(ALL, name)?.at ?? 0]);
	others.sort(([, a], [, b]) => b - a);
	const isOver = () => others.length >= MOST || text.length + weightBut(kind + entry) > ROOM;
	for (;;) {
		if (!isOver() && write(ALL, kind + entry, text)) return true;
		const oldest = others.pop();
		if (!oldest) return false;
		for (const each of [DRAFT, TEXT]) remove(ALL, each + oldest[0]);
	}
}

const weightBut = (name) =>
	[...namesOf(DRAFT), ...namesOf(TEXT)].reduce(
		(sum, each) => (each === name ? sum : sum + localStorage[each].length),
		0,
	);

// Storage may be unavailable or full; drafts are lost on reload then.
const quietly = (act, otherwise) => {
	try {
		return act();
	} catch {
		return otherwise;
	}
};
const namesOf = (prefix) => quietly(() => Object.keys(localStorage).filter((name) => name.startsWith(prefix)), []);
const read = (storage, name) => quietly(() => JSON.parse(storage().getItem(name) ?? "null"), null);
const write = (storage, name, text) =>
	quietly(() => {
		storage().setItem(name, text);
		return true;
	}, false);
const remove = (storage, name) => quietly(() => storage().removeItem(name));

// A hash to distinguish keys, gateways and texts; it reveals no secret.
function hash(text) {
	let [a, b] = [0xdeadbeef, 0x41c6ce57];
	for (let at = 0; at < text.length; at += 1) {
		const code = text.charCodeAt(at);
		a = Math.imul(a ^ code, 2654435761);
		b = Math.imul(b ^ code, 1597334677);
	}
	return `${(a >>> 0).toString(36)}-${(b >>> 0).toString(36)}`;
}

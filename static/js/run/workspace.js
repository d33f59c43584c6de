// The workflow that is worked on: its parameters, what is changed of them, and how to run it.
// Changes are kept until they are saved or discarded, for each workflow.
// Events: "opened" {isAgain} (another workflow, or other parameters; isAgain: of the same one),
// "value" {key, isQuiet}, "failed" Problem.
import * as api from "../api/api.js";
import { prepare } from "../fields/controls.js";
import { drafts, idOf, isOpened } from "./drafts.js";
import { exact, same } from "./values.js";

class Workspace extends EventTarget {
	/** @type {Source | null} */
	source = null; // {filename} of a saved workflow, or {text, name} of another
	/** @type {Parameter[]} */
	parameters = [];
	warnings = [];
	/** @type {Format | null} */
	format = null;
	/** @type {any} */
	graph = null; // the workflow itself
	/** @type {string | null | undefined} */
	version = null; // the ETag of the saved one
	#values = new Map(); // key -> value, only what differs from the file
	#turn = 0; // a late answer to an earlier choice is not taken
	/** @type {Source | null} */
	#coming = null; // the source that is on its way
	/** @type {BatchForm | null} */
	#batch = null;

	get name() {
		return this.source?.filename ?? this.source?.name ?? "";
	}

	get isSaved() {
		return Boolean(this.source?.filename);
	}

	get changed() {
		return [...this.#values.keys()];
	}

	parameter(key) {
		return this.parameters.find((each) => each.key === key);
	}

	byRole(role) {
		return this.parameters.find((each) => each.role === role);
	}

	value(key) {
		return this.#values.has(key) ? this.#values.get(key) : this.parameter(key)?.value;
	}

	isChanged(key) {
		return this.#values.has(key);
	}

	// Where it is in the address of the page.
	get id() {
		return this.source ? idOf(this.source) : "";
	}

	// What is open, or will be once it has come.
	get next() {
		return this.#coming ?? this.source;
	}

	get batch() {
		return this.#batch;
	}

	set batch(batch) {
		this.#batch = batch;
		this.#draft([], true);
		this.#tell("value", { key: null });
	}

	get isDirty() {
		return this.#values.size > 0 || Boolean(this.#batch);
	}

	get isUntouched() {
		return !this.#turn;
	}

	// What is at an address: a saved workflow, one that was opened and is still kept, or nothing.
	sourceOf(id) {
		if (!isOpened(id)) return id ? { filename: id } : null;
		const text = drafts.text(id);
		return text && { text, name: drafts.of(id)?.name ?? "" };
	}

	// `isOnly`: without it nothing is open.
	async open(source, isOnly = false) {
		const turn = ++this.#turn;
		this.#coming = source;
		try {
			/** @type {Partial<Workflow> & ParametersOf} */
			const answer = source.filename ? await api.workflow(source.filename) : await api.parameters(source);
			await prepare(answer.parameters);
			if (turn !== this.#turn) return false;
			this.#coming = null;
			const isAgain = this.id === idOf(source);
			this.source = source;
			this.version = answer.version;
			this.parameters = answer.parameters;
			this.warnings = answer.warnings ?? [];
			this.format = answer.format;
			this.graph = answer.workflow ?? JSON.parse(source.text);
			this.#restore(isAgain);
			this.#tell("opened", { isAgain });
			return true;
		} catch (error) {
			if (turn !== this.#turn) return false;
			this.#coming = null;
			if (isOnly) this.close(drafts.last);
			this.#tell("failed", error);
			return false;
		}
	}

	close(last = null) {
		this.#turn += 1;
		this.source = this.#coming = null;
		this.parameters = [];
		this.#values = new Map();
		this.#batch = null;
		drafts.last = last;
		this.#tell("opened");
	}

	// `isQuiet`: the field itself says so and shows it already. `id`: where it was asked for, if that was a while ago.
	set(key, value, isQuiet = false, id = this.id) {
		if (id !== this.id) return this.#elsewhere(id, new Map([[key, value]]));
		this.#keep(key, value);
		this.#draft([key]);
		this.#tell("value", { key, isQuiet });
	}

	reset(key) {
		this.set(key, this.parameter(key)?.value);
	}

	// What puts back how it is now, though another be open then.
	undo() {
		const { id, name, values } = this;
		const batch = this.#batch;
		return () => {
			if (id === this.id) return this.#put(values, batch);
			const changed = [...Object.keys(drafts.of(id)?.values ?? {}), ...values.keys()];
			drafts.put({ id, name, values: Object.fromEntries(values), batch }, changed, true);
		};
	}

	// As it was saved, or opened. Answers what takes that back.
	resetAll() {
		const undo = this.undo();
		this.#put(new Map(), null);
		return undo;
	}

	// What another tab has changed of it meanwhile, if that is not as here.
	get others() {
		const newer = drafts.newer(this.id);
		return newer && !same(this.#state, { values: newer.values, batch: newer.batch ?? null }) ? newer : null;
	}

	takeOthers() {
		const { values, batch } = this.others;
		this.#put(new Map(Object.entries(values)), batch);
	}

	get #state() {
		return { values: Object.fromEntries(this.#values), batch: this.#batch };
	}

	#put(values, batch) {
		const changed = [...this.#values.keys(), ...values.keys()];
		this.#values = values;
		this.#batch = batch;
		this.#draft(changed, true);
		this.#tell("opened");
	}

	// The settings of an older result: all that it set, all else as in the file.
	apply(params) {
		const known = Object.entries(params).filter(([key]) => this.parameter(key));
		for (const key of this.changed) if (!(key in params)) this.reset(key);
		for (const [key, value] of known) this.set(key, value);
		return known.length;
	}

	// As a submit wants them: what is changed, with whole numbers to their last digit.
	params() {
		return Object.fromEntries([...this.#values].map(([key, value]) => [key, exact(this.parameter(key), value)]));
	}

	// `request(params)` answers the workflow as it is then. What is typed until then stays, as a change of that.
	async save(request) {
		const { id, values: sent } = this;
		const answer = await request(this.params());
		await prepare(answer.parameters);
		const typed = this.since(id, sent);
		if (id !== this.id) return this.#elsewhere(id, typed, sent);
		const shown = new Map(this.parameters.map(({ key }) => [key, this.value(key)]));
		const isSame = shape(answer.parameters) === shape(this.parameters);
		this.version = answer.version;
		this.parameters = answer.parameters;
		this.graph = answer.workflow;
		this.#values = new Map();
		for (const [key, value] of typed) this.#keep(key, value);
		this.#draft([...sent.keys(), ...typed.keys()]);
		if (!isSame) return this.#tell("opened", { isAgain: true });
		for (const [key, value] of shown) {
			const isQuiet = same(value, this.value(key));
			if (!isQuiet || sent.has(key)) this.#tell("value", { key, isQuiet });
		}
		this.#tell("value", { key: null });
	}

	get values() {
		return new Map(this.#values);
	}

	// What is not as it was `sent`, from the workflow `id`.
	since(id, sent) {
		const draft = id === this.id ? null : (drafts.of(id)?.values ?? {});
		const now = (key) => (draft ? draft[key] : this.value(key));
		const keys = new Set([...sent.keys(), ...(draft ? Object.keys(draft) : this.#values.keys())]);
		const typed = [...keys].filter(
			(key) => now(key) !== undefined && !(sent.has(key) && same(now(key), sent.get(key))),
		);
		return new Map(typed.map((key) => [key, now(key)]));
	}

	// Into the draft of one that is not open, without what was `sent`.
	#elsewhere(id, values, sent = new Map()) {
		const draft = drafts.of(id) ?? { id, name: id, values: {}, batch: null };
		const kept = Object.entries(draft.values ?? {}).filter(([key]) => !sent.has(key));
		drafts.put({ ...draft, values: { ...Object.fromEntries(kept), ...Object.fromEntries(values) } }, [
			...sent.keys(),
			...values.keys(),
		]);
	}

	// `isAgain`: it is open already, and what is typed here is newer than any draft.
	#restore(isAgain) {
		const draft = isAgain ? this.#state : drafts.of(this.id);
		this.#values = new Map();
		for (const [key, value] of Object.entries(draft?.values ?? {})) this.#keep(key, value);
		this.#batch = draft?.batch ?? null;
		drafts.last = this.id;
		if (this.isSaved) return;
		drafts.putText(this.id, this.source?.text);
		this.#draft([], false);
	}

	#draft(changed, isBatch = false) {
		if (this.source) drafts.put({ id: this.id, name: this.name, ...this.#state }, changed, isBatch);
	}

	#keep(key, value) {
		const parameter = this.parameter(key);
		if (!parameter) return;
		if (same(value, parameter.value)) this.#values.delete(key);
		else this.#values.set(key, value);
	}

	#tell(type, detail) {
		this.dispatchEvent(new CustomEvent(type, { detail }));
	}
}

// All that makes a form of them.
const shape = (parameters) => JSON.stringify(parameters.map(({ value, ...rest }) => rest));

export const workspace = new Workspace();

// The open workflow: its parameters, their changes, and how to run it. Changes are kept per workflow until
// saved or discarded. Events: "opened" {isAgain} (another workflow, or other parameters; isAgain: of the
// same one), "value" {key, isQuiet}, "failed" Problem.
import * as api from "../api/api.js";
import { prepare } from "../fields/controls.js";
import { drafts, idOf, isOpened } from "./drafts.js";
import { exact, same } from "./values.js";

class Workspace extends EventTarget {
	/** @type {Source | null} */
	source = null; // {filename} of a saved workflow, or {text, name} of another
	/** @type {Parameter[]} */
	parameters = [];
	/** @type {string[]} */
	warnings = [];
	/** @type {Format | null} */
	format = null;
	/** @type {any} */
	graph = null; // the workflow itself
	/** @type {string | null | undefined} */
	version = null; // ETag of the saved workflow
	#values = new Map(); // key -> value, only those that differ from the file
	#turn = 0; // late answers to earlier choices are dropped
	/** @type {Source | null} */
	#coming = null; // the source that is loading
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

	// Its id in the page's address.
	get id() {
		return this.source ? idOf(this.source) : "";
	}

	// What is open or loading.
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

	// The source at an address: a saved workflow, an opened one that is still kept, or null.
	sourceOf(id) {
		if (!isOpened(id)) return id ? { filename: id } : null;
		const text = drafts.text(id);
		return text && { text, name: drafts.of(id)?.name ?? "" };
	}

	// `isOnly`: nothing else is open, so a failure leaves nothing open.
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
		this.parameters = this.warnings = [];
		this.graph = null;
		this.#values = new Map();
		this.#batch = null;
		drafts.last = last;
		this.#tell("opened");
	}

	// `isQuiet`: set by the field itself, which shows the value. `id`: the workflow of an earlier request.
	set(key, value, isQuiet = false, id = this.id) {
		if (id !== this.id) return this.#elsewhere(id, new Map([[key, value]]));
		this.#keep(key, value);
		this.#draft([key]);
		this.#tell("value", { key, isQuiet });
	}

	reset(key) {
		this.set(key, this.parameter(key)?.value);
	}

	// Returns a function that restores the current state, even if another workflow is open by then.
	undo() {
		const { id, name, values } = this;
		const batch = this.#batch;
		return () => {
			if (id === this.id) return this.#put(values, batch);
			const changed = [...Object.keys(drafts.of(id)?.values ?? {}), ...values.keys()];
			drafts.put({ id, name, values: Object.fromEntries(values), batch }, changed, true);
		};
	}

	// Resets all values to the file's. Returns the undo.
	resetAll() {
		const undo = this.undo();
		this.#put(new Map(), null);
		return undo;
	}

	// Changes of this workflow by another tab, if they differ from the state here.
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

	// Applies the settings of an older result: its values, and the file's for all others.
	apply(params) {
		const known = Object.entries(params).filter(([key]) => this.parameter(key));
		for (const key of this.changed) if (!(key in params)) this.reset(key);
		for (const [key, value] of known) this.set(key, value);
		return known.length;
	}

	// The changed values for a submit, with all digits of integers.
	params() {
		return Object.fromEntries([...this.#values].map(([key, value]) => [key, exact(this.parameter(key), value)]));
	}

	// `request(params)` resolves to the saved workflow. Values typed meanwhile stay as changes of it.
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

	// The values of workflow `id` that differ from `sent`.
	since(id, sent) {
		const draft = id === this.id ? null : (drafts.of(id)?.values ?? {});
		const now = (key) => (draft ? draft[key] : this.value(key));
		const keys = new Set([...sent.keys(), ...(draft ? Object.keys(draft) : this.#values.keys())]);
		const typed = [...keys].filter(
			(key) => now(key) !== undefined && !(sent.has(key) && same(now(key), sent.get(key))),
		);
		return new Map(typed.map((key) => [key, now(key)]));
	}

	// Stores values in the draft of a workflow that is not open, without those in `sent`.
	#elsewhere(id, values, sent = new Map()) {
		const draft = drafts.of(id) ?? { id, name: id, values: {}, batch: null };
		const kept = Object.entries(draft.values ?? {}).filter(([key]) => !sent.has(key));
		drafts.put({ ...draft, values: { ...Object.fromEntries(kept), ...Object.fromEntries(values) } }, [
			...sent.keys(),
			...values.keys(),
		]);
	}

	// `isAgain`: it is already open, and the values here are newer than any draft.
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

// Everything that determines the form.
const shape = (parameters) => JSON.stringify(parameters.map(({ value, ...rest }) => rest));

export const workspace = new Workspace();

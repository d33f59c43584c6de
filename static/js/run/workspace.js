// The workflow that is worked on: its parameters, what is changed of them, and how to run it.
// Changes live in sessionStorage until they are saved, for each workflow by itself.
// Events: "opened" (another workflow, or other parameters), "value" {key, isQuiet}, "failed" Problem.
import * as api from "../api.js";
import { Drafts } from "./drafts.js";
import { exact, same } from "./values.js";

class Workspace extends EventTarget {
  source = null; // {filename} of a saved workflow, or {text, name} of another
  parameters = [];
  warnings = [];
  format = null;
  graph = null; // the workflow itself
  version = null; // the ETag of the saved one
  #values = new Map(); // key -> value, only what differs from the file
  #turn = 0; // a late answer to an earlier choice is not taken
  #drafts = new Drafts();

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

  // What the session had open, or nothing.
  get last() {
    return this.#drafts.source;
  }

  async open(source) {
    const turn = ++this.#turn;
    try {
      const answer = source.filename ? await api.workflow(source.filename) : await api.parameters(source);
      if (turn !== this.#turn) return false;
      this.source = source;
      this.version = answer.version;
      this.parameters = answer.parameters;
      this.warnings = answer.warnings ?? [];
      this.format = answer.format;
      this.graph = answer.workflow ?? JSON.parse(source.text);
      this.#values = new Map();
      for (const [key, value] of Object.entries(this.#drafts.of(this.name))) this.#keep(key, value);
      this.#drafts.source = source;
      this.#tell("opened");
      return true;
    } catch (error) {
      if (turn === this.#turn) this.#tell("failed", error);
      return false;
    }
  }

  close() {
    this.#turn += 1;
    this.source = null;
    this.parameters = [];
    this.#values = new Map();
    this.#drafts.source = null;
    this.#tell("opened");
  }

  // `isQuiet`: the field itself says so and shows it already.
  set(key, value, isQuiet = false) {
    this.#keep(key, value);
    this.#drafts.put(this.name, Object.fromEntries(this.#values));
    this.#tell("value", { key, isQuiet });
  }

  reset(key) {
    this.set(key, this.parameter(key)?.value);
  }

  resetAll() {
    for (const key of this.changed) this.reset(key);
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

  saved(answer) {
    this.version = answer.version;
    this.parameters = answer.parameters;
    this.graph = answer.workflow;
    this.#values = new Map();
    this.#drafts.put(this.name, {});
    this.#tell("opened");
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

export const workspace = new Workspace();

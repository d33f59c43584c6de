// Choose a workflow (saved, opened, dropped or pasted), change its values, run it.
import * as api from "../api.js";
import { tasks } from "../state.js";
import { make, stamp } from "../template.js";
import { ParameterField, isSeed, nameOf } from "./parameter-field.js";

// What most people change, in this order, and how many fit in a line.
const MAIN = {
  seed: "full", noise_seed: "full", width: "third", height: "third", batch_size: "third", length: "third",
  steps: "third", cfg: "third", guidance: "third", denoise: "third", sampler_name: "half", scheduler: "half",
};

class SubmitForm extends HTMLElement {
  #part = null;
  #source = null; // {filename} or {text, name}
  #chosen = 0; // counts choices: a late answer to an earlier one is not shown

  connectedCallback() {
    this.#part = stamp(this, "submit-form");
    const part = this.#part;
    part("saved").onchange = () => this.#choose({ filename: part("saved").value });
    part("file").onchange = () => this.#open(part("file").files[0]);
    part("json").oninput = () => this.#take(part("json").value, "pasted workflow");
    this.querySelector("form").onsubmit = (event) => {
      event.preventDefault();
      this.#run();
    };
    this.addEventListener("input", () => this.#count());
    this.addEventListener("problem", ({ detail }) => part("problem").show(detail));
    this.#listen();
    this.#list();
  }

  #listen() {
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      this.#run();
    });
    document.addEventListener("paste", (event) => {
      if (event.target.closest?.("input, textarea")) return;
      const file = event.clipboardData.files[0];
      if (file) return this.#open(file);
      const text = event.clipboardData.getData("text/plain");
      if (text.trim()) this.#take(text, "pasted workflow");
    });
    document.addEventListener("dragover", (event) => {
      if (![...event.dataTransfer.types].includes("Files")) return;
      event.preventDefault();
      document.body.classList.add("dropping");
    });
    document.addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) document.body.classList.remove("dropping");
    });
    document.addEventListener("drop", (event) => {
      document.body.classList.remove("dropping");
      if (!event.dataTransfer.files.length) return;
      event.preventDefault();
      this.#open(event.dataTransfer.files[0]);
    });
  }

  async #list() {
    const saved = this.#part("saved");
    saved.replaceChildren(make("option", { value: "", textContent: "Choose a saved workflow …", disabled: true, selected: true }));
    try {
      const { workflows } = await api.workflows();
      saved.append(...workflows.map(({ filename, format }) =>
        make("option", { value: filename, textContent: format ? filename : `${filename} (not readable)` })));
      // A newcomer can press Run at once.
      const first = workflows.find(({ format }) => format);
      if (first && this.#chosen === 0) {
        saved.value = first.filename;
        this.#choose({ filename: first.filename });
      }
    } catch (error) {
      this.#part("problem").show(error);
    }
  }

  async #open(file) {
    if (!file) return;
    this.#part("file").value = "";
    this.#take(await file.text(), file.name);
  }

  #take(text, name) {
    this.#part("saved").value = "";
    try {
      JSON.parse(text);
    } catch (error) {
      this.#clear();
      if (text.trim()) this.#part("problem").show(new api.Problem({ title: `${name} is not JSON`, detail: error.message }));
      return;
    }
    this.#choose({ text, name });
  }

  #clear() {
    this.#chosen += 1;
    this.#source = null;
    for (const name of ["main", "others"]) this.#part(name).replaceChildren();
    for (const name of ["note", "changes"]) this.#part(name).textContent = "";
    this.#part("run").disabled = true;
    this.#part("problem").show(null);
  }

  async #choose(source) {
    this.#clear();
    const turn = this.#chosen;
    try {
      const { parameters, format } = await api.parameters(source);
      if (turn !== this.#chosen) return;
      this.#source = source;
      const said = parameters.length ? `${parameters.length} values` : "no values to change";
      this.#part("note").textContent = `${source.filename ?? source.name}: ${format} format, ${said}`;
      this.#fill(parameters);
      this.#part("run").disabled = false;
    } catch (error) {
      if (turn === this.#chosen) this.#part("problem").show(error);
    }
  }

  #fill(parameters) {
    const rank = (parameter) => Object.keys(MAIN).indexOf(nameOf(parameter));
    const isText = (parameter) => parameter.multiline || parameter.upload;
    const main = parameters.filter((parameter) => isText(parameter) || rank(parameter) >= 0);
    main.sort((a, b) => rank(a) - rank(b));
    this.#part("main").append(...main.map((parameter) => field(parameter, main)));
    const others = parameters.filter((parameter) => !main.includes(parameter));
    this.#part("others").append(...Object.values(Object.groupBy(others, nodeOf)).map(folded));
  }

  #fields() {
    return [...this.querySelectorAll("parameter-field")].filter((each) => each.changed);
  }

  #count() {
    const count = this.#fields().length;
    this.#part("changes").textContent = count ? `${count} changed` : "";
  }

  async #run() {
    const run = this.#part("run");
    if (run.disabled) return;
    run.disabled = true;
    this.#part("problem").show(null);
    try {
      const params = Object.fromEntries(this.#fields().map((each) => [each.key, each.value]));
      await tasks.answer(api.submit(this.#source, params));
    } catch (error) {
      this.#part("problem").show(error);
    }
    run.disabled = !this.#source;
  }
}

const nodeOf = (parameter) => parameter.key.split(".")[0];
const titleOf = (parameter) => parameter.title || parameter.class_type || `node ${nodeOf(parameter)}`;

// Prompts go by the title of their node; others by their own name, unless two share it.
function field(parameter, all) {
  const name = nameOf(parameter);
  const isShared = all.some((other) => other !== parameter && nameOf(other) === name);
  const label = parameter.multiline ? titleOf(parameter) : isShared ? `${name} · ${titleOf(parameter)}` : name;
  const element = new ParameterField(parameter, label);
  element.dataset.size = MAIN[name] ?? "full";
  if (isSeed(name)) element.title = "-1 means a random one";
  return element;
}

function folded(parameters) {
  const fragment = document.createDocumentFragment();
  stamp(fragment, "node-fields");
  const [first] = parameters;
  fragment.querySelector("summary").textContent = `${titleOf(first)} · ${nodeOf(first)}`;
  fragment.querySelector(".fields").append(...parameters.map((each) => new ParameterField(each, nameOf(each))));
  return fragment;
}

customElements.define("submit-form", SubmitForm);

// One input of a workflow, with the control that fits its type. `changed` and `value` are read on submit.
import * as api from "../api.js";
import { make } from "../template.js";

const MANY = 30; // choices from which on one wants to search
let count = 0;

export const nameOf = (parameter) => parameter.key.slice(parameter.key.indexOf(".") + 1);
export const isSeed = (name) => name === "seed" || name === "noise_seed";

export class ParameterField extends HTMLElement {
  #parameter;
  #control;
  #first;

  constructor(parameter, label) {
    super();
    this.#parameter = parameter;
    this.#control = this.#make();
    this.#control.id = `field-${++count}`;
    this.#first = this.#raw();
    this.append(make("label", { htmlFor: this.#control.id, textContent: label, title: `${parameter.key}: ${label}` }));
    const extra = parameter.upload ? this.#uploader() : isSeed(nameOf(parameter)) ? this.#dice() : null;
    this.append(extra ? make("div", { className: "row" }, this.#control, extra) : this.#control);
    this.addEventListener("input", () => this.#mark());
  }

  get key() {
    return this.#parameter.key;
  }

  get changed() {
    return this.#raw() !== this.#first;
  }

  // As JSON wants it. Throws a Problem where the text is none.
  get value() {
    const { type, choices } = this.#parameter;
    const raw = this.#raw();
    if (type === "int" || type === "float") return this.#number(raw);
    if (type === "choice") return choices?.find((choice) => text(choice) === raw) ?? raw;
    return type === "any" ? this.#json(raw) : raw;
  }

  #make() {
    const { type, value, choices, multiline, upload } = this.#parameter;
    if (type === "int" || type === "float") return this.#numeric();
    if (type === "boolean") return make("input", { type: "checkbox", checked: value === true });
    if (type === "choice") return upload || choices?.length > MANY ? this.#search() : this.#select();
    const isLong = multiline || type === "any" || text(value).length > 80;
    return isLong
      ? make("textarea", { value: text(value), rows: Math.min(8, 2 + Math.floor(text(value).length / 60)) })
      : make("input", { type: "text", value: text(value) });
  }

  #numeric() {
    const { type, value, min, max, step } = this.#parameter;
    const input = make("input", { type: "number", step: step ?? (type === "int" ? 1 : "any") });
    if (min != null) input.min = isSeed(nameOf(this.#parameter)) ? -1 : min;
    if (max != null) input.max = max;
    input.value = value ?? "";
    return input;
  }

  #select() {
    const { choices, value } = this.#parameter;
    const known = (choices ?? []).map(text);
    const all = known.includes(text(value)) ? known : [text(value), ...known];
    const options = all.map((choice) => make("option", { value: choice, textContent: known.includes(choice) ? choice : `${choice} (not on any server)` }));
    const select = make("select", {}, ...options);
    select.value = text(value);
    return select;
  }

  #search() {
    const list = make("datalist", { id: `choices-${++count}` }, ...(this.#parameter.choices ?? []).map((choice) => make("option", { value: text(choice) })));
    this.append(list);
    const input = make("input", { type: "text", value: text(this.#parameter.value), autocomplete: "off" });
    input.setAttribute("list", list.id);
    // A list shows only what matches the text, so the present value makes room while one looks.
    input.onfocus = () => {
      input.placeholder = input.value;
      input.value = "";
    };
    input.onblur = () => {
      input.value ||= input.placeholder;
      this.#mark();
    };
    return input;
  }

  #dice() {
    const button = make("button", { type: "button", textContent: "Random", title: "A new seed for each run: -1" });
    button.onclick = () => this.#set("-1");
    return button;
  }

  #uploader() {
    const picker = make("input", { type: "file" });
    picker.onchange = async () => {
      if (!picker.files.length) return;
      try {
        this.#set((await api.upload(picker.files[0])).name);
      } catch (error) {
        this.dispatchEvent(new CustomEvent("problem", { detail: error, bubbles: true }));
      }
      picker.value = "";
    };
    return make("label", { className: "button" }, "Upload", picker);
  }

  #set(value) {
    this.#control.value = value;
    this.#control.dispatchEvent(new Event("input", { bubbles: true }));
  }

  #mark() {
    this.classList.toggle("changed", this.changed);
  }

  #raw() {
    const control = this.#control;
    if (control.type === "checkbox") return control.checked;
    return control.list ? control.value || control.placeholder : control.value;
  }

  #number(raw) {
    if (raw === "") throw this.#problem("needs a number");
    const number = Number(raw);
    const isTooLong = Number.isInteger(number) && !Number.isSafeInteger(number);
    return isTooLong && JSON.rawJSON && /^-?\d+$/.test(raw) ? JSON.rawJSON(raw) : number;
  }

  #json(raw) {
    try {
      return JSON.parse(raw);
    } catch (error) {
      throw this.#problem(`is not valid JSON (${error.message})`);
    }
  }

  #problem(what) {
    return new api.Problem({ title: "A field cannot be used", detail: `${this.key} ${what}.` });
  }
}

const text = (value) => (typeof value === "string" ? value : (JSON.stringify(value ?? null) ?? ""));

customElements.define("parameter-field", ParameterField);

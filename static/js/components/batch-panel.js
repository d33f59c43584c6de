// Many tasks at once: so many seeds, and lists of values of up to two parameters. Each combination runs.
import { el } from "../dom.js";
import { i18n, t } from "../i18n.js";
import { isTooMany, seeds, tasksOf, values } from "../run/batch.js";
import { workspace } from "../run/workspace.js";
import "../strings/dialogs.js";

const AXES = 2;

class BatchPanel extends HTMLElement {
  #count = el("input", { type: "number", min: 1, max: 100, id: "batch-seeds", value: "1" });
  #axes = Array.from({ length: AXES }, (_, index) => axis(index));
  #total = el("p", { className: "hint", attributes: { "aria-live": "polite" } });

  connectedCallback() {
    this.append(
      el("div", { className: "row" }, el("label", { htmlFor: this.#count.id, i18n: "batch.seeds" }), this.#count, this.#total),
      ...this.#axes.map(({ node }) => node),
    );
    this.addEventListener("input", () => this.#keep());
    workspace.addEventListener("opened", () => this.#fill());
    workspace.addEventListener("value", () => this.#show());
    i18n.addEventListener("language", () => this.#fill());
    this.#fill();
  }

  // {key: [values]}, or null for a single run. Throws what cannot be.
  get batch() {
    const batch = {};
    const seed = workspace.byRole("seed");
    const count = Math.floor(Number(this.#count.value));
    if (seed && count > 1) batch[seed.key] = seeds(workspace.value(seed.key), count);
    for (const { select, text } of this.#axes) {
      const parameter = workspace.parameter(select.value);
      const list = parameter ? values(parameter, text.value) : [];
      if (list.length) batch[parameter.key] = list;
    }
    if (isTooMany(batch)) throw new Error(t("batch.tooMany", { count: tasksOf(batch) }));
    return Object.keys(batch).length ? batch : null;
  }

  get count() {
    const { batch } = this;
    return batch ? tasksOf(batch) : 1;
  }

  // What is typed belongs to the workflow, and is kept with what else is changed of it.
  #keep() {
    const axes = this.#axes.map(({ select, text }) => ({ key: select.value, text: text.value }));
    const isSet = this.#count.value !== "1" || axes.some(({ key }) => key);
    workspace.batch = isSet ? { isOpen: true, count: this.#count.value, axes } : null;
  }

  #fill() {
    const { count = "1", axes = [] } = workspace.batch ?? {};
    this.#count.value = count;
    for (const [at, { select, text }] of this.#axes.entries()) {
      const { key: chosen = "", text: typed = "" } = axes[at] ?? {};
      text.value = typed;
      select.replaceChildren(new Option(t("batch.none"), ""), ...workspace.parameters.filter(({ role }) => role !== "seed").map(({ key, role, name }) =>
        new Option(role ? `${t(`role.${role}`)} · ${key}` : `${name ?? key} · ${key}`, key)));
      select.value = workspace.parameter(chosen) ? chosen : "";
    }
    this.#show();
  }

  #show() {
    for (const { select, text } of this.#axes) text.hidden = !select.value;
    try {
      const { batch } = this;
      this.#total.textContent = batch ? t("batch.total", { count: tasksOf(batch), grid: Object.values(batch).map(({ length }) => length).join(" × ") }) : "";
      this.#total.classList.remove("bad");
    } catch (error) {
      this.#total.textContent = error.message;
      this.#total.classList.add("bad");
    }
    this.dispatchEvent(new CustomEvent("batch", { bubbles: true }));
  }
}

function axis(index) {
  const select = el("select", { i18nAttr: "aria-label:batch.parameter" });
  const text = el("textarea", { rows: 3, hidden: true, i18nAttr: "aria-label:batch.values;placeholder:batch.values", spellcheck: false });
  return { select, text, node: el("div", { className: "axis", dataset: { index } }, select, text) };
}

customElements.define("batch-panel", BatchPanel);

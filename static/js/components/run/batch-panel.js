// Many tasks at once: a number of seeds, and lists of values of up to two parameters. Each combination
// runs.
import { el } from "../../page/dom.js";
import { i18n, t, texts } from "../../page/i18n.js";
import { countFault, isTooMany, MOST, seeds, tasksOf, values } from "../../run/batch.js";
import { workspace } from "../../run/workspace.js";

await texts("dialogs");

const AXES = 2;

class BatchPanel extends HTMLElement {
	#count = el("input", { type: "number", min: 1, max: MOST, id: "batch-seeds", value: "1" });
	#axes = Array.from({ length: AXES }, (_, index) => axis(index));
	#total = el("p", { className: "hint", attributes: { "aria-live": "polite" } });

	connectedCallback() {
		this.append(
			el(
				"div",
				{ className: "row" },
				el("label", { htmlFor: this.#count.id, i18n: "batch.seeds" }),
				this.#count,
				this.#total,
			),
			...this.#axes.map(({ node }) => node),
		);
		this.addEventListener("input", () => this.#keep());
		workspace.addEventListener("opened", () => this.#fill());
		workspace.addEventListener("value", () => this.#show());
		i18n.addEventListener("language", () => this.#fill());
		this.#fill();
	}

	// {key: [values]}; null for a single run, or if an input is invalid.
	get batch() {
		const { batch, faults } = this.#read();
		return faults.size || !Object.keys(batch).length ? null : batch;
	}

	// The number of tasks of a run; 0 if an input is invalid.
	get count() {
		const { batch, faults } = this.#read();
		return faults.size ? 0 : tasksOf(batch);
	}

	// The batch, and faults by input.
	#read() {
		const batch = {};
		const faults = new Map();
		const seed = workspace.byRole("seed");
		const wrong = countFault(this.#count.value);
		if (wrong) faults.set(this.#count, wrong);
		else if (seed && Number(this.#count.value) > 1)
			batch[seed.key] = seeds(workspace.value(seed.key), Number(this.#count.value));
		for (const { select, text } of this.#axes) {
			const parameter = workspace.parameter(select.value);
			try {
				const list = parameter ? values(parameter, text.value) : [];
				if (parameter && list.length) batch[parameter.key] = list;
			} catch (error) {
				faults.set(text, error.message);
			}
		}
		if (!faults.size && isTooMany(batch))
			for (const input of this.#inputs(batch)) faults.set(input, t("batch.tooMany", { count: tasksOf(batch) }));
		return { batch, faults };
	}

	// The inputs that determine the number of tasks.
	#inputs(batch) {
		const long = this.#axes.filter(({ select }) => batch[select.value]?.length > 1).map(({ text }) => text);
		return Number(this.#count.value) > 1 ? [this.#count, ...long] : long;
	}

	// The inputs belong to the workflow, and are kept with its other changes.
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
			select.replaceChildren(
				new Option(t("batch.none"), ""),
				...workspace.parameters
					.filter(({ role }) => role !== "seed")
					.map(
						({ key, role, name }) =>
							new Option(role ? `${t(`role.${role}`)} · ${key}` : `${name ?? key} · ${key}`, key),
					),
			);
			select.value = workspace.parameter(chosen) ? chosen : "";
		}
		this.#show();
	}

	#show() {
		for (const { select, text } of this.#axes) text.hidden = !select.value;
		const { batch, faults } = this.#read();
		const lengths = Object.values(batch).map(({ length }) => length);
		const [fault] = faults.values();
		this.#total.textContent =
			fault ?? (lengths.length ? t("batch.total", { count: tasksOf(batch), grid: lengths.join(" × ") }) : "");
		this.#total.classList.toggle("bad", faults.size > 0);
		for (const input of [this.#count, ...this.#axes.map(({ text }) => text)]) {
			if (faults.has(input)) input.setAttribute("aria-invalid", "true");
			else input.removeAttribute("aria-invalid");
		}
		this.dispatchEvent(new CustomEvent("batch", { bubbles: true }));
	}
}

function axis(index) {
	const select = el("select", { i18nAttr: "aria-label:batch.parameter" });
	const text = el("textarea", {
		rows: 3,
		hidden: true,
		i18nAttr: "aria-label:batch.values;placeholder:batch.values",
		spellcheck: false,
	});
	return { select, text, node: el("div", { className: "axis", dataset: { index } }, select, text) };
}

customElements.define("batch-panel", BatchPanel);

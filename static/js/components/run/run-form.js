// The form: the most important parameters first, then all others by node, folded.
import { el } from "../../page/dom.js";
import { t } from "../../page/i18n.js";
import { arrange } from "../../run/arrange.js";
import { workspace } from "../../run/workspace.js";
import { ParameterField } from "./parameter-field.js";
import { SizeField } from "./size-field.js";

export class RunForm extends HTMLElement {
	/** @type {Map<string, ParameterField>} */
	#fields = new Map(); // key -> ParameterField

	connectedCallback() {
		workspace.addEventListener("opened", ({ detail }) => this.#build(detail?.isAgain ? this.#held() : () => {}));
		workspace.addEventListener("value", ({ detail }) => this.#follow(detail));
	}

	// Checks the values locally; the first invalid field gets the focus.
	check() {
		const faulty = [...this.#fields.values()].filter((field) => {
			field.complain(field.fault);
			return field.fault;
		});
		faulty[0]?.focus();
		return !faulty.length;
	}

	// Shows the gateway's faults (run/faults.js) at the fields they name. True if all have a field.
	complain(faults = []) {
		for (const field of this.#fields.values()) field.complain("");
		const named = faults.filter(({ key }) => this.#fields.has(key));
		for (const { key, message } of named) this.#fields.get(key)?.complain(message);
		this.#fields.get(named[0]?.key)?.focus();
		return faults.length > 0 && named.length === faults.length;
	}

	focusNode(nodeId) {
		const field = [...this.#fields.values()].find(({ parameter }) => parameter.node_id === String(nodeId));
		field?.focus();
		return Boolean(field);
	}

	// Shows the seeds that a run drew, so that the lock can keep them.
	used(params) {
		for (const [key, value] of Object.entries(params)) this.#fields.get(key)?.used(value);
	}

	#build(restore) {
		this.#fields = new Map();
		const { first, nodes } = arrange(workspace.parameters);
		const main = el(
			"div",
			{ className: "fields" },
			first.map((item) => this.#first(item)),
		);
		const others = nodes.map(([id, title, items]) =>
			el(
				"details",
				{ className: "node", dataset: { node: id } },
				el("summary", {}, el("span", { textContent: title }), el("small", { textContent: `#${id}` })),
				el(
					"div",
					{ className: "fields" },
					items.map(({ parameter, label }) => this.#keep(parameter, new ParameterField(parameter, label), "full")),
				),
			),
		);
		this.replaceChildren(main, ...(others.length ? [el("h3", { i18n: "form.others" }), ...others] : []));
		this.#count();
		restore();
	}

	// A rebuilt form keeps invalid values that are being typed, and the focus.
	#held() {
		const kept = [...this.#fields]
			.filter(([, { input, fault }]) => fault || input === document.activeElement)
			.map(([key, { input }]) => [key, input.value]);
		const [now, { input }] = [...this.#fields].find(([, { input }]) => input === document.activeElement) ?? ["", {}];
		const [from, to] = now ? [input.selectionStart, input.selectionEnd] : [];
		return () => {
			for (const [key, text] of kept) {
				const field = this.#fields.get(key);
				if (field) field.input.value = text;
			}
			const field = this.#fields.get(now);
			field?.focus();
			if (from != null) field?.input.setSelectionRange?.(from, to);
		};
	}

	#first(item) {
		if (!item.pair) return this.#keep(item.parameter, new ParameterField(item.parameter, said(item.label)), item.width);
		const field = new SizeField(item.width, item.height, {
			width: said(item.labels.width),
			height: said(item.labels.height),
		});
		for (const each of field.querySelectorAll("parameter-field")) this.#fields.set(each.parameter.key, each);
		return field;
	}

	#keep(parameter, field, width) {
		field.dataset.width = width;
		this.#fields.set(parameter.key, field);
		return field;
	}

	#follow({ key, isQuiet }) {
		const field = this.#fields.get(key);
		if (isQuiet) field?.mark();
		else {
			field?.show();
			field?.complain("");
		}
		/** @type {any} */ (field?.closest("size-field"))?.show();
		this.#count();
	}

	#count() {
		for (const node of this.querySelectorAll("details.node")) {
			node.classList.toggle("changed", Boolean(node.querySelector("parameter-field.changed")));
		}
	}
}

const said = (label) => (label.i18n ? { ...label, text: t(label.i18n) } : label);

customElements.define("run-form", RunForm);

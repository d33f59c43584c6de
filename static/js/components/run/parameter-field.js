// One parameter of the workflow: its label, a control for its type, its fault, and whether it differs from
// the file.

import { controlOf } from "../../fields/controls.js";
import { el, icon } from "../../page/dom.js";
import { workspace } from "../../run/workspace.js";

const PAUSE = 600; // ms
let count = 0;

export class ParameterField extends HTMLElement {
	#parameter;
	#control;
	#pause = 0; // timer
	#error = el("p", { className: "error", hidden: true });
	#reset = el(
		"button",
		{ type: "button", className: "quiet reset", i18nAttr: "title:field.reset;aria-label:field.reset", hidden: true },
		icon("reset"),
	);

	constructor(parameter, label) {
		super();
		this.#parameter = parameter;
		this.#control = controlOf(parameter)(parameter, () => this.#changed());
		const { input, node } = this.#control;
		input.id = `field-${++count}`;
		this.#error.id = `${input.id}-error`;
		input.setAttribute("aria-describedby", this.#error.id);
		const name = el("label", {
			htmlFor: input.id,
			title: `${parameter.key}${parameter.tooltip ? `\n${parameter.tooltip}` : ""}`,
		});
		if (label.i18n) Object.assign(name.dataset, { i18n: label.i18n });
		name.textContent = label.text;
		this.dataset.key = parameter.key;
		this.dataset.type = parameter.upload ? "upload" : parameter.type;
		this.append(
			el(
				"div",
				{ className: "label" },
				name,
				el("span", { className: "note cut", textContent: label.note ?? "" }),
				this.#reset,
			),
			node,
			this.#error,
		);
		input.addEventListener("change", () => this.complain(this.fault));
		this.#reset.onclick = () => {
			workspace.reset(parameter.key);
			input.focus();
		};
		this.show();
	}

	get parameter() {
		return this.#parameter;
	}

	get fault() {
		return this.#control.fault;
	}

	get input() {
		return this.#control.input;
	}

	// Shows the current value, unless the user is typing it.
	show() {
		this.#control.value = workspace.value(this.#parameter.key);
		this.mark();
	}

	mark() {
		const isChanged = workspace.isChanged(this.#parameter.key);
		this.classList.toggle("changed", isChanged);
		this.#reset.hidden = !isChanged;
	}

	complain(message) {
		this.#error.textContent = message;
		this.#error.hidden = !message;
		if (message) this.#control.input.setAttribute("aria-invalid", "true");
		else this.#control.input.removeAttribute("aria-invalid");
	}

	used(value) {
		this.#control.used?.(value);
	}

	focus() {
		this.closest("details")?.setAttribute("open", "");
		this.#control.input.focus({ preventScroll: true });
		this.scrollIntoView({ block: "center" });
	}

	// Faults during typing are shown after a pause.
	#changed() {
		const { fault } = this.#control;
		clearTimeout(this.#pause);
		if (fault) this.#pause = setTimeout(() => this.complain(this.fault), PAUSE);
		else this.complain("");
		if (!fault) workspace.set(this.#parameter.key, this.#control.value, true);
	}
}

customElements.define("parameter-field", ParameterField);

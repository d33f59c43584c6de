// Width and height as one field, with common ratios at the same area, and a button to swap them.
import { el, icon } from "../../page/dom.js";
import { workspace } from "../../run/workspace.js";
import { ParameterField } from "./parameter-field.js";

const RATIOS = ["1:1", "4:3", "3:4", "3:2", "2:3", "16:9", "9:16", "21:9"];

class SizeField extends HTMLElement {
	#width;
	#height;
	#ratio = el("select", { i18nAttr: "aria-label:size.ratio" }, el("option", { value: "", i18n: "size.free" }));

	constructor(width, height, labels) {
		super();
		this.#width = width;
		this.#height = height;
		for (const ratio of RATIOS) this.#ratio.add(new Option(ratio, ratio));
		this.#ratio.onchange = () => this.#ratio.value && this.#shape(this.#ratio.value);
		const swap = el(
			"button",
			{ type: "button", className: "icon-only", i18nAttr: "title:size.swap;aria-label:size.swap" },
			icon("swap"),
		);
		swap.onclick = () => this.#put(this.#height, this.#width);
		this.append(
			new ParameterField(width, labels.width),
			swap,
			new ParameterField(height, labels.height),
			el("div", { className: "ratio" }, el("span", { className: "label", i18n: "size.ratio" }), this.#ratio),
		);
		this.show();
	}

	show() {
		const [width, height] = [this.#width, this.#height].map(({ key }) => Number(workspace.value(key)));
		const near = RATIOS.find((ratio) => Math.abs(quotient(ratio) - width / height) < 0.012);
		this.#ratio.value = near ?? "";
	}

	// Applies a ratio at the same area, in steps that the model supports.
	#shape(ratio) {
		const [width, height] = [this.#width, this.#height].map(({ key }) => Number(workspace.value(key)));
		const wide = Math.sqrt(width * height * quotient(ratio));
		this.#set(this.#width, fit(wide, this.#width));
		this.#set(this.#height, fit(wide / quotient(ratio), this.#height));
	}

	#put(width, height) {
		const values = [workspace.value(width.key), workspace.value(height.key)];
		this.#set(this.#width, values[0]);
		this.#set(this.#height, values[1]);
	}

	#set(parameter, value) {
		workspace.set(parameter.key, value);
	}
}

const quotient = (ratio) => {
	const [width, height] = ratio.split(":").map(Number);
	return width / height;
};

function fit(value, { min, max, step }) {
	const by = Math.max(8, step ?? 8);
	const rounded = Math.round(value / by) * by;
	return Math.min(max ?? Infinity, Math.max(min ?? by, rounded));
}

customElements.define("size-field", SizeField);

export { SizeField };

// A number, with a slider if the range has few steps.
import { el } from "../page/dom.js";
import { t } from "../page/i18n.js";
import { parsed } from "../run/values.js";

const STEPS = 200; // maximum steps that can be selected with a slider

export function numberControl(parameter, change) {
	const { type, min, max, step } = parameter;
	const by = step ?? (type === "int" ? 1 : null);
	const limits = { ...(min != null && { min }), ...(max != null && { max }) };
	const input = el("input", {
		type: "number",
		inputMode: type === "int" ? "numeric" : "decimal",
		step: type === "int" ? by : "any",
		...limits,
	});
	const isShort = by && min != null && max != null && (max - min) / by <= STEPS;
	const slider =
		isShort && el("input", { type: "range", ...limits, step: by, tabIndex: -1, attributes: { "aria-hidden": "true" } });
	input.oninput = () => {
		if (slider) slider.value = input.value;
		change();
	};
	if (slider) {
		slider.oninput = () => {
			input.value = slider.value;
			change();
		};
	}
	return {
		node: slider ? el("div", { className: "slid row" }, slider, input) : input,
		input,
		get value() {
			return input.value === "" ? undefined : parsed(input.value);
		},
		set value(value) {
			input.value = value ?? "";
			if (slider) slider.value = input.value;
		},
		get fault() {
			if (input.value === "") return t("field.needsNumber");
			const value = Number(input.value);
			if (type === "int" && !/^-?\d+$/.test(input.value)) return t("field.needsWhole");
			if (min != null && value < min) return t("field.atLeast", { min });
			if (max != null && value > max) return t("field.atMost", { max });
			return "";
		},
	};
}

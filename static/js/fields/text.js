// Texts, long and short, and values of unknown type as JSON.
import { el } from "../page/dom.js";
import { t } from "../page/i18n.js";
import { text } from "../run/values.js";

const LONG = 80;

export function textControl(parameter, change) {
	const isLong = parameter.multiline || text(parameter.value).length > LONG;
	const input = isLong ? el("textarea", { rows: 3 }) : el("input", { type: "text", autocomplete: "off" });
	input.oninput = change;
	return {
		node: input,
		input,
		get value() {
			return input.value;
		},
		set value(value) {
			input.value = text(value);
		},
		fault: "",
	};
}

export function jsonControl(_parameter, change) {
	const input = el("textarea", { rows: 2, spellcheck: false, className: "mono" });
	input.oninput = change;
	const read = () => {
		try {
			return { value: JSON.parse(input.value) };
		} catch (error) {
			return { fault: t("field.needsJson", { why: error.message }) };
		}
	};
	return {
		node: input,
		input,
		get value() {
			return read().value;
		},
		set value(value) {
			input.value = JSON.stringify(value ?? null);
		},
		get fault() {
			return read().fault ?? "";
		},
	};
}

export function booleanControl(_parameter, change) {
	const input = el("input", { type: "checkbox", attributes: { role: "switch" }, onchange: change });
	return {
		node: input,
		input,
		get value() {
			return input.checked;
		},
		set value(value) {
			input.checked = value === true;
		},
		fault: "",
	};
}

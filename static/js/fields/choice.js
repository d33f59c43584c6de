// Controls for choices: a select for one of few or for several, a searchable text for one of many. All keep
// a value that no server offers. Without known choices: a text.
import { el } from "../page/dom.js";
import { t } from "../page/i18n.js";
import { text } from "../run/values.js";
import { Combobox } from "./combobox.js";
import { textControl } from "./text.js";

const MANY = 12;
const SHOWN = 8; // visible options of a multiple select

export function choiceControl(parameter, change) {
	const choices = parameter.choices ?? [];
	if (parameter.multiselect) return several(choices, change);
	if (!choices.length) return textControl(parameter, change);
	return choices.length > MANY ? searched(choices, change) : selected(choices, change);
}

const meant = (choices, raw) => choices.find((choice) => text(choice) === raw) ?? raw;

function selected(choices, change) {
	const input = el("select", { onchange: change });
	for (const choice of choices) input.add(new Option(text(choice), text(choice)));
	return {
		node: input,
		input,
		get value() {
			return meant(choices, input.value);
		},
		set value(value) {
			const raw = text(value);
			if (![...input.options].some((option) => option.value === raw)) {
				input.add(new Option(t("choice.missing", { value: raw }), raw), 0);
			}
			input.value = raw;
		},
		fault: "",
	};
}

function several(choices, change) {
	const input = el("select", { multiple: true, size: Math.min(Math.max(choices.length, 2), SHOWN), onchange: change });
	for (const choice of choices) input.add(new Option(text(choice), text(choice)));
	return {
		node: input,
		input,
		get value() {
			return [...input.selectedOptions].map((option) => meant(choices, option.value));
		},
		set value(value) {
			const wanted = [value ?? []].flat().map(text);
			const known = [...input.options].map((option) => option.value);
			for (const raw of wanted)
				if (!known.includes(raw)) input.add(new Option(t("choice.missing", { value: raw }), raw), 0);
			for (const option of input.options) option.selected = wanted.includes(option.value);
		},
		fault: "",
	};
}

function searched(choices, change) {
	const box = new Combobox(choices.map(text), change);
	return {
		node: box,
		input: box.input,
		get value() {
			return meant(choices, box.value);
		},
		set value(value) {
			box.value = text(value);
		},
		fault: "",
	};
}

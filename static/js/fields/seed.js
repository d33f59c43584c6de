// A seed: the dice draw a new one for each run (-1), the lock keeps the last one.
import { el, icon } from "../page/dom.js";
import { t } from "../page/i18n.js";
import { isRandom, parsed } from "../run/values.js";

export function seedControl(parameter, change) {
	const input = el("input", { type: "text", inputMode: "numeric", autocomplete: "off", className: "mono" });
	const dice = el(
		"button",
		{ type: "button", className: "icon-only", i18nAttr: "title:seed.dice;aria-label:seed.dice" },
		icon("dice"),
	);
	const lock = el(
		"button",
		{ type: "button", className: "icon-only", i18nAttr: "title:seed.lock;aria-label:seed.lock" },
		icon("lock"),
	);
	let last = null; // the seed that the last run drew
	const show = () => {
		const random = isRandom(input.value);
		dice.setAttribute("aria-pressed", random);
		lock.setAttribute("aria-pressed", !random);
	};
	const put = (value) => {
		input.value = value;
		show();
		change();
	};
	dice.onclick = () => put("-1");
	lock.onclick = () => void (isRandom(input.value) && put(last ?? Math.floor(Math.random() * 2 ** 48)));
	input.oninput = () => {
		show();
		change();
	};
	return {
		node: el("div", { className: "row seed" }, input, dice, lock),
		input,
		get value() {
			return /^-?\d+$/.test(input.value.trim()) ? parsed(input.value.trim()) : undefined;
		},
		set value(value) {
			input.value = value ?? "";
			show();
		},
		used(value) {
			last = value;
		},
		get fault() {
			if (!/^-?\d+$/.test(input.value.trim())) return t("field.needsWhole");
			return parameter.max != null && Number(input.value) > Number(parameter.max)
				? t("field.atMost", { max: parameter.max })
				: "";
		},
	};
}

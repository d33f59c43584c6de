// Asks for the API key when the gateway needs one, or when the user wants to change it.

import { canBe, key } from "../../api/key.js";
import { openDialog } from "../../page/dialog.js";
import { el } from "../../page/dom.js";
import { t, texts } from "../../page/i18n.js";

await texts("dialogs");

// Resolves to true when the gateway accepts a key; others are not used.
export async function ask() {
	const before = key.value;
	const input = el("input", { type: "password", autocomplete: "off", id: "api-key", value: before });
	const why = el("p", { attributes: { role: "alert" } });
	const say = (name) => {
		why.textContent = name && t(name);
		why.hidden = !name;
	};
	const form = el(
		"form",
		{ className: "stack" },
		why,
		el("label", { htmlFor: input.id, i18n: "key.label" }),
		input,
		el("p", { className: "hint", i18n: "key.where" }),
	);
	const isFirst = key.isWanted && !before;
	say(key.isWanted && (before ? "key.refused" : "key.wanted"));
	input.oninput = () => say(isFirst && "key.wanted"); // the message was about the previous input
	const use = async () => {
		const text = input.value.trim();
		const fault = text && (await faultOf(text));
		if (fault) {
			say(fault);
			input.select();
			return false;
		}
		key.value = text;
	};
	const forget = () => {
		key.value = "";
	};
	const dialog = openDialog({ i18n: "key.title" }, form, {
		className: "small",
		isOfView: false,
		buttons: [
			...(before ? [{ i18n: "key.forget", className: "quiet", act: forget }] : []),
			{ i18n: "key.use", className: "primary", value: "used", act: use },
		],
	});
	form.onsubmit = (event) => {
		event.preventDefault();
		dialog.querySelector(".primary").click();
	};
	input.focus();
	return (await dialog.closed) === "used" && Boolean(key.value);
}

// A request with the typed key; errors that are not about the key are reported elsewhere.
async function faultOf(text) {
	if (!canBe(text)) return "key.refused";
	try {
		const { status } = await fetch("api/tasks?limit=1", { headers: { Authorization: `Bearer ${text}` } });
		return status === 401 && "key.refused";
	} catch {
		return "health.away";
	}
}

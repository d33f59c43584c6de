// A native dialog that is created when opened and removed when closed. openDialog(title, body, { buttons,
// className, isOfView }) returns the dialog; a button is {i18n, className, act}: act() may return false, or
// a promise of it, to keep it open. The dialog's `closed` resolves at the end.
import { el, icon } from "./dom.js";
import { t } from "./i18n.js";
import { styles } from "./styles.js";
import { toast } from "./toasts.js";

await styles("dialogs");

/**
 * @param {Record<string, any>} title properties of the heading
 * @param {any} body
 * @param {{ buttons?: DialogButton[], className?: string, head?: Element[], isOfView?: boolean }} [options]
 */
export function openDialog(title, body, { buttons = [], className = "", head = [], isOfView = true } = {}) {
	const dialog = el("dialog", { className });
	const heading = el("h2", { ...title, id: `dialog-${crypto.randomUUID()}`, className: "cut" });
	const close = el(
		"button",
		{ className: "quiet icon-only", i18nAttr: "title:close;aria-label:close", onclick: () => dialog.close() },
		icon("close"),
	);
	const footer = buttons.length
		? el(
				"footer",
				{},
				buttons.map((each) => button(dialog, each)),
			)
		: null;
	dialog.setAttribute("aria-labelledby", heading.id);
	dialog.append(
		el("header", {}, heading, ...head, close),
		el("div", { className: "body" }, body),
		...(footer ? [footer] : []),
	);
	dialog.addEventListener("click", (event) => event.target === dialog && isOutside(dialog, event) && dialog.close());
	const leave = () => isOfView && dialog.close(); // the subject is no longer displayed then
	addEventListener("hashchange", leave);
	dialog.closed = new Promise((resolve) => {
		dialog.onclose = () => {
			removeEventListener("hashchange", leave);
			dialog.remove();
			resolve(dialog.returnValue);
		};
	});
	document.body.append(dialog);
	dialog.showModal();
	return dialog;
}

export async function confirmed(title, text, action, otherwise = t("cancel")) {
	const dialog = openDialog({ textContent: title }, el("p", { textContent: text }), {
		className: "small",
		buttons: [{ textContent: otherwise }, { textContent: action, className: "danger", value: "yes" }],
	});
	return (await dialog.closed) === "yes";
}

/** @param {HTMLDialogElement} dialog @param {DialogButton} button */
function button(dialog, { act, value, ...props }) {
	const made = el("button", props);
	made.onclick = async () => {
		made.disabled = true;
		try {
			if ((await act?.()) !== false) dialog.close(value ?? "");
		} catch (error) {
			toast(error);
		}
		made.disabled = false;
	};
	return made;
}

function isOutside(dialog, { clientX, clientY }) {
	const { left, right, top, bottom } = dialog.getBoundingClientRect();
	return clientX < left || clientX > right || clientY < top || clientY > bottom;
}

// Short notifications. toast("saved") or toast(error); failures, and actions that can be undone, stay
// longer. `about`: the subject; only its last notification stays, and none after settle(about).
import { el, icon } from "./dom.js";
import { line } from "./errors.js";

const SHOWN = 5000;
const SHOWN_LONG = 12_000;

export class ToastList extends HTMLElement {
	connectedCallback() {
		this.setAttribute("role", "status");
		this.setAttribute("popover", "manual");
	}

	add(text, tone, action, about) {
		const close = el(
			"button",
			{ className: "quiet icon-only", i18nAttr: "aria-label:close", onclick: () => drop() },
			icon("close"),
		);
		const acted = () => {
			drop();
			action.act();
		};
		const more = action && el("button", { textContent: action.label, onclick: acted });
		this.settle(about);
		const row = el(
			"div",
			{ about, dataset: { tone } },
			el("span", { className: "grow", textContent: text }),
			more,
			close,
		);
		const drop = () => this.#drop(row);
		this.append(row);
		// In the top layer, above a dialog that was opened meanwhile.
		if (this.matches(":popover-open")) this.hidePopover();
		this.showPopover();
		setTimeout(drop, tone === "bad" || action ? SHOWN_LONG : SHOWN);
	}

	settle(about) {
		for (const row of /** @type {any[]} */ ([...this.children])) if (about && row.about === about) this.#drop(row);
	}

	#drop(row) {
		row.remove();
		if (!this.children.length && this.matches(":popover-open")) this.hidePopover();
	}
}

customElements.define("toast-list", ToastList);

/** @param {any} what @param {{ tone?: string, action?: ToastAction, about?: string }} [options] */
export async function toast(what, { tone, action, about } = {}) {
	const isError = what instanceof Error;
	if (isError && !("document" in what)) console.error(what);
	document
		.querySelector("toast-list")
		.add(isError ? await line(what) : what, tone ?? (isError ? "bad" : "good"), action, about);
}

export const settle = (about) => document.querySelector("toast-list").settle(about);

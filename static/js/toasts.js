// Short words on what has happened. toast("saved") or toast(error); what failed stays longer.
import { el, icon } from "./dom.js";
import { line } from "./errors.js";

const SHOWN = 5000;
const SHOWN_BAD = 12_000;

class ToastList extends HTMLElement {
  connectedCallback() {
    this.setAttribute("role", "status");
    this.setAttribute("popover", "manual");
  }

  add(text, tone, action) {
    const close = el("button", { className: "quiet icon-only", i18nAttr: "aria-label:close", onclick: () => drop() }, icon("close"));
    const more = action && el("button", { textContent: action.label, onclick: () => (drop(), action.act()) });
    const row = el("div", { dataset: { tone } }, el("span", { className: "grow", textContent: text }), more, close);
    const drop = () => {
      row.remove();
      if (!this.children.length && this.matches(":popover-open")) this.hidePopover();
    };
    this.append(row);
    // In the top layer, and above a dialog that was opened meanwhile.
    if (this.matches(":popover-open")) this.hidePopover();
    this.showPopover();
    setTimeout(drop, tone === "bad" ? SHOWN_BAD : SHOWN);
  }
}

customElements.define("toast-list", ToastList);

export async function toast(what, { tone, action } = {}) {
  const isError = what instanceof Error;
  if (isError && !what.document) console.error(what);
  document.querySelector("toast-list").add(isError ? await line(what) : what, tone ?? (isError ? "bad" : "good"), action);
}

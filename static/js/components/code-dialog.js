// The form of now as code, to be copied.
import * as api from "../api.js";
import { copy } from "../clipboard.js";
import { openDialog } from "../dialog.js";
import { el, icon } from "../dom.js";
import { t } from "../i18n.js";
import { key } from "../key.js";
import { curl, javascript, python } from "../run/code.js";

const KINDS = { curl, Python: python, JavaScript: javascript };

export async function showCode({ path, body }) {
  const request = { origin: location.origin, path, body, hasKey: Boolean(key.value) };
  const code = el("pre", { className: "code", tabIndex: 0 });
  const tabs = el("div", { className: "tabs", attributes: { role: "tablist" } });
  const choose = (name) => {
    code.textContent = KINDS[name](request);
    code.setAttribute("aria-label", name);
    for (const tab of tabs.children) tab.setAttribute("aria-selected", tab.textContent === name);
  };
  for (const name of Object.keys(KINDS)) {
    tabs.append(el("button", { textContent: name, attributes: { role: "tab" }, onclick: () => choose(name) }));
  }
  const take = el("button", { className: "primary", onclick: () => copy(code.textContent, dialog) }, icon("copy"), el("span", { i18n: "copy" }));
  const dialog = openDialog({ i18n: "code.title" }, [
    el("div", { className: "row wrap" }, tabs, el("span", { className: "grow" }), take),
    code,
    el("p", { className: "hint", textContent: request.hasKey ? t("code.key") : t("code.open") }),
  ], { className: "code-dialog" });
  choose("curl");
}

// Asks before a server is removed. While tasks run there, only by force, and that is said.
import * as api from "../api.js";
import { el } from "../dom.js";
import { t } from "../i18n.js";
import { styles } from "../styles.js";

await styles("dialogs");

// True when it is gone.
export function removed(id) {
  const force = el("input", { type: "checkbox" });
  const forced = el("label", { className: "row force", hidden: true }, force, el("span", { i18n: "servers.force" }));
  const problem = el("problem-box", { hidden: true });
  const keep = el("button", { type: "button", i18n: "servers.keep", onclick: () => dialog.close() });
  const remove = el("button", { type: "submit", className: "danger", i18n: "servers.remove" });
  const form = el("form", {},
    el("header", {}, el("h2", { id: "remove-title" }, t("servers.removeTitle", { id }))),
    el("div", { className: "body" }, el("p", { i18n: "servers.removeText" }), forced, problem, el("div", { className: "row answers" }, keep, remove)));
  const dialog = el("dialog", { className: "small", attributes: { "aria-labelledby": "remove-title" } }, form);
  document.body.append(dialog);
  return new Promise((answered) => {
    dialog.addEventListener("close", () => (dialog.remove(), answered(dialog.returnValue === "removed")));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      remove.disabled = true;
      try {
        await api.removeServer(id, force.checked);
        dialog.close("removed");
      } catch (fault) {
        if (fault.code === "server_not_found") return dialog.close("removed");
        forced.hidden = fault.code !== "server_busy";
        problem.show(fault);
      }
      remove.disabled = false;
    });
    dialog.showModal();
  });
}

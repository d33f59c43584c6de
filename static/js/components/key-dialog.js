// Asks for the API key when the gateway wants one, and when somebody wants to change it.
import { openDialog } from "../dialog.js";
import { el } from "../dom.js";
import { t } from "../i18n.js";
import { key } from "../key.js";
import "../strings/dialogs.js";

// Resolves to true when there is a key that has not been tried.
export async function ask() {
  const before = key.value;
  const input = el("input", { type: "password", autocomplete: "off", id: "api-key", value: before });
  const form = el("form", { className: "stack" }, el("label", { htmlFor: input.id, i18n: "key.label" }), input, el("p", { className: "hint", i18n: "key.where" }));
  const why = key.isWanted && el("p", { textContent: t(before ? "key.refused" : "key.wanted") });
  if (why) form.prepend(why);
  input.oninput = () => void (why && before && why.remove()); // that was said of the other one
  const dialog = openDialog({ i18n: "key.title" }, form, {
    className: "small",
    buttons: [
      ...(before ? [{ i18n: "key.forget", className: "quiet", act: () => void (key.value = "") }] : []),
      { i18n: "key.use", className: "primary", act: () => void (key.value = input.value.trim()) },
    ],
  });
  form.onsubmit = (event) => {
    event.preventDefault();
    dialog.querySelector(".primary").click();
  };
  input.focus();
  await dialog.closed;
  return Boolean(key.value) && key.value !== before;
}

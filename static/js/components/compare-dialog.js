// Two results over each other; a slider moves the line between them. What differs is listed below.
import { openDialog } from "../dialog.js";
import { el } from "../dom.js";
import { t } from "../i18n.js";
import { text } from "../run/values.js";
import { mediaView } from "./media-view.js";

export function compare(left, right) {
  const [under, over] = [mediaView(right.output), mediaView(left.output)];
  over.className = "over";
  const stage = el("div", { className: "versus" }, under, over, el("span", { className: "line" }));
  const slider = el("input", { type: "range", min: 0, max: 100, step: 0.5, i18nAttr: "aria-label:compare.slider" });
  const move = (percent) => {
    slider.value = percent;
    stage.style.setProperty("--at", `${slider.value}%`);
  };
  slider.oninput = () => move(slider.value);
  stage.onpointermove = ({ clientX, buttons, pointerType }) => {
    const { left: start, width } = stage.getBoundingClientRect();
    if (buttons || pointerType === "mouse") move(((clientX - start) / width) * 100);
  };
  const dialog = openDialog({ i18n: "compare.title" }, [stage, slider, differences(left.task, right.task)], { className: "large compare" });
  move(50);
  slider.focus();
  return dialog;
}

function differences(left, right) {
  const keys = [...new Set([...Object.keys(left.params), ...Object.keys(right.params)])];
  const rows = keys.filter((key) => text(left.params[key]) !== text(right.params[key])).map((key) =>
    el("tr", {}, el("th", { textContent: key, scope: "row" }), el("td", { textContent: cell(left.params[key]) }), el("td", { textContent: cell(right.params[key]) })));
  if (!rows.length) return el("p", { className: "hint", i18n: "compare.same" });
  return el("table", {}, el("thead", {}, el("tr", {}, el("th", { i18n: "compare.parameter" }), el("th", { textContent: t("compare.left") }), el("th", { textContent: t("compare.right") }))), el("tbody", {}, rows));
}

const cell = (value) => (value === undefined ? t("compare.file") : text(value));

// One of few: a select. One of many: a text in which one searches. Both keep a value that no server has.
import { el } from "../dom.js";
import { t } from "../i18n.js";
import { text } from "../run/values.js";
import { Combobox } from "./combobox.js";

const MANY = 12;

export function choiceControl(parameter, change) {
  const choices = parameter.choices ?? [];
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
        input.add(new Option(choices.length ? t("choice.missing", { value: raw }) : raw, raw), 0);
      }
      input.value = raw;
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

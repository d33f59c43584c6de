// A problem document, in full: what is wrong, what to do, which nodes. Also an error of a task.
import { Problem } from "../api.js";
import { el } from "../dom.js";
import { t } from "../i18n.js";
import { stamp } from "../template.js";

const KNOWN = ["type", "title", "status", "detail", "message", "code", "hint", "node_errors"];

class ProblemBox extends HTMLElement {
  #part = null;

  // `whole`: for an error that is shown cut, what fetches all of it.
  show(error, whole = null) {
    this.hidden = !error;
    if (!error) return;
    if (!(error instanceof Problem || error.code)) console.error(error);
    this.#part ??= stamp(this, "problem-box");
    const problem = error.document ?? error;
    this.#write("title", problem.title ?? reason(problem));
    this.#write("detail", problem.detail ?? problem.message);
    this.#write("hint", problem.hint);
    this.#part("nodes").replaceChildren(...lines(problem.node_errors));
    const more = Object.keys(problem).filter((key) => !KNOWN.includes(key));
    this.#write("raw", raw(problem));
    this.#part("copy").onclick = () => void import("../clipboard.js").then(({ copy }) => copy(raw(problem), this));
    this.#part("more").hidden = !whole;
    this.#part("more").onclick = whole;
    this.querySelector("details").hidden = !more.length && !problem.node_errors;
  }

  #write(name, text) {
    const part = this.#part(name);
    part.textContent = text ?? "";
    part.hidden = !text;
  }
}

function reason({ code, class_type, node_id }) {
  const node = [class_type, node_id && t("problem.node", { id: node_id })].filter(Boolean).join(", ");
  return node ? t("problem.in", { code: code ?? "error", node }) : (code ?? t("problem.page"));
}

function raw({ traceback, ...rest }) {
  return [JSON.stringify(rest, null, 2), ...(Array.isArray(traceback) ? traceback : [])].join("\n");
}

export function lines(nodeErrors) {
  return Object.entries(nodeErrors ?? {}).flatMap(([id, node]) =>
    [node?.errors ?? []].flat().map((error) => {
      const said = [error?.message, error?.details].filter(Boolean).join(": ");
      return el("li", {}, el("code", { textContent: `${id} ${node.class_type ?? ""}` }), ` ${said}`);
    }),
  );
}

customElements.define("problem-box", ProblemBox);

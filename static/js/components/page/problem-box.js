// A problem document in full: what is wrong, what to do, which nodes. Also a task's error.
import { Problem } from "../../api/api.js";
import { health } from "../../api/health.js";
import { build, el } from "../../page/dom.js";
import { learn, reasonOf, said } from "../../page/errors.js";
import { i18n, t } from "../../page/i18n.js";

const PASSING = new Set([
	"away",
	"no_server",
	"comfyui_unreachable",
	"database_unavailable",
	"storage_unavailable",
	"stopping",
]);
const KNOWN = ["type", "title", "status", "detail", "message", "code", "hint", "node_errors"];

export class ProblemBox extends HTMLElement {
	/** @type {Parts} */
	#part;
	#shown = [];
	#again = () => this.hidden || this.show(...this.#shown);

	connectedCallback() {
		i18n.addEventListener("language", this.#again);
		health.addEventListener("health", this.#passed);
	}

	disconnectedCallback() {
		i18n.removeEventListener("language", this.#again);
		health.removeEventListener("health", this.#passed);
	}

	// A failure because something was unavailable is hidden once everything is available again.
	#passed = ({ detail }) => {
		const [error] = this.#shown;
		if (detail?.status === "ok" && error instanceof Problem && PASSING.has(error.code)) this.show(null);
	};

	// `whole`: fetches the full error, for one that is truncated.
	show(error, whole = null) {
		this.#shown = [error, whole];
		this.hidden = !error;
		if (!error) return;
		learn().then((isMore) => isMore && this.#again());
		if (!(error instanceof Problem || error.code)) console.error(error);
		this.#part ??= build(this, content());
		const problem = error.document ?? error;
		const { title, hint } = said(problem);
		this.#write("title", problem.title ? title : reason(problem, title));
		this.#write("detail", problem.detail ?? problem.message);
		this.#write("hint", hint);
		this.#part("nodes").replaceChildren(...lines(problem.node_errors));
		const more = Object.keys(problem).filter((key) => !KNOWN.includes(key));
		this.#write("raw", raw(problem));
		this.#part("copy").onclick = () =>
			void import("../../page/clipboard.js").then(({ copy }) => copy(raw(problem), this));
		this.#part("more").hidden = !whole;
		this.#part("more").onclick = whole;
		this.#part("whole").hidden = !more.length && !problem.node_errors;
	}

	#write(name, text) {
		const part = this.#part(name);
		part.textContent = text ?? "";
		part.hidden = !text;
	}
}

function reason({ code: word, class_type, node_id }, title) {
	const code = title ?? word;
	const node = [class_type, node_id && t("problem.node", { id: node_id })].filter(Boolean).join(", ");
	return node ? t("problem.in", { code: code ?? "error", node }) : (code ?? t("problem.page"));
}

function raw({ traceback, ...rest }) {
	return [JSON.stringify(rest, null, 2), ...(Array.isArray(traceback) ? traceback : [])].join("\n");
}

export function lines(nodeErrors) {
	return Object.entries(nodeErrors ?? {}).flatMap(([id, node]) =>
		[node?.errors ?? []].flat().map((error) => {
			const words = [reasonOf(error?.type) ?? error?.message, error?.details].filter(Boolean).join(": ");
			return el("li", {}, el("code", { textContent: `${id} ${node.class_type ?? ""}` }), ` ${words}`);
		}),
	);
}

const content = () => [
	el("strong", { part: "title" }),
	el("p", { part: "detail" }),
	el("p", { part: "hint" }),
	el("ul", { part: "nodes" }),
	el("button", { type: "button", className: "quiet", part: "more", i18n: "problem.more", hidden: true }),
	el(
		"details",
		{ part: "whole" },
		el("summary", { i18n: "problem.whole" }),
		el("button", { type: "button", className: "quiet", part: "copy", i18n: "copy" }),
		el("pre", { part: "raw" }),
	),
];

customElements.define("problem-box", ProblemBox);

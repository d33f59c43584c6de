// <workflow-graph>: a drawing of a workflow. show({workflow, format, nodeTypes}) draws it, `task` is the
// task that runs it. "node-click" {nodeId, path}: the user chose a node; the path is its id in a run
// ("57:12" inside the subgraph node 57).
import { el } from "../page/dom.js";
import { i18n, t } from "../page/i18n.js";
import { styles } from "../page/styles.js";
import { Ancestry } from "./ancestry.js";
import { ApiWorkflow } from "./api-format.js";
import { sentence } from "./node-badge.js";
import { NodeTypes } from "./node-types.js";
import { PaintedLevel } from "./paint-level.js";
import { TITLE } from "./rows.js";
import { RunState } from "./run-state.js";
import { svg } from "./svg.js";
import { UiWorkflow } from "./ui-format.js";
import { Viewport } from "./viewport.js";
import { neighbour } from "./walk.js";
import { words } from "./words.js";

await styles("graph");

class WorkflowGraph extends HTMLElement {
	#root = svg("svg", { class: "drawing" });
	#surface = el("div", { className: "surface", attributes: { role: "group" } }, this.#root);
	/** @type {Viewport} */
	#viewport;
	/** @type {Record<string, any>} */
	#tools;
	/** @type {ApiWorkflow | UiWorkflow} */
	#workflow;
	/** @type {string[]} */
	#path = [];
	/** @type {PaintedLevel} */
	#level;
	#run = new RunState(new Ancestry({}, "api"));
	/** @type {Task | null} */
	#task = null;
	/** @type {any} the node that has the focus, as it is painted */
	#focused = null;
	#onLanguage = () => this.#workflow && this.#draw();

	connectedCallback() {
		i18n.addEventListener("language", this.#onLanguage);
		if (this.#viewport) return;
		this.#viewport = new Viewport(this.#surface, this.#root, (sight) => this.#level?.cull(sight));
		this.#tools = this.#makeTools();
		this.append(this.#surface, this.#tools.crumbs, this.#tools.empty, this.#tools.bar);
		this.#listen();
		if (this.#workflow) this.#draw(true);
	}

	disconnectedCallback() {
		i18n.removeEventListener("language", this.#onLanguage);
	}

	show({ workflow, format, nodeTypes }) {
		const types = new NodeTypes(nodeTypes);
		const isApi = format ? format === "api" : !Array.isArray(workflow?.nodes);
		this.#workflow = isApi ? new ApiWorkflow(workflow, types) : new UiWorkflow(workflow, types);
		this.#run = new RunState(new Ancestry(workflow, isApi ? "api" : "ui"));
		this.#run.task = this.#task;
		this.#path = [];
		if (this.#viewport) this.#draw(true);
	}

	set task(task) {
		this.#task = task ?? null;
		this.#run.task = this.#task;
		this.#showStates();
	}

	get task() {
		return this.#task;
	}

	fit() {
		this.#viewport?.fit();
	}

	// Opens the subgraphs around the node, and scrolls it into sight.
	reveal(path) {
		const ids = String(path).split(":");
		const inside = ids.slice(0, -1);
		if (!this.#workflow?.has(inside)) return;
		if (inside.join(":") !== this.#path.join(":")) this.#open(inside);
		const painted = this.#level.nodes.get(ids.at(-1));
		if (!painted) return;
		if (this.#viewport.scale < 0.5) this.#viewport.zoom(0.7 / this.#viewport.scale);
		this.#focus(painted, false);
	}

	#open(path) {
		this.#path = path;
		this.#draw(true);
	}

	#draw(isNew = false) {
		this.#level = new PaintedLevel(this.#workflow.level(this.#path), words());
		this.#root.replaceChildren(this.#level.element);
		this.#focused = null;
		for (const painted of this.#level.buttons) this.#describe(painted);
		this.#level.buttons[0]?.element.setAttribute("tabindex", "0");
		this.#surface.setAttribute("aria-label", t("graph.label"));
		this.#tools.empty.hidden = this.#level.nodes.size > 0;
		this.#showPath();
		this.#showStates();
		if (isNew) this.#viewport.fit(this.#level.bounds);
	}

	#showStates() {
		if (!this.#level) return;
		for (const painted of this.#level.buttons) {
			const { node, badge } = painted;
			const skips = node.kind === "note" || node.mode !== null;
			if (badge.show(skips ? null : this.#run.of(node.path, node.kind === "subgraph"), words()))
				this.#describe(painted);
		}
		this.#tools.failed.hidden = this.#run.failedNode === null;
	}

	// The description of a node for screen readers.
	#describe({ node, element }) {
		const state = this.#run.of(node.path, node.kind === "subgraph");
		const kind = node.kind === "note" || node.kind === "subgraph" ? words()[node.kind] : node.type;
		const parts = [node.title, kind === node.title ? "" : kind, `#${node.id}`, node.mode && words()[node.mode]];
		if (state && !node.mode && node.kind !== "note") parts.push(sentence(state, words()), state.message);
		element.setAttribute("role", "button");
		if (!element.hasAttribute("tabindex")) element.setAttribute("tabindex", "-1");
		element.setAttribute("aria-label", parts.filter(Boolean).join(t("graph.comma")).slice(0, 500));
	}

	#listen() {
		const surface = this.#surface;
		surface.addEventListener("click", (event) => {
			const opener = event.target.closest?.("[data-open]");
			if (opener) return this.#open([...this.#path, opener.dataset.open]);
			const painted = this.#paintedAt(event.target);
			if (painted) this.#choose(painted);
		});
		surface.addEventListener("dblclick", (event) => {
			const painted = this.#paintedAt(event.target);
			if (painted?.node.kind === "subgraph") this.#open([...this.#path, painted.node.id]);
		});
		surface.addEventListener("pointerover", (event) =>
			this.#level?.highlight((this.#paintedAt(event.target) ?? this.#focused)?.node.id),
		);
		surface.addEventListener(
			"focusin",
			(event) => this.#paintedAt(event.target) && this.#focus(this.#paintedAt(event.target), true),
		);
		surface.addEventListener("keydown", (event) => this.#key(event));
	}

	#choose({ node }) {
		this.dispatchEvent(new CustomEvent("node-click", { bubbles: true, detail: { nodeId: node.path, id: node.id } }));
	}

	#focus(painted, isHere) {
		this.#focused?.element.setAttribute("tabindex", "-1");
		for (const other of isHere ? [] : this.#level.buttons) other.element.setAttribute("tabindex", "-1");
		this.#focused = painted;
		painted.element.setAttribute("tabindex", "0");
		if (!isHere) painted.element.focus({ preventScroll: true });
		this.#level.highlight(painted.node.id);
		const { x, y, w, h, collapsed } = painted.node;
		if (painted.element.matches(":focus-visible") || !isHere)
			this.#viewport.reveal({ x, y: y - TITLE, w, h: (collapsed ? 0 : h) + TITLE });
	}

	#key(event) {
		if (event.ctrlKey || event.metaKey || event.altKey) return;
		const painted = this.#paintedAt(event.target);
		const next =
			painted &&
			neighbour(
				this.#level.buttons.map(({ node }) => node),
				painted.node,
				event.key,
			);
		if (next) this.#focus(this.#level.nodes.get(next.id), false);
		else if (event.key === "Enter" && painted) this.#choose(painted);
		else if (event.key === " " && painted?.node.kind === "subgraph") this.#open([...this.#path, painted.node.id]);
		else if (event.key === "Backspace" && this.#path.length) this.#open(this.#path.slice(0, -1));
		else if (event.key === "+" || event.key === "=") this.#viewport.zoom(1.25);
		else if (event.key === "-") this.#viewport.zoom(0.8);
		else if (event.key === "0") this.#viewport.fit();
		else if (!painted || event.key !== " ") return;
		event.preventDefault();
	}

	#paintedAt(target) {
		const element = target.closest?.(".node");
		const painted = element && this.#level?.nodes.get(element.dataset.id);
		return painted && painted.node.kind !== "side" ? painted : null;
	}

	#showPath() {
		const steps = this.#path.map((_id, at) => [
			this.#path.slice(0, at + 1),
			this.#workflow.title(this.#path.slice(0, at + 1)),
		]);
		const crumbs = [[[], t("graph.whole")], ...steps].map(([path, text], at) =>
			el(
				"li",
				{},
				el("button", { type: "button", disabled: at === steps.length, onclick: () => this.#open(path) }, text),
			),
		);
		this.#tools.crumbs.hidden = !steps.length;
		this.#tools.crumbs.firstChild.replaceChildren(...crumbs);
	}

	#makeTools() {
		const button = (key, text, onclick) =>
			el("button", { type: "button", i18nAttr: `aria-label:${key};title:${key}`, onclick }, text);
		const failed = el("button", {
			type: "button",
			className: "to-failed",
			i18n: "graph.failed",
			hidden: true,
			onclick: () => this.reveal(this.#run.failedNode),
		});
		return {
			failed,
			crumbs: el("nav", { className: "crumbs", hidden: true, i18nAttr: "aria-label:graph.path" }, el("ol")),
			empty: el("p", { className: "empty", hidden: true, i18n: "graph.empty" }),
			bar: el(
				"div",
				{ className: "tools" },
				failed,
				button("graph.out", "−", () => this.#viewport.zoom(0.8)),
				button("graph.in", "+", () => this.#viewport.zoom(1.25)),
				el("button", { type: "button", i18n: "graph.fit", onclick: () => this.#viewport.fit() }),
			),
		};
	}
}

customElements.define("workflow-graph", WorkflowGraph);

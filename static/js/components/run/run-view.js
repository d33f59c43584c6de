// The view "run": workflows, the form, results and the graph, and their connections.

import { health } from "../../api/health.js";
import { build, el, icon } from "../../page/dom.js";
import { i18n, t } from "../../page/i18n.js";
import { go, route } from "../../page/router.js";
import { toast } from "../../page/toasts.js";
import { drafts, idOf } from "../../run/drafts.js";
import { intake } from "../../run/intake.js";
import { workspace } from "../../run/workspace.js";
import { tasks } from "../../tasks/state.js";

const NARROW = matchMedia("(width < 64rem)");

class RunView extends HTMLElement {
	/** @type {Parts} */
	#part;
	#isAway = false;
	#able = null; // number of available servers when the parameters were read

	connectedCallback() {
		this.#part = build(this, content());
		const part = this.#part;
		const dialogs = (name) => () => act(import("./workflow-dialogs.js"), name);
		part("save").onclick = dialogs("saveChanges");
		part("save-as").onclick = dialogs("showSaveAs");
		part("versions").onclick = dialogs("showVersions");
		const remove = dialogs("deleteWorkflow");
		const undoable = (name) => () => act(import("../../run/undo.js"), name);
		const discard = undoable("discard");
		part("delete").onclick = () => void (workspace.isSaved ? remove() : discard());
		for (const name of ["reset", "take"]) part(name).onclick = undoable(name);
		drafts.addEventListener("change", () => this.#others());
		part("fold").open = !NARROW.matches;
		NARROW.onchange = () => (part("fold").open = !NARROW.matches);
		for (const name of ["results", "graph"]) part(`tab-${name}`).onclick = () => this.#tab(name);
		intake.listen();
		for (const type of ["opened", "value"]) workspace.addEventListener(type, () => this.#show());
		workspace.addEventListener("opened", () => this.#opened());
		workspace.addEventListener("failed", () => this.#show());
		route.addEventListener("change", () => this.#routed());
		i18n.addEventListener("language", () => this.#show());
		health.addEventListener("health", ({ detail }) => this.#healthy(detail));
		tasks.addEventListener(
			"change",
			({ detail }) => this.#isGraph && import("../../run/graph.js").then(({ follow }) => follow(detail.changed)),
		);
		document.addEventListener("submitted", () => this.#tab(this.#isGraph ? "graph" : "results"));
		this.#start();
	}

	get #isGraph() {
		return this.#part("tab-graph").getAttribute("aria-selected") === "true";
	}

	// Opens the workflow in the address, else the session's last one, else the first of the library.
	async #start() {
		this.#show();
		await health.ready;
		const known = workspace.sourceOf(route.view === "run" && route.id ? route.id : (drafts.last ?? ""));
		if (known) return this.#restore(known);
		const library = this.querySelector("workflow-library");
		await library.ready;
		if (workspace.isUntouched && library.first && route.view === "run" && !route.id) go("run", library.first, true);
	}

	#restore(source) {
		if (route.view === "run") go("run", idOf(source), true);
		if (!isNext(idOf(source))) workspace.open(source);
	}

	#routed() {
		if (route.view !== "run") return;
		if (!route.id && workspace.id) return go("run", workspace.id, true);
		if (isNext(route.id)) return;
		const source = workspace.sourceOf(route.id);
		if (source) workspace.open(source, true);
		else if (route.id) toast(t("drafts.gone"), { tone: "bad" });
	}

	#others() {
		this.#part("take").hidden = !workspace.others;
	}

	#opened() {
		if (NARROW.matches) this.#part("fold").open = false;
	}

	#show() {
		const part = this.#part;
		const { isSaved, source, changed, isDirty } = workspace;
		const count = workspace.parameters.length;
		part("name").textContent = part("name").title = workspace.name || t("run.nothing");
		part("format").textContent = source
			? `${String(workspace.format).toUpperCase()} · ${t(isSaved ? "run.values" : "run.unsaved", { count })}`
			: "";
		part("actions").hidden = !source;
		part("reset").hidden = !isDirty;
		part("save").hidden = !changed.length || !isSaved;
		part("versions").hidden = !isSaved;
		this.#others();
		if (this.#isGraph) this.#graph();
		part("warnings").replaceChildren(...workspace.warnings.map((warning) => el("li", { textContent: warning })));
		part("warnings").hidden = !workspace.warnings.length;
		part("hello").hidden = Boolean(source);
	}

	// Opens what could not be opened while the gateway was unreachable.
	#healthy(health) {
		if (health && this.#isAway && !workspace.source) this.#routed();
		this.#isAway = !health;
		if (health) this.#servers(health.servers ?? []);
	}

	// Choices and limits come from the servers, so they are reloaded when a server comes back.
	#servers(servers) {
		const able = servers.filter(({ online }) => online).length;
		const isMore = this.#able !== null && able > this.#able;
		this.#able = able;
		if (isMore && workspace.source && !this.querySelector("run-form :focus")) workspace.open(workspace.next);
	}

	#tab(name) {
		for (const each of ["results", "graph"]) {
			this.#part(`tab-${each}`).setAttribute("aria-selected", each === name);
			this.#part(each).hidden = each !== name;
		}
		if (name === "graph") this.#graph();
	}

	async #graph() {
		const graph = await import("../../run/graph.js");
		graph.show(this.#part("graph"), (nodeId) => this.querySelector("run-form").focusNode(nodeId));
	}
}

const isNext = (id) => workspace.next && idOf(workspace.next) === id;

// The action applies to the workflow that was open at the click, not to one opened meanwhile.
async function act(coming, name) {
	const { id } = workspace;
	try {
		const module = await coming;
		if (id === workspace.id) await module[name]();
	} catch (error) {
		toast(error);
	}
}

const content = () => [
	el(
		"details",
		{ className: "library", part: "fold" },
		el("summary", {}, el("span", { part: "summary", i18n: "library.title" })),
		el("workflow-library"),
	),
	work(),
	outcome(),
];

const work = () =>
	el(
		"div",
		{ className: "work panel", role: "region", i18nAttr: "aria-label:run.form" },
		el(
			"header",
			{},
			el("div", { className: "title" }, el("h2", { className: "cut", part: "name" }), el("small", { part: "format" })),
			el(
				"div",
				{ className: "row wrap actions", part: "actions", hidden: true },
				el("button", { part: "save", className: "accented" }, icon("save"), el("span", { i18n: "run.saveChanges" })),
				el(
					"button",
					{ className: "quiet", part: "reset", i18nAttr: "title:run.reset" },
					icon("reset"),
					el("span", { i18n: "run.reset" }),
				),
				el("button", {
					className: "quiet",
					part: "take",
					i18n: "drafts.take",
					i18nAttr: "title:drafts.takeTitle",
					hidden: true,
				}),
				el("span", { className: "grow" }),
				el(
					"button",
					{ className: "quiet", part: "save-as", i18nAttr: "title:run.saveAs" },
					icon("plus"),
					el("span", { i18n: "run.saveAs" }),
				),
				el(
					"button",
					{ className: "quiet", part: "versions", i18nAttr: "title:run.versions" },
					icon("history"),
					el("span", { i18n: "run.versions" }),
				),
				el(
					"button",
					{ className: "quiet icon-only", part: "delete", i18nAttr: "title:delete;aria-label:delete" },
					icon("trash"),
				),
			),
		),
		el(
			"div",
			{ className: "scroll", part: "scroll" },
			el("p", { className: "hint hello", part: "hello", i18n: "run.hello" }),
			el("ul", { className: "warnings", part: "warnings", hidden: true }),
			el("run-form"),
		),
		el("run-bar"),
	);

const outcome = () =>
	el(
		"div",
		{ className: "outcome" },
		el(
			"div",
			{ className: "tabs", role: "tablist" },
			el("button", {
				role: "tab",
				id: "tab-results",
				part: "tab-results",
				i18n: "run.results",
				attributes: { "aria-selected": "true", "aria-controls": "panel-results" },
			}),
			el("button", {
				role: "tab",
				id: "tab-graph",
				part: "tab-graph",
				i18n: "run.graph",
				attributes: { "aria-selected": "false", "aria-controls": "panel-graph" },
			}),
		),
		el("result-gallery", {
			role: "tabpanel",
			id: "panel-results",
			part: "results",
			attributes: { "aria-labelledby": "tab-results" },
		}),
		el("div", {
			className: "graph panel",
			role: "tabpanel",
			id: "panel-graph",
			part: "graph",
			hidden: true,
			attributes: { "aria-labelledby": "tab-graph" },
		}),
	);

customElements.define("run-view", RunView);

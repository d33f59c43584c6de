// The graph of the open workflow, with the state of its newest task.
import * as api from "../api/api.js";
import { el } from "../page/dom.js";
import { tasks } from "../tasks/state.js";
import { workspace } from "./workspace.js";
import "../graph/workflow-graph.js";

/** @type {any} */
let element = null;
/** @type {any} */
let shown = null; // the displayed workflow
/** @type {any} */
let nodeTypes = null;

// `clicked(nodeId)` is called for clicks on nodes.
export async function show(host, clicked) {
	if (element) element.hidden = !workspace.graph;
	if (!workspace.graph || shown === workspace.graph) return;
	if (!element) {
		element = el("workflow-graph");
		element.addEventListener("node-click", ({ detail }) => clicked(detail.nodeId));
		host.append(element);
	}
	shown = workspace.graph;
	nodeTypes ??= await api.nodes().then(
		({ nodes }) => nodes,
		() => null,
	);
	element.show({ workflow: workspace.graph, format: workspace.format, nodeTypes: nodeTypes ?? {} });
	element.task = tasks.sorted().find(isOurs) ?? null;
}

export function follow(changed) {
	const newest = [...changed]
		.map((id) => tasks.get(id))
		.filter((task) => task && isOurs(task) && task.status !== "queued");
	if (element && newest.length) element.task = newest.at(-1);
}

const isOurs = (task) => task.workflow === workspace.source?.filename;

// Restores the settings of an older result in the form: every value of its run.
import * as api from "../api/api.js";
import { isLink } from "../graph/values.js";
import { t } from "../page/i18n.js";
import { go } from "../page/router.js";
import { offer } from "./undo.js";
import { workspace } from "./workspace.js";

export async function useSettings(task) {
	const graph = await api.taskWorkflow(task.task_id).then(
		({ workflow }) => workflow,
		() => null,
	);
	if (task.workflow && task.workflow !== workspace.source?.filename) {
		if (!(await workspace.open({ filename: task.workflow }))) return;
		go("run", task.workflow);
	} else if (!task.workflow && workspace.name !== task.metadata?.file && graph) {
		const text = await api.taskWorkflowText(task.task_id);
		if (!(await workspace.open({ text, name: task.metadata?.file ?? t("task.unnamed") }))) return;
		go("run", workspace.id);
	} else {
		go("run", task.workflow ?? "");
	}
	const undo = workspace.undo();
	const count = workspace.apply(graph ? valuesOf(graph) : task.params);
	offer(t("settings.used", { count }), undo);
}

function valuesOf(graph) {
	const values = {};
	for (const { key, node_id, input } of workspace.parameters) {
		const inputs = graph[node_id]?.inputs;
		// Lists that are no links are wrapped.
		if (inputs && input in inputs && !isLink(inputs[input], graph))
			values[key] = inputs[input]?.__value__ ?? inputs[input];
	}
	return values;
}

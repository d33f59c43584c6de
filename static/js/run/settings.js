// The settings of an older result, back in the form: every value that it ran with.
import * as api from "../api.js";
import { t } from "../i18n.js";
import { go } from "../router.js";
import { toast } from "../toasts.js";
import { workspace } from "./workspace.js";

export async function useSettings(task) {
  const graph = await api.taskWorkflow(task.task_id).then(({ workflow }) => workflow, () => null);
  if (task.workflow && task.workflow !== workspace.source?.filename) {
    if (!(await workspace.open({ filename: task.workflow }))) return;
    go("run", task.workflow);
  } else if (!task.workflow && workspace.name !== task.metadata?.file && graph) {
    const text = await api.taskWorkflowText(task.task_id);
    await workspace.open({ text, name: task.metadata?.file ?? t("task.unnamed") });
    go("run", "");
  } else {
    go("run", task.workflow ?? "");
  }
  const count = workspace.apply(graph ? valuesOf(graph) : task.params);
  toast(t("settings.used", { count }));
}

function valuesOf(graph) {
  const values = {};
  for (const { key } of workspace.parameters) {
    const at = key.indexOf(".");
    const inputs = graph[key.slice(0, at)]?.inputs;
    const name = key.slice(at + 1);
    if (inputs && name in inputs && !Array.isArray(inputs[name])) values[key] = inputs[name];
  }
  return values;
}

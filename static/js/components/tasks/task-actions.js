// What can be done to tasks, one or many. Answers the Problems of those that did not work.
import * as api from "../../api/api.js";
import { t, texts } from "../../page/i18n.js";
import { toast } from "../../page/toasts.js";
import { isFinished, tasks } from "../../tasks/state.js";

await texts("tasks"); // the view "run" asks, too

const AT_ONCE = 6; // requests under way

export async function act(name, ids) {
	const known = ids.map((id) => tasks.get(id)).filter(Boolean);
	if (name === "cancel")
		return each(
			known.filter((task) => !isFinished(task)),
			({ task_id }) => tasks.answer(api.cancel(task_id)),
		);
	if (name === "retry") return each(known.filter(isFinished), ({ task_id }) => tasks.answer(api.retry(task_id)));
	return remove(known.filter(isFinished).map(({ task_id }) => task_id));
}

// What is deleted does not come back: results may be the only ones of their kind.
export async function mayDelete(count) {
	if (!count) return true;
	const { confirmed } = await import("../../page/dialog.js");
	const [title, text] =
		count === 1 ? ["tasks.confirmOneTitle", "tasks.confirmOne"] : ["tasks.confirmTitle", "tasks.confirm"];
	return confirmed(t(title), t(text, { count }), t("tasks.delete"));
}

// What has not run yet of a batch does not run any more, and what runs is lost.
export async function cancelBatch(id) {
	const { confirmed } = await import("../../page/dialog.js");
	const left = [...tasks.values()].filter((task) => task.batch_id === id && !isFinished(task)).length;
	if (
		await confirmed(
			t("tasks.confirmBatchTitle"),
			t("tasks.confirmBatch", { count: left }),
			t("batch.cancel"),
			t("tasks.goOn"),
		)
	)
		await api.cancelBatch(id);
}

// One of which no more than the id may be known. Throws the Problem if it does not work.
export async function removeAsked(id) {
	if (!(await mayDelete(1))) return;
	for (const problem of await remove([id])) throw problem;
}

// Deleted by somebody else: the page does not hear of that, and does not show it any more.
export function gone(id) {
	tasks.drop(id);
	toast(t("tasks.gone"), { tone: "bad", about: "tasks.gone" });
}

async function remove(ids) {
	if (!ids.length) return [];
	try {
		if (ids.length === 1) await api.remove(ids[0]);
		else await api.removeAll(ids);
	} catch (problem) {
		if (problem.code !== "task_not_found") return [problem];
	}
	for (const id of ids) tasks.drop(id);
	return [];
}

async function each(list, action) {
	const problems = [];
	const open = [...list];
	const worker = async () => {
		for (let task = open.shift(); task; task = open.shift()) {
			try {
				await action(task);
			} catch (problem) {
				if (problem.code === "task_not_found") gone(task.task_id);
				else problems.push(problem);
			}
		}
	};
	await Promise.all(Array.from({ length: AT_ONCE }, worker));
	return problems;
}

// Actions on one or more tasks. They return the Problems of those that failed.
import * as api from "../../api/api.js";
import { t, texts } from "../../page/i18n.js";
import { toast } from "../../page/toasts.js";
import { isFinished, tasks } from "../../tasks/state.js";

await texts("tasks"); // the view "run" shows these texts, too

const AT_ONCE = 6; // concurrent requests

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

// Asks before a deletion: results may be the only copies.
export async function mayDelete(count) {
	if (!count) return true;
	const { confirmed } = await import("../../page/dialog.js");
	const [title, text] =
		count === 1 ? ["tasks.confirmOneTitle", "tasks.confirmOne"] : ["tasks.confirmTitle", "tasks.confirm"];
	return confirmed(t(title), t(text, { count }), t("tasks.delete"));
}

// Asks before a batch is canceled: waiting tasks will not run, running ones are lost.
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

// Deletes a task of which only the id may be known. Throws the Problem if it fails.
export async function removeAsked(id) {
	if (!(await mayDelete(1))) return;
	for (const problem of await remove([id])) throw problem;
}

// Deleted by another client, which sends no event; removes it from the page.
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

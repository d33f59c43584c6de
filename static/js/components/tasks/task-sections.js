// Read-only sections of a task's details: error, facts, parameters, events.
import { copy } from "../../page/clipboard.js";
import { el } from "../../page/dom.js";
import { said } from "../../page/errors.js";
import { t } from "../../page/i18n.js";
import { href } from "../../page/router.js";
import { lines } from "../page/problem-box.js";
import { clock } from "./task-words.js";

const LONG = 120; // characters above which a value is shown as a block

// The traceback is folded, as it is long and the message usually suffices.
export function error(problem) {
	if (!problem) return [];
	const node = [problem.class_type, problem.node_id && `#${problem.node_id}`].filter(Boolean).join(" ");
	const { title, hint } = said(problem);
	const nodes = lines(problem.node_errors);
	const rest = problem.node_errors ? JSON.stringify(problem.node_errors, null, 2) : "";
	const traceback = [rest, ...(Array.isArray(problem.traceback) ? problem.traceback : [])].filter(Boolean).join("\n");
	return [
		el(
			"p",
			{ className: "row wrap" },
			title && el("strong", {}, title),
			el(title ? "code" : "strong", {}, problem.code ?? ""),
			node && el("code", {}, node),
		),
		el("p", { className: "message", tabIndex: 0 }, problem.message ?? ""),
		hint && el("p", {}, hint),
		nodes.length && el("ul", {}, nodes),
		el("button", {
			type: "button",
			className: "quiet",
			i18n: "copy",
			onclick: () => copy([problem.code, node, problem.message, traceback].filter(Boolean).join("\n")),
		}),
		traceback && el("details", {}, el("summary", { i18n: "task.traceback" }), el("pre", { tabIndex: 0 }, traceback)),
	];
}

export function params(values) {
	return pairs(
		Object.entries(values ?? {}).map(([key, value]) => [
			key,
			typeof value === "object" ? JSON.stringify(value) : String(value),
		]),
	);
}

export function facts(task) {
	const metadata = Object.keys(task.metadata ?? {}).length ? JSON.stringify(task.metadata, null, 1) : "";
	return pairs([
		[t("tasks.created"), clock(task.created_at)],
		[t("task.started"), clock(task.started_at)],
		[t("task.finished"), clock(task.finished_at)],
		[t("tasks.server"), task.server],
		[t("tasks.batch"), task.batch_id],
		[t("task.client"), task.client_id],
		[t("task.priority"), task.priority ? String(task.priority) : ""],
		[t("task.timeout"), task.timeout ? `${task.timeout} s` : ""],
		[t("task.metadata"), metadata],
		[
			t("task.retryOf"),
			task.retry_of && el("a", { href: href("tasks", task.retry_of) }, el("code", {}, task.retry_of.slice(0, 8))),
		],
	]);
}

function pairs(rows) {
	const shown = rows.filter(([, value]) => value !== "" && value !== null && value !== undefined);
	if (!shown.length) return [];
	return [
		el(
			"dl",
			{},
			...shown.map(([name, value]) =>
				el(
					"div",
					{ className: typeof value === "string" && (value.length > LONG || value.includes("\n")) ? "long" : "" },
					el("dt", {}, name),
					el("dd", {}, value),
				),
			),
		),
	];
}

export function log({ messages, dropped }) {
	if (!messages.length) return [el("p", { className: "hint", i18n: "task.noLog" })];
	const lines = messages.map(({ at, type, detail }) => `${clock(at, true)}  ${type.padEnd(8)}  ${brief(detail)}`);
	return [
		el(
			"pre",
			{ tabIndex: 0, i18nAttr: "aria-label:task.log" },
			[dropped ? `… ${dropped}` : "", ...lines].filter(Boolean).join("\n"),
		),
	];
}

// Omits the fields that all messages of the task have in common.
function brief({ type, event, id, task_id, ...rest }) {
	return JSON.stringify(rest).slice(0, 2000);
}

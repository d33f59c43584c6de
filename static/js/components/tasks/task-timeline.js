// Attempts and nodes of a task as bars on a common time axis.
import { el } from "../../page/dom.js";
import { t } from "../../page/i18n.js";
import { clock, spoken, wordOf } from "./task-words.js";

const TONES = {
	succeeded: "good",
	failed: "bad",
	out_of_memory: "bad",
	lost: "bad",
	output_unavailable: "bad",
	moved: "wait",
	canceled: "wait",
};

export function attempts(list) {
	const spans = list.map((attempt) => ({
		...attempt,
		start: Date.parse(attempt.started_at),
		end: attempt.ended_at ? Date.parse(attempt.ended_at) : null,
	}));
	return bars(spans, (attempt, at) => ({
		name: `${at + 1}. ${attempt.server}`,
		tone: TONES[attempt.outcome] ?? "busy",
		chip: attempt.outcome ? wordOf("attempt", attempt.outcome) : t("task.ongoing"),
		notes: [
			`${clock(attempt.started_at)} – ${attempt.ended_at ? clock(attempt.ended_at) : t("task.now")}`,
			attempt.ran === false && attempt.ended_at ? t("task.waitedOnly") : "",
			attempt.reason,
		],
	}));
}

export function nodes(list, failed) {
	return bars(list, (node) => ({
		name: node.type || node.id,
		id: `#${node.id}`,
		tone: node.end === null ? "busy" : node.id === failed ? "bad" : "good",
	}));
}

// For a task that ran before the page was opened: the times of its nodes in the task.
export function durations(seconds, prompt) {
	const spans = Object.entries(seconds).map(([id, took]) => ({
		id,
		type: prompt?.[id]?.class_type,
		start: 0,
		end: (took ?? 0) * 1000,
		cached: took === null,
	}));
	return bars(spans, (node) => ({
		name: node.type ?? node.id,
		id: `#${node.id}`,
		tone: node.cached ? "wait" : "good",
	}));
}

function bars(spans, about) {
	if (!spans.length) return [];
	const now = Date.now();
	const first = Math.min(...spans.map(({ start }) => start));
	const whole = Math.max(...spans.map(({ end }) => end ?? now)) - first || 1;
	return [
		el(
			"ol",
			{ className: "timeline" },
			...spans.map((span, at) => {
				const { name, id, tone, chip, notes } = about(span, at);
				const end = span.end ?? now;
				const bar = el("span", { className: "span", dataset: { tone } });
				bar.style.left = `${(((span.start - first) / whole) * 100).toFixed(2)}%`;
				bar.style.width = `${(((end - span.start) / whole) * 100).toFixed(2)}%`;
				return el(
					"li",
					{},
					el("span", { className: "name cut", title: name }, name, id && el("small", {}, ` ${id}`)),
					el("span", { className: "lane", attributes: { "aria-hidden": "true" } }, bar),
					el("span", { className: "took" }, spoken((end - span.start) / 1000)),
					chip && el("span", { className: "chip", dataset: { tone } }, chip),
					notes && el("small", { className: "about" }, notes.filter(Boolean).join(" · ")),
				);
			}),
		),
	];
}

// Formatting of times, sizes and names.
import { t } from "../page/i18n.js";
import { etaOf } from "../tasks/places.js";
import { isFinished } from "../tasks/state.js";

export function brief(seconds) {
	if (!Number.isFinite(seconds)) return "";
	if (seconds < 9.95) return t("time.seconds", { n: seconds.toFixed(1) });
	const whole = Math.round(seconds);
	if (whole < 60) return t("time.seconds", { n: whole });
	if (whole < 3600) return t("time.minutes", { m: Math.floor(whole / 60), s: whole % 60 });
	return t("time.hours", { h: Math.floor(whole / 3600), m: Math.floor((whole % 3600) / 60) });
}

export function duration({ started_at, finished_at }) {
	if (!started_at) return "";
	const seconds = ((finished_at ? Date.parse(finished_at) : Date.now()) - Date.parse(started_at)) / 1000;
	return brief(Math.max(0, seconds));
}

export const bytes = (count) =>
	!Number.isFinite(count) ? "" : count < 1e6 ? `${Math.ceil(count / 1e3)} kB` : `${(count / 1e6).toFixed(1)} MB`;

export const nameOf = (task) =>
	task.workflow ?? (typeof task.metadata?.file === "string" ? task.metadata.file : t("task.unnamed"));

// By key or by name, as in the request.
export const seedsOf = (task) =>
	Object.entries(task.params ?? {})
		.filter(([key, value]) => /(^|[^a-z])seed$/i.test(key) && /^-?\d+$/.test(value))
		.map(([, value]) => value);

export const TONES = {
	succeeded: "good",
	failed: "bad",
	running: "busy",
	canceling: "wait",
	queued: "wait",
	canceled: "",
	expired: "",
};

// The current activity of a task as one line.
export function doing(task) {
	if (isFinished(task)) return "";
	const { class_type, step, steps, value = 0 } = task.progress ?? {};
	const left = etaOf(task);
	const eta = left != null && t("queue.left", { time: brief(left) });
	if (task.status === "queued") {
		const place = task.queue_position ? t("task.place", { n: task.queue_position }) : t("task.waits");
		return [task.waiting_for ?? place, !task.waiting_for && eta].filter(Boolean).join(" · ");
	}
	return [class_type, steps && `${Math.round(step ?? 0)}/${Math.round(steps)}`, `${Math.round(value * 100)} %`, eta]
		.filter(Boolean)
		.join(" · ");
}

// Texts for a task's fields: status, times, durations.
import { language, t } from "../../page/i18n.js";
import { brief as spoken } from "../../run/format.js";
import { etaOf } from "../../tasks/places.js";

export { brief as spoken, duration } from "../../run/format.js";

export const STATUSES = ["queued", "running", "canceling", "succeeded", "failed", "canceled"];
export const TONES = { succeeded: "good", failed: "bad", running: "busy", canceling: "wait", queued: "wait" };

// Falls back to the API's name if there is no text.
export const wordOf = (group, name) => (t(`${group}.${name}`) === `${group}.${name}` ? name : t(`${group}.${name}`));
export const statusWord = (status) => t(`status.${status}`);
export const nameOf = (task) =>
	task.workflow ??
	(typeof task.metadata?.file === "string" ? task.metadata.file : null) ??
	(task.client_id ? t("tasks.from", { client: task.client_id }) : t("tasks.unnamed"));

// The remaining time: the place in the queue, and the estimate in seconds.
export function expected(task) {
	const place = task.queue_position ? t("tasks.place", { place: task.queue_position }) : "";
	const left = etaOf(task);
	const eta = left === null ? "" : `~${spoken(left)}`;
	return [place, eta].filter(Boolean).join(" · ");
}

// The time, with the date unless it is today.
export function clock(moment, isExact = false) {
	const date = new Date(moment);
	if (!moment || Number.isNaN(date.getTime())) return "";
	const isToday = date.toDateString() === new Date().toDateString();
	/** @type {Intl.DateTimeFormatOptions} */
	const day = isToday ? {} : { month: "short", day: "numeric" };
	/** @type {Intl.DateTimeFormatOptions} */
	const parts = {
		...day,
		hour: "2-digit",
		minute: "2-digit",
		second: "2-digit",
		...(isExact && { fractionalSecondDigits: 3 }),
		hour12: false,
	};
	return date.toLocaleString(language() === "zh" ? "zh-CN" : "en-GB", parts);
}

/** @param {Task} task */
export function doing({ progress, status }) {
	const { value = 0, class_type, step, steps } = progress ?? {};
	const percent = `${Math.round((Number(value) || 0) * 100)} %`;
	if (status !== "running") return percent;
	return [percent, class_type, steps && t("tasks.step", { step: step ?? 0, steps })].filter(Boolean).join(" · ");
}

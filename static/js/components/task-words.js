// How a task's fields are said: statuses, times, durations.
import { language, t } from "../i18n.js";
import { etaOf } from "../places.js";

export const STATUSES = ["queued", "running", "canceling", "succeeded", "failed", "canceled"];
export const TONES = { succeeded: "good", failed: "bad", running: "busy", canceling: "wait", queued: "wait" };

export const statusWord = (status) => t(`status.${status}`);
export const nameOf = (task) => task.workflow ?? (typeof task.metadata?.file === "string" ? task.metadata.file : null) ?? t("tasks.unnamed");

export function spoken(seconds) {
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 10) return `${Math.max(seconds, 0).toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

export function duration({ started_at, finished_at }, now = Date.now()) {
  if (!started_at) return "";
  const end = finished_at ? Date.parse(finished_at) : now;
  return spoken(Math.max(0, (end - Date.parse(started_at)) / 1000));
}

// What is left: its place in the queue, a guess of the seconds.
export function expected(task) {
  const place = task.queue_position ? t("tasks.place", { place: task.queue_position }) : "";
  const left = etaOf(task);
  const eta = left === null ? "" : `~${spoken(left)}`;
  return [place, eta].filter(Boolean).join(" · ");
}

// The clock of today, the date besides of other days.
export function clock(moment, isExact = false) {
  const date = new Date(moment);
  if (!moment || Number.isNaN(date.getTime())) return "";
  const isToday = date.toDateString() === new Date().toDateString();
  const day = isToday ? {} : { month: "short", day: "numeric" };
  const parts = { ...day, hour: "2-digit", minute: "2-digit", second: "2-digit", ...(isExact && { fractionalSecondDigits: 3 }), hour12: false };
  return date.toLocaleString(language() === "zh" ? "zh-CN" : "en-GB", parts);
}

export function doing({ progress, status }) {
  const { value = 0, class_type, step, steps } = progress ?? {};
  const percent = `${Math.round((Number(value) || 0) * 100)} %`;
  if (status !== "running") return percent;
  return [percent, class_type, steps && t("tasks.step", { step: step ?? 0, steps })].filter(Boolean).join(" · ");
}

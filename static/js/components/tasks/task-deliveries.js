// The webhook deliveries of a task, with each attempt.
import * as api from "../../api/api.js";
import { has } from "../../api/features.js";
import { el } from "../../page/dom.js";
import { t } from "../../page/i18n.js";
import { clock } from "./task-words.js";

const TONES = { delivered: "good", dead: "bad", pending: "wait" };

// Resolves to null if the gateway has no webhooks, or the task has no deliveries.
export async function deliveriesOf(id) {
	if (!(await has("api/task/{task_id}/deliveries"))) return null;
	try {
		const { deliveries } = await api.taskDeliveries(id);
		return deliveries?.length ? deliveries : null;
	} catch {
		return null;
	}
}

export function shown(list, replayed) {
	return list.map((delivery) =>
		el(
			"div",
			{ className: "delivery" },
			el(
				"div",
				{ className: "row wrap" },
				el("span", { className: "chip", dataset: { tone: TONES[delivery.status] ?? "" } }, delivery.status),
				el("strong", {}, delivery.event),
				el("code", { className: "grow cut", title: delivery.url }, delivery.url),
				el("button", {
					type: "button",
					i18n: "task.replay",
					onclick: () => replayed(api.replay(delivery.delivery_id)),
				}),
			),
			el(
				"ol",
				{},
				...(delivery.attempts ?? []).map((attempt, at) =>
					el(
						"li",
						{},
						el(
							"small",
							{},
							[
								t("task.try", { number: at + 1 }),
								clock(attempt.at),
								attempt.status_code && `HTTP ${attempt.status_code}`,
								`${attempt.duration_ms} ms`,
								attempt.error,
								attempt.response,
							]
								.filter(Boolean)
								.join(" · "),
						),
					),
				),
			),
			delivery.next_attempt_at && el("small", {}, t("task.next", { time: clock(delivery.next_attempt_at) })),
		),
	);
}

// Two results over each other, with a movable dividing line. Their differences are listed below.
import * as api from "../../api/api.js";
import { isLink } from "../../graph/values.js";
import { openDialog } from "../../page/dialog.js";
import { el } from "../../page/dom.js";
import { t, texts } from "../../page/i18n.js";
import { toast } from "../../page/toasts.js";
import { text } from "../../run/values.js";
import { mediaView } from "./media-view.js";

await texts("dialogs");

// Takes two result tiles, the newer one first, and deselects them.
export async function compareTiles(tiles) {
	const [newer, older] = tiles.map(({ task }) => ({
		task,
		output: task.outputs.find(({ kind, url }) => kind === "image" && url),
	}));
	await compare(older, newer).closed;
	for (const tile of tiles) tile.isCompared = false;
}

function compare(left, right) {
	const [under, over] = [mediaView(right.output), mediaView(left.output)];
	over.className = "over";
	const stage = el("div", { className: "versus" }, under, over, el("span", { className: "line" }));
	const slider = el("input", { type: "range", min: 0, max: 100, step: 0.5, i18nAttr: "aria-label:compare.slider" });
	const move = (percent) => {
		slider.value = percent;
		stage.style.setProperty("--at", `${slider.value}%`);
	};
	slider.oninput = () => move(slider.value);
	stage.onpointermove = ({ clientX, buttons, pointerType }) => {
		const { left: start, width } = stage.getBoundingClientRect();
		if (buttons || pointerType === "mouse") move(((clientX - start) / width) * 100);
	};
	const differing = el("div");
	differences(left.task, right.task).then((table) => differing.replaceChildren(table), toast);
	const dialog = openDialog({ i18n: "compare.title" }, [stage, slider, differing], { className: "large compare" });
	move(50);
	slider.focus();
	return dialog;
}

// Compares the graphs as they were queued, with all values that either of them has.
async function differences(left, right) {
	const [before, after] = await Promise.all(
		[left, right].map(async ({ task_id }) => (await api.taskWorkflow(task_id)).workflow),
	);
	const ids = [...new Set([...Object.keys(before), ...Object.keys(after)])];
	const rows = ids
		.flatMap((id) => ofNode(id, before, after))
		.map(([name, a, b]) =>
			el(
				"tr",
				{},
				el("th", { textContent: name, scope: "row" }),
				el("td", { textContent: a }),
				el("td", { textContent: b }),
			),
		);
	if (!rows.length) return el("p", { className: "hint", i18n: "compare.same" });
	return el(
		"table",
		{},
		el(
			"thead",
			{},
			el(
				"tr",
				{},
				el("th", { i18n: "compare.parameter" }),
				el("th", { textContent: t("compare.left") }),
				el("th", { textContent: t("compare.right") }),
			),
		),
		el("tbody", {}, rows),
	);
}

function ofNode(id, before, after) {
	const [a, b] = [before[id], after[id]];
	if (a?.class_type !== b?.class_type)
		return [[`#${id}`, a ? called(id, before) : t("compare.noNode"), b ? called(id, after) : t("compare.noNode")]];
	const inputs = [...new Set([...Object.keys(a.inputs ?? {}), ...Object.keys(b.inputs ?? {})])];
	const pairs = inputs.map((name) => [
		`${called(id, after)} · ${name}`,
		cell(a.inputs?.[name], before),
		cell(b.inputs?.[name], after),
	]);
	return pairs.filter(([, one, other]) => one !== other);
}

// A node's title, if it differs from its class, with class and id.
function called(id, graph) {
	const { class_type, _meta } = graph[id] ?? {};
	return [_meta?.title, _meta?.title === class_type ? "" : class_type, `#${id}`].filter(Boolean).join(" ");
}

function cell(value, graph) {
	if (value === undefined) return t("compare.unset");
	return isLink(value, graph) ? `→ ${called(value[0], graph)} [${value[1]}]` : text(value);
}

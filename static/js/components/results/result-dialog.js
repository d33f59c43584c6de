// A result in full window size, with its settings beside it; arrow keys select others.
import * as api from "../../api/api.js";
import { has } from "../../api/features.js";
import { openDialog } from "../../page/dialog.js";
import { el, icon } from "../../page/dom.js";
import { save } from "../../page/files.js";
import { t, texts } from "../../page/i18n.js";
import { view } from "../../page/media.js";
import { href } from "../../page/router.js";
import { toast } from "../../page/toasts.js";
import { bytes, duration, nameOf } from "../../run/format.js";
import { useSettings } from "../../run/settings.js";
import { offer } from "../../run/undo.js";
import { text } from "../../run/values.js";
import { workspace } from "../../run/workspace.js";
import { identity, mediaView } from "./media-view.js";

await texts("dialogs");

export function openLarge(first, pictures) {
	let now = first;
	const stage = el("div", { className: "stage" });
	const side = el("div", { className: "side" });
	const title = el("h2", { className: "cut" });
	const step = (by) => {
		const all = pictures();
		const at = all.findIndex(
			({ task, output }) => task.task_id === now.task.task_id && identity(output) === identity(now.output),
		);
		const next = all[at + by];
		if (next) show(next);
	};
	const show = (picture) => {
		now = picture;
		const { task, output } = picture;
		dialog.querySelector("h2").textContent = output.filename;
		stage.replaceChildren(mediaView(output));
		side.replaceChildren(...about(task, output, dialog));
	};
	const previous = el(
		"button",
		{
			className: "quiet icon-only",
			i18nAttr: "title:large.previous;aria-label:large.previous",
			onclick: () => step(-1),
		},
		icon("left"),
	);
	const next = el(
		"button",
		{ className: "quiet icon-only", i18nAttr: "title:large.next;aria-label:large.next", onclick: () => step(1) },
		icon("right"),
	);
	const dialog = openDialog({ textContent: title.textContent }, [stage, side], {
		className: "large",
		head: [previous, next],
	});
	dialog.addEventListener("keydown", ({ key }) => {
		if (key === "ArrowLeft") step(-1);
		if (key === "ArrowRight") step(1);
	});
	show(first);
	return dialog;
}

function about(task, output, dialog) {
	const url = view(output.url);
	const button = (name, key, act, props = {}) =>
		el(
			"button",
			{ onclick: () => Promise.resolve(act()).catch(toast), ...props },
			icon(name),
			el("span", { i18n: key }),
		);
	const clean = button(
		"download",
		"large.clean",
		() => save(`${url}${url.includes("?") ? "&" : "?"}metadata=strip`, output.filename),
		{ hidden: true },
	);
	const use = () => {
		dialog.close();
		return useSettings(task);
	};
	const zip = button("download", "large.zip", () => save(api.zipUrl(task.task_id), `${task.task_id}.zip`), {
		hidden: true,
	});
	has("api/image/{filename}", "metadata").then((can) => (clean.hidden = !can));
	has("api/task/{task_id}/outputs.zip").then((can) => (zip.hidden = !can));
	const input = workspace.parameters.find(({ upload }) => upload === "image");
	const facts = [
		[t("large.workflow"), nameOf(task)],
		[t("large.took"), duration(task)],
		[t("large.server"), task.server],
		[t("large.size"), bytes(output.size_bytes)],
	];
	return [
		el(
			"div",
			{ className: "actions" },
			button("reset", "result.use", use, { className: "primary" }),
			button("download", "large.download", () => save(url, output.filename)),
			clean,
			zip,
			input && button("image", "large.asInput", () => asInput(input, output).then(() => dialog.close())),
			el(
				"a",
				{ className: "button", href: href("tasks", task.task_id), onclick: () => dialog.close() },
				icon("more"),
				el("span", { i18n: "large.task" }),
			),
		),
		list(facts),
		Object.keys(task.params ?? {}).length > 0 && el("h3", { i18n: "large.params" }),
		list(Object.entries(task.params ?? {}).map(([key, value]) => [key, text(value)])),
	].filter(Boolean);
}

const list = (pairs) =>
	el(
		"dl",
		{},
		pairs
			.filter(([, value]) => value)
			.flatMap(([name, value]) => [el("dt", { textContent: name }), el("dd", { textContent: value })]),
	);

async function asInput(parameter, output) {
	const { id } = workspace;
	const file = new File([await api.blob(view(output.url))], output.filename, { type: output.content_type });
	const { name } = await api.upload(file);
	const undo = workspace.undo();
	workspace.set(parameter.key, name, false, id);
	if (id === workspace.id) offer(t("large.isInput"), undo);
	else toast(t("large.isInput"));
}

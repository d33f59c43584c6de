// Dialogs for versions of a workflow, saving under a name, deletion.
import * as library from "../../api/library.js";
import { confirmed, openDialog } from "../../page/dialog.js";
import { el, icon } from "../../page/dom.js";
import { line } from "../../page/errors.js";
import { language, t, texts } from "../../page/i18n.js";
import { go, route } from "../../page/router.js";
import { toast } from "../../page/toasts.js";
import { intake } from "../../run/intake.js";
import { saveAs } from "../../run/save-as.js";
import { restore as restoreTo } from "../../run/undo.js";
import { workspace } from "../../run/workspace.js";

await texts("dialogs");

export async function showVersions() {
	const { id: filename } = workspace;
	const { versions } = await library.versions(filename);
	const restore = async (version) => {
		await restoreTo(filename, version);
		dialog.close();
	};
	const look = async (version) => {
		const old = await library.version(filename, version);
		dialog.close();
		intake.text(
			JSON.stringify(old.workflow),
			t("versions.of", { name: filename, time: time(old.saved_at ?? entry(version)?.saved_at) }),
		);
	};
	const entry = (version) => versions.find((each) => each.version === version);
	const rows = versions.map(({ version, saved_at, size_bytes }) =>
		el(
			"li",
			{ className: "row" },
			el(
				"span",
				{ className: "grow" },
				el("span", { textContent: time(saved_at) }),
				el("small", { textContent: ` · ${(size_bytes / 1000).toFixed(1)} kB` }),
			),
			el("button", { i18n: "versions.open", onclick: () => look(version).catch(toast) }),
			el(
				"button",
				{ onclick: () => restore(version).catch(toast) },
				icon("history"),
				el("span", { i18n: "versions.restore" }),
			),
		),
	);
	const dialog = openDialog(
		{ textContent: t("versions.title", { name: filename }) },
		rows.length ? el("ul", { className: "rows" }, rows) : el("p", { className: "hint", i18n: "versions.none" }),
		{ className: "small" },
	);
}

export function showSaveAs() {
	const proposed = workspace.isSaved ? workspace.name.replace(/(\.json)?$/i, " copy.json") : plain(workspace.name);
	const input = el("input", { type: "text", id: "save-name", value: proposed, autocomplete: "off", maxLength: 120 });
	const over = el("input", { type: "checkbox", id: "save-over" });
	const fault = el("p", { className: "error", attributes: { role: "alert" }, hidden: true });
	const form = el(
		"form",
		{ className: "stack" },
		el("label", { htmlFor: input.id, i18n: "save.name" }),
		input,
		el("div", { className: "row" }, over, el("label", { htmlFor: over.id, i18n: "save.over" })),
		fault,
	);
	const dialog = openDialog({ i18n: "save.as" }, form, {
		className: "small",
		buttons: [{ i18n: "cancel" }, { i18n: "save", className: "primary", act: keep }],
	});
	async function keep() {
		try {
			await saveAs(input.value.trim().replace(/(\.json)?$/i, ".json"), over.checked);
			toast(t("saved"));
		} catch (error) {
			fault.textContent = await line(error);
			fault.hidden = false;
			return false;
		}
	}
	form.oninput = () => {
		fault.hidden = true;
	};
	form.onsubmit = (event) => {
		event.preventDefault();
		dialog.querySelector(".primary").click();
	};
	input.select();
}

export async function saveChanges() {
	const { id: filename } = workspace;
	try {
		await workspace.save((params) => library.update(filename, params, workspace.version));
		toast(t("saved"));
	} catch (error) {
		if (error.code !== "workflow_changed" || workspace.id !== filename) throw error;
		const isWanted = await confirmed(t("save.conflict"), t("save.conflictText"), t("save.anyway"));
		if (isWanted) await workspace.save((params) => library.update(filename, params));
	}
}

export async function deleteWorkflow() {
	const { id: filename } = workspace;
	if (!(await confirmed(t("delete.title", { name: filename }), t("delete.text"), t("delete")))) return;
	await library.removeWorkflow(filename);
	if (workspace.id === filename) workspace.close();
	intake.dispatchEvent(new CustomEvent("saved"));
	if (route.id === filename) go("run", "");
	toast(t("delete.done", { name: filename }), { action: { label: t("undo"), act: () => undo(filename).catch(toast) } });
}

async function undo(filename) {
	const { versions } = await library.versions(filename);
	await library.restore(filename, versions[0].version);
	intake.dispatchEvent(new CustomEvent("saved"));
	go("run", filename);
}

const time = (iso) =>
	new Date(iso).toLocaleString(language() === "zh" ? "zh-CN" : "en", { dateStyle: "medium", timeStyle: "medium" });
const plain = (name) =>
	`${
		name
			.replace(/\.json$/i, "")
			.replace(/[^\p{L}\p{N} ._()-]/gu, "")
			.trim() || "workflow"
	}.json`;

// The current form as code to be copied.

import * as api from "../../api/api.js";
import { has } from "../../api/features.js";
import { key } from "../../api/key.js";
import { copy } from "../../page/clipboard.js";
import { openDialog } from "../../page/dialog.js";
import { el, icon } from "../../page/dom.js";
import { texts, translate } from "../../page/i18n.js";
import { comfySdk, curl, javascript, powershell, python } from "../../run/code.js";
import { firstOf, choose as remember } from "../../run/code-kind.js";
import { workspace } from "../../run/workspace.js";

await texts("dialogs");

// Shows a run of the open workflow with these options.
export function showRun(options) {
	const { source } = workspace;
	const graph = () => api.convertText(source, workspace.params());
	return showCode({
		path: "api/workflow/submit",
		body: api.submitBody(source, options),
		isBatch: Boolean(options.batch),
		graph,
	});
}

// `request` is {path, body, isBatch, graph}; graph() resolves to the workflow as text in API format.
/** @param {{ path: string, body: string, isBatch: boolean, graph: () => Promise<string> }} asked */
async function showCode({ graph, ...request }) {
	const run = { ...request, origin: document.baseURI, hasKey: Boolean(key.value) };
	const kinds = {
		curl: async () => curl(run),
		PowerShell: async () => powershell(run),
		Python: async () => python(run),
		JavaScript: async () => javascript(run),
	};
	if (await has("api/v2/jobs")) kinds["comfy-sdk"] = async () => comfySdk({ ...run, graph: await graph() });
	const code = el("pre", { className: "code", tabIndex: 0 });
	const hint = el("p", { className: "hint" });
	const fault = el("problem-box", { hidden: true });
	const tabs = el("div", {
		className: "tabs wrap",
		attributes: { role: "tablist" },
		i18nAttr: "aria-label:code.kinds",
	});
	let chosen = null; // a late answer must not replace the code of another tab
	const choose = async (name) => {
		chosen = name;
		for (const tab of tabs.children) tab.setAttribute("aria-selected", tab.textContent === name);
		const [text, error] = await kinds[name]().then(
			(made) => [made, null],
			(problem) => ["", problem],
		);
		if (chosen !== name) return;
		code.textContent = text;
		code.setAttribute("aria-label", name);
		fault.show(error);
		hint.dataset.i18n = run.hasKey ? (name === "PowerShell" ? "code.keyPowershell" : "code.key") : "code.open";
		translate(hint);
	};
	const pick = (name) => {
		remember(name);
		choose(name);
	};
	for (const name of Object.keys(kinds)) {
		tabs.append(el("button", { textContent: name, attributes: { role: "tab" }, onclick: () => pick(name) }));
	}
	const take = el(
		"button",
		{ className: "primary", onclick: () => copy(code.textContent, dialog) },
		icon("copy"),
		el("span", { i18n: "copy" }),
	);
	const dialog = openDialog(
		{ i18n: "code.title" },
		[el("div", { className: "row wrap" }, tabs, el("span", { className: "grow" }), take), fault, code, hint],
		{ className: "code-dialog" },
	);
	choose(firstOf(Object.keys(kinds)));
}

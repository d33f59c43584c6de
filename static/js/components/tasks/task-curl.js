// The request that creates the same task again, for the visitor's shell.
import * as api from "../../api/api.js";
import { key } from "../../api/key.js";
import { curl, powershell } from "../../run/code.js";
import { firstOf, SHELLS } from "../../run/code-kind.js";

const isPowershell = firstOf(SHELLS) === "PowerShell";
export const COPY = isPowershell ? "task.copyPowershell" : "task.copyCurl";

// The graph that ran contains all values, with all digits of numbers.
export async function curlOf(task) {
	const body = `{"workflow": ${await api.taskWorkflowText(task.task_id)}}`;
	const run = { origin: document.baseURI, path: "api/workflow/submit", body, hasKey: Boolean(key.value) };
	return isPowershell ? powershell(run) : curl(run);
}

export async function copy(text, button, said) {
	try {
		await navigator.clipboard.writeText(text); // only in a secure context
	} catch {
		const area = Object.assign(document.createElement("textarea"), { value: text });
		button.after(area);
		area.select();
		document.execCommand("copy");
		area.remove();
		button.focus();
	}
	const before = button.textContent;
	if (before === said) return;
	button.textContent = said;
	setTimeout(() => (button.textContent = before), 1200);
}

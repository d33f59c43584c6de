// Saving under another name.
import * as api from "../api/api.js";
import * as library from "../api/library.js";
import { drafts } from "./drafts.js";
import { intake } from "./intake.js";
import { workspace } from "./workspace.js";

// Creates a file with the changes of the open workflow. The text is sent verbatim, so that no digit is
// lost.
export async function saveAs(filename, overwrite) {
	const { source, id, values } = workspace;
	const params = workspace.params();
	const text = source?.text ?? (await api.workflowText(source?.filename));
	const file = new File([text], filename, { type: "application/json" });
	const kept = await library.uploadWorkflow(file, { filename, overwrite });
	if (Object.keys(params).length) {
		try {
			await library.update(kept.filename, params);
		} catch (error) {
			if (!overwrite) await library.removeWorkflow(kept.filename).catch(() => null);
			throw error;
		}
	}
	const typed = workspace.since(id, values); // typed meanwhile: applies to the new file
	if (id === workspace.id) workspace.resetAll();
	drafts.discard(id);
	for (const [key, value] of typed) workspace.set(key, value, true, kept.filename);
	if (kept.filename === workspace.id) await workspace.open({ filename: kept.filename });
	intake.saved(kept.filename);
}

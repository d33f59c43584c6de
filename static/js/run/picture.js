// An image that may contain a workflow: the gateway extracts and saves it.
import * as library from "../api/library.js";
import { t, texts } from "../page/i18n.js";
import { toast } from "../page/toasts.js";
import { intake } from "./intake.js";

await texts("dialogs");

export async function keep(file) {
	try {
		const { filename } = await uploaded(file);
		intake.saved(filename);
		toast(t("library.kept", { name: filename }), { about: "intake" });
	} catch (error) {
		const isPlain = error.code === "workflow_format";
		toast(isPlain ? t("library.plainPicture", { name: file.name }) : error, { tone: "bad", about: "intake" });
	}
}

// Under another name if the name exists.
async function uploaded(file) {
	const base = file.name.replace(/\.[^.]*$/, "");
	for (let turn = 1; ; turn += 1) {
		try {
			return await library.uploadWorkflow(file, turn > 1 ? { filename: `${base} (${turn}).json` } : {});
		} catch (error) {
			if (error.code !== "workflow_exists" || turn > 20) throw error;
		}
	}
}

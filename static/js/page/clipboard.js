// Copies a text; without https by execCommand.

import { t } from "./i18n.js";
import { toast } from "./toasts.js";

export async function copy(text, near = document.body) {
	try {
		await navigator.clipboard.writeText(text);
	} catch {
		const area = Object.assign(document.createElement("textarea"), { value: text, className: "unseen" });
		near.append(area); // inside an open dialog, as otherwise it gets no focus
		area.select();
		document.execCommand("copy");
		area.remove();
	}
	toast(t("copied"));
}

// Workflows from outside: files dropped anywhere, chosen, or pasted. JSON is opened, and stored only when
// it is saved. The workflow in an image is extracted by the gateway, which saves it at once.
import { t } from "../page/i18n.js";
import { go } from "../page/router.js";
import { settle, toast } from "../page/toasts.js";
import { workspace } from "./workspace.js";

const PICTURES = /\.(png|webp|jpe?g)$/i;

class Intake extends EventTarget {
	listen() {
		document.addEventListener("dragover", (event) => {
			if (![...(event.dataTransfer?.types ?? [])].includes("Files")) return;
			event.preventDefault();
			document.body.classList.add("dropping");
		});
		document.addEventListener("dragleave", (event) => {
			if (!event.relatedTarget) document.body.classList.remove("dropping");
		});
		document.addEventListener("drop", (event) => {
			document.body.classList.remove("dropping");
			const file = event.dataTransfer?.files[0];
			if (!file) return;
			event.preventDefault();
			this.file(file);
		});
		document.addEventListener("paste", (event) => {
			if (/** @type {any} */ (event.target).closest?.("input, textarea") || document.querySelector("dialog[open]"))
				return;
			const file = event.clipboardData?.files[0];
			const text = event.clipboardData?.getData("text/plain") ?? "";
			if (file) this.file(file);
			else if (text.trim()) this.text(text, t("library.pasted"));
		});
	}

	async file(file) {
		if (PICTURES.test(file.name) || file.type.startsWith("image/")) return (await import("./picture.js")).keep(file);
		this.text(await file.text(), file.name);
	}

	// Returns false if it is not JSON; the gateway decides whether it is a workflow.
	text(text, name, isTold = true) {
		try {
			JSON.parse(text);
		} catch (error) {
			if (isTold) toast(t("library.notJson", { name, why: error.message }), { tone: "bad", about: "intake" });
			return false;
		}
		settle("intake");
		workspace.open({ text, name }).then((isOpen) => isOpen && go("run", workspace.id));
		return true;
	}

	saved(filename) {
		this.dispatchEvent(new CustomEvent("saved", { detail: filename }));
		go("run", filename);
	}
}

export const intake = new Intake();

// What takes values out of the form tells so, and offers the way back to them; that leads there, too.
import * as library from "../api/library.js";
import { t, texts } from "../page/i18n.js";
import { go, route } from "../page/router.js";
import { toast } from "../page/toasts.js";
import { drafts } from "./drafts.js";
import { workspace } from "./workspace.js";

await texts("dialogs");

// `undo`: what workspace.undo() answered before.
export function offer(text, undo, id = workspace.id) {
	const act = async () => {
		await undo();
		go("run", id);
	};
	toast(text, { action: { label: t("undo"), act: () => void act().catch(toast) } });
}

export function reset() {
	offer(t("drafts.reset", { name: workspace.name }), workspace.resetAll());
}

export function take() {
	const undo = workspace.undo();
	workspace.takeOthers();
	offer(t("drafts.taken"), undo);
}

export function discard() {
	const { source, id } = workspace;
	const undo = workspace.resetAll();
	drafts.discard(id);
	if (route.view !== "run" || route.id === id) workspace.close(); // else another one is on its way
	if (route.id === id) go("run", "");
	const act = async () => {
		await workspace.open(source);
		undo();
		go("run", id);
	};
	toast(t("drafts.discarded", { name: source?.name }), { action: { label: t("undo"), act } });
}

// A former content of the saved workflow that is open. Undone, there is again what was saved, and what was not.
export async function restore(filename, version) {
	const listed = async () => (await library.versions(filename)).versions.map((each) => each.version);
	const [undo, { isDirty }] = [workspace.undo(), workspace];
	const before = await listed();
	const call = (name) => library.restore(filename, name);
	const saved = (name) => (workspace.id === filename ? workspace.save(() => call(name)) : call(name));
	await saved(version);
	const was = (await listed()).find((each) => !before.includes(each)); // none: nothing else was saved
	const back = async () => {
		if (was) await saved(was);
		undo();
	};
	offer(t(isDirty ? "versions.restoredOver" : "versions.restored"), back, filename);
}

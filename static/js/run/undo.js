// Actions that remove values from the form show a notification with an undo, which also navigates back.
import * as library from "../api/library.js";
import { t, texts } from "../page/i18n.js";
import { go, route } from "../page/router.js";
import { toast } from "../page/toasts.js";
import { drafts } from "./drafts.js";
import { workspace } from "./workspace.js";

await texts("dialogs");

// `undo`: the earlier result of workspace.undo().
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
	if (route.view !== "run" || route.id === id) workspace.close(); // otherwise another one is loading
	if (route.id === id) go("run", "");
	const act = async () => {
		await workspace.open(source);
		undo();
		go("run", id);
	};
	toast(t("drafts.discarded", { name: source?.name }), { action: { label: t("undo"), act } });
}

// Restores a version of the open workflow. Undo restores the saved and the unsaved state.
export async function restore(filename, version) {
	const listed = async () => (await library.versions(filename)).versions.map((each) => each.version);
	const [undo, { isDirty }] = [workspace.undo(), workspace];
	const before = await listed();
	const call = (name) => library.restore(filename, name);
	const saved = (name) => (workspace.id === filename ? workspace.save(() => call(name)) : call(name));
	await saved(version);
	const was = (await listed()).find((each) => !before.includes(each)); // undefined if nothing else was saved
	const back = async () => {
		if (was) await saved(was);
		undo();
	};
	offer(t(isDirty ? "versions.restoredOver" : "versions.restored"), back, filename);
}

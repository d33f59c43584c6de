// An input file: chosen, dropped or pasted, with a preview. Images can get a mask.
import * as api from "../api/api.js";
import { health } from "../api/health.js";
import { el, icon } from "../page/dom.js";
import { t, texts } from "../page/i18n.js";
import { show } from "../page/media.js";
import { styles } from "../page/styles.js";
import { settle, toast } from "../page/toasts.js";
import { text } from "../run/values.js";
import { workspace } from "../run/workspace.js";

await texts("dialogs");
await styles("upload");

// The address of the file in its original size.
function whole(address) {
	const url = new URL(address, document.baseURI);
	url.searchParams.delete("width");
	return url.href;
}

export function uploadControl(parameter, change) {
	const kind = parameter.upload;
	const picker = el("input", {
		type: "file",
		accept: kind === "image" ? "image/*" : kind === "video" ? "video/*" : kind === "audio" ? "audio/*" : "",
	});
	const input = el("input", { type: "text", autocomplete: "off" });
	const preview = el(kind === "video" ? "video" : kind === "audio" ? "audio" : "img", {
		hidden: true,
		...(kind === "image" ? { alt: "" } : { controls: true, preload: "metadata" }),
	});
	const drop = el("span", { className: "hint", i18n: "upload.drop" });
	const choose = el("label", { className: "button" }, icon("upload"), el("span", { i18n: "upload.choose" }), picker);
	const mask = el("button", { type: "button", hidden: true }, icon("brush"), el("span", { i18n: "mask.draw" }));
	const node = el(
		"div",
		{ className: "upload" },
		el("div", { className: "frame" }, preview, drop),
		el("div", { className: "row" }, input, choose, mask),
	);
	const list = el(
		"datalist",
		{ id: `files-${crypto.randomUUID()}` },
		(parameter.choices ?? []).map((choice) => el("option", { value: text(choice) })),
	);
	input.setAttribute("list", list.id);
	node.append(list);

	// A file on a server may be the server's own or an upload: both addresses are tried.
	let [shownAt, otherwise] = ["", ""];
	const places = () => {
		const { value } = input;
		if (!value) return ["", ""];
		const upload = api.uploadUrl(value, { width: kind === "image" ? 512 : null });
		const server =
			(parameter.choices ?? []).some((choice) => text(choice) === value) &&
			health.last?.servers?.find(({ online }) => online)?.id;
		return server ? [api.uploadUrl(value, { server }), upload] : [upload, ""];
	};
	const see = () => {
		preview.hidden = true;
		drop.hidden = false;
		mask.hidden = true;
		[shownAt, otherwise] = places();
		if (shownAt) show(preview, shownAt);
	};
	const shown = () => {
		preview.hidden = false;
		drop.hidden = true;
		mask.hidden = kind !== "image";
	};
	preview.addEventListener(kind === "image" ? "load" : "loadedmetadata", shown);
	preview.addEventListener("error", () => {
		preview.hidden = mask.hidden = true;
		if (!otherwise) return;
		[shownAt, otherwise] = [otherwise, ""];
		show(preview, shownAt);
	});
	let turn = 0; // a later choice or input is not replaced
	const take = async (file, original) => {
		const mine = ++turn;
		const { id } = workspace;
		node.setAttribute("aria-busy", "true");
		try {
			const { name } = original ? await api.uploadMask(file, original) : await api.upload(file);
			settle(parameter.key);
			if (mine !== turn) return;
			if (!node.isConnected) return workspace.set(parameter.key, name, false, id);
			control.value = name;
			change();
		} catch (error) {
			toast(error, { about: parameter.key });
		} finally {
			if (mine === turn) node.removeAttribute("aria-busy");
		}
	};
	picker.onchange = () => {
		if (picker.files[0]) take(picker.files[0]);
		picker.value = "";
	};
	const later = () => {
		turn += 1;
		node.removeAttribute("aria-busy");
	};
	input.oninput = later;
	input.onchange = () => {
		see();
		change();
	};
	// Edits the mask of the displayed image. A mask needs an upload, so a server's file is uploaded first.
	const paint = async () => {
		const { editMask } = await import("../components/run/mask-dialog.js");
		const [name, place] = [input.value, shownAt];
		const picture = await api.blob(whole(place));
		const drawn = await editMask(picture);
		if (!drawn) return;
		const isUpload = !new URL(place, document.baseURI).searchParams.has("server");
		const file = isUpload ? null : new File([picture], name.split(/[\\/]/).pop(), { type: picture.type });
		await take(drawn, file ? (await api.upload(file)).name : name);
	};
	mask.onclick = () => paint().catch(toast);
	node.addEventListener("dragover", (event) => {
		event.preventDefault();
		node.classList.add("over");
	});
	node.addEventListener("dragleave", () => node.classList.remove("over"));
	node.addEventListener("drop", (event) => {
		node.classList.remove("over");
		if (!event.dataTransfer.files[0]) return;
		event.preventDefault();
		event.stopPropagation(); // elsewhere on the page it would open a workflow
		document.body.classList.remove("dropping");
		take(event.dataTransfer.files[0]);
	});
	node.addEventListener("paste", (event) => {
		const file = event.clipboardData.files[0];
		if (!file) return;
		event.preventDefault();
		event.stopPropagation();
		take(file);
	});

	const control = {
		node,
		input,
		get value() {
			return input.value;
		},
		set value(value) {
			later();
			input.value = text(value);
			see();
		},
		get fault() {
			return input.value ? "" : t("upload.none");
		},
	};
	return control;
}

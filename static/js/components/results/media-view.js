// One output of a task as an element: image, video, audio, text, or a download link.
import { el, icon } from "../../page/dom.js";
import { save } from "../../page/files.js";
import { t } from "../../page/i18n.js";
import { ours, show, view } from "../../page/media.js";
import { bytes } from "../../run/format.js";

// The identity of an output; its element is reused while it is unchanged.
export const identity = (output) =>
	JSON.stringify([output.node_id, output.type, output.subfolder, output.filename, output.text, output.url]);

export function mediaView(output, width) {
	if (output.text != null) return el("pre", { textContent: output.text, tabIndex: 0 });
	const name = output.filename ?? "file";
	const url = ours(output.url);
	if (!url) return el("p", { className: "hint", textContent: `${name}: ${output.error?.message ?? t("output.gone")}` });
	if (output.kind === "image") {
		const image = el("img", { alt: name, loading: "lazy", decoding: "async" });
		show(image, view(output.url, width));
		return image;
	}
	if (output.kind === "video" || output.kind === "audio") {
		const player = el(output.kind, { controls: true, preload: "metadata", attributes: { "aria-label": name } });
		show(player, url.href);
		return player;
	}
	return el(
		"button",
		{ className: "file", onclick: () => save(url.href, name), title: name },
		icon("download"),
		el("span", { className: "cut", textContent: name }),
		el("small", { textContent: bytes(output.size_bytes) }),
	);
}

// The outputs of a task: images, videos and audio as media, others as downloads.

import { key } from "../../api/key.js";
import { el } from "../../page/dom.js";
import { open, save } from "../../page/files.js";
import { ours, show, view } from "../../page/media.js";
import { wordOf } from "./task-words.js";

const SMALL = 384; // pixels of a thumbnail

export function outputs(list) {
	return list.map((output) => el("figure", { dataset: { kind: output.kind ?? "" } }, shown(output), caption(output)));
}

function shown(output) {
	const name = output.filename ?? "";
	const url = output.url ? ours(output.url) : null;
	if (output.error) return el("p", { className: "bad" }, output.error.message);
	if (output.text !== undefined && output.text !== null) return el("pre", {}, output.text);
	if (!url) return null;
	if (output.kind === "image") {
		const picture = el("img", { alt: name, loading: "lazy", decoding: "async" });
		show(picture, view(output.url, SMALL));
		const opened = (event) => {
			if (!key.value) return;
			event.preventDefault();
			open(url.href);
		};
		return el("a", { href: url.href, target: "_blank", rel: "noopener", onclick: opened }, picture);
	}
	if (output.kind !== "video" && output.kind !== "audio") return null;
	const player = el(output.kind, { controls: true, preload: "metadata", ariaLabel: name });
	show(player, url.href);
	return player;
}

function caption(output) {
	const size = output.size_bytes ? `${bytes(output.size_bytes)}` : "";
	const facts = el(
		"small",
		{},
		[wordOf("kind", output.kind), `#${output.node_id}`, output.type === "temp" ? "temp" : "", size]
			.filter(Boolean)
			.join(" · "),
	);
	if (!output.url) return el("figcaption", {}, facts);
	const name = el(
		"a",
		{ href: ours(output.url)?.href ?? "#", className: "cut", onclick: (event) => download(event, output) },
		output.filename ?? "",
	);
	return el("figcaption", {}, name, facts);
}

function download(event, { url, filename }) {
	event.preventDefault();
	save(ours(url)?.href ?? "", filename);
}

export function bytes(count) {
	const units = ["B", "KB", "MB", "GB", "TB"];
	let at = 0;
	let value = Number(count) || 0;
	while (value >= 1000 && at < units.length - 1) [value, at] = [value / 1024, at + 1];
	return `${at && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[at]}`;
}

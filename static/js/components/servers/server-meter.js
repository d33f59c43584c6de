// A bar that shows the use of a memory.
import { el } from "../../page/dom.js";
import { t } from "../../page/i18n.js";
import { bytes } from "../tasks/task-outputs.js";

const FULL = 0.92;

export function meters(stats) {
	const devices = (stats?.devices ?? []).map((device, at) =>
		meter(t("servers.vram"), device.vram_total, device.vram_free, deviceName(device, at)),
	);
	const system = stats?.system ?? {};
	return [...devices, meter(t("servers.ram"), system.ram_total, system.ram_free, "")].filter(Boolean);
}

function meter(name, total, free, title) {
	if (!(total > 0)) return null;
	const used = Math.min(Math.max(total - (free ?? 0), 0), total);
	const words = t("servers.usage", { used: bytes(used), total: bytes(total) });
	const bar = el(
		"div",
		{
			className: "meter",
			title,
			attributes: {
				role: "meter",
				"aria-label": title ? `${name} ${title}` : name,
				"aria-valuemin": 0,
				"aria-valuemax": 100,
				"aria-valuenow": Math.round((used / total) * 100),
				"aria-valuetext": words,
			},
		},
		el("span", { dataset: { tone: used / total > FULL ? "bad" : "" } }),
	);
	bar.firstChild.style.width = `${((used / total) * 100).toFixed(1)}%`;
	return el(
		"div",
		{ className: "memory" },
		el("span", {}, name, title && el("small", {}, ` ${title}`)),
		el("small", {}, words),
		bar,
	);
}

// "cuda:0 NVIDIA GeForce RTX 4090 : cudaMallocAsync" is reduced to the name of the card.
function deviceName({ name }, at) {
	const card = String(name ?? "")
		.replace(/^\w+:\d+\s+/, "")
		.replace(/\s*:\s*\w+$/, "");
	return card || `#${at}`;
}

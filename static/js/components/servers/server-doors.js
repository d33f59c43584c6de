// The addresses for clients of ComfyUI's own protocol, ready to copy.
import { doors } from "../../api/servers.js";
import { copy } from "../../page/clipboard.js";
import { el } from "../../page/dom.js";
import { i18n, t } from "../../page/i18n.js";

export class ServerDoors {
	#rows = el("ul");
	/** @type {Native | null} */
	#told = null;
	element = el(
		"section",
		{ className: "panel doors", hidden: true },
		el("h3", { i18n: "servers.doors" }),
		el("p", { className: "hint", i18n: "servers.doorsHint" }),
		this.#rows,
	);

	constructor() {
		i18n.addEventListener("language", () => this.#show());
	}

	// Reads them once: they are settings of the gateway.
	async read() {
		if (this.#told) return;
		this.#told = await doors();
		this.#show();
	}

	#show() {
		if (!this.#told) return;
		const { root, path, ports } = this.#told;
		const here = (place) => new URL(place, document.baseURI).href;
		this.#rows.replaceChildren(
			row(here(root), t("servers.doorRoot")),
			row(here(path), t("servers.doorPath")),
			...ports.map(({ host, port, key }) =>
				row(`http://${named(host)}:${port}`, key ? t("servers.doorPort", { key }) : ""),
			),
		);
		this.element.hidden = false;
	}
}

// What listens on all addresses is told by the one that this page came from.
function named(host) {
	if (host === "0.0.0.0" || host === "::") return location.hostname;
	return host.includes(":") ? `[${host}]` : host;
}

function row(address, about) {
	return el(
		"li",
		{},
		el("code", { textContent: address }),
		el("button", { i18n: "copy", ariaLabel: `${t("copy")} ${address}`, onclick: () => copy(address) }),
		el("p", { className: "hint", textContent: about }),
	);
}

// The header: navigation, connection state, health, theme and language.

import { events } from "../../api/events.js";
import { health } from "../../api/health.js";
import { key } from "../../api/key.js";
import { build, el, icon } from "../../page/dom.js";
import { i18n, language, languages, setLanguage, t } from "../../page/i18n.js";
import { route } from "../../page/router.js";
import { nextTheme, theme } from "../../page/theme.js";

class GatewayHeader extends HTMLElement {
	/** @type {Parts} */
	#part;
	#connected = { state: "connecting" };
	#health = undefined; // undefined: not known yet; null: the gateway is unreachable

	connectedCallback() {
		this.#part = build(this, content());
		events.addEventListener("connection", ({ detail }) => {
			this.#connected = detail;
			this.#show();
		});
		health.addEventListener("health", ({ detail }) => {
			this.#health = detail;
			this.#show();
		});
		for (const target of [route, key]) target.addEventListener("change", () => this.#show());
		i18n.addEventListener("language", () => this.#show());
		this.#part("theme").onclick = () => {
			nextTheme();
			this.#show();
		};
		for (const name of ["key", "enter"]) this.#part(name).onclick = () => this.#changeKey();
		const select = this.#part("language");
		for (const [name, label] of Object.entries(languages)) select.add(new Option(label, name));
		select.value = language();
		select.onchange = () => setLanguage(select.value);
		this.#show();
	}

	#show() {
		const { state, delay } = this.#connected;
		const { isWanted } = key; // without a key the displayed state may be outdated
		const tone = isWanted ? "bad" : { open: "good", connecting: "wait", delayed: "wait", waiting: "bad" }[state];
		const seconds = Math.max(1, Math.round(delay / 1000));
		this.#part("locked").hidden = !isWanted;
		document.body.classList.toggle("locked", isWanted);
		this.#chip("socket", isWanted ? t("socket.key") : t(`socket.${state}`, { seconds }), tone);
		this.#gateway();
		for (const link of this.querySelectorAll("nav a")) {
			link.ariaCurrent = link.hash.split("/")[1] === route.view ? "page" : null;
		}
		const said = t("theme.button", { theme: t(`theme.${theme()}`) });
		this.#part("theme").title = said;
		this.#part("theme").setAttribute("aria-label", said);
		this.#part("theme").dataset.theme = theme();
		this.#part("key").hidden = !key.value && !key.isWanted;
	}

	// All data depends on the key, so the page reloads; the tab keeps its drafts.
	async #changeKey() {
		const before = key.value;
		await key.ask();
		if (key.value !== before) location.reload();
	}

	#gateway() {
		if (this.#health === undefined) return this.#chip("health", t("health.asking"), "wait");
		if (this.#health === null) return this.#chip("health", t("health.away"), "bad");
		const { status, reason, version, servers = [], warnings = [] } = this.#health;
		const able = servers.filter((server) => server.accepting).length;
		const isWell = status === "ok";
		const isUnknown = key.isWanted || (isWell && !servers.length); // no servers are named without a key
		const text = isUnknown ? "" : t("health.servers", { able, all: servers.length });
		this.#chip("health", text, isWell && text ? "good" : "wait");
		this.#part("version").textContent = version ?? "";
		this.#part("reason").textContent = reason ?? "";
		this.#part("reason").hidden = !reason;
		const warned = this.#part("warnings");
		if (warned.textContent !== warnings.join(" ")) warned.textContent = warnings.join(" ");
		warned.hidden = !warnings.length;
	}

	#chip(name, text, tone) {
		const chip = this.#part(name);
		if (chip.textContent !== text) chip.textContent = text; // unchanged text is not announced again by screen readers
		chip.dataset.tone = tone;
	}
}

const content = () => [
	el(
		"header",
		{},
		el(
			"a",
			{ className: "brand", href: "#/run" },
			el("img", { src: "static/icon.svg", alt: "", width: 24, height: 24 }),
			el("h1", {}, "ComfyUI gateway"),
		),
		el(
			"nav",
			{ i18nAttr: "aria-label:nav.views" },
			el("a", { href: "#/run", i18n: "nav.run" }),
			el("a", { href: "#/tasks", i18n: "nav.tasks" }),
			el("a", { href: "#/servers", i18n: "nav.servers" }),
		),
		el("small", { part: "version" }, document.documentElement.dataset.version),
		el(
			"span",
			{ className: "chips", attributes: { "aria-live": "polite" } },
			el("span", { className: "chip", part: "socket", dataset: { tone: "wait" } }),
			el("span", { className: "chip", part: "health", dataset: { tone: "wait" } }),
		),
		el(
			"button",
			{ className: "quiet icon-only", part: "key", i18nAttr: "title:key.change;aria-label:key.change", hidden: true },
			icon("key"),
		),
		el("select", { className: "quiet", part: "language", i18nAttr: "aria-label:nav.language" }),
		el("button", { className: "quiet icon-only", part: "theme" }, icon("theme")),
	),
	el(
		"p",
		{ className: "banner", part: "locked", role: "alert", hidden: true },
		el("span", { i18n: "key.wanted" }),
		" ",
		el("button", { part: "enter", i18n: "key.enter" }),
	),
	el("p", { className: "banner", part: "reason", role: "status", hidden: true }),
	el("p", { className: "banner", part: "warnings", role: "alert", hidden: true }),
];

customElements.define("gateway-header", GatewayHeader);

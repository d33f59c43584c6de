// Runs before the page's own scripts: notes who listens to what, what the page does, and which line
// opens which dialog. Then `controls.survey()` names every control that can be seen.
(() => {
	const NATIVE = `button, a[href], input, select, textarea, summary, video[controls], audio[controls],
    [contenteditable], [tabindex]:not([tabindex='-1']), [role=button], [role=tab], [role=option], [role=switch],
    [role=link],
    [role=menuitem], [role=checkbox], [role=radio], [role=slider], [role=combobox]`;
	const TYPES = [
		"click",
		"dblclick",
		"pointerdown",
		"pointermove",
		"mousedown",
		"keydown",
		"wheel",
		"dragover",
		"dragleave",
		"drop",
		"paste",
		"contextmenu",
	];
	const heard = new WeakMap(); // target -> types of its listeners
	const global = new Set(); // "document keydown main.js"
	const seen = []; // what the page did
	const openers = new Set(); // "components/page/key-dialog.js:17"
	Error.stackTraceLimit = 50;
	const lines = () => [...new Error().stack.matchAll(/\/static\/js\/(.+?\.js):(\d+)/g)];

	const listen = EventTarget.prototype.addEventListener;
	EventTarget.prototype.addEventListener = function (type, ...rest) {
		if (TYPES.includes(type)) {
			const [from] = lines(); // none: a listener of the browser's driver
			if (from && !(this instanceof Element)) global.add(`document ${type} ${from[1]}`);
			else if (from) heard.set(this, (heard.get(this) ?? new Set()).add(type));
		}
		return listen.call(this, type, ...rest);
	};
	const ask = window.fetch;
	const ours = (path) => new URL(path, document.baseURI).href.replace(document.baseURI, "/");
	window.fetch = (path, options = {}) => {
		const { body, method = "GET", headers = {} } = options;
		const said =
			body instanceof FormData
				? [...body].map(([name, value]) => `${name}=${value.name ?? value}`).join("&")
				: (body ?? "");
		seen.push(`${method} ${ours(path)} ${said} ${headers.Authorization ?? ""}`);
		return ask(path, options);
	};
	const click = HTMLAnchorElement.prototype.click;
	HTMLAnchorElement.prototype.click = function () {
		if (this.download) seen.push(`DOWNLOAD ${this.download} ${this.href}`);
		click.call(this);
	};
	navigator.clipboard.writeText = async (text) => void seen.push(`COPY ${text}`);
	const showModal = HTMLDialogElement.prototype.showModal;
	HTMLDialogElement.prototype.showModal = function () {
		for (const [, file, line] of lines()) openers.add(`${file}:${line}`);
		showModal.call(this);
	};

	const isSeen = (element) =>
		element.checkVisibility({ visibilityProperty: true }) && element.getClientRects().length > 0;
	const typesOf = (element) => TYPES.filter((type) => element[`on${type}`] || heard.get(element)?.has(type));
	const attribute = (element) =>
		element.dataset?.i18nAttr
			?.split(";")
			.map((pair) => pair.split(":"))
			.find(([name]) => name !== "placeholder")?.[1];
	const plain = (text) => text?.split(" ").filter((name) => !/^(panel|changed|quiet|row|current|over)$/.test(name))[0];
	const route = (element) =>
		element
			.getAttribute("href")
			?.replace(/^(#\/\w+\/).+$/, "$1*")
			.replace(/^https?:.*/, element.target ? "in a new tab" : "file");
	const symbol = (element) => element.querySelector("use")?.getAttribute("href").split("#")[1];

	function word(element) {
		const { part, i18n } = element.dataset;
		const label = element.labels?.[0];
		const inner = element.querySelector("[data-i18n]") ?? label?.querySelector("[data-i18n]");
		return (
			part ??
			i18n ??
			attribute(element) ??
			inner?.dataset.i18n ??
			label?.dataset.i18n ??
			(element.matches("button") ? symbol(element) : null) ??
			route(element) ??
			plain(element.className.baseVal ?? element.className) ??
			""
		);
	}

	// Of its kind: where it stands, what it is, what it is called in the page's own words, what it listens to.
	function nameOf(element) {
		if (element.matches("dialog")) return `dialog (${typesOf(element).join(", ")})`;
		const near =
			element.parentElement?.closest(
				"parameter-field, size-field, dialog, article, form, details, [role=tablist], .chosen, .space > .row",
			) ?? element.parentElement;
		const place = near?.matches("parameter-field")
			? `field-${near.dataset.type}`
			: plain(near?.className.baseVal ?? near?.className) || near?.localName;
		const host = [...ancestors(element)].find(
			({ localName }) => localName.includes("-") && localName !== "parameter-field",
		)?.localName;
		const kind = [
			element.localName,
			element.type === element.localName || /^(submit|button|select-one)$/.test(element.type ?? "")
				? ""
				: element.getAttribute("type"),
			element.matches("select[multiple]") ? "multiple" : "",
			element.getAttribute("role"),
		]
			.filter(Boolean)
			.join("-");
		const types = typesOf(element).filter((type) => type !== "click" || !element.matches(NATIVE));
		return [
			host === near?.localName || host === undefined ? "" : host,
			place,
			kind,
			word(element),
			types.length ? `(${types.join(", ")})` : "",
		]
			.filter(Boolean)
			.join(" ");
	}

	function* ancestors(element) {
		for (let at = element.parentElement; at; at = at.parentElement) yield at;
	}

	function all() {
		const dialogs = [...document.querySelectorAll("dialog:modal")];
		const root = dialogs.at(-1) ?? document.body;
		const found = [root, ...root.querySelectorAll("*")].filter(
			(element) => (element.matches(NATIVE) || typesOf(element).length) && isSeen(element),
		);
		return found.map((element) => ({ element, name: nameOf(element) }));
	}

	function survey() {
		const names = new Set(all().map(({ name }) => name));
		return [...names, ...(document.querySelector("dialog:modal") ? [] : global)];
	}

	const find = (name) => {
		const fitting = all()
			.filter((each) => each.name === name)
			.map(({ element }) => element);
		return fitting.find((element) => !element.matches(":disabled")) ?? null;
	};

	// What a hand cannot get at: outside of the window wherever one scrolls, or under something else.
	function unreachable() {
		return all()
			.filter(({ element }) => !isHit(element))
			.map(({ name }) => name);
	}

	function isHit(element) {
		if (element.localName.includes("-") || element.matches(".surface, .table, dialog, body, [tabindex='-1'], .node"))
			return true;
		const seen = element.matches("input[type=file]") ? element.closest("label") : element;
		seen.scrollIntoView({ block: "center", inline: "center", behavior: "instant" });
		const [rect] = seen.getClientRects();
		if (!rect) return true; // a row that is gone when another one is looked at
		const [x, y] = [rect.left + rect.width / 2, rect.top + rect.height / 2];
		const hit = document.elementFromPoint(x, y);
		return (
			Boolean(hit) &&
			(seen.contains(hit) ||
				hit.closest("label")?.control === element ||
				(hit.contains(seen) && hit.matches("a, button, label")))
		);
	}

	// What a screen reader has no words for.
	function unnamed() {
		const told = (element) => element?.textContent.trim() || element?.querySelector("[alt]:not([alt=''])");
		const references = (element) =>
			(element.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id));
		const isNamed = (element) =>
			element.ariaLabel ||
			element.title ||
			told(element) ||
			[...(element.labels ?? []), ...references(element)].some(told);
		return all()
			.filter(({ element }) => element.matches(NATIVE) && !element.closest("[aria-hidden=true]") && !isNamed(element))
			.map(({ name }) => name);
	}

	// Buttons whose text does not fit into them, and seeds of tiles. What ends in an ellipsis is meant so.
	function clipped() {
		const buttons = [...all()].filter(
			({ element }) => element.matches("button, [role=tab], summary") && !element.querySelector(".cut"),
		);
		const labels = [...document.querySelectorAll("label.button")]
			.filter(isSeen)
			.map((element) => ({ element, name: "label.button" }));
		const isClipped = ({ scrollWidth, clientWidth }) => clientWidth > 0 && scrollWidth > clientWidth + 1;
		const facts = [...document.querySelectorAll("result-tile [data-part=facts]")]
			.filter(isSeen)
			.map((element) => ({ element, name: "facts of a tile" }));
		return [...buttons, ...labels, ...facts]
			.filter(({ element }) => isClipped(element))
			.map(({ name, element }) => `${name}: ${element.textContent.trim().slice(0, 40)}`);
	}

	// What is cut off below with no way to scroll to it; and, of errors, what one has to scroll to where nothing
	// shows that one can. What is meant so: pictures, the graph, one line with an ellipsis, what only screen readers read.
	function hidden() {
		const isMeant = (element) =>
			element.closest(
				".unseen, .cut, label > input, workflow-graph, .graph, .frame, .thumb, progress, svg, [role=tooltip]",
			);
		const boxes = ".section, .section.error *, p.error";
		const isCut = (element) => {
			const { overflowY, clipPath } = getComputedStyle(element);
			if (clipPath !== "none") return false;
			const hides =
				/hidden|clip/.test(overflowY) || (overflowY !== "visible" && element.matches(boxes) && !element.matches("pre"));
			return hides && element.scrollHeight > element.clientHeight + 1;
		};
		const inner = [...document.querySelectorAll("main *, dialog *")].filter(
			(element) => isSeen(element) && !isMeant(element) && isCut(element),
		);
		const place = ({ className, localName }) => className || localName;
		return inner.map((element) => `${element.localName}.${element.className} in ${place(element.parentElement)}`);
	}

	// Words that are broken in the middle, as there is no room for one of them; and a page that scrolls sideways.
	function crushed() {
		const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
		const range = document.createRange();
		const broken = document.documentElement.scrollWidth > innerWidth ? ["the page is wider than the window"] : [];
		while (walker.nextNode()) {
			const { currentNode: node } = walker;
			if (
				!isSeen(node.parentElement) ||
				node.parentElement.closest("pre, code, .mono, .unseen, .cut, .name, dd, workflow-graph")
			)
				continue;
			for (const { 0: word, index } of node.data.matchAll(/(?<![\w./-])[A-Za-z]{2,12}(?![\w./-])/g)) {
				range.setStart(node, index);
				range.setEnd(node, index + word.length);
				if (range.getClientRects().length > 1) broken.push(`${word} in ${node.data.trim().slice(0, 40)}`);
			}
		}
		return broken;
	}

	// Texts that are the key of a text: what it stands for is not loaded, or missing.
	async function untold() {
		const { default: known } = await import("./static/js/strings/en/page.js");
		const spaces = new Set(
			Object.keys(known)
				.map((key) => key.split(".")[0])
				.concat("tasks", "task", "servers", "server", "graph"),
		);
		const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
		const told = [];
		while (walker.nextNode()) told.push(walker.currentNode.data.trim());
		return told.filter((text) => /^[a-z]+\.[a-zA-Z]+$/.test(text) && spaces.has(text.split(".")[0]));
	}

	window.seen = seen;
	window.controls = {
		survey,
		find,
		unreachable,
		clipped,
		hidden,
		crushed,
		untold,
		unnamed,
		openers: () => [...openers],
		isSeen,
	};
	window.sent = (pattern) => seen.filter((each) => new RegExp(pattern).test(each)).length;
	window.shown = (selector) => [...document.querySelectorAll(selector)].filter(isSeen).length;
	window.one = (selector) => [...document.querySelectorAll(selector)].find(isSeen);
})();

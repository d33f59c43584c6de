// Results, newest first: of the open workflow, or of all. Two can be compared, each can be enlarged.
import { build, el, icon } from "../../page/dom.js";
import { i18n, t } from "../../page/i18n.js";
import { styles } from "../../page/styles.js";
import { toast } from "../../page/toasts.js";
import { workspace } from "../../run/workspace.js";
import { isFinished, tasks } from "../../tasks/state.js";

const PAGE = 48; // tiles; more on demand
const NEXT = 6; // queued tasks that are shown, next ones first, so that results stay visible
/** @type {any} */
let ResultTile = null; // loaded with the first result

class ResultGallery extends HTMLElement {
	/** @type {Parts} */
	#part;
	#tiles = new Map();
	#most = PAGE;
	/** @type {string | null} */
	#batch = null; // id of the last batch, until it is finished

	connectedCallback() {
		this.#part = build(this, content());
		const part = this.#part;
		part("more").onclick = () => this.#more();
		part("scope").onchange = () => this.#build();
		part("compare").onclick = () => this.#compare();
		part("cancel").onclick = () =>
			import("../tasks/task-actions.js").then(({ cancelBatch }) => cancelBatch(this.#batch)).catch(toast);
		this.addEventListener("compare", () => this.#chosen());
		this.addEventListener("open", ({ detail }) => this.#open(detail));
		document.addEventListener("submitted", ({ detail }) => {
			this.#batch = detail.tasks ? detail.batch_id : this.#batch;
			this.#build();
			this.scrollTop = 0;
		});
		workspace.addEventListener("opened", () => this.#build());
		tasks.addEventListener("change", ({ detail }) => this.#follow(detail));
		tasks.addEventListener("preview", ({ detail }) => this.#tiles.get(detail.task_id)?.preview(detail.image));
		tasks.addEventListener("loaded", () => this.#build());
		tasks.addEventListener("failed", ({ detail }) => this.#part("problem").show(detail));
		i18n.addEventListener("language", () => this.#build(true));
		setInterval(() => this.#tick(), 1000);
		this.#build();
	}

	// For navigation in the large view.
	get pictures() {
		return [...this.#part("tiles").children].flatMap(({ task }) =>
			(task.outputs ?? []).filter(({ kind, url }) => kind === "image" && url).map((output) => ({ task, output })),
		);
	}

	#belongs(task) {
		if (this.#part("scope").value === "all" || !workspace.source) return true;
		return workspace.isSaved
			? task.workflow === workspace.name
			: !task.workflow && task.metadata?.file === workspace.name;
	}

	#follow({ changed, removed }) {
		let isNew = removed.size > 0;
		for (const id of changed) {
			const task = tasks.get(id);
			if (!task) continue;
			const tile = this.#tiles.get(id);
			if (tile) {
				const wasFinished = isFinished(tile.task);
				isNew ||= tile.task.status === "queued" && task.status !== "queued";
				tile.update(task);
				if (!wasFinished && isFinished(task)) this.#finished(task);
			} else if (this.#belongs(task)) isNew = true;
		}
		if (isNew) this.#build();
		if (this.#batch) this.#strip();
	}

	// Tiles are reused and only reordered, so that displayed images stay.
	#build(isAnew = false) {
		this.#part("problem").show(null);
		const known = tasks.sorted().filter((task) => this.#belongs(task));
		const waiting = known.filter(({ status }) => status === "queued").sort((a, b) => placeOf(b) - placeOf(a) || 0);
		const later = Math.max(0, waiting.length - NEXT);
		const others = known.filter(({ status }) => status !== "queued");
		const all = [...waiting.slice(later), ...others.filter((task) => !isFinished(task)), ...others.filter(isFinished)];
		const wanted = new Map(all.slice(0, this.#most).map((task) => [task.task_id, task]));
		if (wanted.size && !ResultTile) return void this.#begin().catch(toast);
		for (const [id, tile] of this.#tiles) {
			if (wanted.has(id)) continue;
			tile.remove();
			this.#tiles.delete(id);
		}
		let next = this.#part("tiles").firstElementChild;
		for (const [id, task] of wanted) {
			const tile = this.#tiles.get(id) ?? new ResultTile(task);
			tile.update(task, isAnew);
			this.#tiles.set(id, tile);
			if (tile === next) next = next.nextElementSibling;
			else this.#part("tiles").insertBefore(tile, next);
		}
		this.#part("more").hidden = all.length <= this.#most && !tasks.cursor;
		this.#part("tiles").classList.toggle("of-one", this.#part("scope").value === "this" && Boolean(workspace.source));
		this.#part("scope").hidden = !workspace.source;
		this.#part("empty").hidden = wanted.size > 0;
		this.#part("count").textContent = [
			all.length || "",
			later ? t("results.later", { count: `${later}${tasks.unread ? "+" : ""}` }) : "",
		]
			.filter(Boolean)
			.join(" · ");
		this.#chosen();
		this.#strip();
		const last = all.find((task) => isFinished(task) && this.#belongs(task));
		if (last) document.querySelector("run-form")?.used(last.params);
	}

	async #begin() {
		[{ ResultTile }] = await Promise.all([import("./result-tile.js"), styles("results")]);
		this.#build();
	}

	async #more() {
		this.#most += PAGE;
		await (await import("../../tasks/unfinished.js")).readMore(tasks, (task) => this.#belongs(task), this.#most);
		this.#build();
	}

	#finished(task) {
		this.#part("announce").textContent = t("task.said", {
			id: task.task_id.slice(0, 8),
			status: t(`status.${task.status}`),
		});
		document.querySelector("run-form")?.used(task.params);
	}

	#strip() {
		const part = this.#part;
		const members = this.#batch ? [...tasks.values()].filter(({ batch_id }) => batch_id === this.#batch) : [];
		const done = members.filter(isFinished).length;
		part("batch").hidden = !members.length || done === members.length;
		if (part("batch").hidden) return;
		part("batch-text").textContent = t("batch.progress", { done, all: members.length });
		part("batch-bar").value = done / members.length;
	}

	#chosen() {
		const chosen = [...this.#tiles.values()].filter(({ isCompared }) => isCompared);
		this.#part("compare").disabled = chosen.length !== 2;
		this.#part("compare").title = t("compare.how");
	}

	async #compare() {
		const { compareTiles } = await import("./compare-dialog.js");
		await compareTiles([...this.#part("tiles").children].filter(({ isCompared }) => isCompared));
		this.#chosen();
	}

	async #open(picture) {
		const { openLarge } = await import("./result-dialog.js");
		openLarge(picture, () => this.pictures);
	}

	#tick() {
		if (!this.checkVisibility()) return;
		for (const tile of this.#tiles.values()) if (!isFinished(tile.task)) tile.tick();
	}
}

const placeOf = (task) => task.queue_position ?? Infinity;

const content = () => [
	el(
		"div",
		{ className: "row wrap bar" },
		el(
			"select",
			{ part: "scope", i18nAttr: "aria-label:results.scope" },
			el("option", { value: "this", i18n: "results.this" }),
			el("option", { value: "all", i18n: "results.all" }),
		),
		el("small", { part: "count" }),
		el("span", { className: "grow" }),
		el("button", { part: "compare", disabled: true }, icon("compare"), el("span", { i18n: "results.compare" })),
	),
	el(
		"div",
		{ className: "row batch panel", part: "batch", hidden: true },
		el("span", { part: "batch-text" }),
		el("progress", { className: "grow", max: 1, part: "batch-bar", i18nAttr: "aria-label:result.progress" }),
		el("button", { part: "cancel" }, icon("stop"), el("span", { i18n: "batch.cancel" })),
	),
	el("problem-box", { part: "problem", hidden: true }),
	el("p", { className: "hint empty", part: "empty", i18n: "results.empty" }),
	el("div", { className: "tiles", part: "tiles" }),
	el("button", { className: "more", part: "more", i18n: "results.more", hidden: true }),
	el("p", { className: "unseen", part: "announce", attributes: { "aria-live": "polite" } }),
];

customElements.define("result-gallery", ResultGallery);

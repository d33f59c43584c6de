// Texts drawn in the graph, in the page's language.
import { i18n, t, texts } from "../page/i18n.js";

await texts("graph");

const NAMES = ["muted", "bypassed", "open", "note", "subgraph", "waiting", "running", "done", "cached"];
/** @type {Record<string, string> | null} */
let known = null;
i18n.addEventListener("language", () => {
	known = null;
});

export function words() {
	known ??= { ...Object.fromEntries(NAMES.map((name) => [name, t(`graph.${name}`)])), failed: t("graph.failedState") };
	return known;
}

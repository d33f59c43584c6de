// What the drawn workflow says.
import { i18n, register, t } from "../page/i18n.js";

register({
	en: {
		"graph.label": "Workflow graph. Arrow keys go from node to node, plus and minus zoom, 0 fits.",
		"graph.fit": "Fit",
		"graph.in": "Zoom in",
		"graph.out": "Zoom out",
		"graph.path": "Opened subgraphs",
		"graph.whole": "Workflow",
		"graph.open": "Open the subgraph",
		"graph.empty": "Nothing to draw: no nodes.",
		"graph.failed": "Show the failed node",
		"graph.comma": ", ",
		"graph.muted": "muted",
		"graph.bypassed": "bypassed",
		"graph.note": "note",
		"graph.subgraph": "subgraph",
		"graph.waiting": "waiting",
		"graph.running": "running",
		"graph.done": "done",
		"graph.cached": "cached",
		"graph.failedState": "failed",
	},
	zh: {
		"graph.label": "工作流图。方向键切换节点，加号和减号缩放，0 适应窗口。",
		"graph.fit": "适应",
		"graph.in": "放大",
		"graph.out": "缩小",
		"graph.path": "已打开的子图",
		"graph.whole": "工作流",
		"graph.open": "打开子图",
		"graph.empty": "没有可绘制的节点。",
		"graph.failed": "显示失败的节点",
		"graph.comma": "，",
		"graph.muted": "已静音",
		"graph.bypassed": "已绕过",
		"graph.note": "注释",
		"graph.subgraph": "子图",
		"graph.waiting": "排队中",
		"graph.running": "运行中",
		"graph.done": "已完成",
		"graph.cached": "已缓存",
		"graph.failedState": "失败",
	},
});

const NAMES = ["muted", "bypassed", "open", "note", "subgraph", "waiting", "running", "done", "cached"];
/** @type {Record<string, string> | null} */
let known = null;
i18n.addEventListener("language", () => (known = null));

// The words that are drawn, in the page's language.
export function words() {
	known ??= { ...Object.fromEntries(NAMES.map((name) => [name, t(`graph.${name}`)])), failed: t("graph.failedState") };
	return known;
}

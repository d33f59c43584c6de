// The theme: light, dark, or the system's. early.js applies it before the first paint.
const KEY = "gateway.theme";
const ORDER = ["auto", "light", "dark"];

export const theme = () => document.documentElement.dataset.theme ?? "auto";

export function nextTheme() {
	const next = ORDER[(ORDER.indexOf(theme()) + 1) % ORDER.length];
	if (next === "auto") delete document.documentElement.dataset.theme;
	else document.documentElement.dataset.theme = next;
	try {
		if (next === "auto") localStorage.removeItem(KEY);
		else localStorage.setItem(KEY, next);
	} catch {} // not persistent then
}

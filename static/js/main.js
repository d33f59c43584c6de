// Defines the elements of the page and starts their updates. The modules of a view are loaded when it is
// first shown: js/views/<view>.js imports them.
import "./components/page/problem-box.js";
import "./components/page/gateway-header.js";
import "./page/toasts.js";
import { events } from "./api/events.js";
import { health } from "./api/health.js";
import { key } from "./api/key.js";
import { translate } from "./page/i18n.js";
import { route } from "./page/router.js";
import "./tasks/state.js"; // subscribes before the connection is open
import { styles } from "./page/styles.js";

const sections = [...document.querySelectorAll("main > [data-view]")];

// A view is shown once its modules are loaded; until then the previous one stays.
async function show() {
	const { view } = route;
	await Promise.all([styles(view), import(`./views/${view}.js`)]);
	if (view !== route.view) return;
	for (const section of sections) section.hidden = section.dataset.view !== view;
}

// "/" focuses the view's search, as on other developer pages.
document.addEventListener("keydown", (event) => {
	if (event.key !== "/" || /** @type {any} */ (event.target).closest?.("input, textarea, select, dialog")) return;
	/** @type {HTMLInputElement | null} */
	const search = document.querySelector("main > section:not([hidden]) input[type=search]");
	search?.closest("details")?.setAttribute("open", "");
	if (!search) return;
	event.preventDefault();
	search.focus();
	search.select();
});

history.replaceState(null, "", document.baseURI + location.hash); // so that "#/..." leads to no other page
key.ask = async () => (await import("./components/page/key-dialog.js")).ask();
translate(document.body);
route.addEventListener("change", show);
show();
events.connect();
health.start();

// Defines the elements of the page and starts what keeps them fresh. A view's own modules come
// when it is first looked at: js/views/<view>.js imports what that view is made of.
import "./components/problem-box.js";
import "./components/gateway-header.js";
import "./components/key-dialog.js";
import "./toasts.js";
import { events } from "./events.js";
import { health } from "./health.js";
import { translate } from "./i18n.js";
import { route } from "./router.js";
import "./state.js"; // listens before the connection is open

const sections = [...document.querySelectorAll("main > [data-view]")];

async function show() {
  for (const section of sections) section.hidden = section.dataset.view !== route.view;
  await import(`./views/${route.view}.js`);
}

// "/" goes to the search of the view, as on the pages that developers know.
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.closest?.("input, textarea, select, dialog")) return;
  const search = document.querySelector("main > section:not([hidden]) input[type=search]");
  search?.closest("details")?.setAttribute("open", "");
  if (!search) return;
  event.preventDefault();
  search.focus();
  search.select();
});

translate(document.body);
route.addEventListener("change", show);
show();
events.connect();
health.start();

// Defines the elements of the page and starts what keeps them fresh. A view's own modules come
// when it is first looked at: js/views/<view>.js imports what that view is made of.
import "./components/problem-box.js";
import "./components/gateway-header.js";
import { events } from "./events.js";
import { health } from "./health.js";
import { route } from "./router.js";

const sections = [...document.querySelectorAll("main > [data-view]")];

async function show() {
  for (const section of sections) section.hidden = section.dataset.view !== route.view;
  await import(`./views/${route.view}.js`);
}

route.addEventListener("change", show);
show();
events.connect();
health.start();

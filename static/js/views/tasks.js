// The modules of the view "tasks": the table, and the details of the task in the address.
import "../components/tasks/task-table.js";
import "../components/tasks/task-detail.js";
import { go, route } from "../page/router.js";

const detail = document.querySelector("main task-detail");

function follow() {
	if (route.view !== "tasks") return;
	detail.setAttribute("task-id", route.id);
	detail.hidden = !route.id;
}

document.addEventListener("keydown", (event) => {
	const isOurs =
		event.key === "Escape" && route.view === "tasks" && route.id && !(/** @type {any} */ (event.target).value);
	if (isOurs && !document.querySelector("dialog[open]")) go("tasks");
});
route.addEventListener("change", follow);
follow();

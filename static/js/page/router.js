// The route: #/run/<workflow>, #/tasks/<id>, #/servers. `route.view` and `route.id` are the current one;
// "change" when it changes; go("tasks", id) navigates; href("tasks", id) is for links.
export const href = (view, id) => `#/${view}${id ? `/${encodeURIComponent(id)}` : ""}`;

const VIEWS = /^(run|tasks|servers)$/;
const parts = () => location.hash.split("/").slice(1);

// Read from the address each time, as it changes before its event.
class Route extends EventTarget {
	constructor() {
		super();
		addEventListener("hashchange", () => this.#check());
		this.#check();
	}

	get view() {
		const [view] = parts();
		return VIEWS.test(view) ? view : "run";
	}

	get id() {
		const id = parts().slice(1).join("/");
		try {
			return decodeURIComponent(id);
		} catch {
			return id;
		}
	}

	#check() {
		const [view] = parts();
		if (view && !VIEWS.test(view)) location.replace("#/run");
		else this.dispatchEvent(new Event("change"));
	}
}

export const route = new Route();

// `isQuiet`: without a history entry, and synchronously.
export function go(view, id, isQuiet = false) {
	if (location.hash === href(view, id)) return;
	if (!isQuiet) {
		location.hash = href(view, id);
		return;
	}
	history.replaceState(null, "", href(view, id));
	route.dispatchEvent(new Event("change"));
}

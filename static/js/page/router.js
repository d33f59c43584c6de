// Where we are: #/run/<workflow>, #/tasks/<id>, #/servers. `route.view` and `route.id` tell;
// "change" when they do; go("tasks", id) goes there; href("tasks", id) is for links.
export const href = (view, id) => `#/${view}${id ? `/${encodeURIComponent(id)}` : ""}`;

const VIEWS = /^(run|tasks|servers)$/;
const parts = () => location.hash.split("/").slice(1);

// Read from the address each time: it is ahead of its own event for a moment.
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

// `isQuiet`: without an entry in the history, for what nobody would go back to, and at once.
export function go(view, id, isQuiet = false) {
	if (location.hash === href(view, id)) return;
	if (!isQuiet) {
		location.hash = href(view, id);
		return;
	}
	history.replaceState(null, "", href(view, id));
	route.dispatchEvent(new Event("change"));
}

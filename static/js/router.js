// Where we are: #/run/<workflow>, #/tasks/<id>, #/servers. `route.view` and `route.id` tell;
// "change" when they do; go("tasks", id) goes there; href("tasks", id) is for links.
export const href = (view, id) => `#/${view}${id ? `/${encodeURIComponent(id)}` : ""}`;

class Route extends EventTarget {
  view = "run";
  id = "";

  constructor() {
    super();
    addEventListener("hashchange", () => this.#read());
    this.#read();
  }

  #read() {
    const [, view, ...rest] = location.hash.split("/");
    if (view && !/^(run|tasks|servers)$/.test(view)) return location.replace("#/run");
    this.view = view || "run";
    try {
      this.id = decodeURIComponent(rest.join("/"));
    } catch {
      this.id = rest.join("/");
    }
    this.dispatchEvent(new Event("change"));
  }
}

export const route = new Route();

// `isQuiet`: without an entry in the history, for what nobody would go back to.
export function go(view, id, isQuiet = false) {
  if (location.hash === href(view, id)) return;
  if (isQuiet) location.replace(href(view, id));
  else location.hash = href(view, id);
}

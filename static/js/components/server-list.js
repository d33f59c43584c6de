// The ComfyUI servers, as the last health answer has them.
import { health } from "../health.js";
import { make, stamp } from "../template.js";

class ServerList extends HTMLElement {
  connectedCallback() {
    const part = stamp(this, "server-list");
    health.addEventListener("health", ({ detail }) => {
      if (detail) part("list").replaceChildren(...rows(detail.servers ?? []));
    });
  }
}

function rows(servers) {
  return servers.length ? servers.map(row) : [make("li", { className: "hint" }, "None is configured.")];
}

function row(server) {
  const fragment = document.createDocumentFragment();
  const part = stamp(fragment, "server");
  const [text, tone] = server.online ? ["online", "good"] : ["offline", "bad"];
  part("state").textContent = text;
  part("state").dataset.tone = tone;
  part("id").textContent = server.id;
  const facts = [server.version && `ComfyUI ${server.version}`, `${server.running ?? 0} of ${server.slots ?? "?"} slots used`];
  if (server.online && server.connected === false) facts.push("no events");
  part("facts").textContent = facts.filter(Boolean).join(" · ");
  part("reason").textContent = server.reason ?? "";
  part("reason").hidden = !server.reason;
  return fragment;
}

customElements.define("server-list", ServerList);

// One result of a task as an element.
import { make } from "../template.js";

const THUMBNAIL = 320;

// What makes a result this one; the element is kept while it stays.
export const identity = (output) =>
  JSON.stringify([output.node_id, output.type, output.subfolder, output.filename, output.text, output.url]);

export function element(output) {
  if (output.text != null) return make("pre", { textContent: output.text });
  const name = output.filename ?? "file";
  const url = ours(output.url);
  if (!url) return make("p", { className: "hint", textContent: `${name}: ${output.error?.message ?? "not available"}` });
  switch (output.kind) {
    case "image": return picture(url, name);
    case "video": return make("video", { src: url.href, controls: true, preload: "metadata", title: name });
    case "audio": return make("audio", { src: url.href, controls: true, preload: "metadata", title: name });
    default: return make("a", { href: url.href, download: name, textContent: `${name}${size(output.size_bytes)}` });
  }
}

function picture(url, name) {
  const view = (width) => {
    const smaller = new URL(url);
    smaller.searchParams.set("width", width);
    return smaller.href;
  };
  const srcset = `${view(THUMBNAIL)} 1x, ${view(2 * THUMBNAIL)} 2x`;
  const image = make("img", { srcset, src: view(THUMBNAIL), alt: name, loading: "lazy" });
  return make("a", { href: url.href, target: "_blank", rel: "noopener", title: name }, image);
}

// Only what the gateway itself serves becomes a link.
function ours(path) {
  const url = typeof path === "string" ? URL.parse(path, location.origin) : null;
  return url?.origin === location.origin ? url : null;
}

function size(bytes) {
  return Number.isFinite(bytes) ? ` (${bytes < 1e5 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`})` : "";
}

// Stamps a <template> of index.html into an element, in the page's language, and answers a look-up
// of its parts by data-part.
import { translate } from "./i18n.js";

export function stamp(element, id) {
  const copy = document.importNode(document.getElementById(id).content, true); // upgrades what is in it
  translate(copy);
  element.append(copy);
  return (name) => element.querySelector(`[data-part="${name}"]`);
}

// Stamps a <template> into an element; answers a look-up of its parts by data-part.
export function stamp(element, id) {
  element.append(document.importNode(document.getElementById(id).content, true)); // upgrades what is in it
  return (name) => element.querySelector(`[data-part="${name}"]`);
}

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

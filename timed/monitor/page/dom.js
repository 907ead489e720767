// Building blocks of the page. Text is always set as text: peers choose some of it.

const SVG = "http://www.w3.org/2000/svg";

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

/** A new HTML element; children that are no nodes become text. */
export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** A new SVG element. */
export function shape(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) setAttribute(made, name, value);
  made.append(...children);
  return made;
}

/** Set an attribute unless it is that already; null takes it away. */
export function setAttribute(node, name, value) {
  if (value === null || value === undefined) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

/** Set the text of a node unless it is that already. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Make `parent` hold one child for each key, in this order; those that stay are kept, and the keyboard's focus in them. */
export function keyed(parent, keys, make) {
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  parent.kept ??= new Map();
  const kept = parent.kept, wanted = new Set(keys);
  for (const [key, child] of kept) {
    if (!wanted.has(key)) { child.remove(); kept.delete(key); }
  }
  let place = parent.firstChild;
  const made = keys.map((key) => {
    let child = kept.get(key);
    if (!child) { child = make(key); kept.set(key, child); }
    if (child === place) place = place.nextSibling;
    else parent.insertBefore(child, place);
    return child;
  });
  // A browser takes the focus from what is moved.
  if (focused !== document.activeElement) focused?.focus({ preventScroll: true });
  return made;
}

/** A list of figures: [title, text, class]. */
export function figures(list, rows) {
  const made = keyed(list, rows.map(([title]) => title), (title) =>
    element("div", {}, element("dt", {}, title), element("dd")));
  made.forEach((one, place) => {
    setText(one.lastChild, rows[place][1]);
    setAttribute(one.lastChild, "class", rows[place][2] ?? null);
  });
}

// As much of a browser as the dashboard needs, on a clock of its own; what is drawn can be read, nothing is shown.

class Text {
  constructor(text) { this.textContent = text; this.parentNode = null; }
  remove() { detach(this); }
  get nextSibling() { return sibling(this); }
}

class Element {
  constructor(tag) {
    Object.assign(this, { tag, childNodes: [], attributes: new Map(), heard: new Map(), parentNode: null, hidden: false, value: "", checked: true, open: false, scrollTop: 0, scrollHeight: 0 });
    const names = new Set();
    this.classList = { names, toggle: (name, on) => on ? names.add(name) : names.delete(name), remove: (name) => names.delete(name) };
  }
  get children() { return this.childNodes.filter((each) => each instanceof Element); }
  get firstChild() { return this.childNodes[0] ?? null; }
  get lastChild() { return this.childNodes.at(-1) ?? null; }
  get nextSibling() { return sibling(this); }
  get textContent() { return this.childNodes.map((each) => each.textContent).join(""); }
  set textContent(text) { this.replaceChildren(...(text === "" ? [] : [text])); }
  getAttribute(name) { return this.attributes.get(name) ?? null; }
  setAttribute(name, value) { this.attributes.set(name, String(value)); }
  removeAttribute(name) { this.attributes.delete(name); }
  append(...nodes) { for (const each of nodes) this.insertBefore(each, null); }
  prepend(...nodes) { for (const each of nodes.reverse()) this.insertBefore(each, this.firstChild); }
  insertBefore(node, before) {
    const child = typeof node === "string" ? new Text(node) : node;
    if (child === before) return;
    detach(child);
    this.childNodes.splice(before === null ? this.childNodes.length : this.childNodes.indexOf(before), 0, child);
    child.parentNode = this;
  }
  replaceChildren(...nodes) { for (const each of [...this.childNodes]) detach(each); this.append(...nodes); }
  remove() { detach(this); }
  addEventListener(name, hear) { this.heard.set(name, hear); }
  click() { return this.heard.get("click")({ target: this }); }
  focus() { document.activeElement = this; }
  contains(node) {
    for (let each = node; each; each = each.parentNode) if (each === this) return true;
    return false;
  }
  showModal() { this.open = true; }
}

function detach(node) {
  if (node instanceof Element && node.contains(document.activeElement)) document.activeElement = body;
  const siblings = node.parentNode?.childNodes;
  if (siblings) siblings.splice(siblings.indexOf(node), 1);
  node.parentNode = null;
}

function sibling(node) {
  const siblings = node.parentNode?.childNodes ?? [];
  return siblings[siblings.indexOf(node) + 1] ?? null;
}

const made = new Map();

/** The clock of the page in milliseconds, its streams, and what it calls again and again. */
export const world = { now: 1000, sources: [], again: [], answer: null };

export const byId = (id) => {
  if (!made.has(id)) {
    const one = new Element(id);
    const [, width, height] = { blocks: [0, 480, 180], finality: [0, 480, 180], graph: [0, 640, 280] }[id] ?? [0, 300, 60];
    one.setAttribute("viewBox", `0 0 ${width} ${height}`);
    if (id === "logs-level") one.value = "debug";
    made.set(id, one);
  }
  return made.get(id);
};

/** The texts of the cells of a table's body, row by row. */
export const cells = (id) => byId(id).children.find((each) => each.tag === "tbody").children
  .map((row) => row.children.map((cell) => cell.textContent));

class EventSource {
  static CLOSED = 2;
  constructor(path) {
    Object.assign(this, { path, heard: new Map(), readyState: 1 });
    world.sources.push(this);
  }
  addEventListener(name, hear) { this.heard.set(name, hear); }
  close() { this.readyState = 2; }
}

/** Hand an event to the newest stream. */
export const tell = (name, data) => world.sources.at(-1).heard.get(name)({ data: JSON.stringify(data) });

/** Let time pass in steps of a quarter of a second. */
export function pass(seconds) {
  for (const end = world.now + seconds * 1000; world.now < end; world.now += 250) for (const each of world.again) each();
}

const body = new Element("body");
Object.assign(globalThis, {
  EventSource,
  HTMLInputElement: class {}, HTMLSelectElement: class {},
  document: {
    body, activeElement: body, hidden: false, title: "", addEventListener() {}, querySelector: () => null, getElementById: byId,
    createElement: (tag) => new Element(tag), createElementNS: (space, tag) => new Element(tag),
  },
  setInterval: (call) => world.again.push(call),
  fetch: async () => world.answer,
});
Object.defineProperty(globalThis, "performance", { value: { now: () => world.now } });

// Drawings: lines over time, bars, and the graph of nodes. Attributes only, no inline style.

import { keyed, setAttribute, setText, shape } from "./dom.js";

const POINTS = 120;
const JOINED = 5;

/** The last two minutes of one figure. */
export class Line {
  constructor(svg, label) {
    this.values = [];
    this.last = null;
    this.svg = svg;
    this.area = shape("path", { class: "area" });
    this.stroke = shape("path", { class: "stroke" });
    setAttribute(svg, "preserveAspectRatio", "none");
    setAttribute(svg, "aria-label", label);
    svg.append(this.area, this.stroke);
  }

  /** Add a value, null for one that is not known, of a time in seconds, and draw. What was not seen is not known. */
  add(value, time, least = 0) {
    const unseen = this.last === null ? 0 : Math.round(time - this.last) - 1;
    this.last = time;
    for (let left = Math.min(unseen, POINTS); left > 0; left -= 1) this.values.push(null);
    this.values.push(value);
    this.values.splice(0, Math.max(0, this.values.length - POINTS));
    const [, , width, height] = this.svg.getAttribute("viewBox").split(" ").map(Number);
    const top = Math.max(least, ...this.values.map((each) => each ?? 0)) || 1;
    const step = width / (POINTS - 1), left = width - step * (this.values.length - 1);
    const runs = [];
    let before = -Infinity;
    this.values.forEach((each, place) => {
      if (each === null || each === undefined) return;
      if (place - before > JOINED) runs.push([]);
      before = place;
      runs.at(-1).push([(left + place * step).toFixed(1), (height - (height - 2) * each / top).toFixed(1)]);
    });
    const path = (run) => run.map(([x, y]) => `${x},${y}`).join("L");
    setAttribute(this.stroke, "d", runs.map((run) => `M${path(run)}`).join(""));
    setAttribute(this.area, "d", runs.map((run) => `M${run[0][0]},${height}L${path(run)}L${run.at(-1)[0]},${height}Z`).join(""));
  }
}

/**
 * Groups of bars. `groups` hold {key, label, bars: [{value, kind, title}]}; each group gets a label.
 * The highest bar fills the height.
 */
export function bars(svg, groups, { top = null, axis = "", every = 1 }) {
  const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
  const foot = 26, head = 12, room = height - foot - head;
  const most = Math.max(top ?? 0, ...groups.flatMap((group) => group.bars.map((bar) => bar.value ?? 0))) || 1;
  const pitch = groups.length ? width / groups.length : width;
  const made = keyed(svg, ["axis", "most", ...groups.map((group) => group.key)], (key) =>
    key === "axis" ? shape("line", { class: "axis", x1: 0, x2: width, y1: height - foot, y2: height - foot })
      : key === "most" ? shape("text", { x: 0, y: 9 }) : shape("g"));
  setText(made[1], axis ? axis(most) : "");
  groups.forEach((group, place) => {
    const drawn = made[place + 2], each = (pitch * 0.84) / group.bars.length;
    const rects = keyed(drawn, [...group.bars.map((_, number) => `bar${number}`), "label"], (key) =>
      key === "label" ? shape("text", { "text-anchor": "middle" }) : shape("rect", { rx: 1.5 }, shape("title")));
    group.bars.forEach((bar, number) => {
      const tall = bar.value === null ? 0 : Math.max(bar.value > 0 ? 2 : 0, room * bar.value / most);
      const rect = rects[number];
      setAttribute(rect, "class", `bar ${bar.kind ?? ""}`.trim());
      setAttribute(rect, "x", (place * pitch + pitch * 0.08 + number * each).toFixed(1));
      setAttribute(rect, "width", Math.max(1, each - 0.8).toFixed(1));
      setAttribute(rect, "y", (height - foot - tall).toFixed(1));
      setAttribute(rect, "height", tall.toFixed(1));
      setText(rect.firstChild, bar.title ?? "");
    });
    const label = rects.at(-1);
    setAttribute(label, "x", (place * pitch + pitch / 2).toFixed(1));
    setAttribute(label, "y", height - foot + 13);
    setText(label, place % every ? "" : group.label);
  });
}

/**
 * Nodes on a circle and the sessions between them.
 * `nodes`: {id, name, kind, title, known}; `links`: {from, to, width, kind, title, label}.
 */
export function graph(svg, nodes, links) {
  const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
  const places = placed(nodes, width, height);
  if (!svg.layers) {
    svg.layers = ["edges", "labels", "vertices"].map(() => shape("g"));
    svg.append(...svg.layers);
  }
  const [edges, labels, vertices] = svg.layers;
  const drawn = links.filter((link) => places.has(link.from) && places.has(link.to));
  const named = drawn.length <= 10 ? drawn : [];
  const key = (link) => `${link.from}-${link.to}`;
  keyed(edges, drawn.map(key), () => shape("line", {}, shape("title"))).forEach((line, number) => {
    const link = drawn[number], [x1, y1] = places.get(link.from), [x2, y2] = places.get(link.to);
    for (const [name, value] of Object.entries({ x1, y1, x2, y2 })) setAttribute(line, name, value.toFixed(1));
    setAttribute(line, "class", `edge ${link.kind ?? ""}`.trim());
    setAttribute(line, "stroke-width", link.width.toFixed(1));
    setText(line.firstChild, link.title);
  });
  keyed(labels, named.map(key), () => shape("text", { "text-anchor": "middle" })).forEach((text, number) => {
    const link = named[number], [x1, y1] = places.get(link.from), [x2, y2] = places.get(link.to);
    // Not in the middle: there lines cross.
    setAttribute(text, "x", (x1 + 0.36 * (x2 - x1)).toFixed(1));
    setAttribute(text, "y", (y1 + 0.36 * (y2 - y1) + 3).toFixed(1));
    setText(text, link.label);
  });
  const big = nodes.length <= 40;
  keyed(vertices, nodes.map((node) => node.id), () =>
    shape("g", {}, shape("circle", {}, shape("title")), shape("text", { "text-anchor": "middle" }))).forEach((group, number) => {
    const node = nodes[number], [x, y] = places.get(node.id);
    const circle = group.firstChild, text = group.lastChild;
    setAttribute(circle, "cx", x.toFixed(1));
    setAttribute(circle, "cy", y.toFixed(1));
    setAttribute(circle, "r", node.known ? 9 : big ? 6 : 3);
    setAttribute(circle, "class", `vertex ${node.kind}`);
    setText(circle.firstChild, node.title);
    setAttribute(text, "class", node.known ? "strong" : null);
    setAttribute(text, "x", x.toFixed(1));
    setAttribute(text, "y", (y < height / 2 ? y - 14 : y + 26).toFixed(1));
    setText(text, node.known || nodes.length <= 16 ? node.name : "");
  });
}

function placed(nodes, width, height) {
  const known = nodes.filter((node) => node.known), others = nodes.filter((node) => !node.known);
  const places = new Map();
  const ring = (list, rx, ry) => list.forEach((node, place) => {
    const angle = 2 * Math.PI * place / list.length - Math.PI / 2;
    places.set(node.id, [width / 2 + rx * Math.cos(angle), height / 2 + ry * Math.sin(angle)]);
  });
  const outer = [width / 2 - 34, height / 2 - 28];
  if (known.length === 1) ring(known, 0, 0);
  else if (others.length) ring(known, outer[0] * 0.5, outer[1] * 0.5);
  else ring(known, outer[0] * 0.8, outer[1]);
  ring(others, ...outer);
  return places;
}

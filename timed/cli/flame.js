"use strict";
// Zoom by a click, search by a regular expression; the drawing itself needs none of this.
(() => {
  const svg = document.querySelector("svg.flame");
  const bars = [...svg.querySelectorAll(".bar")], said = svg.querySelector(".said");
  const WIDTH = svg.viewBox.baseVal.width, LETTER = 6.6, first = said.textContent;
  const short = (name) => name.replace(/ \([^(]*\)$/, "");
  const fitting = (name, width) => {
    const room = Math.floor((width - 6) / LETTER);
    if (room >= name.length) return name;
    const less = short(name);
    if (room >= less.length) return less;
    return room >= 4 ? `${less.slice(0, room - 1)}…` : "";
  };
  const all = bars.map((bar) => ({
    bar, left: +bar.dataset.l, width: +bar.dataset.w, depth: +bar.dataset.d, name: bar.dataset.name,
    rect: bar.querySelector("rect"), text: bar.querySelector("text"), tip: bar.querySelector("title").textContent,
  }));
  const zoom = (chosen) => {
    const end = chosen.left + chosen.width, edge = 1e-7;
    for (const each of all) {
      const around = each.depth <= chosen.depth && each.left <= chosen.left + edge && each.left + each.width >= end - edge;
      const inside = each.left >= chosen.left - edge && each.left + each.width <= end + edge && each.depth > chosen.depth;
      each.bar.style.display = around || inside ? "" : "none";
      each.bar.classList.toggle("out", around && each !== chosen && each.depth < chosen.depth);
      if (!around && !inside) continue;
      const left = around ? 0 : (each.left - chosen.left) / chosen.width * WIDTH;
      const width = around ? WIDTH : each.width / chosen.width * WIDTH;
      each.rect.setAttribute("x", left.toFixed(2));
      each.rect.setAttribute("width", Math.max(width - 0.6, 0.2).toFixed(2));
      each.text.setAttribute("x", (left + 4).toFixed(2));
      each.text.textContent = fitting(each.name, width);
    }
  };
  const search = () => {
    const words = window.prompt("Mark functions that match (a regular expression; empty: none)", "");
    if (words === null) return;
    let pattern = null;
    try { pattern = words ? new RegExp(words, "i") : null; } catch (error) { said.textContent = String(error); return; }
    let covered = 0, end = 0;
    for (const each of [...all].sort((a, b) => a.left - b.left || a.depth - b.depth)) {
      const hit = pattern !== null && pattern.test(each.name);
      each.bar.classList.toggle("hit", hit);
      if (hit && each.left >= end - 1e-7) { covered += each.width; end = each.left + each.width; }
    }
    said.textContent = pattern ? `${(covered * 100).toFixed(1)} % in functions that match ${words}` : first;
  };
  for (const each of all) {
    each.bar.addEventListener("click", () => zoom(each));
    each.bar.addEventListener("mouseenter", () => { said.textContent = each.tip; });
    each.bar.addEventListener("mouseleave", () => { said.textContent = first; });
  }
  const does = { search, reset: () => { if (all.length) zoom(all[0]); } };
  for (const button of svg.querySelectorAll(".button")) {
    button.addEventListener("click", does[button.dataset.does]);
    button.addEventListener("keydown", (event) => { if (event.key === "Enter") does[button.dataset.does](); });
  }
})();

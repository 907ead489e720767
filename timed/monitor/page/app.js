// The page's beginning: one stream of pictures, and the truth about how old the last one is.

import { Chain } from "./chain.js";
import { byId, setAttribute, setText } from "./dom.js";
import { count, short, span } from "./format.js";
import { Network } from "./network.js";
import { Peers } from "./peers.js";
import { Alerts, Logs } from "./watch.js";
import { Mempool, Process, Rpc } from "./work.js";

const STALE_S = 3;
const LOOK_MS = 250;
const AGAIN_MS = 2000;
const SILENT_S = 20;
const TONES = { ok: "good", degraded: "warn", failed: "bad" };

const logs = new Logs();
const sections = [new Network(), new Chain(), new Peers(), new Mempool(), new Rpc(), new Process(), new Alerts()];
let last = null;
let lastAt = null;
let drawn = false;
let source = null;
let askedAt = null;

function connect() {
  source?.close();
  askedAt = performance.now();
  source = new EventSource("/live");
  source.addEventListener("picture", (event) => {
    last = JSON.parse(event.data);
    lastAt = performance.now();
    drawn = false;
    draw();
  });
  source.addEventListener("log", (event) => logs.add(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    // A browser gives up after an answer that is no stream, such as 503: ask again later.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, AGAIN_MS);
  });
}

function draw() {
  if (drawn || last === null || document.hidden) return;
  drawn = true;
  document.body.classList.remove("waiting");
  const own = last.nodes[0].summary;
  setText(byId("network"), last.network);
  setText(byId("node"), [own.name, short(own.node), `timed ${own.version}`].filter(Boolean).join(" · "));
  setAttribute(byId("node"), "title", own.node);
  document.title = `${own.name || short(own.node)} · ${own.height === null ? "no chain" : count(own.height)} · timed`;
  byId("withheld").hidden = !last.withheld;
  setText(byId("withheld"), last.withheld ?? "");
  for (const section of sections) section.show(last);
  tell();
}

function tell() {
  const age = lastAt === null ? null : (performance.now() - lastAt) / 1000;
  const stale = age === null || age > STALE_S;
  // A connection may die without a word, as while this machine sleeps: the browser waits for ever.
  if ((performance.now() - Math.max(askedAt, lastAt ?? 0)) / 1000 > SILENT_S) connect();
  document.body.classList.toggle("stale", lastAt !== null && stale);
  const state = last === null ? "" : stale ? "unknown" : last.health.state;
  setText(byId("state"), state);
  setAttribute(byId("state"), "class", `pill ${TONES[state] ?? "soft"}`);
  setText(byId("fresh"), age === null ? "connecting" : stale ? `no data for ${span(Math.round(age))}` : "live");
  setAttribute(byId("fresh"), "class", `pill ${age === null ? "soft" : stale ? "bad" : "good"}`);
}

const typing = (target) => target instanceof HTMLInputElement || target instanceof HTMLSelectElement;

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (typing(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const link = document.querySelector(`nav a[data-key="${CSS.escape(event.key)}"]`);
  if (link) {
    const section = document.querySelector(link.getAttribute("href"));
    section.scrollIntoView();
    section.focus({ preventScroll: true });
  } else if (event.key === "/") byId("logs-filter").focus();
  else if (event.key === "p") byId("peers-filter").focus();
  else if (event.key === "f") byId("logs-follow").click();
  else if (event.key === "?") byId("help").showModal();
  else return;
  event.preventDefault();
});
byId("help-button").addEventListener("click", () => byId("help").showModal());
document.addEventListener("visibilitychange", draw);
setInterval(tell, LOOK_MS);
connect();

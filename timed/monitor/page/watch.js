// Alerts, health checks and log lines.

import { byId, element, keyed, setAttribute, setText } from "./dom.js";
import { clock, count, span } from "./format.js";
import { Table } from "./table.js";

const TONES = { ok: "good", degraded: "warn", failed: "bad" };

/** The section of alerts and health, and the alerts on top of the page. */
export class Alerts {
  constructor() {
    this.checks = new Table(byId("checks"), [
      { title: "check", kind: "text", value: (row) => row.name },
      { title: "state", kind: "text", value: (row) => row.state, tone: (row) => TONES[row.state] },
      { title: "for", value: (row) => row.age, text: (row) => span(row.age) },
      { title: "why, and what to do", kind: "text wrap", value: (row) => `${sentence(row.reason)} ${row.remedy}`.trim() },
    ], { key: (row) => row.name, caption: "Health checks" });
  }

  show(picture) {
    const checks = Object.entries(picture.health.checks);
    this.checks.show(checks.map(([name, check]) => ({ name, ...check, age: Math.max(0, picture.time - check.since) })));
    const why = (alert) => picture.health.checks[alert.name.replace(/^check-/, "")]?.reason;
    const here = picture.alerts.active.map((alert) => ({ ...alert, where: nameOf(picture.nodes[0]), summary: why(alert) ? `${alert.summary}: ${why(alert)}` : alert.summary }));
    const there = picture.nodes.filter((row) => !row.own && row.summary)
      .flatMap((row) => row.summary.alerts.map((alert) => ({ ...alert, where: nameOf(row) })));
    const alerts = together([...here, ...there], picture.nodes.length > 1);
    const box = byId("alerts-now");
    box.hidden = !alerts.length;
    const made = keyed(box, alerts.map((alert) => alert.name), () =>
      element("div", { class: "alert" }, element("b"), element("span"), element("p", { class: "note" })));
    made.forEach((node, place) => {
      const alert = alerts[place];
      setAttribute(node, "class", `alert ${alert.severity}`);
      setText(node.children[0], alert.where ? `${alert.name} (${alert.where})` : alert.name);
      setText(node.children[1], `${alert.summary} (${alert.severity}, for ${span(Math.max(0, picture.time - alert.since))})`);
      setText(node.children[2], `What to do: ${alert.remedy} More: ${alert.runbook}`);
    });
    const over = picture.alerts.over;
    const list = byId("over");
    keyed(list, over.length ? over.map((alert) => `${alert.name}-${alert.since}`) : ["none"], () => element("li")).forEach((item, place) => {
      const alert = over[place];
      setText(item, alert ? `${clock(alert.since)} to ${clock(alert.until)} ${alert.name}: ${alert.summary}` : "none since the start");
    });
  }
}

const sentence = (text) => /[^.]$/.test(text) ? `${text}.` : text;
const nameOf = (row) => row.own ? row.summary.name || "this node" : row.summary.name || row.address;

/** The same alert of several nodes is one, with the names of the nodes. */
function together(alerts, named) {
  const byName = new Map();
  for (const alert of alerts) {
    const first = byName.get(alert.name);
    if (first) first.where += `, ${alert.where}`;
    else byName.set(alert.name, { ...alert });
  }
  return [...byName.values()].map((alert) => named ? alert : { ...alert, where: "" });
}

const LEVELS = ["debug", "info", "warn", "error", "critical"];
const MAX_LINES = 500;
const keyOf = (line) => `${line.number}-${line.time}`;

/** The section of log lines. */
export class Logs {
  constructor() {
    this.lines = [];
    this.box = byId("logs");
    this.level = byId("logs-level");
    this.filter = byId("logs-filter");
    this.follow = byId("logs-follow");
    this.level.addEventListener("change", () => this.draw());
    this.filter.addEventListener("input", () => this.draw());
    this.follow.addEventListener("change", () => this.draw());
  }

  /** Lines, oldest first, of which some may be known. A node that was restarted counts anew. */
  add(lines) {
    const known = new Set(this.lines.map(keyOf));
    this.lines.push(...lines.filter((line) => !known.has(keyOf(line))));
    this.lines.splice(0, Math.max(0, this.lines.length - MAX_LINES));
    this.draw();
  }

  draw() {
    const least = LEVELS.indexOf(this.level.value), wanted = this.filter.value.trim().toLowerCase();
    const shown = this.lines.filter((line) => LEVELS.indexOf(line.level) >= least &&
      (!wanted || `${line.namespace} ${line.text}`.toLowerCase().includes(wanted)));
    const made = keyed(this.box, shown.map(keyOf), () => element("div"));
    made.forEach((node, place) => {
      const line = shown[place];
      setAttribute(node, "class", line.level);
      setText(node, `${clock(line.time)} ${line.level.padEnd(8)} ${line.namespace}: ${line.text}`);
    });
    setText(byId("logs-count"), shown.length === this.lines.length ? count(shown.length) : `${count(shown.length)} of ${count(this.lines.length)}`);
    if (this.follow.checked) this.box.scrollTop = this.box.scrollHeight;
  }
}

// Open sessions: sorted, filtered, explained.

import { byId, element, setText } from "./dom.js";
import { byteRate, bytes, count, number, short, span } from "./format.js";
import { Table } from "./table.js";

/** The section of the peers. */
export class Peers {
  constructor() {
    this.rows = [];
    this.filter = byId("peers-filter");
    this.filter.addEventListener("input", () => this.draw());
    this.table = new Table(byId("peers"), [
      { title: "peer", kind: "text", value: (row) => row.address, node: (row) => this.button(row), hint: (row) => row.node },
      { title: "node", kind: "text", value: (row) => row.node, text: (row) => short(row.node), less: true, hint: (row) => row.node },
      { title: "way", kind: "text", value: (row) => row.outbound ? "out" : "in", less: true },
      { title: "member", value: (row) => row.member, text: (row) => row.member === null ? "" : String(row.member), less: true },
      { title: "ping", value: (row) => row.ping, text: (row) => span(row.ping) },
      { title: "least", value: (row) => row.ping_least, text: (row) => span(row.ping_least), less: true },
      { title: "in", value: (row) => row.in_rate, text: (row) => byteRate(row.in_rate) },
      { title: "out", value: (row) => row.out_rate, text: (row) => byteRate(row.out_rate) },
      { title: "received", value: (row) => row.received, text: (row) => bytes(row.received), less: true },
      { title: "sent", value: (row) => row.sent, text: (row) => bytes(row.sent), less: true },
      { title: "waiting", value: (row) => row.queued, text: (row) => bytes(row.queued), help: "bytes that are not with the transport yet", less: true },
      { title: "clock", value: (row) => row.clock, text: (row) => span(row.clock), help: "how far its clock is ahead", less: true },
      { title: "score", value: (row) => row.score, text: (row) => number(row.score), help: "points for misconduct", less: true },
      { title: "for", value: (row) => row.age, text: (row) => span(row.age), less: true },
      { title: "software", kind: "text", value: (row) => row.software, less: true },
    ], { key: (row) => `${row.id} ${row.node} ${row.address}`, caption: "Open sessions", sort: 0, empty: "no open session, or not shown to this browser" });
  }

  button(row) {
    const button = element("button", { type: "button", class: "link", "aria-haspopup": "dialog", "aria-label": `${row.address}, explain` }, row.address);
    button.addEventListener("click", () => explain(row.node, row.address));
    return button;
  }

  show(picture) {
    this.details = picture.details?.peers ?? { count: null, rows: [] };
    this.rows = this.details.rows;
    this.draw();
  }

  draw() {
    const wanted = this.filter.value.trim().toLowerCase();
    const rows = wanted
      ? this.rows.filter((row) => `${row.address} ${row.node} ${row.software}`.toLowerCase().includes(wanted))
      : this.rows;
    this.table.show(rows);
    const all = this.details?.count ?? null;
    setText(byId("peers-count"), all === null ? "" : rows.length === all ? count(all) : `${count(rows.length)} of ${count(all)}`);
  }
}

/** Ask the node why it treats a peer as it does. */
async function explain(node, address) {
  const dialog = byId("explain"), body = byId("explain-body");
  setText(byId("explain-title"), address);
  setText(byId("explain-summary"), "asking …");
  body.replaceChildren();
  if (!dialog.open) dialog.showModal();
  try {
    const response = await fetch(`/explain?peer=${encodeURIComponent(node)}`, { cache: "no-store" });
    if (!response.ok) throw new Error(await response.text());
    const answer = await response.json();
    if (answer.error) {
      setText(byId("explain-summary"), answer.error.message);
      return;
    }
    setText(byId("explain-summary"), answer.result.summary);
    body.replaceChildren(listOf(answer.result));
  } catch (error) {
    setText(byId("explain-summary"), `The node does not answer: ${error.message}`);
  }
}

function listOf(object) {
  const rows = Object.entries(object)
    .filter(([name, value]) => name !== "summary" && value !== null && !(Array.isArray(value) && !value.length))
    .map(([name, value]) => element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, textOf(value))));
  return element("table", {}, element("tbody", {}, ...rows));
}

function textOf(value) {
  if (Array.isArray(value)) {
    return element("ul", { class: "plain" }, ...value.map((each) => element("li", {}, textOf(each))));
  }
  if (value !== null && typeof value === "object") {
    return Object.entries(value).map(([name, each]) => `${name} ${each !== null && typeof each === "object" ? JSON.stringify(each) : each}`).join(", ");
  }
  return String(value);
}

// All nodes side by side, and the sessions between them.

import { graph } from "./charts.js";
import { byId, element, setText } from "./dom.js";
import { byteRate, bytes, count, percent, perSecond, short, span } from "./format.js";
import { Table } from "./table.js";

const AWAY_S = 3;
const SLOW_S = 0.25;
const MAX_DRAWN = 250;

/** What a node is called: its own word for itself, else where it is, else its id. */
const nameOf = (row) => row.summary?.name || row.address || short(row.summary?.node);
const isAway = (row) => row.error !== null || row.age > AWAY_S;
const isPending = (row) => !isAway(row) && row.summary === null;

function stateOf(row) {
  if (row.error !== null) return `${row.error}, for ${span(row.age)}`;
  if (row.age > AWAY_S) return `no data for ${span(row.age)}`;
  if (row.summary === null) return "not asked yet";
  const { state, failing, alerts } = row.summary;
  const words = new Set([...failing, ...alerts.map((alert) => alert.name.replace(/^check-/, ""))]);
  return words.size ? `${state}: ${[...words].join(", ")}` : state;
}

const tone = (row) => isPending(row) ? "soft" : isAway(row) || row.summary.state === "failed" ? "bad"
  : row.summary.state === "degraded" || row.summary.alerts.length ? "warn" : "good";

const of = (field) => (row) => row.summary?.[field] ?? null;
const shown = (title, field, format, more = {}) =>
  ({ title, value: of(field), text: (row) => format(row.summary?.[field]), ...more });

const COLUMNS = [
  { title: "node", kind: "text", value: nameOf, node: (row) => nodeName(row), hint: (row) => row.summary?.node ?? "" },
  { title: "state", kind: "text state", value: stateOf, tone },
  shown("height", "height", count),
  shown("peers", "sessions", count, { less: true }),
  shown("final", "final_rate", perSecond, { less: true, help: "payments that became final, a second" }),
  shown("final p50", "final_p50", span, { help: "half of the payments of the last 5 minutes were final within" }),
  shown("p99", "final_p99", span, { less: true }),
  shown("mempool", "mempool", count, { less: true }),
  shown("CPU", "cpu", percent, { less: true }),
  shown("memory", "memory", bytes, { less: true }),
  shown("lag p99", "late_p99", span, { help: "how late the event loop ran a timer", less: true }),
  shown("log", "log_rate", perSecond, { help: "log lines a second", less: true }),
  shown("up", "uptime", span, { less: true }),
];

function nodeName(row) {
  if (row.own || !row.address) return element("span", {}, row.own ? row.summary?.name || "this node" : nameOf(row));
  return element("a", { href: `http://${row.address}/` }, nameOf(row));
}

/** The section of the network. */
export class Network {
  constructor() {
    this.table = new Table(byId("nodes"), COLUMNS, {
      key: (row) => `${row.own ? "own" : row.address} ${nameOf(row)}`,
      caption: "Nodes side by side",
      rowClass: (row) => [row.own ? "own" : null, isAway(row) ? "away" : null].filter(Boolean).join(" ") || null,
    });
  }

  show(picture) {
    this.table.show(picture.nodes);
    const details = picture.details;
    const nodes = new Map(), links = new Map();
    for (const row of picture.nodes) {
      const id = row.summary?.node ?? row.address;
      const kind = isPending(row) ? "peer" : isAway(row) ? "away" : row.summary.state === "ok" ? "" : row.summary.state;
      nodes.set(id, { id, name: row.own && !row.summary.name ? "this node" : nameOf(row), kind, known: true, title: `${nameOf(row)}: ${stateOf(row)}` });
    }
    for (const peer of (details?.peers.rows ?? []).slice(0, MAX_DRAWN)) {
      if (!nodes.has(peer.node)) nodes.set(peer.node, { id: peer.node, name: peer.address, kind: "peer", known: false, title: `${peer.address}, ${peer.software}` });
    }
    // What only a node tells that is away was there when it was heard last.
    for (const away of [false, true]) {
      for (const row of picture.nodes.filter((each) => each.summary !== null && isAway(each) === away)) {
        for (const link of row.summary.links ?? []) addLink(links, nodes, row.summary.node, link, away);
      }
    }
    graph(byId("graph"), [...nodes.values()], [...links.values()]);
    byId("graph-figure").hidden = !details;
    const open = [...links.values()].filter((link) => link.kind !== "lost").length;
    setText(byId("graph-note"), `${count(nodes.size)} nodes, ${count(open)} sessions; the wider a line, the more traffic`);
  }
}

function addLink(links, nodes, own, link, lost) {
  const [from, to] = own < link.node ? [own, link.node] : [link.node, own];
  const key = `${from}-${to}`;
  if (links.has(key) || !nodes.has(to) || !nodes.has(from)) return;
  const traffic = (link.in_rate ?? 0) + (link.out_rate ?? 0);
  if (lost) {
    links.set(key, { from, to, width: 1, kind: "lost", label: "lost", title: `${nodes.get(from).name} – ${nodes.get(to).name}: lost` });
    return;
  }
  links.set(key, {
    from, to,
    width: 1 + Math.min(6, Math.log10(1 + traffic / 100)),
    kind: link.ping !== null && link.ping > SLOW_S ? "slow" : "",
    label: link.ping === null ? byteRate(traffic) : `${span(link.ping)}, ${byteRate(traffic)}`,
    title: `${nodes.get(from).name} – ${nodes.get(to).name}: round trip ${span(link.ping)}, ${byteRate(traffic)}`,
  });
}

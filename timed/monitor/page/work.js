// Mempool, RPC and the process: what the node works for, and what that takes.

import { Line } from "./charts.js";
import { byId, element, figures, setText, shape } from "./dom.js";
import { byteRate, bytes, clock, count, number, percent, percentile, perSecond, span } from "./format.js";
import { rateOf, seriesOf, spreadOf, valueOf } from "./picture.js";
import { Table } from "./table.js";

const rated = (picture, metric, label) => seriesOf(picture, metric).map((series) =>
  ({ name: series.labels[label], value: series.value, rate: series.rate ?? null }));

/** The section of the mempool. */
export class Mempool {
  constructor() {
    this.line = new Line(byId("mempool-line"), "Transactions in the mempool, last two minutes");
    this.steps = new Table(byId("steps"), [
      { title: "step", kind: "text", value: (row) => row.name },
      { title: "a second", value: (row) => row.rate, text: (row) => perSecond(row.rate) },
      { title: "since the start", value: (row) => row.value, text: (row) => count(row.value) },
    ], { key: (row) => row.name, caption: "Steps of transactions", empty: "no transaction since the start" });
  }

  show(picture) {
    const waiting = valueOf(picture, "timed_mempool_transactions");
    this.line.add(waiting, picture.time, 10);
    const refused = seriesOf(picture, "timed_refused", { what: "admission" }).reduce((sum, each) => sum + each.value, 0);
    figures(byId("mempool-figures"), [
      ["waiting for a block", count(waiting)],
      ["bytes", bytes(valueOf(picture, "timed_mempool_bytes"))],
      ["in this epoch", count(valueOf(picture, "timed_epoch_transactions", { state: "heard" }))],
      ["of them final", count(valueOf(picture, "timed_epoch_transactions", { state: "final" }))],
      ["double spends", count(valueOf(picture, "timed_double_spends"))],
      ["refused", count(refused)],
    ]);
    this.steps.show(rated(picture, "timed_transactions", "step"));
  }
}

/** The section of the RPC. */
export class Rpc {
  constructor() {
    this.line = new Line(byId("rpc-line"), "RPC calls a second, last two minutes");
    this.methods = new Table(byId("methods"), [
      { title: "method", kind: "text", value: (row) => row.name },
      { title: "a second", value: (row) => row.rate, text: (row) => perSecond(row.rate) },
      { title: "calls", value: (row) => row.value, text: (row) => count(row.value), less: true },
      { title: "CPU", value: (row) => row.cpu, text: (row) => percent(row.cpu) },
      { title: "p50", value: (row) => row.spread?.p50 ?? null, text: (row) => percentile(row.spread, "p50") },
      { title: "p99", value: (row) => row.spread?.p99 ?? null, text: (row) => percentile(row.spread, "p99") },
    ], { key: (row) => row.name, caption: "Calls by method", sort: 2, descending: true, empty: "no call yet" });
  }

  show(picture) {
    const calls = rateOf(picture, "timed_rpc_calls");
    const errors = (found) => calls === null ? null : found ?? 0;
    this.line.add(calls, picture.time, 5);
    figures(byId("rpc-figures"), [
      ["calls", perSecond(calls)],
      ["errors", perSecond(errors(rateOf(picture, "timed_rpc_errors")))],
      ["since the start", count(valueOf(picture, "timed_rpc_calls"))],
      ["errors so far", count(errors(valueOf(picture, "timed_rpc_errors")))],
      ["connections", count(valueOf(picture, "timed_rpc_connections"))],
    ]);
    this.methods.show(rated(picture, "timed_rpc_calls", "method").map((row) =>
      ({
        ...row,
        cpu: rateOf(picture, "timed_rpc_cpu_seconds", { method: row.name }),
        spread: spreadOf(picture, "timed_rpc_seconds", { method: row.name }),
      })));
  }
}

const LINES = [
  ["CPU", (picture) => rateOf(picture, "timed_cpu_seconds"), percent, 0.1],
  ["memory", (picture) => valueOf(picture, "timed_memory_bytes", { kind: "resident" }), bytes, 1e8],
  ["lag p99", (picture) => spreadOf(picture, "timed_reactor_late_seconds")?.p99 ?? null, span, 0.01],
  ["log lines", (picture) => rateOf(picture, "timed_log_lines"), perSecond, 1],
  ["received", (picture) => rateOf(picture, "timed_socket_bytes", { direction: "received" }), byteRate, 1000],
  ["sent", (picture) => rateOf(picture, "timed_socket_bytes", { direction: "sent" }), byteRate, 1000],
  ["messages", (picture) => rateOf(picture, "timed_messages"), perSecond, 10],
  ["descriptors", (picture) => valueOf(picture, "timed_descriptors"), count, 20],
  ["threads", (picture) => valueOf(picture, "timed_threads"), count, 10],
  ["disk free", (picture) => valueOf(picture, "timed_disk_free_bytes"), bytes, 1],
];

const TIMES = [
  ["event loop late", "timed_reactor_late_seconds", {}],
  ["append to the log", "timed_store_seconds", { kind: "log" }],
  ["commit of a block", "timed_store_seconds", { kind: "commit" }],
  ["collector, young", "timed_gc_pause_seconds", { generation: "0" }],
  ["collector, middle", "timed_gc_pause_seconds", { generation: "1" }],
  ["collector, all", "timed_gc_pause_seconds", { generation: "2" }],
  ["to locked", "timed_finality_seconds", { stage: "locked" }],
  ["to certified", "timed_finality_seconds", { stage: "certified" }],
  ["to final", "timed_finality_seconds", { stage: "final" }],
  ["to a block", "timed_finality_seconds", { stage: "confirmed" }],
];

/** The section of the process. */
export class Process {
  constructor() {
    this.lines = LINES.map(([title]) => {
      const value = element("b"), svg = shape("svg", { class: "line", viewBox: "0 0 300 60", role: "img" });
      byId("process-lines").append(element("figure", {}, element("figcaption", {}, title), value, svg));
      return { value, line: new Line(svg, `${title}, last two minutes`) };
    });
    this.costs = new Table(byId("costs"), [
      { title: "message", kind: "text", value: (row) => row.name },
      { title: "CPU", value: (row) => row.rate, text: (row) => percent(row.rate) },
      { title: "CPU so far", value: (row) => row.value, text: (row) => span(row.value), less: true },
      { title: "messages", value: (row) => row.messages, text: (row) => perSecond(row.messages) },
      { title: "bytes", value: (row) => row.bytes, text: (row) => byteRate(row.bytes), less: true },
    ], { key: (row) => row.name, caption: "CPU by type of message", sort: 2, descending: true, empty: "nothing measured yet" });
    this.times = new Table(byId("times"), [
      { title: "what", kind: "text", value: (row) => row.name },
      { title: "p50", value: (row) => row.spread?.p50 ?? null, text: (row) => percentile(row.spread, "p50") },
      { title: "p99", value: (row) => row.spread?.p99 ?? null, text: (row) => percentile(row.spread, "p99") },
      { title: "how often", value: (row) => row.spread?.total ?? null, text: (row) => count(row.spread?.total) },
    ], { key: (row) => row.name, caption: "How long things take" });
    this.slow = new Table(byId("slow"), [
      { title: "when", value: (row) => row.time, text: (row) => clock(row.time) },
      { title: "how long", value: (row) => row.seconds, text: (row) => span(row.seconds) },
      { title: "doing", kind: "text", value: (row) => row.doing },
      { title: "seen in", kind: "text", less: true, value: (row) => [...new Set(row.functions)].join(", ") || "not seen" },
    ], { key: (row) => String(row.time), caption: "Slow turns of the event loop", sort: 0, descending: true, empty: "none since the start" });
  }

  show(picture) {
    this.lines.forEach(({ value, line }, place) => {
      const [, read, format, least] = LINES[place];
      const found = read(picture);
      setText(value, format(found));
      line.add(found, picture.time, least);
    });
    this.costs.show(seriesOf(picture, "timed_message_cpu_seconds").map((series) => ({
      name: series.labels.type,
      value: series.value,
      rate: series.rate ?? null,
      messages: rateOf(picture, "timed_messages", { type: series.labels.type }),
      bytes: rateOf(picture, "timed_message_bytes", { type: series.labels.type }),
    })));
    this.slow.show(picture.slow ?? []);
    this.times.show(TIMES.map(([name, metric, labels]) => ({ name, spread: spreadOf(picture, metric, labels) })));
  }
}

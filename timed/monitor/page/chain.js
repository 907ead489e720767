// The chain, how fast payments become final, the blocks on their grid, and who votes.

import { bars } from "./charts.js";
import { byId, figures, setAttribute, setText } from "./dom.js";
import { clock, count, NONE, number, percentile, short, span } from "./format.js";
import { spreadOf, valueOf } from "./picture.js";
import { Table } from "./table.js";

const LATE_S = 1;
const SLOTS = 30;

const voted = (row, field, payments) => payments ? `${row[field]} of ${payments}` : NONE;

/** The section of chain and finality. */
export class Chain {
  constructor() {
    this.payments = 0;
    this.blocks = [];
    this.names = new Map();
    this.members = new Table(byId("members"), [
      { title: "member", value: (row) => row.index, kind: "text", text: (row) => `${row.index} ${this.nameOf(row)}${row.self ? " (this node)" : ""}`, hint: (row) => row.name },
      { title: "connected", kind: "text", value: (row) => row.connected ? "yes" : "no", tone: (row) => row.connected ? "good" : "bad" },
      { title: "missed", kind: "text", value: (row) => row.missed ? "yes" : "no", text: (row) => row.missed ? `${row.unsigned} in a row` : "no", tone: (row) => row.missed ? "bad" : "good", help: "six certificates in a row lack its signature; one alone is only a late vote" },
      { title: "weight", value: (row) => row.weight, text: (row) => count(row.weight), less: true },
      { title: "voted for", value: (row) => row.votes, text: (row) => voted(row, "votes", this.payments), help: "of the newest payments of this epoch" },
      { title: "acknowledged", value: (row) => row.acknowledgements, text: (row) => voted(row, "acknowledgements", this.payments), less: true },
      { title: "signed blocks", value: (row) => this.signed(row), text: (row) => this.blocks.length ? `${this.signed(row)} of ${this.blocks.length}` : NONE, help: "certificates of the newest blocks that carry its signature; a quorum is enough for one" },
      { title: "operator", kind: "text", value: (row) => row.operator, text: (row) => short(row.operator), less: true, hint: (row) => row.operator },
    ], { key: (row) => row.operator, caption: "Members of the roster", rowClass: (row) => row.connected ? null : "away", empty: "shown on the node's own machine" });
  }

  /** What the node of a member calls itself, also when it has gone; else its address in the roster. */
  nameOf(row) {
    return this.names.get(row.operator) ?? row.name;
  }

  signed(row) {
    return this.blocks.filter((block) => block.signers.includes(row.index)).length;
  }

  show(picture) {
    const details = picture.details, epoch = details?.epoch;
    const margin = valueOf(picture, "timed_quorum_margin");
    const lie = valueOf(picture, "timed_safety_margin");
    const tip = valueOf(picture, "timed_tip_time_seconds");
    const next = epoch ? epoch.next_slot - picture.time : null;
    figures(byId("chain-figures"), [
      ["height", count(valueOf(picture, "timed_height"))],
      ["tip is", tip ? `${span(Math.max(0, picture.time - tip))} old` : NONE],
      ["next block", next === null ? NONE : next >= 0 ? `in ${span(next)}` : `${span(-next)} late`, next !== null && next < -LATE_S * 5 ? "warn" : null],
      ["round", count(valueOf(picture, "timed_round"))],
      ["certified p50", percentile(spreadOf(picture, "timed_finality_seconds", { stage: "certified" }), "p50")],
      ["final p50", percentile(spreadOf(picture, "timed_finality_seconds", { stage: "final" }), "p50")],
      ["final p99", percentile(spreadOf(picture, "timed_finality_seconds", { stage: "final" }), "p99")],
      margin !== null && margin < 0 ? ["weight lacking", count(-margin), "bad"] : ["weight that may go", count(margin), null],
      ["that may lie", count(lie), lie !== null && lie < 0 ? "bad" : null],
      ["voting", votingOf(picture), null],
      ["behind", count(valueOf(picture, "timed_blocks_behind"))],
    ]);
    this.finality(picture);
    this.grid(details);
    this.payments = details?.members.payments ?? 0;
    this.blocks = details?.blocks ?? [];
    const members = details?.members.rows ?? [];
    for (const { operator, node } of members) {
      const name = node && picture.nodes.find((row) => row.summary?.node === node)?.summary.name;
      if (name) this.names.set(operator, name);
    }
    this.members.show(members);
  }

  finality(picture) {
    const stages = [["certified", "second"], ["final", ""]].map(([stage, kind]) =>
      ({ stage, kind, spread: spreadOf(picture, "timed_finality_seconds", { stage }) }));
    const bounds = stages[0].spread?.bounds ?? [];
    const groups = [...bounds, Infinity].map((bound, place) => {
      const label = bound === Infinity ? "more" : span(bound).replace(" ", "\u202f");
      const limits = [place > 0 && `above ${span(bounds[place - 1])}`, bound < Infinity && `within ${span(bound)}`];
      return {
        key: String(bound), label,
        bars: stages.map(({ stage, kind, spread }) => {
          const value = spread?.counts[place] ?? 0;
          return { value, kind, title: `${count(value)} ${stage} ${limits.filter(Boolean).join(", ")}` };
        }),
      };
    });
    bars(byId("finality"), bounds.length ? groups : [], { axis: (most) => `${number(most)} payments`, top: 4, every: 2 });
    const [certified, final] = stages.map(({ spread }) => spread);
    const words = (spread) => spread ? `${count(spread.counts.reduce((sum, each) => sum + each, 0))} in 5 minutes, p50 ${percentile(spread, "p50")}, p99 ${percentile(spread, "p99")}` : NONE;
    const text = `certified (blue): ${words(certified)}; final (green): ${words(final)}`;
    setText(byId("finality-note"), text);
    setAttribute(byId("finality"), "aria-label", `Distribution of the time to finality. ${text}`);
  }

  grid(details) {
    const blocks = details?.blocks ?? [];
    const room = Array.from({ length: Math.max(0, SLOTS - blocks.length) }, (_, place) =>
      ({ key: `room${place}`, label: "", bars: [{ value: null }] }));
    bars(byId("blocks"), blocks.length ? room.concat(blocks.map((block, place) => ({
      key: String(block.height),
      label: (blocks.length - 1 - place) % 5 ? "" : String(block.height),
      bars: [{
        value: block.delay === null ? null : Math.max(0, block.delay),
        kind: block.delay !== null && block.delay > LATE_S ? "late" : "",
        title: `block ${block.height} of ${clock(block.time)}: ${block.delay === null ? "fetched, or from before the start" : `certified ${span(block.delay)} after its time`}, ` +
          `${block.payments === null ? "" : `${block.payments} payments, `}round ${block.round}, signed by ${block.signers.join(", ")} of ${block.members}`,
      }],
    }))) : [], { axis: (most) => span(most), top: 0.1 });
    const last = blocks.at(-1);
    const text = last ? `block ${last.height}: ${last.delay === null ? "time not seen" : span(last.delay)}, ${last.payments === null ? NONE : count(last.payments)} payments, signed by members ${last.signers.join(", ")}` : "no blocks yet, or not shown to this browser";
    setText(byId("blocks-note"), text);
    setAttribute(byId("blocks"), "aria-label", `Delay of the newest blocks. ${text}`);
  }
}

function votingOf(picture) {
  const epoch = picture.details?.epoch;
  if (epoch) return epoch.member === null ? "no member" : epoch.frozen ?? (epoch.signing ? "yes" : "silent");
  const signing = valueOf(picture, "timed_signing");
  return signing === null ? NONE : signing ? "yes" : "no";
}

"""Encode and decode of every message: generated code, JSON, construct's interpreter, hand-written struct.

Speeds are CPU seconds for encoding a fresh value and decoding its bytes, together:
a value that was decoded keeps its bytes, and re-using them would measure nothing.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence
from typing import Any, cast

import attrs
import msgspec

from timed.app.collector import settle_collector
from timed.bench import handwritten_wire, plainjson
from timed.bench.measure import cpu_seconds, figure
from timed.bench.report import Goal, Outcome
from timed.bench.samples import all_messages
from timed.codec import interpret
from timed.errors import LocalError
from timed.wire import jsonlines
from timed.wire.framing import frames_of
from timed.wire.message import Message

LINE_FEED = 1
HEARTBEATS = ("Ping", "Pong")
VOTES_AND_TRANSACTIONS = (
    "BlockVote", "BlockCommit", "TransactionVote", "TransactionBroadcast", "TransactionCertified",
    "TransactionFinalized", "TransactionsResponse", "CertificatesResponse",
)  # fmt: skip
BLOCKS = ("BlocksResponse", "BlockResponse", "HeadersResponse", "BlockProposal")
HOT = (*VOTES_AND_TRANSACTIONS, *BLOCKS)


@attrs.frozen
class Way:
    """One way to encode and to decode."""

    name: str
    encode: Callable[[Message], bytes]
    decode: Callable[[type[Message], bytes], Message]


def interpreted(cls: type[Message], data: bytes) -> Message:
    return cast(Message, interpret.decode(cls.entry().layout, data))


WAYS = (
    Way("generated", lambda message: message.encode(), lambda cls, data: cls.decode(data)),
    Way("json", plainjson.encode_line, lambda cls, data: plainjson.decode_line(data)),
    Way("interpreted", lambda message: interpret.encode(message.entry().layout, message), interpreted),
    Way("handwritten", handwritten_wire.encode, handwritten_wire.decode),
    Way("jsonlines", jsonlines.encode_line, lambda cls, data: jsonlines.decode_line(data)),
)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=5, help="measurements of each figure (default 5)")
    parser.add_argument(
        "--budget-ms", type=float, default=10.0, help="CPU time of one measurement (default 10 ms)"
    )
    parser.add_argument("--only", nargs="*", metavar="TYPE", help="only these message types")


def run(options: argparse.Namespace) -> Outcome:
    messages = all_messages()
    if options.only:
        by_name = {message.message_type(): message for message in messages}
        for name in options.only:
            if name not in by_name:
                raise LocalError(f"there is no message called {name!r}.")
        messages = [by_name[name] for name in options.only]
    settle_collector()
    outcome = Outcome(
        "codec: encode and decode of every message type",
        ["type", "bytes", "JSON", "share", "enc/s", "dec/s", "x JSON", "x interp.", "of hand", "x jsonlines"],
        runs=options.runs,
    )
    types: dict[str, dict[str, float]] = {}
    spreads = []
    for message in messages:
        runs = measure(message, options.runs, options.budget_ms / 1000)
        name = message.message_type()
        types[name] = figures(message, runs)
        spreads.append(figure([each["generated"].both for each in runs]).spread)
        outcome.rows.append(row(name, types[name]))
    outcome.figures = {"types": types}
    outcome.spread = statistics.median(spreads)
    outcome.goals = goals(types)
    outcome.notes = [
        "bytes: frame headers or line feed included; speeds in CPU time. 'x JSON': against JSON read as strictly as",
        "the original did; 'x jsonlines': against timed.wire.jsonlines, which sessions may speak and which is stricter.",
    ]
    return outcome


@attrs.frozen
class Times:
    """CPU seconds of one encoding and of one decoding."""

    encode: float
    decode: float

    @property
    def both(self) -> float:
        return self.encode + self.decode


def measure(message: Message, runs: int, budget_s: float) -> list[dict[str, Times]]:
    """One dictionary by way for each run; within a run the ways follow each other closely."""
    cls = type(message)
    data = {way.name: way.encode(message) for way in WAYS}
    for way in WAYS:
        if way.decode(cls, data[way.name]) != message:
            raise LocalError(f"{way.name} does not give back a {cls.__name__}.")
    return [{way.name: once(way, message, data[way.name], budget_s) for way in WAYS} for _ in range(runs)]


def once(way: Way, message: Message, data: bytes, budget_s: float) -> Times:
    cls = type(message)
    return Times(
        cpu_seconds(lambda count: [fresh(message) for _ in range(count)], way.encode, budget_s / 2),
        cpu_seconds(lambda count: [data] * count, lambda one: way.decode(cls, one), budget_s / 2),
    )


def fresh(value: Any) -> Any:
    """A deep copy of a value made from its fields."""
    if isinstance(value, msgspec.Struct):
        return type(value)(**{name: fresh(getattr(value, name)) for name in value.__struct_fields__})
    if isinstance(value, tuple):
        return tuple([fresh(item) for item in value])
    return value


def figures(message: Message, runs: list[dict[str, Times]]) -> dict[str, float]:
    """What the last line says of one type. A ratio is the median of the ratios within runs."""

    def ratio(way: str) -> float:
        return round(statistics.median(each[way].both / each["generated"].both for each in runs), 2)

    number, payload = message.entry().number, message.encode()
    return {
        "bytes_binary": sum(map(len, frames_of(b"TIME", number, payload))),
        "bytes_json": len(plainjson.encode_line(message)) + LINE_FEED,
        "speed_vs_json": ratio("json"),
        "speed_vs_interpreted": ratio("interpreted"),
        "share_of_handwritten": ratio("handwritten"),
        "speed_vs_jsonlines": ratio("jsonlines"),
        "encodes_per_s": round(1 / statistics.median(each["generated"].encode for each in runs)),
        "decodes_per_s": round(1 / statistics.median(each["generated"].decode for each in runs)),
    }


def row(name: str, figures: dict[str, float]) -> list[object]:
    share = f"{100 * figures['bytes_binary'] / figures['bytes_json']:.0f} %"
    return [
        name, figures["bytes_binary"], figures["bytes_json"], share,
        float(figures["encodes_per_s"]), float(figures["decodes_per_s"]), figures["speed_vs_json"],
        figures["speed_vs_interpreted"], figures["share_of_handwritten"], figures["speed_vs_jsonlines"],
    ]  # fmt: skip


def goals(types: dict[str, dict[str, float]]) -> list[Goal]:
    """What is to be reached, over the worst of each group that was measured."""

    def share(name: str) -> float:
        return 100 * types[name]["bytes_binary"] / types[name]["bytes_json"]

    def worst(what: str, names: Sequence[str], key: str, bound: float) -> list[Goal]:
        present = [name for name in names if name in types]
        if not present:
            return []
        name = min(present, key=lambda each: types[each][key])
        return [Goal(f"{what}, worst {name}", types[name][key], bound, at_least=True)]

    def longest(what: str, names: Sequence[str], bound: float) -> list[Goal]:
        present = [name for name in names if name in types]
        if not present:
            return []
        name = max(present, key=share)
        return [Goal(f"bytes of {what}, worst {name}", share(name), bound, unit=" % of JSON")]

    return [
        *longest("Ping and Pong", HEARTBEATS, 60.0),
        *longest("votes, transactions, proposals, blocks", HOT, 40.0),
        *worst("times JSON's speed on votes and transactions", VOTES_AND_TRANSACTIONS, "speed_vs_json", 20.0),
        *worst("times JSON's speed on blocks", BLOCKS, "speed_vs_json", 10.0),
        *worst("share of hand-written", tuple(types), "share_of_handwritten", 0.7),
    ]

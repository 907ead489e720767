"""What zstd saves of each type of message, and what it costs: the reason for `MessageType.compress`.

The messages are those of a simulated network that makes payments and blocks while a node
catches up, where few wallets pay each other, so that keys come again; and the samples,
in which every hash, key and signature is new. Real traffic lies between the two.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import zstandard

from timed.bench.measure import cpu_seconds, figure
from timed.bench.report import Goal, Outcome
from timed.bench.samples import all_messages
from timed.errors import LocalError
from timed.sim.run import Run
from timed.sim.tap import Tap
from timed.sim.world import Scenario
from timed.wire.catalogue import BY_NAME
from timed.wire.compression import LEAST_GAIN_PERCENT, LEVEL, MIN_BYTES, Packing
from timed.wire.message import Message

NODES = 7
SEED = 3
KEPT = 400
"""Payloads of one type."""
OTHER_LEVEL = 3
MB = 1e6


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=5, help="measurements of each figure (default 5)")
    parser.add_argument("--minutes", type=float, default=4.0, help="simulated time (default 4)")
    parser.add_argument(
        "--budget-ms", type=float, default=20.0, help="CPU time of one measurement (default 20 ms)"
    )


def run(options: argparse.Namespace) -> Outcome:
    heard = simulated(options.minutes)
    noise = {message.message_type(): message.encode() for message in all_messages()}
    outcome = Outcome(
        f"compression: what zstd level {LEVEL} leaves of payloads above {MIN_BYTES} bytes",
        [
            "type",
            "messages",
            "bytes",
            "left",
            f"level {OTHER_LEVEL}",
            "samples",
            "pack MB/s",
            "unpack MB/s",
            "used",
        ],
        runs=options.runs,
    )
    types: dict[str, dict[str, Any]] = {}
    spreads = []
    for name in sorted({*heard, *(name for name, payload in noise.items() if len(payload) > MIN_BYTES)}):
        payloads = heard.get(name, [])
        types[name], spread = figures(name, payloads, noise[name], options.runs, options.budget_ms / 1000)
        spreads.append(spread)
        outcome.rows.append(row(name, types[name]))
    outcome.figures = {"types": types}
    outcome.spread = statistics.median(spreads)
    outcome.goals = goals(types)
    outcome.notes = [
        "left: the share of the bytes of a simulated network's messages; samples: of one message whose hashes and",
        f"keys are all new. A payload that does not get shorter by {LEAST_GAIN_PERCENT} % is sent as it is.",
    ]
    return outcome


class _Collector(Tap):
    """Keeps the payloads that pass, each once."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.payloads: dict[str, dict[bytes, None]] = {}

    def read(self, link: int, data: bytes) -> list[Message]:
        messages = super().read(link, data)
        for message in messages:
            payload = message.encode()
            kept = self.payloads.setdefault(message.message_type(), {})
            if len(payload) > MIN_BYTES and len(kept) < KEPT:
                kept[payload] = None
        return messages


def simulated(minutes: float) -> dict[str, list[bytes]]:
    """The long payloads of a network's messages, by type."""
    run = Run(Scenario(SEED, nodes=NODES, followers=1, minutes=minutes))
    tap = run.world.tap = _Collector(run.world.cast.genesis.params, checksum=False)
    run.play()
    return {name: list(payloads) for name, payloads in tap.payloads.items() if payloads}


def figures(
    name: str, payloads: list[bytes], noise: bytes, runs: int, budget_s: float
) -> tuple[dict[str, Any], float]:
    """What the last line says of one type, and the spread of its speed."""
    packer, unpacker = zstandard.ZstdCompressor(LEVEL, write_checksum=False), zstandard.ZstdDecompressor()
    measured = payloads or [noise]
    size = sum(map(len, measured))
    packed = [packer.compress(payload) for payload in measured]
    if [unpacker.decompress(one) for one in packed] != measured:
        raise LocalError(f"zstd does not give back a {name}.")

    def speed(call: Callable[[bytes], bytes], inputs: list[bytes]) -> list[float]:
        return [
            size
            / cpu_seconds(lambda count: [inputs] * count, lambda all_: list(map(call, all_)), budget_s)
            / MB
            for _ in range(runs)
        ]

    pack, unpack = speed(packer.compress, measured), speed(unpacker.decompress, packed)
    found = {
        "messages": len(payloads),
        "mean_bytes": round(size / len(measured)),
        "left": round(sum(map(len, packed)) / size, 3) if payloads else None,
        f"left_level_{OTHER_LEVEL}": round(_left(measured, OTHER_LEVEL), 3) if payloads else None,
        "left_samples": round(_left([noise], LEVEL), 3),
        "pack_mb_per_s": round(statistics.median(pack)),
        "unpack_mb_per_s": round(statistics.median(unpack)),
        "compress": BY_NAME[name].compress,
        "sent_compressed": sum(Packing().pack(payload) is not None for payload in payloads),
    }
    return found, figure(pack).spread


def _left(payloads: list[bytes], level: int) -> float:
    packer = zstandard.ZstdCompressor(level, write_checksum=False)
    return sum(len(packer.compress(payload)) for payload in payloads) / sum(map(len, payloads))


def row(name: str, found: dict[str, Any]) -> list[object]:
    return [
        name, found["messages"], found["mean_bytes"], _percent(found["left"]),
        _percent(found[f"left_level_{OTHER_LEVEL}"]), _percent(found["left_samples"]),
        float(found["pack_mb_per_s"]), float(found["unpack_mb_per_s"]), "yes" if found["compress"] else "no",
    ]  # fmt: skip


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"


def goals(types: dict[str, dict[str, Any]]) -> list[Goal]:
    """What is compressed gains the least that is asked for; what is not would not have gained it."""
    bound = 100.0 - LEAST_GAIN_PERCENT
    heard = {name: 100 * found["left"] for name, found in types.items() if found["left"] is not None}
    used = {name: left for name, left in heard.items() if types[name]["compress"]}
    unused = {name: left for name, left in heard.items() if not types[name]["compress"]}
    found = []
    if used:
        worst = max(used, key=lambda name: used[name])
        found.append(Goal(f"left of what is compressed, most of {worst}", used[worst], bound, unit=" %"))
    if unused:
        best = min(unused, key=lambda name: unused[name])
        goal = Goal(f"left of what is not, least of {best}", unused[best], bound, at_least=True, unit=" %")
        found.append(goal)
    return found

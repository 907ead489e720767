"""One message to many peers: how long until the last receiver has it.

The sender is this process with a real `PeerTable` on a real `Network`; the receivers
share one other process. Beside it, over links of the same kind: JSON encoded again for
each peer, as the original does, and a loop of `transport.write` with the finished bytes.
Receivers follow the frames or count the bytes, whatever the way: none of them decodes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import attrs

from timed.app.collector import settle_collector
from timed.bench import plainjson
from timed.bench.host import BareLinks, TableHost, listen, make_table
from timed.bench.loop import Child, sleep
from timed.bench.loop import run as run_loop
from timed.bench.measure import MS_PER_NS, figure, percentile
from timed.bench.report import Goal, Outcome
from timed.bench.samples import Samples
from timed.wire.framing import frames_of
from timed.wire.message import Message

SMALL, LARGE = 140, 100_000
PAUSE_S = 0.002
"""Between two broadcasts: queues and buffers empty."""
WARM_UP = 3


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--peers", type=int, nargs="+", default=[10, 50, 200], help="(default 10 50 200)")
    parser.add_argument("--runs", type=int, default=30, help="broadcasts of each case (default 30)")
    parser.add_argument(
        "--seconds", type=float, default=1.5, help="at most so long a case and way (default 1.5)"
    )
    parser.add_argument(
        "--transport", choices=("tls", "plain", "both"), default="both", help="(default both)"
    )


def message_of(size: int) -> Message:
    """A block vote for the small case, an epoch report of about `size` bytes for the large one."""
    make = Samples()
    return make.vote() if size == SMALL else make.report(size // 32 - 4)


@attrs.define
class Series:
    """One value per broadcast, both in milliseconds."""

    until_last: list[float] = attrs.Factory(list)
    """From the call until the last receiver had the message."""
    cpu: list[float] = attrs.Factory(list)
    """CPU time of the sending thread: what is left of the figure on a machine that others use, too."""

    @property
    def p50(self) -> float:
        return statistics.median(self.until_last)

    @property
    def cpu_p50(self) -> float:
        return statistics.median(self.cpu)


@attrs.frozen
class Case:
    """One message size and number of peers, the three ways."""

    sessions: Series
    bare: Series
    json: Series
    encodes: int

    def figures(self) -> dict[str, float]:
        own = self.sessions
        return {
            "p50_ms": round(own.p50, 3),
            "p99_ms": round(percentile(own.until_last, 99), 3),
            "speed_vs_json_per_peer": round(self.json.p50 / own.p50, 1),
            "ratio_to_bare_loop": round(own.p50 / self.bare.p50, 2),
            "encodes": self.encodes,
            "json_p50_ms": round(self.json.p50, 2),
            "bare_p50_ms": round(self.bare.p50, 3),
            "cpu_ms": round(own.cpu_p50, 3),
            "bare_cpu_ms": round(self.bare.cpu_p50, 3),
            "json_cpu_ms": round(self.json.cpu_p50, 2),
            "runs": len(own.until_last),
        }


def run(options: argparse.Namespace) -> Outcome:
    return run_loop(lambda: measure(options))


async def measure(options: argparse.Namespace) -> Outcome:
    transports = ("plain", "tls") if options.transport == "both" else (options.transport,)
    outcome = Outcome(
        "broadcast: until the last receiver has the message",
        [
            "peers x bytes", "transport", "p50 ms", "p99 ms", "bare ms", "JSON ms", "x JSON", "of bare", "encodes",
            "CPU ms", "bare CPU", "JSON CPU",
        ],
        runs=options.runs,
    )  # fmt: skip
    found: dict[str, dict[str, Any]] = {}
    spreads = []
    for transport in transports:
        for count in options.peers:
            cases = await measure_peers(count, transport == "plain", options.runs, options.seconds)
            for size, case in cases.items():
                figures = case.figures()
                found.setdefault(transport, {})[f"{count}x{size}"] = figures
                spreads.append(figure(case.sessions.until_last).spread)
                outcome.rows.append(
                    [
                        f"{count} x {size}", transport, figures["p50_ms"], figures["p99_ms"],
                        figures["bare_p50_ms"], figures["json_p50_ms"], figures["speed_vs_json_per_peer"],
                        figures["ratio_to_bare_loop"], figures["encodes"], figures["cpu_ms"],
                        figures["bare_cpu_ms"], figures["json_cpu_ms"],
                    ]
                )  # fmt: skip
    first = transports[0]
    outcome.figures = {"cases": found[first], "transport": first}
    if len(transports) > 1:
        outcome.figures["cases_tls"] = found["tls"]
    outcome.spread = statistics.median(spreads)
    outcome.goals = goals(found)
    outcome.notes = [
        f"140 bytes: a block vote. 100000 bytes: an epoch report. 'cases' of the last line: {first}.",
        "JSON is encoded again for each peer. No receiver decodes: they share one process. CPU: the sender's.",
    ]
    return outcome


def goals(found: dict[str, dict[str, Any]]) -> list[Goal]:
    reached = []
    for transport, cases in found.items():
        wanted = cases.get(f"50x{LARGE}")
        if wanted is not None:
            reached += [
                Goal(
                    f"times JSON for each peer, 50 x {LARGE}, {transport}",
                    wanted["speed_vs_json_per_peer"], 50.0, at_least=True,
                ),
                Goal(f"times the bare loop, 50 x {LARGE}, {transport}", wanted["ratio_to_bare_loop"], 2.0),
            ]  # fmt: skip
    return reached


async def measure_peers(count: int, plain: bool, runs: int, seconds: float) -> dict[int, Case]:
    """Both sizes to `count` peers, the three ways one after the other."""
    sizes = (SMALL, LARGE)
    sessions, encodes = await over_sessions(count, plain, sizes, runs, seconds)
    bare, in_json = await over_links(count, plain, sizes, runs, seconds)
    return {size: Case(sessions[size], bare[size], in_json[size], encodes[size]) for size in sizes}


async def over_sessions(
    count: int, plain: bool, sizes: tuple[int, ...], runs: int, seconds: float
) -> tuple[dict[int, Series], dict[int, int]]:
    """What was measured by size, and how often each broadcast was encoded."""
    host = TableHost(make_table(0), plain, lambda delivery: None)
    child = start_receivers(host.listen(), count, plain, "sessions")
    series, encodes = {}, {}
    try:
        await child.hear()
        settle_collector()
        for size in sizes:
            message = message_of(size)
            counted: list[int] = []

            def send(message: Message = message, counted: list[int] = counted) -> None:
                before = host.table.encoder.encodes
                host.table.broadcast(message)
                counted.append(host.table.encoder.encodes - before)
                host.turn()

            series[size] = await repeat(child, 1, send, runs, seconds)
            encodes[size] = max(counted)
    finally:
        await child.end()
        await host.stop()
    return series, encodes


async def over_links(
    count: int, plain: bool, sizes: tuple[int, ...], runs: int, seconds: float
) -> tuple[dict[int, Series], dict[int, Series]]:
    """What was measured by size, of the bare loop and of JSON for each peer."""
    links = BareLinks(0, plain, lambda link, data: None)
    child = start_receivers(listen(links.network), count, plain, "bytes")
    bare, in_json = {}, {}
    try:
        await child.hear()
        await links.until(count)
        settle_collector()
        transports = links.transports()
        for size in sizes:
            message = message_of(size)
            number, payload = message.entry().number, message.encode()
            data = b"".join(frames_of(b"TIME", number, payload))
            line = plainjson.encode_line(message) + b"\n"

            def write_all(data: bytes = data) -> None:
                for transport in transports:
                    transport.write(data)

            def encode_each(message: Message = message) -> None:
                for transport in transports:
                    transport.write(plainjson.encode_line(message) + b"\n")

            bare[size] = await repeat(child, len(data), write_all, runs, seconds)
            in_json[size] = await repeat(child, len(line), encode_each, min(runs, 10), seconds)
    finally:
        await child.end()
        await links.network.stop()
    return bare, in_json


def start_receivers(port: int, count: int, plain: bool, kind: str) -> Child:
    settings = {"port": port, "count": count, "plain": plain, "kind": kind}
    return Child("timed.bench.receivers", json.dumps(settings))


async def repeat(child: Child, expect: int, send: Callable[[], None], runs: int, seconds: float) -> Series:
    """Broadcast one after the other."""
    found = Series()
    begun = time.monotonic()
    for index in range(WARM_UP + runs):
        await child.ask({"expect": expect})
        cpu, start = time.thread_time(), time.monotonic_ns()
        send()
        end = await child.hear()
        if index >= WARM_UP:
            found.until_last.append((end - start) * MS_PER_NS)
            found.cpu.append(1000 * (time.thread_time() - cpu))
        await sleep(PAUSE_S)
        if found.cpu and time.monotonic() - begun > seconds:
            break
    return found

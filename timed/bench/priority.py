"""How long a vote takes to a peer to whom 4 MiB blocks are being sent, with priorities and without.

Two processes with real sessions. The receiver always has two requests for a block
open; the sender answers each when its outbox has room, as a node does, and hands over
votes at random moments, which are stamped when they were due. Each vote is stamped again
when the receiver's session has delivered it, in the process that decodes the blocks. The
same is done without priorities: the sender's outbox is one queue, as `p2p.priorities = no`
makes it, and the receiver decodes in the order of arrival.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from typing import Any

import attrs

from timed.app.collector import settle_collector
from timed.bench.host import TableHost, make_table, node_key
from timed.bench.loop import Child, sleep
from timed.bench.loop import run as run_loop
from timed.bench.measure import MS_PER_NS, figure, percentile
from timed.bench.report import Goal, Outcome
from timed.bench.samples import Samples
from timed.node.serving import stored_blocks
from timed.peer.dialect import Dialect
from timed.peer.values import Delivery, Incoming, Opened
from timed.wire.message import Verbatim
from timed.wire.messages import BlockRequest, BlockResponse, BlockVote

BLOCK_BYTES = 4 * 1024 * 1024
IN_FLIGHT = 2
SEED = 7
SETTLE_S = 0.3

QUIET = "no blocks"
PRIORITIES = "with priorities"
ONE_QUEUE = "one queue"
FRAMES = "frames alone"


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=3.0, help="of one run of each case (default 3)")
    parser.add_argument("--rate", type=float, default=100.0, help="votes per second (default 100)")
    parser.add_argument("--runs", type=int, default=3, help="of each case (default 3)")
    parser.add_argument("--transport", choices=("plain", "tls"), default="tls", help="(default tls)")


def full_block() -> tuple[bytes, bytes]:
    """A block of payments that fills `BLOCK_BYTES` as an answer, and its certificate, as they are stored."""
    make = Samples()
    overhead = len(BlockResponse((make.block(1),)).encode())
    count = (BLOCK_BYTES - overhead) // make.transaction().size
    block = make.block(count)
    return block.block.encode(), block.certificate.encode()


def answer(block: tuple[bytes, bytes]) -> Verbatim[BlockResponse]:
    """What a node makes of a stored block that it is asked for."""
    return stored_blocks(BlockResponse, [block])


class Sender:
    """Serves blocks and sends votes."""

    def __init__(self, plain: bool, priorities: bool) -> None:
        table = make_table(0, dialect=Dialect(priorities=priorities))
        self.host = TableHost(table, plain, self._delivered)
        self.host.drained_hook = self._serve
        self.blocks = 0
        self._peer = node_key(1).public
        self._block = full_block()
        self._room = len(answer(self._block).encode())
        self._requests: list[int] = []
        self._votes = Samples(SEED)

    def vote(self, height: int) -> None:
        vote = self._votes.vote()
        self.host.table.send_to_peer(
            self._peer,
            BlockVote(
                vote.chain_id, height, 0, vote.step, vote.block, vote.roster, vote.member, vote.signature
            ),
        )
        self.host.turn()

    def _delivered(self, delivery: Delivery) -> None:
        if isinstance(delivery, Incoming) and isinstance(delivery.message, BlockRequest):
            self._requests.append(delivery.request_id)
            self._serve()
        elif isinstance(delivery, Opened):
            settle_collector()

    def _serve(self) -> None:
        while self._requests and self.host.table.room(self._peer) >= self._room:
            reply = answer(self._block)
            self.host.table.send_to_peer(self._peer, reply, reply_to=self._requests.pop(0))
            self.blocks += 1
            self.host.turn()


@attrs.frozen
class Delays:
    """Milliseconds from the moment a vote was due until it was there."""

    votes: list[float]
    blocks_per_s: float
    spread: float = 0.0
    """Of the 99th percentile over runs."""

    def at(self, percent: float) -> float:
        return round(percentile(self.votes, percent), 3)


def run(options: argparse.Namespace) -> Outcome:
    return run_loop(lambda: measure(options))


async def measure(options: argparse.Namespace) -> Outcome:
    outcome = Outcome(
        f"priority: the way of a vote beside 4 MiB blocks, over {options.transport}",
        ["", "votes", "p50 ms", "p99 ms", "max ms", "blocks/s"],
        runs=options.runs,
    )
    plain = options.transport == "plain"
    found: dict[str, Delays] = {}
    for name, priorities, way, blocks in (
        (QUIET, True, "classes", False),
        (PRIORITIES, True, "classes", True),
        (ONE_QUEUE, False, "arrival", True),
        (f"{PRIORITIES}, {FRAMES}", True, "frames", True),
        (f"{ONE_QUEUE}, {FRAMES}", False, "frames", True),
    ):
        found[name] = await repeat(options, plain=plain, priorities=priorities, way=way, blocks=blocks)
        delays = found[name]
        outcome.rows.append(
            [name, len(delays.votes), delays.at(50), delays.at(99), max(delays.votes), delays.blocks_per_s]
        )
    own, queue = found[PRIORITIES], found[ONE_QUEUE]
    frames, frames_queue = found[f"{PRIORITIES}, {FRAMES}"], found[f"{ONE_QUEUE}, {FRAMES}"]
    outcome.figures = {
        "vote_p50_ms": own.at(50),
        "vote_p99_ms": own.at(99),
        "vote_p99_without_ms": queue.at(99),
        "improvement": round(queue.at(99) / own.at(99), 1),
        "vote_p99_quiet_ms": found[QUIET].at(99),
        "frames_p50_ms": frames.at(50),
        "frames_p99_ms": frames.at(99),
        "frames_p99_without_ms": frames_queue.at(99),
        "blocks_per_s": round(own.blocks_per_s, 1),
        "transport": options.transport,
        "votes": len(own.votes),
    }
    outcome.spread = own.spread
    outcome.goals = [
        Goal("p99 of a vote", own.at(99), 5.0, unit=" ms"),
        Goal("times better than one queue, p99", outcome.figures["improvement"], 20.0, at_least=True),
    ]
    outcome.notes = [
        "From the moment a vote was due until the receiver's session delivered it; the same thread decodes the blocks.",
        f"'{ONE_QUEUE}': one class at the sender, and the receiver decodes in the order of arrival.",
        f"'{FRAMES}': until the vote's frame was there, at a receiver that decodes no block: the link alone.",
    ]
    return outcome


async def repeat(
    options: argparse.Namespace, *, plain: bool, priorities: bool, way: str, blocks: bool
) -> Delays:
    """The votes of all runs together; each run has processes of its own."""
    runs = [
        await once(options, plain=plain, priorities=priorities, way=way, blocks=blocks)
        for _ in range(options.runs)
    ]
    return Delays(
        [delay for each in runs for delay in each.votes],
        statistics.median(each.blocks_per_s for each in runs),
        figure([each.at(99) for each in runs]).spread,
    )


async def once(
    options: argparse.Namespace, *, plain: bool, priorities: bool, way: str, blocks: bool
) -> Delays:
    """One sender, one receiver, votes at random moments."""
    sender = Sender(plain, priorities)
    settings = {"port": sender.host.listen(), "plain": plain, "way": way, "in_flight": IN_FLIGHT}
    child = Child("timed.bench.listener", json.dumps(settings))
    try:
        await child.hear()
        await child.ask({"blocks": blocks})
        await sleep(SETTLE_S)
        before, begun = sender.blocks, time.monotonic()
        due = await send_votes(sender, options.rate, options.seconds)
        blocks_per_s = (sender.blocks - before) / (time.monotonic() - begun)
        arrived: list[Any] = await child.ask({"votes": len(due)})
    finally:
        await child.end()
        await sender.host.stop()
    return Delays([(at - due[height]) * MS_PER_NS for height, at in arrived], blocks_per_s)


async def send_votes(sender: Sender, rate: float, seconds: float) -> dict[int, int]:
    """Send votes at exponential intervals: number to the monotonic nanosecond at which each was due."""
    intervals = random.Random(SEED)
    due: dict[int, int] = {}
    at = time.monotonic_ns()
    end = at + int(seconds * 1e9)
    while True:
        at += int(intervals.expovariate(rate) * 1e9)
        if at > end:
            return due
        await sleep(max(0.0, (at - time.monotonic_ns()) / 1e9))
        due[len(due)] = at
        sender.vote(len(due) - 1)

"""An administrator's calls while others take what they can: a thousand busy connections, ten thousand idle ones.

The busy ones belong to an ordinary account, come from a hundred addresses and post light
calls without a pause. The idle ones are opened as fast as the kernel does it and say nothing. The administrator has the
cookie and makes a connection for each call, as `timed-cli` does, so that what the site
does to newcomers happens to it, too.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from timed.bench.loop import PATIENCE_S, Child, sleep
from timed.bench.measure import percentile
from timed.bench.processes import anonymous_mb, descriptors
from timed.bench.report import Goal, Outcome, short
from timed.client import message
from timed.client.location import Location
from timed.errors import LocalError
from timed.testnet.layout import HOST, NodePlan
from timed.testnet.process import NodeProcess
from timed.testnet.rpc import call

US_PER_MS = 1e3
SETTLE_S = 1.0
DRAIN_S = 30.0
POLL_S = 0.25
HOSTS = 100
"""Addresses of the busy connections: what one client has in the queue is bounded below a thousand."""
RATE = 20.0
"""The administrator's calls per second."""
ADMIN_BODY = '{"jsonrpc":"2.0","id":1,"method":"getpeerinfo"}'
ALONE, BUSY, IDLE, BOTH, ARRIVING = "alone", "busy", "idle", "both", "arriving"
NO_LOAD = {"delays": (), "seconds": 1.0, "ended": 0, "wrong": 0}
GOAL_MS = 100.0
GOAL_DESCRIPTORS = 5


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--crowd", action="store_true", help="measure an administrator's calls in a crowd")
    parser.add_argument("--busy", type=int, default=1000, help="connections that call (default 1000)")
    parser.add_argument("--idle", type=int, default=10000, help="connections that do not (default 10000)")
    parser.add_argument(
        "--stretch-seconds", type=float, default=10.0, help="of each part of a crowd (default 10)"
    )
    parser.add_argument(
        "--connections", type=int, default=0, help="rpc.max_connections of a crowd (default the node's own)"
    )


def settings(options: argparse.Namespace) -> str:
    """A section of the node's configuration."""
    return f"[rpc]\nmax_connections = {options.connections}\n" if options.connections else ""


@attrs.frozen
class Stretch:
    """A part of the run. Delays of the administrator in milliseconds."""

    name: str
    delays: list[float]
    lost: int
    """Calls of the administrator without an answer, or with one that was no result."""
    busy_per_s: float
    """Calls of the busy connections."""
    busy_ended: int
    """Busy connections that were ended to make room."""
    opened: int
    """Idle connections so far, and how many of them the node has ended."""
    ended: int
    held: int
    """Connections that the node has at the end."""
    anonymous_mb: float

    def row(self) -> list[object]:
        return [
            self.name, len(self.delays), percentile(self.delays, 50), percentile(self.delays, 99),
            max(self.delays, default=0.0), self.lost, self.busy_per_s, self.opened, self.ended, self.held,
            self.anonymous_mb,
        ]  # fmt: skip

    def figures(self) -> dict[str, Any]:
        return {
            f"admin_p50_ms_{self.name}": round(percentile(self.delays, 50), 2),
            f"admin_p99_ms_{self.name}": round(percentile(self.delays, 99), 2),
            f"admin_max_ms_{self.name}": round(max(self.delays, default=0.0), 2),
            f"admin_lost_{self.name}": self.lost,
            f"busy_per_s_{self.name}": round(self.busy_per_s),
            f"busy_ended_{self.name}": self.busy_ended,
            f"idle_ended_{self.name}": self.ended,
            f"connections_{self.name}": self.held,
            f"anonymous_mb_{self.name}": round(self.anonymous_mb, 1),
        }


COLUMNS = (
    "beside", "calls", "p50 ms", "p99 ms", "max ms", "lost", "busy calls/s", "idle", "ended", "held", "anonymous MB",
)  # fmt: skip


class RpcCrowd:
    """The node, and the processes of the administrator, the busy and the idle."""

    def __init__(
        self, options: argparse.Namespace, node: NodePlan, pid: int, busy_order: dict[str, Any]
    ) -> None:
        self._options = options
        self._node = node
        self._pid = pid
        self._busy_order = busy_order
        cookie = Location(HOST, node.rpc_port, cookie_file=str(node.cookie))
        self._authorization = message.authorization(*cookie.credentials())
        self._admin, self._idle = Child("timed.bench.visitors"), Child("timed.bench.visitors")
        self._busy = Child("timed.bench.httpload")
        self._opened = 0

    async def alone(self) -> Stretch:
        """The administrator and nobody else."""
        self._visit()
        return await self._seen(ALONE, NO_LOAD)

    async def beside(self, name: str, busy: bool, idle: int = 0) -> Stretch:
        """The administrator calls once everybody is there: `idle` more that stay, and the busy ones."""
        if idle:
            await self._come(idle)
        if busy:
            await self._busy.ask(self._busy_order)
            self._load(self._options.stretch_seconds + SETTLE_S)
        await sleep(SETTLE_S)
        self._visit()
        return await self._seen(name, NO_LOAD if not busy else None)

    async def arriving(self, idle: int) -> Stretch:
        """The administrator calls while `idle` connections are opened and the busy ones begin."""
        await self._busy.ask(self._busy_order)
        self._visit()
        self._load(self._options.stretch_seconds)
        await self._come(idle)
        return await self._seen(ARRIVING, None)

    def _visit(self) -> None:
        self._admin.say(
            {
                "visit": self._node.rpc_port, "authorization": self._authorization, "body": ADMIN_BODY,
                "seconds": self._options.stretch_seconds, "rate": RATE,
            }
        )  # fmt: skip

    def _load(self, seconds: float) -> None:
        self._busy.say({"closed": self._busy_order["open"], "seconds": seconds})

    async def _come(self, idle: int) -> None:
        self._opened = await self._idle.ask({"idle": self._node.rpc_port, "connections": idle})

    async def _seen(self, name: str, load: dict[str, Any] | None) -> Stretch:
        """What the administrator met, once it is through; without `load` the busy ones are asked for theirs."""
        patience = self._options.stretch_seconds + PATIENCE_S
        admin = await self._admin.hear(patience)
        found = await self._busy.hear(patience) if load is None else load
        if found["wrong"]:
            raise LocalError(f"{found['wrong']} answers to the busy connections were no result.")
        ended = await self._idle.ask({"ended": True}) if self._opened else 0
        held = int(call(self._node, "getrpcinfo")["http"]["connections"])
        if load is None:
            await self._busy.ask({"shut": self._busy_order["open"]})
        return Stretch(
            name,
            [delay / US_PER_MS for delay in admin["delays"]],
            admin["lost"] + admin["wrong"],
            len(found["delays"]) / found["seconds"],
            found["ended"],
            self._opened,
            ended,
            held,
            anonymous_mb(self._pid),
        )

    async def leave(self) -> None:
        """The idle ones go."""
        await self._idle.ask({"leave": True})
        self._opened = 0

    async def end(self) -> None:
        for child in (self._admin, self._idle, self._busy):
            await child.end()


async def measure(
    options: argparse.Namespace, node: NodePlan, process: NodeProcess, busy_order: dict[str, Any]
) -> Outcome:
    pid = process.pid or 0
    await sleep(SETTLE_S)
    before = descriptors(pid)
    crowd = RpcCrowd(options, node, pid, busy_order)
    found = [
        await crowd.alone(),
        await crowd.beside(BUSY, True),
        await crowd.beside(IDLE, False, options.idle),
        await crowd.beside(BOTH, True),
    ]
    await crowd.leave()
    found.append(await crowd.arriving(options.idle))
    await crowd.leave()
    await crowd.end()
    left = await until(lambda: sleep(POLL_S), lambda: descriptors(pid), before)
    refused = int(call(node, "getrpcinfo")["http"]["counters"].get("full", 0))
    return outcome(options, found, refused, left - before)


async def until(pause: Callable[[], Awaitable[None]], seen: Callable[[], int], most: int) -> int:
    """What is seen once it is no more than `most`, or after `DRAIN_S`."""
    deadline = time.monotonic() + DRAIN_S
    while (found := seen()) > most and time.monotonic() < deadline:
        await pause()
    return found


def outcome(options: argparse.Namespace, found: list[Stretch], refused: int, left: int) -> Outcome:
    """Table, figures and goals."""
    crowded = [each for each in found if each.name not in (ALONE, ARRIVING)]
    return Outcome(
        f"rpc: an administrator beside {options.busy} busy and {options.idle} idle connections",
        COLUMNS,
        rows=[each.row() for each in found],
        notes=[
            f"An administrator calls {RATE:g} times a second, each time on a new connection.",
            f"The node has ended {refused} connections to make room, and has {left} descriptors more than before;",
            f"load {short(os.getloadavg()[0])} after.",
            "",
        ],
        figures={
            **{name: value for each in found for name, value in each.figures().items()},
            "connections_refused": refused,
            "descriptors_left": left,
        },
        goals=[
            *(
                Goal(
                    f"an administrator's call, p99, {each.name}",
                    percentile(each.delays, 99),
                    GOAL_MS,
                    unit=" ms",
                )
                for each in crowded
            ),
            Goal("an administrator's calls without an answer", sum(each.lost for each in found), 0),
            Goal("descriptors left behind", left, GOAL_DESCRIPTORS),
        ],
    )

"""Thousands of WebSockets that follow the events of a node, one of which reads nothing; beside a bare broadcast.

The subscribers are in processes of their own and want blocks and final payments. An
administrator calls on a new connection each time. Afterwards an autobahn server sends the
same texts to as many sockets, each to all of them in one turn.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from typing import Any

import attrs

from timed.bench.cluster import Cluster, cluster
from timed.bench.load import Load, Payment, coins_of_payer, sign_payments, signed
from timed.bench.loop import Child, sleep
from timed.bench.loop import run as run_loop
from timed.bench.measure import percentile
from timed.bench.processes import anonymous_mb, cpu_s
from timed.bench.report import Goal, Outcome, short
from timed.client import message
from timed.client.location import Location
from timed.errors import LocalError
from timed.ledger.genesis import Genesis
from timed.ledger.rules import largest_total
from timed.primitives.hashing import tagged_hash
from timed.primitives.transaction import Lock, Output
from timed.testnet.layout import HOST
from timed.testnet.rpc import call

INTERVAL_S = 5
EARLIER, EARLIER_RATE, WIDE = 80, 20.0, 200
"""Payments made before, how many a second and with how many addresses: the one that does not read begins with
their events, which are more than the kernel takes for it."""
HOSTS = 100
"""Addresses of the subscribers."""
SPARE = 256
WAITING_BYTES = 1 << 16
TYPES = ("block", "transaction.final")
SETTLE_S = 3.0
DRAIN_S = 60.0
POLL_S = 0.5
CUT_S = 90.0
"""The one that does not read is cut within this: by what waits, by time, or by a ping without an answer."""
ADMIN_RATE = 20.0
ADMIN_BODY = '{"jsonrpc":"2.0","id":1,"method":"getblockcount"}'
PAGE = 100
US_PER_MS = 1e3
GOAL_ADMIN_MS, GOAL_KB = 100.0, 64.0
DEAF, SUBSCRIBE = '{"op":"subscribe","after":"oldest"}', '{"op":"subscribe","types":["%s"],"after":"newest"}'


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--subscribers", type=int, default=5000, help="sockets (default %(default)s)")
    parser.add_argument("--processes", type=int, default=2, help="that hold them (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=30.0, help="of following (default %(default)s)")
    parser.add_argument("--rate", type=float, default=2.0, help="payments a second (default %(default)s)")


def run(options: argparse.Namespace) -> Outcome:
    coins = EARLIER + round(options.rate * options.seconds) + 1
    with cluster(1, coins, INTERVAL_S, settings(options.subscribers)) as network:
        return run_loop(lambda: measure(options, network, coins))


def settings(subscribers: int) -> str:
    """Sections of the node's configuration."""
    most = subscribers + SPARE
    return (
        f"[feed]\nmax_subscribers = {most}\nmax_per_client = {most}\nwaiting_bytes = {WAITING_BYTES}\n"
        f"[rpc]\nmax_connections = {most}\n"
    )


@attrs.frozen
class Side:
    """One server: what its subscribers heard."""

    name: str
    events: int
    """Told, each to every subscriber."""
    heard: int
    ended: int
    delays: Counter[int]
    cpu_us: float
    """CPU for one event at one subscriber, with all else the process did meanwhile."""
    kb: float
    """Memory of one subscriber."""

    def delay(self, percent: float) -> float:
        """Milliseconds from what happened until a subscriber had read it."""
        return percentile_of(self.delays, percent)

    def row(self, subscribers: int) -> list[object]:
        return [
            self.name, self.events, self.heard, self.events * subscribers - self.heard, self.delay(50),
            self.delay(99), max(self.delays, default=0), self.cpu_us, self.kb,
        ]  # fmt: skip


COLUMNS = (
    "server", "events", "heard", "missing", "p50 ms", "p99 ms", "max ms", "CPU µs/event", "kB/subscriber",
)  # fmt: skip


def percentile_of(delays: Counter[int], percent: float) -> float:
    """As `percentile`, of counted values."""
    rank, seen = -(-sum(delays.values()) * percent // 100), 0
    for delay in sorted(delays):
        seen += delays[delay]
        if seen >= rank:
            return float(delay)
    return 0.0


class Followers:
    """The processes of the subscribers."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._count = options.subscribers
        self._held: list[int] = []
        self.children = [Child("timed.bench.subscribers") for _ in range(options.processes)]

    async def connect(self, port: int, authorization: str, say: str) -> None:
        each, more = divmod(self._count, len(self.children))
        for number, child in enumerate(self.children):
            count = each + (number < more)
            child.say(
                {"connect": port, "count": count, "hosts": HOSTS, "authorization": authorization, "say": say}
            )
        self._held = [await child.hear(CUT_S) for child in self.children]
        if sum(self._held) != self._count:
            raise LocalError(f"{sum(self._held)} of {self._count} subscribers are connected.")

    def listen(self, seconds: float, cursor: str, each: int = 0) -> None:
        """To what comes after a cursor, until every subscriber has heard `each` events."""
        for child, held in zip(self.children, self._held, strict=True):
            child.say({"hear": seconds, "after": number_of(cursor), "most": held * each})

    async def heard(self, seconds: float) -> tuple[Counter[int], int, Counter[int]]:
        """Events by their number, sockets that ended, and the delays by millisecond."""
        events, ended, delays = Counter[int](), 0, Counter[int]()
        for child in self.children:
            found = await child.hear(seconds + DRAIN_S)
            ended += found["ended"]
            events.update({int(number): count for number, count in found["events"].items()})
            delays.update({int(delay): count for delay, count in found["delays"].items()})
        return events, ended, delays

    async def leave(self) -> None:
        for child in self.children:
            await child.ask({"leave": True})

    async def end(self) -> None:
        for child in self.children:
            await child.end()


@attrs.frozen
class Cut:
    """The subscriber that read nothing."""

    reason: str
    """What the node said, cursor included; empty when the connection ended without a word."""
    missing: int
    """Events that it would lack after coming back with its cursor."""
    ended: dict[str, int]
    """Subscriptions that the node has ended, by reason."""


@attrs.frozen
class Calls:
    """An administrator's, in milliseconds."""

    delays: list[float]
    lost: int

    @classmethod
    def of(cls, found: dict[str, Any]) -> Calls:
        return cls([delay / US_PER_MS for delay in found["delays"]], found["lost"] + found["wrong"])


def sign_wide(genesis: Genesis) -> list[Payment]:
    """`EARLIER` payments to `WIDE` addresses each."""
    payees = [Lock.key_hash(tagged_hash("bench-payee", b"%d" % number)) for number in range(WIDE)]
    payments = []
    for place, spent in coins_of_payer(genesis)[:EARLIER]:
        value = largest_total(spent.value, genesis.params) // WIDE
        outputs = [Output(value, payee) for payee in payees]
        payments.append(Payment.of(signed(genesis, place, spent, outputs)))
    return payments


async def measure(options: argparse.Namespace, network: Cluster, coins: int) -> Outcome:
    (node,) = network.plan.nodes
    pid = network.pid(node)
    cookie = Location(HOST, node.rpc_port, cookie_file=str(node.cookie))
    authorization = message.authorization(*cookie.credentials())
    payments = sign_payments(network.genesis, coins - EARLIER, EARLIER)
    earlier = Load([node], sign_wide(network.genesis), EARLIER_RATE)
    earlier.start()
    network.wait_final(list(earlier.wait().due), DRAIN_S)
    await sleep(INTERVAL_S)
    before = anonymous_mb(pid)
    admin, followers = Child("timed.bench.visitors"), Followers(options)
    order = {
        "visit": node.rpc_port, "authorization": authorization, "body": ADMIN_BODY, "rate": ADMIN_RATE,
        "seconds": options.seconds,
    }  # fmt: skip
    begun = time.monotonic()
    await followers.connect(node.rpc_port, authorization, SUBSCRIBE % '","'.join(TYPES))
    connecting = time.monotonic() - begun
    await sleep(SETTLE_S)
    kb = 1000 * (anonymous_mb(pid) - before) / options.subscribers
    deaf = followers.children[0]
    await deaf.ask({"deaf": node.rpc_port, "authorization": authorization, "say": DEAF})
    cursor, cpu = call(node, "geteventcursor")["cursor"], cpu_s(pid)
    load = Load([node], payments, options.rate)
    followers.listen(options.seconds + SETTLE_S, cursor)
    load.start()
    admin.say(order)
    calls = Calls.of(await admin.hear(options.seconds + DRAIN_S))
    texts = told(node, cursor)
    load.wait()
    events, ended, delays = await followers.heard(options.seconds)
    used = cpu_s(pid) - cpu
    heard = sum(events[number] for number in texts)
    cut = await cut_of(node, deaf)
    await followers.leave()
    ours = Side("timed", len(texts), heard, ended, delays, 1e6 * used / max(1, events.total()), kb)
    bare = await broadcast(options, followers, list(texts.values()), cursor)
    await followers.end()
    await admin.end()
    return outcome(options, ours, bare, cut, calls, connecting)


def told(node: Any, cursor: str) -> dict[int, str]:
    """The events since a cursor that the subscribers want, as their texts, by their number."""
    texts: dict[int, str] = {}
    while True:
        page = call(node, "getevents", cursor, list(TYPES), [], PAGE)
        texts |= {event["sequence"]: message.exact(event, indent=None) for event in page["events"]}
        cursor = page["cursor"]
        if not page["more"]:
            return texts


async def cut_of(node: Any, deaf: Child) -> Cut:
    """Once the one that does not read was cut: what it was told, and what it lacks with that."""
    deadline = time.monotonic() + CUT_S
    while any(each["paused"] for each in call(node, "getsubscriptions")["subscriptions"]):
        if time.monotonic() > deadline:
            raise LocalError(f"a subscriber that does not read was not cut within {CUT_S:g} s.")
        await sleep(POLL_S)
    found = await deaf.ask({"ended": True})
    cursor = found["reason"].partition(" ")[2] or found["cursor"]
    had, ends = found["events"], call(node, "geteventcursor")
    while True:
        page = call(node, "getevents", cursor, [], [], PAGE)
        had, cursor = had + len(page["events"]), page["cursor"]
        if not page["more"]:
            break
    total = number_of(cursor) - number_of(ends["oldest"])
    return Cut(found["reason"], total - had, dict(call(node, "getsubscriptions")["ended"]))


def number_of(cursor: str) -> int:
    return int(cursor.rpartition("-")[2])


async def broadcast(options: argparse.Namespace, followers: Followers, texts: list[str], cursor: str) -> Side:
    """The same texts from the bare server, evenly over the same time."""
    server = Child("timed.bench.baresocket")
    port = await server.hear()
    before = anonymous_mb(server.pid)
    await followers.connect(port, "", "")
    await sleep(SETTLE_S)
    kb = 1000 * (anonymous_mb(server.pid) - before) / options.subscribers
    cpu, begun = cpu_s(server.pid), time.monotonic()
    followers.listen(options.seconds + DRAIN_S, cursor, len(texts))
    for number, text in enumerate(texts):
        due = begun + number * options.seconds / len(texts)
        await sleep(max(0.0, due - time.monotonic()))
        await server.ask({"send": text})
    events, ended, delays = await followers.heard(options.seconds)
    used, heard = cpu_s(server.pid) - cpu, events.total()
    await followers.leave()
    await server.end()
    return Side("bare", len(texts), heard, ended, delays, 1e6 * used / max(1, heard), kb)


def outcome(
    options: argparse.Namespace, ours: Side, bare: Side, cut: Cut, calls: Calls, connecting: float
) -> Outcome:
    """Table, figures and goals."""
    missing = ours.events * options.subscribers - ours.heard
    admin_p99 = percentile(calls.delays, 99)
    figures: dict[str, Any] = {
        "subscribers": options.subscribers,
        "connecting_s": round(connecting, 1),
        "admin_p50_ms": round(percentile(calls.delays, 50), 2),
        "admin_p99_ms": round(admin_p99, 2),
        "admin_max_ms": round(max(calls.delays, default=0.0), 2),
        "admin_lost": calls.lost,
        "unread_told": cut.reason,
        "unread_missing": cut.missing,
        "ended": cut.ended,
    }
    for side in (ours, bare):
        figures |= {
            f"{side.name}_events": side.events,
            f"{side.name}_missing": side.events * options.subscribers - side.heard,
            f"{side.name}_ended": side.ended,
            f"{side.name}_delay_p50_ms": side.delay(50),
            f"{side.name}_delay_p99_ms": side.delay(99),
            f"{side.name}_cpu_us": round(side.cpu_us, 1),
            f"{side.name}_kb": round(side.kb, 1),
        }
    return Outcome(
        f"events: {options.subscribers} WebSockets that follow, and one that does not read",
        COLUMNS,
        rows=[ours.row(options.subscribers), bare.row(options.subscribers)],
        notes=[
            f"{options.rate:g} payments a second, a block every {INTERVAL_S} s; delays from what happened until it was read.",
            f"All had connected after {connecting:.1f} s.",
            f"An administrator's call: p50 {short(percentile(calls.delays, 50))} ms, p99 {short(admin_p99)} ms, {calls.lost} lost.",
            f"The node ended {cut.ended or 'none'}; the one that does not read lacks {cut.missing} events when it comes back.",
            f"load {short(os.getloadavg()[0])} after.",
            "",
        ],
        figures=figures,
        goals=[
            Goal("an administrator's call, p99", admin_p99, GOAL_ADMIN_MS, unit=" ms"),
            Goal("an administrator's calls without an answer", calls.lost, 0),
            Goal("events that subscribers lack", missing, 0),
            Goal("subscribers that were cut though they read", ours.ended, 0),
            Goal("events that the one who does not read lacks afterwards", cut.missing, 0),
            Goal("memory of one subscriber", ours.kb, GOAL_KB, unit=" kB"),
        ],
    )

"""Every timer and thread of the services is watched, or stands here with the reason why it need not be.

The sources are walked: a new `callLater`, `later` or thread that is in neither table fails the first test.
"""

from __future__ import annotations

import ast
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.test_app_services import ServicesCase
from tests.test_style import ROOT, modules

ROOMS = ("app", "feed", "monitor", "net", "rpc")
ASKS = (
    "callLater", "later", "_later", "deferLater", "Ticker", "Steps", "LoopingCall", "TimerService", "Cooperator",
)  # fmt: skip
"""What asks the reactor to come back; every loop hangs on one of them or on a thread."""
THREADS = ("callInThread", "deferToThread", "deferToThreadPool", "defer_to_thread", "ThreadWorker")
REACTORS = ("callLater", "deferToThreadPool", "defer_to_thread")
"""The same, handed to somebody who asks later."""

WATCHED = {
    "app/composition.py Housekeeping.__init__": "log-summaries heap",
    "app/driver.py NodeDriver._arm": "node-timer",
    "app/driver.py NodeDriver._end_of_turn": "node-timer",
    "app/feeding.py FeedService.startService": "events",
    "app/follow.py OverridesFollower.__init__": "overrides",
    "app/indexing.py IndexService.startService": "indexes",
    "app/indexing.py Indexer._next": "indexes",
    "app/indexing.py Indexer.__init__": "indexes",
    "app/memory.py PeerMemory.__init__": "peer-book",
    "app/memory.py PeerMemory._save": "peer-book",
    "app/seeds.py Seeds.__init__": "seeds",
    "app/storequeue.py StoreQueue._begin": "store",
    "app/systemd.py SystemdService.__init__": "manager-watchdog",
    "app/verifier.py Verifier._begin": "verifier",
    "feed/hub.py Hub._look_at_all": "subscriptions",
    "feed/hub.py Hub._turn": "subscriptions",
    "feed/hub.py Hub.ready": "subscriptions",
    "feed/hub.py Hub.restart": "subscriptions",
    "feed/hub.py Hub.subscribe": "subscriptions",
    "feed/delivery.py Delivery._pause": "sink",
    "feed/scribe.py Scribe.__init__": "events",
    "monitor/lateness.py Lateness.__init__": "lateness",
    "monitor/service.py MonitorService.__init__": "monitor",
    "monitor/viewers.py Viewers.__init__": "dashboard",
    "rpc/chainlink.py ChainLink._again": "chain-link",
    "rpc/chronicle.py Chronicle.__init__": "wallet-history",
    "rpc/following.py FeedFollower._follow": "events-followed",
    "rpc/following.py FeedFollower._look": "events-followed",
    "rpc/lanes.py Lanes.ask": "rpc-turns",
    "rpc/probe.py SnapshotProbe.__init__": "snapshot-probe",
    "rpc/reader.py Reader._begin": "reader",
    "rpc/toll.py Toll.__init__": "rpc-turns",
    "rpc/wallethost.py WalletHost.__init__": "wallet-file",
    "rpc/wallethost.py WalletHost._pursue": "wallet-pursuit",
    "rpc/wallethost.py WalletHost._scan_failed": "wallet-scan",
    "rpc/wallethost.py WalletHost._step": "wallet-scan",
}
"""Where a loop asks to be called again: the name, or names, under which it is watched."""

ONCE = "one call for one thing, which is over with it"
CALL = "of one call of a client, which has a deadline of its own and is answered with an error"
CONNECTION = "of one connection, whose end it is: one that is lost costs one place, and places are bounded"
PART = "handed to the part that asks, whose loop is in WATCHED"
UNWATCHED = {
    "app/watchdog.py Watchdog.__init__": "the watchdog itself: the monitor and /health look at it",
    "app/composition.py compose": CALL,
    "app/composition.py make_context": ONCE,
    "app/chain.py ChainService._recordings": "one recording after a fault; the next fault writes another one",
    "app/feeding.py FeedService._start_sinks": PART,
    "app/live.py LiveConfig._wait": "a change that is not confirmed goes back; getconfig shows how long it has, setconfig takes it back",
    "app/seeds.py Seeds._store": "the cache of addresses, which stands in for sources only; an ask that does not end is no loop's",
    "feed/feed.py make_feed": PART,
    "monitor/command.py AlertCommand._next": ONCE,
    "monitor/profiler.py Profiler.take": CALL,
    "net/dialer.py Dial._connect": "of one dial; node-peers dials again",
    "net/dialer.py Dial.begin": "of one dial; node-peers dials again",
    "net/dialer.py Dial.refuse_later": "of one dial; node-peers dials again",
    "net/lobby.py Lobby.enter": CONNECTION,
    "net/network.py Network.drained_soon": "the session's own deadline ends a link that takes nothing more",
    "net/protocol.py PeerProtocol.close": CONNECTION,
    "rpc/consolidation.py Consolidation.published": "the next block asks again",
    "rpc/custody.py Custody._in_pool": CALL,
    "rpc/custody.py Custody._turn": CALL,
    "rpc/custody.py Custody.unlock": "the wallet locks itself again; walletlock does it at once",
    "rpc/desk.py Desk._pause": CALL,
    "rpc/desk.py Desk.callInThread": "the reader's, see reader",
    "rpc/http.py RpcEndpoint._turn_away": CONNECTION,
    "rpc/localfront.py LocalFront.stop": ONCE,
    "rpc/localfront.py LocalLink._begin_some": "the next bytes of that connection have it work again; the other process's calls have deadlines",
    "rpc/site.py BoundedChannel.answer_and_drain": CONNECTION,
    "rpc/site.py BoundedChannel.hang_up": CONNECTION,
    "rpc/site.py BoundedSite.close": ONCE,
    "rpc/toll.py Toll._slow": CALL,
    "rpc/waiting.py Waiters.wait": CALL,
    "rpc/websocket.py EventSocket._ping": CONNECTION,
    "rpc/websocket.py EventSocket.end_soon": CONNECTION,
    "rpc/websocket.py EventSocket.onOpen": CONNECTION,
    "rpc/worker.py ThreadWorker.run": PART,
}
"""The others, each with its reason."""

IN_A_NODE = {
    "node-timer", "node-chain", "node-sync", "node-relay", "node-peers", "store", "verifier", "peer-book",
    "events", "subscriptions", "indexes", "rpc-turns", "reader", "wallet-file", "wallet-history", "wallet-scan",
    "wallet-pursuit", "monitor", "lateness", "dashboard", "log-summaries", "heap",
}  # fmt: skip
"""The loops of a node with every service, without seeds, sinks and a service manager."""
IN_AN_RPC_PROCESS = {
    "rpc-turns", "reader", "chain-link", "snapshot-probe", "events-followed", "overrides", "log-summaries",
    "heap",
}  # fmt: skip
ELSEWHERE = {"seeds", "sink", "manager-watchdog"}
"""Watched where they are configured."""


def sites() -> Iterator[str]:
    """Module and function of every place that asks for a later call or a thread, or hands on who can."""
    for name, tree, _ in modules(*ROOMS):
        for place in places(tree, ""):
            yield f"{name.removeprefix('timed/')} {place}"


def places(node: ast.AST, place: str) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        inner = place
        if isinstance(child, ast.ClassDef):
            inner = child.name
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = (
                f"{place}.{child.name}".lstrip(".") if isinstance(node, ast.ClassDef | ast.Module) else place
            )
        elif asks(child):
            yield place
        yield from places(child, inner)


def asks(node: ast.AST) -> bool:
    """True for a call of one of these names, and for `reactor.callLater` or `deferToThreadPool` given to somebody."""
    if isinstance(node, ast.Call):
        named = node.func
        return any(name(each) in REACTORS for each in node.args) or name(named) in (*ASKS, *THREADS)
    return False


def name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


class TheList(SynchronousTestCase):
    def test_every_timer_and_thread_is_watched_or_has_its_reason(self) -> None:
        found = set(sites())
        self.assertEqual(found - set(WATCHED) - set(UNWATCHED), set(), "neither watched nor excused")
        self.assertEqual((set(WATCHED) | set(UNWATCHED)) - found, set(), "in the tables and gone")
        self.assertEqual(set(WATCHED) & set(UNWATCHED), set())

    def test_every_reason_is_a_sentence(self) -> None:
        for place, reason in UNWATCHED.items():
            self.assertGreater(len(reason.split()), 3, place)

    def test_every_watched_loop_is_one_that_a_process_enters(self) -> None:
        named = {name for names in WATCHED.values() for name in names.split()}
        self.assertEqual(named - IN_A_NODE - IN_AN_RPC_PROCESS - ELSEWHERE, set())

    def test_a_new_timer_would_be_noticed(self) -> None:
        tree = ast.parse("class A:\n  def go(self):\n    self._reactor.callLater(1, self.go)\n")
        self.assertEqual(list(places(tree, "")), ["A.go"])
        tree = ast.parse("def go(reactor):\n  loop(reactor.callLater)\n")
        self.assertEqual(list(places(tree, "")), ["go"])

    def test_the_runbook_names_every_loop(self) -> None:
        text = (ROOT / "docs/runbook.rst").read_text(encoding="utf-8")
        page = text.partition("\ncheck-loops\n")[2].partition("\ncheck-bugs\n")[0]
        named = set(re.findall(r"``([a-z-]+)(?: …)?``", page))
        self.assertEqual((IN_A_NODE | IN_AN_RPC_PROCESS | ELSEWHERE) - named, set())


class Entered(ServicesCase):
    def test_a_node_enters_all_of_its_loops_and_ends_them(self) -> Deferred[None]:
        async def scenario() -> None:
            application = self.compose("index.addresses=yes")
            loops: Any = application.getServiceNamed("watchdog")
            application.startService()
            try:
                self.assertEqual({standing.loop.name for standing, _ in loops}, IN_A_NODE)
                loops.look()
                self.assertEqual(loops.troubles(), [])
            finally:
                await application.stopService()
            self.assertEqual([standing.loop.name for standing, _ in loops], [])

        return Deferred.fromCoroutine(scenario())

    def test_an_rpc_process_does_the_same(self) -> Deferred[None]:
        short = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, short)
        self.directory = Path(short) / "node"

        async def scenario() -> None:
            node = self.compose("services.enabled=chain")
            node.startService()
            await node.stopService()
            # One process cannot have the files open twice: the node is away, which is no loop's fault.
            apart = self.compose("services.enabled=rpc")
            loops: Any = apart.getServiceNamed("watchdog")
            apart.startService()
            try:
                self.assertEqual({standing.loop.name for standing, _ in loops}, IN_AN_RPC_PROCESS)
            finally:
                await apart.stopService()
            self.assertEqual([standing.loop.name for standing, _ in loops], [])

        return Deferred.fromCoroutine(scenario())

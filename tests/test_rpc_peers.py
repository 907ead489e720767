"""The operator's view of peers, and what the operator does to them, held against the node itself."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from tests.peer_harness import key
from tests.rpc_world import RpcTestCase, World
from tests.test_app_services import ServicesCase
from tests.test_net_bytes import Relay
from timed.app.schema import LEVELS
from timed.errors import LocalError
from timed.events import Action, Close, Dial, Write
from timed.params import REGTEST, SECOND
from timed.peer import limits
from timed.peer.rates import RATES
from timed.peer.seeding import Seed, Seeding, SeedKind
from timed.peer.table import PeerTable
from timed.peer.values import Identity, PeerAddress
from timed.rpc.methods.peers import getnettotals
from timed.rpc.peering import Peering
from timed.rpc.tables.common import DEFAULT_LEVEL
from timed.rpc.tables.common import LEVELS as WORDS
from timed.testnet.freeports import free_ports
from timed.wire.catalogue import BY_NAME
from timed.wire.messages import BlockAnnouncement

NOBODY = "ab" * 32
OWN_PORT = 7001
DELAY_S = 0.01


class Remote:
    """Another node's peer room, joined to the world's driver by pipes on the same virtual clock."""

    def __init__(self, net: Net, number: int, wanted: list[PeerAddress]) -> None:
        self.net = net
        self.host = f"10.0.0.{number}"
        identity = Identity(REGTEST, net.genesis, key(number), None, "other", 7000, 1)
        self.table = PeerTable(
            identity, random.Random(number), lambda: (0, bytes(32)), wanted=wanted, discover=False
        )

    @property
    def node_id(self) -> bytes:
        return self.table.identity.node_id

    def turn(self) -> None:
        """Execute what the table asks for, and look at the clock again when it wants to be woken."""
        now = self.net.world.now()
        due = self.table.next_deadline()
        if due is not None and due <= now:
            self.table.tick(now)
        for action in self.table.drain(now):
            self.net.execute(self, action)


class Net:
    """The world's driver and its remotes: TCP with one delay. `dials` are the world's own."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.genesis = world.genesis.hash
        self.remotes: dict[str, Remote] = {}
        self.ends: dict[tuple[Any, int], tuple[Any, int]] = {}
        self.dials: list[str] = []
        self._links = 0
        world.driver.attach(self)

    def remote(self, number: int, *, dials: bool = False) -> Remote:
        wanted = [PeerAddress("10.0.0.250", OWN_PORT)] if dials else []
        remote = self.remotes[f"10.0.0.{number}"] = Remote(self, number, wanted)
        return remote

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / DELAY_S)):
            for remote in self.remotes.values():
                remote.turn()
            self.world.clock.advance(DELAY_S)

    # timed.app.driver.Transport: the world's side has the key None.

    def write(self, link: int, data: bytes) -> None:
        self._write(None, link, data)

    def close(self, link: int, reason: str, abort: bool) -> None:
        self._close(None, link, reason)

    def dial(self, host: str, port: int, expected_id: bytes | None) -> None:
        self.dials.append(f"{host}:{port}")
        remote = self.remotes.get(host)
        self.later(lambda: self._connect(remote, host, port))

    def later(self, what: Callable[[], object]) -> None:
        self.world.clock.callLater(DELAY_S, what)

    def execute(self, remote: Remote, action: Action) -> None:
        if isinstance(action, Write):
            self._write(remote, action.link, action.data)
        elif isinstance(action, Close):
            self._close(remote, action.link, action.reason)
        elif isinstance(action, Dial):
            self.later(lambda: self.join(remote, inbound=True))

    def join(self, remote: Remote, *, inbound: bool, port: int = 7000) -> None:
        """A link between the two; `inbound` as the world sees it."""
        self._links += 1
        link, now = self._links, self.world.now()
        own = self.world.environment.identity.node_id
        self.ends[(None, link)], self.ends[(remote, link)] = (remote, link), (None, link)
        if inbound:
            self.world.driver.connected(link, False, remote.node_id, remote.host, 40_000 + link)
            remote.table.connected(link, True, own, "10.0.0.250", OWN_PORT, now)
        else:
            remote.table.connected(link, False, own, "10.0.0.250", 40_000 + link, now)
            self.world.driver.connected(link, True, remote.node_id, remote.host, port)

    def _connect(self, remote: Remote | None, host: str, port: int) -> None:
        if remote is None:
            self.world.driver.dial_failed(host, port, "connection-refused")
        else:
            self.join(remote, inbound=False, port=port)

    def _write(self, side: Remote | None, link: int, data: bytes) -> None:
        end = self.ends.get((side, link))
        if end is not None:
            self.later(lambda: self._deliver(end, side, link, data))

    def _deliver(self, end: tuple[Any, int], side: Remote | None, link: int, data: bytes) -> None:
        remote, far = end
        now = self.world.now()
        if remote is None:
            self.world.driver.received(far, data)
        else:
            remote.table.received(far, data, now)
        if side is None:
            self.world.driver.drained(link)
        else:
            side.table.drained(link, now)

    def _close(self, side: Remote | None, link: int, reason: str) -> None:
        end = self.ends.pop((side, link), None)
        if end is None:
            return

        def ended() -> None:
            self.ends.pop(end, None)
            for who, number, why in ((side, link, reason), (*end, "closed")):
                if who is None:
                    self.world.driver.disconnected(number, why)
                else:
                    who.table.disconnected(number, why, self.world.now())

        self.later(ended)


class PeersCase(RpcTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.net = Net(self.world)

    def ask(self, method: str, *params: Any) -> Any:
        return self.world.result(method, *params)

    def code(self, method: str, *params: Any) -> int:
        """The code of the error that a call answers; every error says what to do."""
        error = self.world.error(method, *params)
        self.assertTrue(error["data"]["hint"], error)
        return int(error["code"])

    def connected(self) -> list[str]:
        return [peer["addr"].rpartition(":")[0] for peer in self.ask("getpeerinfo")]

    def join(self, number: int, *, dials: bool = True) -> Remote:
        """Another node with an open session."""
        remote = self.net.remote(number, dials=dials)
        if not dials:
            self.ask("addnode", f"{remote.host}:7000", "add")
        self.net.run(1)
        self.assertIn(remote.host, self.connected())
        return remote


class PeerInfo(PeersCase):
    def test_a_session_in_numbers_is_the_node_s(self) -> None:
        remote = self.join(2)
        self.net.run(100)
        (shown,) = self.ask("getpeerinfo")
        known = self.world.node.peers.statistics(remote.node_id)
        assert known is not None
        self.assertEqual(shown["nodeid"], remote.node_id.hex())
        self.assertEqual((shown["inbound"], shown["class"]), (True, "anonymous"))
        self.assertEqual(shown["bytessent"], known.bytes_sent)
        self.assertEqual(sum(shown["bytessent_per_msg"].values()), shown["bytessent"])
        self.assertEqual(sum(shown["bytesrecv_per_msg"].values()), shown["bytesrecv"])
        self.assertEqual(shown["bytesrecv_per_msg"], remote.table.traffic().sent_bytes)
        self.assertEqual(shown["messages_sent"], known.sent)
        self.assertAlmostEqual(float(shown["minping"]), 2 * DELAY_S, delta=2 * DELAY_S)
        self.assertGreaterEqual(shown["pingtime"], shown["minping"])
        self.assertEqual((shown["timeoffset"], shown["conntime"]), (0, known.opened_at // SECOND))
        self.assertLessEqual(shown["conntime"], shown["lastrecv"])
        self.assertEqual(shown["batches"]["writes"], sum(known.writes.values()))
        self.assertGreater(shown["batches"]["mean_bytes"], 16)
        self.assertEqual(self.ask("getnetworkinfo")["timeoffset"], 0)

    def test_what_waits_is_told_by_class_with_its_age(self) -> None:
        remote = self.join(2)
        self.net._write = lambda *args: None  # type: ignore[method-assign]
        table = self.world.node.peers
        for _ in range(2000):
            table.send_to_peer(remote.node_id, BlockAnnouncement(height=1, hash=bytes(32)))
        self.world.driver.operate(table.tick, self.world.driver.clock())
        self.world.clock.advance(0)
        self.world.clock.advance(5)
        (shown,) = self.ask("getpeerinfo")
        waiting = shown["queues"]["consensus"]
        self.assertGreater(waiting["messages"], 500)
        self.assertGreaterEqual(waiting["age"], 4)
        self.assertEqual(sum(queue["bytes"] for queue in shown["queues"].values()), shown["queued_bytes"])
        self.assertLessEqual(shown["ahead_bytes"], limits.AHEAD_BYTES)
        self.assertEqual(shown["queues"]["bulk"], {"messages": 0, "bytes": 0, "age": 0})

    def test_totals_are_the_sum_of_types_of_classes_and_of_peers(self) -> None:
        for number in (2, 3):
            self.join(number)
        self.net.run(60)
        asked_at = self.world.environment.peers.now()
        totals = self.ask("getnettotals")
        peers = self.ask("getpeerinfo")
        for ours, per_peer in (("totalbytesrecv", "bytesrecv"), ("totalbytessent", "bytessent")):
            self.assertEqual(totals[ours], sum(peer[per_peer] for peer in peers))
            self.assertEqual(totals[ours], sum(row[per_peer] for row in totals["types"].values()))
            self.assertEqual(totals[ours], sum(row[per_peer] for row in totals["classes"].values()))
        self.assertEqual((totals["incomplete"], totals["overhead"]), (0, {"bytesrecv": 0, "bytessent": 0}))
        for name, row in totals["types"].items():
            self.assertEqual(row["class"], BY_NAME[name].priority.name.lower())
        self.assertEqual(totals["cpu"], {})
        self.assertEqual(sorted(totals["queues"]), sorted(totals["classes"]))
        self.assertEqual(totals["queues"]["bulk"], {"messages": 0, "bytes": 0, "age": 0})
        before = totals["totalbytessent"]
        self.ask("disconnectnode", peers[0]["addr"])
        self.net.run(1)
        self.assertGreater(self.ask("getnettotals")["totalbytessent"], before)
        self.assertEqual(totals["timemillis"], asked_at // 1000)

    def test_cpu_time_is_shared_out_among_the_peers(self) -> None:
        """A peer's part of a type is its part of that type's bytes."""
        for number in (2, 3):
            self.join(number)
        self.net.run(60)
        costs = self.world.environment.peering.table.costs
        costs.spent.update({"Ping": 2 * 10**9, "other": 10**9})
        self.assertEqual(self.ask("getnettotals")["cpu"], {"Ping": 2, "other": 1})
        peers = self.ask("getpeerinfo")
        self.assertEqual([set(peer["cpu_per_msg"]) for peer in peers], [{"Ping"}] * 2)
        self.assertAlmostEqual(sum(peer["cpu_per_msg"]["Ping"] for peer in peers), 2, places=6)

    def test_the_sockets_count_more_than_the_messages(self) -> None:
        class Sockets:
            bytes_received, bytes_sent = 10_000_000, 20_000_000

        self.join(2)
        self.world.environment.peering = Peering(self.world.driver, Sockets)
        totals = self.ask("getnettotals")
        self.assertEqual((totals["totalbytesrecv"], totals["totalbytessent"]), (10_000_000, 20_000_000))
        sent = sum(row["bytessent"] for row in totals["types"].values())
        self.assertEqual(sent + totals["overhead"]["bytessent"], 20_000_000)


class Bans(PeersCase):
    def test_each_kind_is_listed_obeyed_lifted_and_service_is_back_in_five_seconds(self) -> None:
        """F27, R21"""
        for number, dials in ((2, True), (3, False)):
            remote = self.join(number, dials=dials)
            for subject in (remote.node_id.hex(), remote.host, f"{remote.host}/30"):
                self.assertIsNone(self.ask("setban", subject, "add", 3600))
                self.net.run(20)
                self.assertNotIn(remote.host, self.connected())
                (shown,) = self.ask("listbanned")
                self.assertEqual((shown["ban_duration"], shown["by"]), (3600, "operator"))
                self.assertLess(shown["time_remaining"], 3600)
                self.assertEqual(shown["banned_until"] - shown["ban_created"], 3600)
                self.assertIsNone(self.ask("setban", shown["subject"], "remove"))
                self.net.run(5)
                self.assertIn(remote.host, self.connected(), subject)
                self.assertEqual(self.ask("listbanned"), [])

    def test_a_ban_and_its_end_are_answered_when_they_are_durable(self) -> None:
        self.ask("setban", "10.0.0.9", "add")
        self.ask("setban", "10.0.0.8", "add")
        self.ask("setban", "10.0.0.9", "remove")
        self.ask("clearbanned")
        self.assertEqual(self.world.remembered, [1, 2, 1, 0])

    def test_a_disk_that_fails_is_told_and_the_ban_is_in_force(self) -> None:
        full = LocalError("peers.json cannot be written.", "The log says why.")
        self.world.environment.remember = lambda: fail(full)
        self.assertEqual(self.code("setban", "10.0.0.9", "add"), -1)
        self.assertEqual([ban["address"] for ban in self.ask("listbanned")], ["10.0.0.9/32"])

    def test_the_dialler_obeys_too(self) -> None:
        self.join(3, dials=False)
        self.ask("setban", "10.0.0.0/24", "add")
        self.net.dials.clear()
        self.net.run(300)
        self.assertEqual(self.net.dials, [])

    def test_clearing_lifts_all(self) -> None:
        self.join(2)
        for subject in (key(2).public.hex(), "10.0.0.2", "2001:db8::/32"):
            self.ask("setban", subject, "add")
        self.assertEqual(len(self.ask("listbanned")), 3)
        self.assertIsNone(self.ask("clearbanned"))
        self.assertEqual(self.ask("listbanned"), [])
        self.net.run(5)
        self.assertEqual(self.connected(), ["10.0.0.2"])
        self.assertIsNone(self.ask("clearbanned"))

    def test_times(self) -> None:
        now = self.world.now() // SECOND
        self.ask("setban", "192.0.2.1", "add")
        self.ask("setban", "192.0.2.2", "add", now + 100, True, "noisy")
        day, absolute = self.ask("listbanned")
        self.assertEqual((day["address"], day["ban_duration"]), ("192.0.2.1/32", 86_400))
        self.assertEqual((absolute["banned_until"], absolute["reason"]), (now + 100, "noisy"))
        self.assertEqual(self.code("setban", "192.0.2.3", "add", now, True), -8)
        self.world.clock.advance(101)
        self.assertEqual([ban["address"] for ban in self.ask("listbanned")], ["192.0.2.1/32"])

    def test_what_cannot_be_is_an_error_of_bitcoin_s_number(self) -> None:
        self.ask("setban", "192.0.2.0/24", "add")
        for code, *params in (
            (-23, "192.0.2.7/24", "add"),
            (-30, "nonsense", "add"),
            (-30, "192.0.2.0/33", "add"),
            (-30, "", "remove"),
            (-30, "198.51.100.1", "remove"),
            (-30, NOBODY, "remove"),
            (-8, "192.0.2.1", "sometimes"),
            (-8, "127.0.0.1", "add"),
            (-8, "::1", "add"),
            (-8, "127.0.0.0/8", "add"),
            (-8, self.world.environment.identity.node_id.hex(), "add"),
            (-3, "192.0.2.1", "add", "soon"),
            (-8, "192.0.2.1", "add", -1),
            (-8, "192.0.2.1", "add", 2**33 + 1),
            (-3, "192.0.2.1", "add", 5, 1),
            (-8, "192.0.2.1", "add", 5, False, "x" * 101),
            (-3, 7, "add"),
            (-8, "1" * 129, "add"),
        ):
            self.assertEqual(self.code("setban", *params), code, params)
        error = self.world.error("setban", self.world.environment.identity.node_id.hex(), "add")
        self.assertIn("own id", error["message"])
        error = self.world.error("setban", "192.0.2.77", "remove")
        self.assertIn("192.0.2.0/24", error["data"]["hint"])
        self.assertEqual(len(self.ask("listbanned")), 1)

    def test_the_node_s_own_bans_are_told_apart_and_give_way_to_the_operator(self) -> None:
        self.join(2)
        table = self.world.node.peers
        for _ in range(4):
            self.world.driver.operate(
                table.report, key(2).public, "invalid-signature", self.world.driver.clock(), "vote"
            )
        self.net.run(1)
        (shown,) = self.ask("listbanned")
        self.assertEqual((shown["by"], shown["nodeid"]), ("node", key(2).public.hex()))
        self.assertEqual((shown["address"], shown["reason"]), ("10.0.0.2", "invalid-signature"))
        self.ask("setban", key(2).public.hex(), "add", 60)
        self.assertEqual([ban["by"] for ban in self.ask("listbanned")], ["operator"])
        self.ask("clearbanned")
        self.net.run(5)
        for _ in range(4):
            self.world.driver.operate(
                table.report, key(2).public, "invalid-signature", self.world.driver.clock(), "vote"
            )
        self.net.run(1)
        self.assertIsNone(self.ask("setban", "10.0.0.2", "remove"))
        self.net.run(5)
        self.assertEqual(self.connected(), ["10.0.0.2"])


class Nodes(PeersCase):
    def test_an_added_node_is_connected_until_it_is_removed(self) -> None:
        remote = self.net.remote(3)
        self.assertIsNone(self.ask("addnode", "10.0.0.3:7000", "add"))
        self.net.run(1)
        (shown,) = self.ask("getaddednodeinfo")
        self.assertEqual((shown["addednode"], shown["connected"]), ("10.0.0.3:7000", True))
        self.assertEqual(shown["addresses"], [{"address": "10.0.0.3:7000", "connected": "outbound"}])
        self.assertEqual(self.ask("getaddednodeinfo", "10.0.0.3:7000"), [shown])
        self.ask("disconnectnode", "10.0.0.3:7000")
        self.net.run(2)
        self.assertEqual(self.connected(), ["10.0.0.3"])
        self.assertIsNone(self.ask("addnode", "10.0.0.3:7000", "remove"))
        self.net.run(1)
        self.assertEqual((self.connected(), self.ask("getaddednodeinfo")), (["10.0.0.3"], []))
        self.assertEqual(len(self.world.node.peers.peers()), 1)
        self.assertIsNotNone(remote.table.get(self.world.environment.identity.node_id))

    def test_an_attempt_is_made_once(self) -> None:
        self.ask("addnode", "10.0.0.9:7000", "onetry")
        self.net.run(30)
        self.assertEqual(self.net.dials, ["10.0.0.9:7000"])
        self.assertEqual(self.ask("getaddednodeinfo"), [])
        self.net.remote(3)
        self.ask("addnode", f"{key(3).public.hex()}@10.0.0.3:7000", "onetry")
        self.net.run(1)
        self.assertEqual(self.connected(), ["10.0.0.3"])

    def test_what_cannot_be_is_an_error(self) -> None:
        self.ask("addnode", "[2001:db8::1]:7000", "add")
        self.ask("setban", "10.0.0.9", "add")
        for code, *params in (
            (-23, "[2001:db8::1]:7000", "add"),
            (-24, "10.0.0.4:7000", "remove"),
            (-8, "10.0.0.9:7000", "onetry"),
            (-8, "10.0.0.4", "add"),
            (-8, "10.0.0.4:0", "add"),
            (-8, "10.0.0.4:99999", "add"),
            (-8, "10.0.0.4:7000", "keep"),
            (-8, "abc@10.0.0.4:7000", "add"),
            (-8, " :7000", "add"),
            (-8, "a\u0000b:7000", "add"),
            (-8, "x" * 300 + ":7000", "add"),
            (-3, ["10.0.0.4:7000"], "add"),
            (-32602,),
        ):
            self.assertEqual(self.code("addnode", *params), code, params)
        self.assertEqual(self.code("getaddednodeinfo", "10.0.0.4:7000"), -24)
        self.assertEqual(self.code("getaddednodeinfo", "nonsense"), -8)
        self.assertEqual(len(self.ask("getaddednodeinfo")), 1)

    def test_addresses_beyond_the_bound_are_refused(self) -> None:
        self.patch(limits, "WANTED_ADDRESSES", 2)
        for number in (1, 2):
            self.ask("addnode", f"10.0.1.{number}:7000", "add")
        self.assertEqual(self.code("addnode", "10.0.1.3:7000", "add"), -34)
        self.assertEqual(self.code("addnode", "10.0.1.3:7000", "onetry"), -34)

    def test_a_session_ends_by_address_by_node_id_and_by_number(self) -> None:
        remote = self.join(2)
        for pick in (
            lambda peer: (peer["addr"],),
            lambda peer: (peer["nodeid"],),
            lambda peer: ("", peer["nodeid"]),
            lambda peer: ("", peer["id"]),
        ):
            (peer,) = self.ask("getpeerinfo")
            self.assertIsNone(self.ask("disconnectnode", *pick(peer)))
            self.assertEqual(self.ask("getpeerinfo"), [])
            self.net.run(5)
        self.assertEqual(self.connected(), [remote.host])
        self.assertEqual(self.world.node.peers.reconnects, 0)

    def test_sessions_that_are_not_there_are_an_error(self) -> None:
        self.join(2)
        for code, *params in (
            (-29, "10.0.0.2:1"),
            (-29, "10.0.0.2"),
            (-29, NOBODY),
            (-29, "", 99),
            (-29, "", NOBODY),
            (-8, "", "xyz"),
            (-8, ""),
            (-8, "10.0.0.2:1", 5),
            (-8, "", -1),
            (-3, "", True),
            (-3, "", 1.5),
            (-3, {}),
        ):
            self.assertEqual(self.code("disconnectnode", *params), code, params)
        self.assertEqual(len(self.ask("getpeerinfo")), 1)

    def test_known_addresses(self) -> None:
        book = self.world.node.peers.discovery.book
        now = self.world.now()
        for number in range(1, 31):
            book.add(f"10.3.0.{number}", 7000, key(number).public, now - SECOND, "10.9.9.9", now)
        book.add("2001:db8::5", 7000, None, now, "10.9.9.9", now)
        self.assertEqual(len(self.ask("getnodeaddresses")), 1)
        everything = self.ask("getnodeaddresses", 0)
        self.assertEqual(len(everything), len(book))
        (six,) = self.ask("getnodeaddresses", 5, "ipv6")
        self.assertEqual((six["address"], six["port"], six["nodeid"]), ("2001:db8::5", 7000, None))
        self.assertEqual({row["network"] for row in self.ask("getnodeaddresses", 0, "ipv4")}, {"ipv4"})
        for code, *params in ((-8, -1), (-3, "1"), (-8, 1, "onion"), (-8, 10**6)):
            self.assertEqual(self.code("getnodeaddresses", *params), code, params)


class Explained(PeersCase):
    def offend(self, event: str = "invalid-signature") -> None:
        table = self.world.node.peers
        self.world.driver.operate(table.report, key(2).public, event, self.world.driver.clock(), "vote")

    def test_a_connected_peer_by_every_name_it_has(self) -> None:
        remote = self.join(2)
        self.offend()
        (peer,) = self.ask("getpeerinfo")
        shown = self.ask("explainpeer", peer["addr"])
        for name in (remote.node_id.hex(), remote.host, str(peer["id"])):
            self.assertEqual(self.ask("explainpeer", name), shown)
        self.assertEqual((shown["state"], shown["class"], shown["bans"]), ("connected", "anonymous", []))
        self.assertEqual(float(shown["score"]), 25)
        (reason,) = shown["reasons"]
        self.assertEqual(
            (reason["event"], reason["detail"], reason["points"]), ("invalid-signature", "vote", 25)
        )
        self.assertEqual((reason["verdict"], reason["done"]), ("count", True))
        session = shown["session"]
        self.assertEqual(set(session["rates"]), set(RATES))
        for bucket, rate in session["rates"].items():
            self.assertEqual(
                (rate["burst"], rate["per_second"]), (RATES[bucket].burst, RATES[bucket].per_second)
            )
            self.assertLessEqual(rate["left"], rate["burst"])
        self.assertEqual(session["throttled"], 0)
        self.assertEqual(set(session["queues"]), {"control", "consensus", "transactions", "queries", "bulk"})
        self.assertEqual(shown["limits"]["queue_bytes"], limits.PEER_QUEUE_BYTES)
        self.assertEqual(shown["addresses"], ["10.0.0.2:7000"])

    def test_a_banned_peer_tells_why_and_how_long(self) -> None:
        self.join(2)
        for _ in range(4):
            self.offend()
        self.net.run(1)
        for name in (key(2).public.hex(),):
            shown = self.ask("explainpeer", name)
            self.assertEqual((shown["state"], shown["session"], shown["addr"]), ("banned", None, "10.0.0.2"))
            self.assertEqual([reason["verdict"] for reason in shown["reasons"]], ["count"] * 3 + ["ban"])
            self.assertEqual(shown["bans"][0]["ban_duration"], limits.BAN_TIME // SECOND)
        self.ask("setban", "10.0.0.0/24", "add")
        shown = self.ask("explainpeer", key(2).public.hex())
        self.assertEqual(len(shown["bans"]), 2)
        self.assertEqual(self.ask("explainpeer", "10.0.0.77")["state"], "banned")
        self.assertEqual(self.ask("explainpeer", "10.0.0.0/24")["state"], "banned")

    def test_an_address_that_is_dialled_in_vain(self) -> None:
        self.ask("addnode", "node.example:7000", "add")
        self.net.run(30)
        for name in ("node.example:7000", "node.example"):
            shown = self.ask("explainpeer", name)
            self.assertEqual(shown["state"], "dialled")
            (dial,) = shown["dials"]
            self.assertEqual((dial["address"], dial["origin"]), ("node.example:7000", "configured"))
            self.assertGreater(dial["failures"], 3)
            self.assertEqual(dial["last_failure"], "connection-refused")
            self.assertRegex(
                shown["summary"], r"^dialled \d+ times in vain, the last time: connection-refused$"
            )
        (added,) = self.ask("getaddednodeinfo")
        self.assertEqual(added["last_failure"], "connection-refused")

    def test_an_address_of_ipv6_is_written_as_it_is_given(self) -> None:
        name = "[2001:db8::7]:7000"
        self.ask("addnode", name, "add")
        self.net.run(30)
        (dial,) = self.ask("explainpeer", name)["dials"]
        self.assertEqual(dial["address"], name)

    def test_the_summary_is_the_answer_in_one_sentence(self) -> None:
        self.assertEqual(
            self.ask("explainpeer", NOBODY)["summary"], "not connected, and nothing is known of it"
        )
        remote = self.join(2)
        name = remote.node_id.hex()
        self.assertIn("held to every rule", self.ask("explainpeer", name)["summary"])
        self.ask("setban", name, "add", 60, False, "loud")
        self.assertEqual(
            self.ask("explainpeer", name)["summary"], "refused by the operator for 60 more s: loud"
        )
        self.ask("setban", name, "remove")
        book = self.world.node.peers.discovery.book
        now = self.world.now()
        book.add("10.3.0.1", 7000, key(9).public, now, "seed.example.org", now)
        shown = self.ask("explainpeer", "10.3.0.1")
        self.assertEqual(shown["summary"], "not connected; seed.example.org told of it, tried 0 times")
        (known,) = shown["book"]
        self.assertEqual((known["met"], known["tried"], known["source"]), (False, False, "seed.example.org"))

    def test_of_several_addresses_at_one_host_the_one_that_was_asked_for(self) -> None:
        self.ask("addnode", "node.example:7000", "add")
        self.net.run(30)
        self.world.node.peers.want("node.example", 7001)
        self.assertIn("in vain", self.ask("explainpeer", "node.example:7000")["summary"])
        shown = self.ask("explainpeer", "node.example:7001")
        self.assertEqual([dial["address"] for dial in shown["dials"]], ["node.example:7001"])
        self.assertIn("without an outcome", shown["summary"])
        self.assertEqual(len(self.ask("explainpeer", "node.example")["dials"]), 2)
        shown = self.ask("explainpeer", "node.example:7002")
        self.assertEqual((shown["state"], len(shown["dials"])), ("not connected", 2))
        self.assertIn("nothing is known of port 7002", shown["summary"])

    def test_an_address_behind_which_a_connected_node_is_believed(self) -> None:
        remote = self.join(2)
        self.world.node.peers.want("10.0.0.250", 7009, remote.node_id)
        shown = self.ask("explainpeer", "10.0.0.250:7009")
        self.assertEqual((shown["state"], shown["nodeid"]), ("connected", remote.node_id.hex()))

    def test_only_its_own_dials_are_shown_of_a_connected_peer(self) -> None:
        remote = self.join(2)
        table = self.world.node.peers
        table.want("10.0.0.2", 7001, key(7).public)
        table.want("10.0.0.2", 7002)
        dials = self.ask("explainpeer", remote.node_id.hex())["dials"]
        self.assertNotIn("10.0.0.2:7001", [dial["address"] for dial in dials])

    def test_sources_of_addresses_are_shown_with_their_last_outcome(self) -> None:
        seed = Seed(SeedKind.DNS, "seed.example.org")
        seeding = Seeding([seed], random.Random(1))
        self.assertEqual(self.ask("getnetworkinfo")["seeds"], [])
        self.world.environment.peering = Peering(self.world.driver, lambda: None, lambda: seeding)
        seeding.answered(seed, 7, 0)
        self.assertEqual(
            self.ask("getnetworkinfo")["seeds"],
            [{"source": "seed.example.org", "kind": "dns", "outcome": "answered", "addresses": 7}],
        )

    def test_trusted_and_unknown_peers(self) -> None:
        self.assertTrue(self.ask("explainpeer", "127.0.0.1:7000")["limits"]["exempt"])
        self.assertEqual(self.ask("explainpeer", NOBODY)["state"], "not connected")
        self.assertEqual(self.ask("explainpeer", "192.0.2.1:7000")["state"], "not connected")
        for code, *params in (
            (-5, "nonsense"),
            (-5, ""),
            (-5, "7"),
            (-5, "1" * 40),
            (-3, 7),
            (-8, "x" * 401),
        ):
            self.assertEqual(self.code("explainpeer", *params), code, params)

    def test_an_address_that_several_share_is_not_one_peer(self) -> None:
        self.join(2)
        other = self.net.remote(4)
        other.host = "10.0.0.2"
        self.net.join(other, inbound=True)
        self.net.run(1)
        self.assertEqual(len(self.ask("getpeerinfo")), 2)
        self.assertEqual(self.code("explainpeer", "10.0.0.2"), -5)


class Logging(PeersCase):
    def test_levels_are_told_and_set_by_namespace(self) -> None:
        self.assertEqual(self.ask("logging"), {"*": "info"})
        self.assertEqual(self.ask("logging", "timed.peer", "debug"), {"*": "info", "peer": "debug"})
        self.assertEqual(self.ask("logging", "*", "warn"), {"*": "warn", "peer": "debug"})
        self.assertEqual(self.ask("logging", "peer"), {"*": "warn", "peer": "debug"})
        self.assertEqual(self.ask("logging", "peer", "default"), {"*": "warn"})
        levels = self.world.environment.log_levels
        assert levels is not None
        self.assertEqual(levels.shown(), {"*": "warn"})

    def test_what_cannot_be_is_an_error(self) -> None:
        for code, *params in (
            (-8, "pear", "debug"), (-8, "peer", "loud"), (-8, "", "debug"), (-8, None, "debug"), (-3, 5),
            (-3, "peer", 5), (-8, "peer..x", "info"), (-8, "pear", "default"), (-8, "p" * 65, "info"),
        ):  # fmt: skip
            self.assertEqual(self.code("logging", *params), code, params)
        self.assertEqual(self.ask("logging"), {"*": "info"})

    def test_the_words_are_those_of_the_log(self) -> None:
        self.assertEqual(WORDS, (*LEVELS, DEFAULT_LEVEL))


class WithoutAChain(SynchronousTestCase):
    def test_every_method_about_peers_says_that_there_is_none(self) -> None:
        world = World()
        world.environment.backend = world.environment.peering = world.environment.log_levels = None
        for method, params in (
            ("getpeerinfo", []), ("getnettotals", []), ("listbanned", []), ("clearbanned", []),
            ("setban", ["192.0.2.1", "add"]), ("disconnectnode", ["192.0.2.1:1"]), ("getaddednodeinfo", []),
            ("addnode", ["192.0.2.1:1", "add"]), ("getnodeaddresses", []), ("explainpeer", ["192.0.2.1"]),
        ):  # fmt: skip
            error = world.error(method, *params)
            self.assertEqual((error["code"], bool(error["data"]["hint"])), (-28, True), method)
        self.assertEqual(world.error("logging")["code"], -1)


class Sockets(ServicesCase):
    """Two whole nodes over TLS with a relay between them that counts."""

    def test_totals_are_the_bytes_of_the_socket(self) -> Deferred[None]:
        async def scenario() -> None:
            first = self.compose("p2p.peers=")
            relay = Relay(self.p2p)
            door = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(relay)
            first.startService()
            self.directory = self.directory.with_name(self.directory.name + "-2")
            self.p2p, self.rpc, self.monitor = free_ports(3)
            second = self.compose(f"p2p.peers=127.0.0.1:{door.getHost().port}", node_id=5)
            second.startService()
            environment = first.getServiceNamed("rpc").dispatcher._environment

            def off_by() -> int:
                """What one side has counted and the other not: no more than what is on its way."""
                shown = getnettotals(environment)
                pairs = (("totalbytesrecv", "server"), ("totalbytessent", "client"))
                return max(abs(shown[ours] - relay.counts[theirs]) for ours, theirs in pairs)

            while off_by() or not environment.peers.traffic().received.get("Pong"):
                await deferLater(reactor, 0.05)
            totals = getnettotals(environment)
            await second.stopService()
            await first.stopService()
            await door.stopListening()
            for name in ("bytesrecv", "bytessent"):
                self.assertGreater(sum(row[name] for row in totals["types"].values()), 300)
                self.assertGreater(totals["overhead"][name], 0)

        return Deferred.fromCoroutine(scenario())

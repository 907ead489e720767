"""Bans that a network of this protocol's ancestor suffered from (F22 to F31), each provoked once more."""

from __future__ import annotations

from itertools import product

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from tests.node_world import NodeWorld
from tests.peer_harness import START, Host, Wire, identity, key
from tests.test_node_serving import with_blocks
from tests.test_peer_sessions import open_stranger
from timed.events import PeerBanned, PeerClosed, PeerOpened
from timed.params import SECOND
from timed.peer import limits
from timed.peer.conduct import POLICY, Conduct, PeerClass, Verdict
from timed.sim.world import Scenario, World
from timed.wire.messages import GetHeaders, GetPeers

SCORED = [event for event, rule in POLICY.items() if rule.points]


class SimCase(SynchronousTestCase):
    """Whole nodes on virtual time; the simulator stops at the first honest node that another blames."""

    def assertNobodyBlamed(self, world: World) -> None:
        for process in world.running():
            peers = process.node.peers
            self.assertEqual([entry for entry in peers.conduct.ledger if entry.points], [])
            self.assertEqual([event for event in SCORED if peers.conduct.counts[event]], [])
            self.assertEqual(peers.conduct.bans(world.clock.now), ())
            self.assertEqual(peers.violations, {})

    def assertMeshed(self, world: World) -> None:
        world.check_sessions()
        self.assertEqual(len(set(world.heights())), 1)

    def boot(self, world: World, *indices: int) -> None:
        for index in indices:
            world.boot(index)

    def run_for(self, world: World, seconds: int) -> None:
        world.clock.run_until(world.clock.now + seconds * SECOND)

    def pay(self, world: World, count: int) -> None:
        """So many payments at once, each to the next running node."""
        running = world.running()
        for number in range(count):
            payment = world.workload.spend([world.workload._coin()])
            world.workload.submit(payment, running[number % len(running)])


class CadenceTests(SynchronousTestCase):
    """F22: limits that the protocol's own cadence runs into."""

    def test_two_nodes_idle_for_a_day_and_count_nothing(self) -> None:
        wire = Wire()
        hosts = [wire.host(n, wanted=[3 - n], discover=True) for n in (1, 2)]
        wire.run(86_400 * SECOND)
        for host in hosts:
            self.assertEqual({event: n for event, n in host.table.conduct.counts.items() if n}, {})
            self.assertEqual((len(host.opened()), len(host.closed())), (1, 0))


class CatchUpTests(SimCase):
    """F23: a first download, and what a reconnect brings. F28: a node that lags blames nobody."""

    def test_download_and_reconnect_amid_a_burst_of_payments_cost_nobody_anything(self) -> None:
        world = World(Scenario(7, nodes=4, followers=2))
        self.boot(world, 0, 1, 2, 3)
        self.run_for(world, 40)
        self.pay(world, 90)
        self.run_for(world, 60)
        self.pay(world, 60)
        self.boot(world, 4, 5)
        for other in (1, 2, 3):
            for connection in world.network.between(0, other):
                world.network.sever(connection)
        self.run_for(world, 40)
        self.assertMeshed(world)
        self.assertNobodyBlamed(world)
        self.assertGreater(world.heights()[5], 5)


class LadderTests(SynchronousTestCase):
    """F24: what an offence leads to is one list, and so is what is logged of it."""

    STRANGER = {
        "malformed": [Verdict.CLOSE] * 3 + [Verdict.BAN],
        "handshake-order": [Verdict.CLOSE] * 3 + [Verdict.BAN],
        "wrong-reply": [Verdict.CLOSE] * 3 + [Verdict.BAN],
        "invalid-signature": [Verdict.COUNT] * 3 + [Verdict.BAN],
        "invalid-transaction-form": [Verdict.COUNT] * 3 + [Verdict.BAN],
        "bad-headers": [Verdict.COUNT] * 3 + [Verdict.BAN],
        "bad-block": [Verdict.COUNT] * 3 + [Verdict.BAN],
        "over-rate": [Verdict.THROTTLE] * 49 + [Verdict.BAN],
    }

    def test_ladder_of_every_scored_event(self) -> None:
        self.assertEqual(set(self.STRANGER), set(SCORED))
        for event, ladder in self.STRANGER.items():
            for kind, repeat in product(PeerClass, (1, 3)):
                conduct, told = Conduct(), []
                conduct.tell = told.append
                steps = [conduct.report(bytes(32), kind, event, START) for _ in ladder * repeat]
                if kind is PeerClass.ANONYMOUS:
                    self.assertEqual(steps, ladder * repeat, event)
                    self.assertEqual(len(told), repeat, event)
                else:
                    self.assertEqual(told, [], event)
                    self.assertEqual(len(conduct.ledger), len(steps))

    def test_flood_of_hours_is_told_in_three_events(self) -> None:
        """Ten times the rate of its bucket: throttled, then banned; opened, banned, closed, and no more."""
        wire = Wire()
        host = wire.host(1)
        stranger = open_stranger(host)
        for _ in range(600):
            for _ in range(100):
                stranger.send(GetPeers())
            wire.run(SECOND)
        kinds = [
            type(event) for event in host.events if isinstance(event, (PeerOpened, PeerBanned, PeerClosed))
        ]
        self.assertEqual(kinds, [PeerOpened, PeerBanned, PeerClosed])
        self.assertEqual([ban.reason for ban in host.table.conduct.bans(wire.now)], ["over-rate"])
        verdicts = host.table.conduct.verdicts
        self.assertEqual(verdicts["ban", True], 1)
        self.assertLessEqual(verdicts["throttle", True], limits.BAN_SCORE)


class NeighbourTests(SynchronousTestCase):
    """F25: neighbours pay for nobody's restart."""

    def test_thirty_nodes_of_one_subnet_restart_together(self) -> None:
        wire = Wire()
        numbers = range(1, 31)

        def start(boot: int) -> list[Host]:
            return [
                wire.host(n, wanted=[m for m in numbers if m != n][:6], identity=identity(n, boot=boot))
                for n in numbers
            ]

        start(1)
        wire.run(10 * SECOND)
        for boot in range(2, 5):
            before = [host for host in wire.hosts if host.alive]
            for host in before:
                host.alive = False
            for end in list(wire.ends.values()):
                end.gone = True
            hosts = start(boot)
            wire.run(20 * SECOND)
        for host in hosts:
            self.assertGreaterEqual(len(host.table.peers()), 5, host.name)
            self.assertEqual([entry for entry in host.table.conduct.ledger if entry.points], [])
            self.assertEqual(host.table.conduct.bans(wire.now), ())


class ForgeryTests(SynchronousTestCase):
    """F28: whoever is named in a forgery has nothing to do with it."""

    def test_forged_proposal_leaves_the_member_it_names_alone(self) -> None:
        world = NodeWorld()
        victims = {puppet.node_id for puppet in world.others()}
        stranger = world.stranger()
        paid = world.payment()
        world.submit(paid)
        world.pass_slot()
        honest = world.proposal(paid.txid)
        wrong = stranger.table.identity.node_key.sign(b"forged")
        stranger.say(msgspec.structs.replace(honest, signature=wrong))
        conduct = world.node.peers.conduct
        self.assertEqual({entry.node_id for entry in conduct.ledger if entry.points}, {stranger.node_id})
        self.assertEqual([conduct.score(victim, world.now) for victim in victims], [0.0] * 3)
        self.assertEqual(conduct.bans(world.now), ())


class OwnerTests(SynchronousTestCase):
    """F29: the operator key is what a member is; where it sits and under which node key is its own affair."""

    def test_member_that_moves_to_another_machine_is_known_there_at_once_and_costs_nothing(self) -> None:
        world = NodeWorld()
        first = world.member(1)
        moved = world.stranger(operator=world.keys[1])
        peers = world.node.peers
        for puppet in (first, moved):
            statistics = peers.statistics(puppet.node_id)
            self.assertIsNotNone(statistics)
            self.assertIs(statistics.kind, PeerClass.MEMBER)  # type: ignore[union-attr]
        self.assertEqual(sum(peers.conduct.counts.values()), 0)
        self.assertEqual(peers.conduct.bans(world.now), ())


class PartitionTests(SimCase):
    """F30: two sides that went their own ways find together again."""

    def test_three_against_two_heals_without_a_ban(self) -> None:
        world = World(Scenario(3, nodes=5))
        self.boot(world, *range(5))
        self.run_for(world, 40)
        apart = [(a, b) for a, b in product(range(5), repeat=2) if (a < 3) != (b < 3)]
        world.network.block(apart)
        self.pay(world, 20)
        self.run_for(world, 120)
        stuck = max(world.heights())
        world.network.unblock(apart)
        self.run_for(world, 60)
        self.assertMeshed(world)
        self.assertNobodyBlamed(world)
        self.assertGreater(min(world.heights()), stuck)


class SourceTests(SynchronousTestCase):
    """F31: whom this node refuses it asks for nothing."""

    def test_with_every_source_banned_but_one_that_one_is_asked_next(self) -> None:
        ahead, _ = with_blocks(2)
        world = NodeWorld(me=None, genesis=ahead.genesis, now=ahead.now + SECOND)
        sources = [world.stranger(height=2) for _ in range(5)]
        left = sources[-1]
        for banned in sources[:-1]:
            world.node.peers.ban(banned.node_id, 0, "test", world.now)
            world.pump()
            world.pass_time(1)
        self.assertEqual([peer.node_id for peer in world.node.peers.peers()], [left.node_id])
        ((_, ask),) = left.questions(GetHeaders)
        self.assertEqual(ask.start, 1)

    def test_banned_node_is_dialled_from_no_list(self) -> None:
        wire = Wire()
        wire.host(2)
        host = wire.host(1, wanted=[2], discover=True)
        host.table.ban(key(2).public, 0, "test", wire.now)
        host.table.discovery.book.succeeded("10.0.0.2", 7000, key(2).public, START)
        wire.run(3_600 * SECOND)
        self.assertEqual(host.dials, [])

"""How often what crosses which link, in whole networks (F32, F33, F35; protocol §5.9)."""

from __future__ import annotations

from collections import Counter, defaultdict

from twisted.trial.unittest import SynchronousTestCase

from timed.events import NodeEvent, TransactionFinal
from timed.params import SECOND
from timed.sim.host import Process
from timed.sim.tap import Tap
from timed.sim.world import Scenario, World
from timed.wire import messages as wire
from timed.wire.message import Message

OBJECTS = (
    wire.TransactionBroadcast,
    wire.TransactionAnnouncement,
    wire.TransactionVote,
    wire.TransactionCertified,
    wire.TransactionFinalized,
    wire.EpochReport,
    wire.BlockProposal,
    wire.BlockVote,
    wire.BlockCommit,
    wire.BlockAnnouncement,
)
"""What is told without being asked for, and need not be told twice."""


class Watched(World):
    """A simulated network that keeps what crosses each link, and who called what final."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self.crossed: Counter[tuple[int, int, Message]] = Counter()
        """(from machine, to machine, object)."""
        self.kinds: Counter[tuple[int, int, str]] = Counter()
        self.blocks: defaultdict[int, list[bytes]] = defaultdict(list)
        """By machine: hashes of the blocks that it was sent, in their order."""
        self.final: defaultdict[bytes, set[int]] = defaultdict(set)
        self._reader = Tap(self.cast.genesis.params, checksum=False)

    def writing(self, process: Process, link: int, data: bytes) -> bool:
        connection, side = self.network._by_link[link]
        source, target = process.host.index, connection.sides[1 - side].machine.index
        for message in self._reader.read(link, data):
            self.kinds[source, target, type(message).__name__] += 1
            if isinstance(message, OBJECTS):
                self.crossed[source, target, message] += 1
            if isinstance(message, wire.BlocksResponse | wire.BlockResponse):
                self.blocks[target] += [one.block.hash for one in message.blocks]
            if isinstance(message, wire.CompactBlockResponse):
                self.blocks[target] += [one.header.hash for one in message.blocks]
        return super().writing(process, link, data)

    def published(self, process: Process, event: NodeEvent) -> None:
        if isinstance(event, TransactionFinal):
            self.final[event.txid].add(process.host.index)
        super().published(process, event)

    def begin(self, seconds: int = 10) -> None:
        for index in range(len(self.hosts)):
            self.boot(index)
        self.go_on(seconds)

    def go_on(self, seconds: float) -> None:
        self.clock.run_until(self.clock.now + int(seconds * SECOND))

    def pay(self, count: int, apart_us: int, payers: int) -> list[bytes]:
        """So many payments one after another, handed in at `payers` machines by turns."""
        txids = []
        for number in range(count):
            paid = self.workload.spend([self.workload._coins[number]])
            process = self.hosts[number % payers].process
            assert process is not None
            self.workload.submit(paid, process)
            self.clock.run_until(self.clock.now + apart_us)
            txids.append(paid.txid)
        return txids

    def open_connections(self) -> int:
        return sum(1 for one in self.network.connections if one.sides[0].open or one.sides[1].open)


class MeshTests(SynchronousTestCase):
    def check_once(self, world: Watched) -> None:
        """Nothing crosses a link twice, and nothing goes back where it came from."""
        for (source, target, message), count in world.crossed.items():
            name = message.message_type()
            self.assertEqual(count, 1, f"{name} from {source} to {target}")
            if not isinstance(message, wire.BlockAnnouncement):
                back = world.crossed[target, source, message]
                self.assertLessEqual(back, isinstance(message, wire.BlockCommit), f"{name} back to {source}")

    def test_five_members_tell_each_other_every_vote_once(self) -> None:
        """F32: payments and several blocks; a vote is its author's to send, nobody repeats it."""
        world = Watched(Scenario(32, nodes=5))
        world.begin()
        txids = world.pay(20, apart_us=300_000, payers=5)
        world.go_on(40)
        self.assertGreaterEqual(min(world.heights()), 3)
        for txid in txids:
            self.assertEqual(world.final[txid], set(range(5)))
        self.check_once(world)
        votes = [key for key in world.crossed if isinstance(key[2], wire.BlockVote | wire.TransactionVote)]
        self.assertGreater(len(votes), 5 * 4 * 2 * 3)
        for source, _, message in votes:
            self.assertEqual(message.member, self.member_of(world, source))  # type: ignore[union-attr]

    @staticmethod
    def member_of(world: Watched, machine: int) -> int:
        key = world.cast.operator_keys[machine].public
        return [member.operator_key for member in world.cast.genesis.members.members].index(key)

    def test_a_hundred_payments_among_ten_members(self) -> None:
        """F33: the traffic of a link is bounded by the payments, not by the number of nodes."""
        nodes, count = 10, 100
        world = Watched(Scenario(33, nodes=nodes))
        world.begin()
        txids = world.pay(count, apart_us=20_000, payers=nodes)
        world.go_on(3)
        for txid in txids:
            self.assertEqual(world.final[txid], set(range(nodes)))
        self.check_once(world)
        self.check_traffic(world, nodes, count)

    def check_traffic(self, world: Watched, nodes: int, count: int) -> None:
        bodies: Counter[bytes] = Counter()
        named: Counter[tuple[int, int, int, bytes]] = Counter()
        for source, target, message in world.crossed:
            if isinstance(message, wire.TransactionBroadcast):
                bodies[message.transaction.txid] += 1
            if isinstance(message, wire.TransactionVote):
                for txid in message.entries:
                    named[source, target, message.kind, txid] += 1
        self.assertEqual(max(named.values()), 1)
        self.assertEqual(len(bodies), count)
        self.assertLess(sum(bodies.values()), 2 * count * (nodes - 1))
        for source in range(nodes):
            for target in range(nodes):
                if source != target:
                    bundles = world.kinds[source, target, "TransactionVote"]
                    self.assertLessEqual(bundles, 2 * count)
                    asked = sum(
                        world.kinds[source, target, name] for name in ("GetTransactions", "GetCertificates")
                    )
                    self.assertLess(asked, count)

    def test_no_node_thinks_worse_of_another(self) -> None:
        """No rate is exceeded and nothing is scored, at the moment of a block among others."""
        world = Watched(Scenario(34, nodes=5))
        world.begin()
        world.pay(60, apart_us=10_000, payers=5)
        world.go_on(20)
        for process in world.running():
            counts = process.node.peers.conduct.counts
            self.assertEqual({name: n for name, n in counts.items() if n}, {})


class Lined(Watched):
    """A member and followers in a line: each knows its neighbours and can reach nobody else."""

    def begin(self, seconds: int = 10) -> None:
        count = len(self.hosts)
        self.network.block(
            (a, b) for a in range(count) for b in range(count) if abs(a - b) > 1
        )  # fmt: skip
        super().begin(seconds)


class LineTests(SynchronousTestCase):
    """F35: what is news reaches the far end of a line, over sessions that stay."""

    NODES = 5

    def setUp(self) -> None:
        self.world = Lined(Scenario(35, nodes=1, followers=self.NODES - 1))
        self.world.begin(40)

    def test_a_block_reaches_the_far_end_once(self) -> None:
        world = self.world
        before = min(world.heights())
        world.blocks.clear()
        world.go_on(90)
        self.assertGreaterEqual(min(world.heights()), before + 5)
        self.assertLessEqual(max(world.heights()) - min(world.heights()), 1)
        for machine in range(1, self.NODES):
            self.assertGreaterEqual(len(world.blocks[machine]), 5)
            self.assertEqual(max(Counter(world.blocks[machine]).values()), 1)

    def test_a_payment_of_the_far_end_is_final_there(self) -> None:
        """Up the line as a payment, down the line as its proof, each link once."""
        world = self.world
        paid = world.workload.spend([world.workload._coins[0]])
        process = world.hosts[-1].process
        assert process is not None
        world.workload.submit(paid, process)
        world.go_on(4)
        self.assertEqual(world.final[paid.txid], set(range(self.NODES)))
        for (source, target, message), count in world.crossed.items():
            self.assertEqual(abs(source - target), 1)
            if not isinstance(message, wire.BlockAnnouncement):
                self.assertEqual(count, 1, message.message_type())

    def test_sessions_stay_and_nothing_else_is_opened(self) -> None:
        """Heartbeats, blocks and payments use the sessions there are."""
        world = self.world
        pairs = [world.network.between(a, a + 1) for a in range(self.NODES - 1)]
        self.assertEqual([len(each) for each in pairs], [1] * (self.NODES - 1))
        counts = []
        for _ in range(6):
            world.go_on(20)
            counts.append(world.open_connections())
        self.assertEqual(set(counts), {self.NODES - 1})
        self.assertEqual([world.network.between(a, a + 1) for a in range(self.NODES - 1)], pairs)

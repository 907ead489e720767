"""Hours of trouble on many links at once: the mesh comes back every time, and nobody is blamed."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from tests.peer_harness import Host, Wire, identity
from timed.events import Dial
from timed.params import SECOND
from timed.peer import limits

NODES = 6


class ChurnTests(SynchronousTestCase):
    def mesh(self, wire: Wire, *, boot: int = 1) -> list[Host]:
        numbers = range(1, NODES + 1)
        return [
            wire.host(n, wanted=[m for m in numbers if m != n], identity=identity(n, boot=boot))
            for n in numbers
        ]

    def assertFullMesh(self, wire: Wire) -> None:
        """O4: the table of every node equals the live links, one per pair."""
        for host in wire.hosts:
            self.assertEqual(len(host.table.peers()), NODES - 1)
            for other in wire.hosts:
                if other is host:
                    continue
                (end,) = wire.links_between(host, other)
                session = host.table.session_with(other.node_id)
                self.assertEqual(session.link, end.link)  # type: ignore[union-attr]

    def assertNobodyBlamed(self, wire: Wire) -> None:
        for host in wire.hosts:
            self.assertEqual(list(host.table.conduct.ledger), [])

    def test_resets_by_the_hundred(self) -> None:
        """R06: whatever is cut, the mesh is whole again within 60 s."""
        wire = Wire()
        self.mesh(wire)
        entropy = random.Random(11)
        wire.run(10 * SECOND)
        for _ in range(60):
            for _ in range(entropy.randrange(1, 12)):
                end = entropy.choice([end for end in wire.ends.values() if not end.gone])
                wire.cut(end)
                if entropy.random() < 0.7 and end.peer is not None:
                    wire.cut(end.peer)
                wire.run(entropy.randrange(SECOND))
            wire.run(60 * SECOND)
            self.assertEqual([len(host.table.peers()) for host in wire.hosts], [NODES - 1] * NODES)
        for end in wire.ends.values():
            if end.deaf and not end.gone:
                wire.cut(end)
        wire.run(5 * SECOND)
        self.assertFullMesh(wire)
        self.assertNobodyBlamed(wire)

    def test_black_holed_dials_and_one_node_after_another_restarting(self) -> None:
        wire = Wire()
        self.mesh(wire)
        entropy = random.Random(12)
        honest = wire.dial

        def lossy(source: Host, dial: Dial) -> None:
            if entropy.random() < 0.3:
                wire.at(wire.now + 10 * SECOND, lambda: source.call(
                    source.table.dial_failed(dial.host, dial.port, "timeout", wire.now)))  # fmt: skip
            else:
                honest(source, dial)

        self.patch(wire, "dial", lossy)
        for life in range(2, 14):
            number = entropy.randrange(1, NODES + 1)
            old = next(host for host in wire.hosts if host.name.endswith(f".{number}"))
            old.alive = False
            if entropy.random() < 0.5:
                for end in wire.ends.values():
                    if end.host is old and end.peer is not None:
                        wire.cut(end.peer)
            wire.run(entropy.randrange(20 * SECOND))
            wire.host(
                number,
                wanted=[m for m in range(1, NODES + 1) if m != number],
                identity=identity(number, boot=life),
            )
            wire.run(60 * SECOND)
            self.assertEqual([len(host.table.peers()) for host in wire.hosts], [NODES - 1] * NODES, life)
        self.assertNobodyBlamed(wire)

    def test_partition_of_any_length_heals_within_5_seconds(self) -> None:
        """Nobody is told of the partition; afterwards there is one session per pair again."""
        for minutes in (0.1, 1, 3, 10):
            wire = Wire()
            hosts = self.mesh(wire)
            wire.run(10 * SECOND)
            left = hosts[:2]
            honest = wire.dial

            def parted(
                source: Host, dial: Dial, wire: Wire = wire, left: list[Host] = left, honest: object = honest
            ) -> None:
                target = next(host for host in wire.hosts if host.name == dial.host)
                if (source in left) != (target in left):
                    wire.at(wire.now + SECOND, lambda: source.call(
                        source.table.dial_failed(dial.host, dial.port, "timeout", wire.now)))  # fmt: skip
                else:
                    honest(source, dial)  # type: ignore[operator]

            for end in wire.ends.values():
                if end.peer is not None and (end.host in left) != (end.peer.host in left):
                    end.deaf = True
            self.patch(wire, "dial", parted)
            wire.run(int(minutes * 60) * SECOND)
            for end in wire.ends.values():
                if end.deaf and not end.gone:
                    wire.cut(end)
            self.patch(wire, "dial", honest)
            wire.run(5 * SECOND)
            self.assertFullMesh(wire)
            self.assertNobodyBlamed(wire)

    def test_whole_network_restarts_at_once(self) -> None:
        wire = Wire()
        self.mesh(wire)
        wire.run(60 * SECOND)
        for host in wire.hosts:
            host.alive = False
        wire.now += 24 * 3_600 * SECOND
        self.mesh(wire, boot=2)
        wire.run(10 * SECOND)
        self.assertFullMesh(wire)

    def test_redial_rate_stays_bounded_throughout(self) -> None:
        """F08: a day in which one node of six never answers."""
        wire = Wire()
        hosts = self.mesh(wire)
        hosts[0].alive = hosts[0].reachable = False
        wire.run(2 * 3_600 * SECOND)
        for host in hosts[1:]:
            self.assertEqual(len(host.table.peers()), NODES - 2)
            self.assertLess(len(host.dials), 2 * 3_600 // 2 + 50)
            self.assertLessEqual(
                host.table.dialing.attempts - host.table.dialing.failed, limits.DIALS_AT_ONCE
            )

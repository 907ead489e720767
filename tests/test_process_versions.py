"""Real nodes of two wire versions in one network, told by their configuration which they speak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar

from tests.process_world import ProcessCase
from timed.params import WIRE_VERSION, WIRE_VERSION_MIN

OLD = (f"p2p.wire_version={WIRE_VERSION_MIN}",)


class MixedCase(ProcessCase):
    """Node 1 is the odd one out."""

    def check(self, versions: list[list[int]]) -> None:
        """Payments from both kinds are confirmed; node 1 was away and catches up from the others."""
        for payer, payee in ((1, 2), (2, 1)):
            self.world.wait_confirmed(self.world.pay(payer, payee))
        for number, expected in zip(self.world.numbers, versions, strict=True):
            peers = self.world.call(number, "getpeerinfo")
            self.assertEqual(sorted(peer["session_version"] for peer in peers), expected)
            self.assertEqual([peer["unknown"] for peer in peers], [0, 0])
        self.world.kill(1)
        self.world.wait_confirmed(self.world.pay(2, 3), 2, 3)
        missed = self.world.wait_equal()
        self.world.restart(1)
        self.world.wait_connected()
        self.assertGreater(self.world.wait_equal(missed), 0)
        self.world.wait_confirmed(self.world.pay(3, 1))
        for number in self.world.numbers:
            self.assertEqual(self.world.metric(number, "timed_faults"), 0, f"node {number}")
            self.assertNotIn("Traceback", self.world.log(number))


class OneUpgradedTests(MixedCase):
    network = "one upgraded"
    settings: ClassVar[Mapping[int, Sequence[str]]] = MappingProxyType({2: OLD, 3: OLD})

    def test_one_upgraded_node_among_nodes_of_the_previous_version(self) -> None:
        self.check([[WIRE_VERSION_MIN] * 2] * 3)
        self.assertEqual(self.world.call(1, "getnetworkinfo")["protocolversion"], WIRE_VERSION)
        self.assertEqual(self.world.call(2, "getnetworkinfo")["protocolversion"], WIRE_VERSION_MIN)


class OneLeftBehindTests(MixedCase):
    network = "one left behind"
    settings: ClassVar[Mapping[int, Sequence[str]]] = MappingProxyType({1: OLD})

    def test_one_node_of_the_previous_version_among_upgraded_nodes(self) -> None:
        self.check(
            [[WIRE_VERSION_MIN] * 2, [WIRE_VERSION_MIN, WIRE_VERSION], [WIRE_VERSION_MIN, WIRE_VERSION]]
        )

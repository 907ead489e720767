"""Real nodes that are told by their configuration how to speak: two wire versions, or the old way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar

from tests.process_world import ProcessCase, until
from timed.params import WIRE_VERSION, WIRE_VERSION_MIN

OLD_WAY = (
    "p2p.encoding=json", "p2p.batching=no", "p2p.priorities=no", "log.messages=yes", "log.burst=100000",
    "log.window=1",
)  # fmt: skip
OLD = (f"p2p.wire_version={WIRE_VERSION_MIN}",)


class MixedCase(ProcessCase):
    """Node 1 is the odd one out."""

    def versions(self, number: int) -> list[int]:
        return sorted(peer["session_version"] for peer in self.world.call(number, "getpeerinfo"))

    def check(self, versions: list[list[int]]) -> None:
        """Payments from both kinds are confirmed; node 1 was away and catches up from the others."""
        for payer, payee in ((1, 2), (2, 1)):
            self.world.wait_confirmed(self.world.pay(payer, payee))
        for number, expected in zip(self.world.numbers, versions, strict=True):
            until("both sessions speak it", lambda n=number, e=expected: self.versions(n) == e)  # type: ignore[misc]
            for peer in self.world.call(number, "getpeerinfo"):
                packed = peer["compression"]["sent"]["packed"] + peer["compression"]["received"]["packed"]
                self.assertEqual((peer["unknown"], packed if peer["session_version"] == 1 else 0), (0, 0))
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


class OldWayTests(ProcessCase):
    """A whole network as it once was, by configuration alone."""

    network = "old way"
    settings: ClassVar[Mapping[int, Sequence[str]]] = MappingProxyType(dict.fromkeys((1, 2, 3), OLD_WAY))

    def test_a_network_in_lines_of_json(self) -> None:
        """Payments and blocks; a node comes back; every message was a write and a line in the log."""
        self.world.wait_confirmed(self.world.pay(1, 2))
        self.world.kill(1)
        self.world.wait_confirmed(self.world.pay(2, 3), 2, 3)
        self.world.restart(1)
        self.world.wait_connected()
        self.world.wait_confirmed(self.world.pay(3, 1))
        self.world.wait_equal()
        for number in self.world.numbers:
            for peer in self.world.call(number, "getpeerinfo"):
                self.assertEqual(list(peer["batches"]["rules"]), ["single"])
                self.assertEqual((peer["unknown"], peer["encoding"]), (0, "json"))
            log = self.world.log(number)
            self.assertNotIn("Traceback", log)
            for line in ("TransactionVote to", "TransactionVote from", "BlockCommit to"):
                self.assertRegex(
                    log, f" info     node: {line} [0-9a-f]{{64}} at 127.0.0.1:[0-9]+, [0-9]+ bytes\n"
                )
            self.assertNotIn("more lines in", log)
            self.assertEqual(self.world.metric(number, "timed_faults"), 0, f"node {number}")

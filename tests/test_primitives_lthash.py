"""The set digest: order does not matter, removing undoes adding."""

from __future__ import annotations

import random
from hashlib import sha256

from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from timed.errors import LocalError
from timed.primitives.lthash import LANES, STATE_SIZE, LtHash, coin_element
from timed.primitives.transaction import Lock, OutPoint, Output


def naive(elements: list[bytes]) -> bytes:
    """1,024 lanes of 16 bits, added one by one."""
    lanes = [0] * LANES
    for element in elements:
        expanded = blake3(element).digest(length=STATE_SIZE)
        for lane in range(LANES):
            lanes[lane] = (lanes[lane] + int.from_bytes(expanded[2 * lane : 2 * lane + 2], "little")) % 65_536
    return b"".join(lane.to_bytes(2, "little") for lane in lanes)


def digest_of(elements: list[bytes]) -> LtHash:
    """The digest after adding the elements in their order."""
    digest = LtHash()
    for element in elements:
        digest.add(element)
    return digest


sets = st.lists(st.binary(max_size=40), max_size=8)


class SetDigest(SynchronousTestCase):
    """LtHash over Python integers."""

    @settings(deadline=None, max_examples=25)
    @given(sets)
    def test_lanes_are_sums(self, elements: list[bytes]) -> None:
        """The same lanes as when each is added on its own: no carry leaves its lane."""
        self.assertEqual(digest_of(elements).state(), naive(elements))

    @settings(deadline=None, max_examples=50)
    @given(sets, sets, st.randoms(use_true_random=False))
    def test_removing_undoes_adding(
        self, kept: list[bytes], passing: list[bytes], rng: random.Random
    ) -> None:
        """Adding and removing in any order leaves what stayed; incremental equals from scratch."""
        digest = digest_of(rng.sample(kept + passing, len(kept) + len(passing)))
        for element in rng.sample(passing, len(passing)):
            digest.remove(element)
        self.assertEqual(digest.state(), digest_of(kept).state())
        self.assertEqual(digest.digest(), digest_of(kept).digest())

    def test_removing_first_is_made_good_by_adding(self) -> None:
        """Lanes wrap below zero and back."""
        digest = LtHash()
        digest.remove(b"x")
        self.assertNotEqual(digest.state(), bytes(STATE_SIZE))
        digest.add(b"x")
        self.assertEqual(digest.state(), bytes(STATE_SIZE))

    def test_empty_set(self) -> None:
        """The digest of nothing is that of zero lanes."""
        self.assertEqual(LtHash().state(), bytes(STATE_SIZE))
        self.assertEqual(LtHash().digest(), sha256(bytes(2_048)).digest())

    def test_known_digest(self) -> None:
        """A vector: the words one, two, three."""
        self.assertEqual(
            digest_of([b"one", b"two", b"three"]).digest().hex(),
            "cacb2151b93f19cf79e8e69e9148fdb6de8a6a44ccb7e37015ae4bdc8fb1fe0d",
        )

    def test_state_can_be_kept_and_taken_up(self) -> None:
        """What a store keeps gives the same digest; a copy goes its own way."""
        digest = digest_of([b"a", b"b"])
        taken_up = LtHash.from_state(digest.state())
        self.assertEqual(taken_up.digest(), digest.digest())
        copy = digest.copy()
        copy.add(b"c")
        self.assertEqual(taken_up.digest(), digest.digest())
        self.assertNotEqual(copy.digest(), digest.digest())
        self.assertRaises(LocalError, LtHash.from_state, bytes(2_047))

    def test_every_part_of_a_coin_counts(self) -> None:
        """Outpoint, value, lock, height and the coinbase flag each change the element."""
        base = (OutPoint(bytes(32), 0), Output(1, Lock(1, bytes(20))), 5, False)
        variants = [
            base, (OutPoint(bytes(32), 1), *base[1:]), (base[0], Output(2, base[1].lock), 5, False),
            (base[0], Output(1, Lock(2, bytes(20))), 5, False), (*base[:2], 6, False), (*base[:3], True),
        ]  # fmt: skip
        elements = {coin_element(*variant) for variant in variants}
        self.assertEqual(len(elements), len(variants))
        self.assertEqual(
            coin_element(*base),
            bytes(34)
            + bytes.fromhex("0100000000000000011400")
            + bytes(20)
            + bytes.fromhex("050000000000000000"),
        )

"""Rosters: who counts for how much, and what a quorum is."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from timed.codec.value import EncodeError
from timed.errors import DecodeError, InvalidCertificate, LocalError
from timed.primitives.bitmap import bitmap_of, indices_of
from timed.primitives.roster import Member, Roster, Tier, is_quorum, quorum_weight, weights_for
from timed.primitives.transaction import Lock

FREE, BRONZE, SILVER, GOLD = Tier


def member(number: int, weight: int = 1) -> Member:
    """A member whose keys are made of its number."""
    key = number.to_bytes(32, "big")
    return Member(key, key, Lock.key_hash(key), FREE, weight)


def roster(*weights: int) -> Roster:
    """Members 1, 2, 3, … with these weights."""
    return Roster(tuple([member(number, weight) for number, weight in enumerate(weights, 1)]))


class Weights(SynchronousTestCase):
    """Rule [8]: weights come from the genesis profile."""

    def test_equal(self) -> None:
        """[8] Every member counts 1, whatever its tier."""
        self.assertEqual(weights_for("equal", [FREE, GOLD, BRONZE]), [1, 1, 1])

    def test_collateral_below_ten_members(self) -> None:
        """[8] 0, 1, 10, 100 by tier; fewer than ten with weight are not cut."""
        self.assertEqual(weights_for("collateral", [FREE, BRONZE, SILVER, GOLD]), [0, 1, 10, 100])
        self.assertEqual(
            weights_for("collateral", [GOLD] + [BRONZE] * 8 + [FREE] * 50), [100] + [1] * 8 + [0] * 50
        )

    def test_collateral_from_ten_members_on(self) -> None:
        """[8] Each weight is first cut to a tenth of the uncut sum."""
        self.assertEqual(weights_for("collateral", [GOLD] + [BRONZE] * 9), [10] + [1] * 9)
        self.assertEqual(weights_for("collateral", [GOLD] * 2 + [SILVER] * 8), [28, 28] + [10] * 8)
        self.assertEqual(weights_for("collateral", [GOLD] * 10), [100] * 10)
        self.assertEqual(weights_for("collateral", [FREE, GOLD] + [BRONZE] * 9), [0, 10] + [1] * 9)

    @settings(deadline=None, max_examples=100)
    @given(st.lists(st.sampled_from(Tier), max_size=40))
    def test_nobody_keeps_more_than_a_tenth(self, tiers: list[Tier]) -> None:
        """[8] The cap is exact, the order of members is kept, and weight never vanishes."""
        uncut = [{FREE: 0, BRONZE: 1, SILVER: 10, GOLD: 100}[tier] for tier in tiers]
        weights = weights_for("collateral", tiers)
        self.assertEqual([bool(weight) for weight in weights], [bool(weight) for weight in uncut])
        if sum(map(bool, uncut)) >= 10:
            self.assertTrue(all(10 * weight <= sum(uncut) for weight in weights))
            self.assertTrue(
                all(cut in (weight, sum(uncut) // 10) for cut, weight in zip(weights, uncut, strict=True))
            )
        else:
            self.assertEqual(weights, uncut)

    def test_unknown_profile(self) -> None:
        """A profile nobody defined is the operator's mistake."""
        self.assertRaises(LocalError, weights_for, "loudest", [FREE])


class Quorum(SynchronousTestCase):
    """Rule [9]: two thirds of the whole roster's weight, never of what was heard."""

    def test_fault_table(self) -> None:
        """[9] The quorums of the table in the protocol's last section."""
        for members, quorum in ((3, 2), (4, 3), (7, 5), (10, 7), (100, 67)):
            self.assertTrue(is_quorum(quorum, members))
            self.assertFalse(is_quorum(quorum - 1, members))

    @settings(deadline=None, max_examples=200)
    @given(st.integers(0, 2**64), st.integers(1, 2**64))
    def test_exact_for_any_weight(self, weight: int, total: int) -> None:
        """[9] The exact fraction, at any size."""
        self.assertEqual(is_quorum(weight, total), Fraction(weight, total) >= Fraction(2, 3))

    @settings(deadline=None, max_examples=100)
    @given(st.lists(st.integers(0, 100), min_size=1, max_size=12), st.data())
    def test_two_quorums_share_more_than_a_third(self, weights: list[int], data: st.DataObject) -> None:
        """[9] Why a quorum is what it is: any two of them share at least a third of the weight."""
        total = sum(weights)
        one, other = (data.draw(st.sets(st.integers(0, len(weights) - 1))) for _ in range(2))
        if all(is_quorum(sum(weights[i] for i in side), total) for side in (one, other)):
            self.assertGreaterEqual(3 * sum(weights[i] for i in one & other), total)

    def test_no_weight_no_quorum(self) -> None:
        """[9] A roster without weight decides nothing."""
        self.assertFalse(is_quorum(0, 0))
        self.assertGreater(quorum_weight(0), 0)

    def test_the_least_weight_that_is_a_quorum(self) -> None:
        """[9] One unit less is none."""
        for total in range(1, 200):
            self.assertTrue(is_quorum(quorum_weight(total), total))
            self.assertFalse(is_quorum(quorum_weight(total) - 1, total))


class Rosters(SynchronousTestCase):
    """The value that headers commit to."""

    def test_members_are_found_by_operator_key(self) -> None:
        """The position, or None."""
        members = roster(*[1] * 9)
        for number in range(11):
            found = members.index_of(number.to_bytes(32, "big"))
            self.assertEqual(found, number - 1 if 1 <= number <= 9 else None)
        self.assertIsNone(Roster(()).index_of(bytes(32)))

    def test_weights_add_up(self) -> None:
        """Of the whole, and of positions."""
        members = roster(5, 0, 7, 1)
        self.assertEqual(members.total_weight, 13)
        self.assertEqual(members.weight_of((0, 2)), 12)

    def test_order_is_part_of_the_encoding(self) -> None:
        """[3] Members out of order or twice are neither encoded nor decoded."""
        one, two = member(1), member(2)
        data = roster(1, 1).encode()
        swapped = data[:2] + two.encode() + one.encode()
        for wrong in (swapped, data[:2] + one.encode() * 2):
            with self.assertRaises(DecodeError) as caught:
                Roster.decode(wrong)
            self.assertEqual(caught.exception.rule, "decode-order")
        self.assertRaises(EncodeError, Roster((two, one)).encode)

    def test_every_field_of_a_member_changes_the_hash(self) -> None:
        """Keys, reward, tier, weight and address are all committed to."""
        base = member(1)
        variants = [
            base, Member(b"\1" * 32, *[base.owner_key, base.reward, 0, 1]),
            Member(base.operator_key, b"\1" * 32, base.reward, 0, 1),
            Member(base.operator_key, base.owner_key, Lock.key_hash(b"other"), 0, 1),
            Member(base.operator_key, base.owner_key, base.reward, 1, 1),
            Member(base.operator_key, base.owner_key, base.reward, 0, 2),
            Member(base.operator_key, base.owner_key, base.reward, 0, 1, b"host:1"),
        ]  # fmt: skip
        self.assertEqual(len({Roster((each,)).hash for each in variants}), len(variants))


class Bitmaps(SynchronousTestCase):
    """Sets of positions."""

    @settings(deadline=None, max_examples=100)
    @given(st.integers(0, 70), st.data())
    def test_positions_come_back_in_order(self, count: int, data: st.DataObject) -> None:
        """Any set of positions, in the fewest bytes."""
        positions = data.draw(st.sets(st.integers(0, count - 1))) if count else set()
        bitmap = bitmap_of(positions, count)
        self.assertEqual(len(bitmap), (count + 7) // 8)
        self.assertEqual(indices_of(bitmap, count), tuple(sorted(positions)))

    def test_layout(self) -> None:
        """Bit i counts from the lowest bit of the first byte."""
        self.assertEqual(bitmap_of((0, 9), 10), b"\x01\x02")

    def test_one_bitmap_per_set(self) -> None:
        """[3] Another length or a bit above the roster is refused."""
        for bitmap in (b"", b"\x01", b"\x01\x00\x00", b"\x00\x04", b"\x00\x80"):
            with self.assertRaises(InvalidCertificate) as caught:
                indices_of(bitmap, 10)
            self.assertEqual(caught.exception.rule, "bitmap")
        self.assertRaises(LocalError, bitmap_of, (10,), 10)
        self.assertRaises(LocalError, bitmap_of, (-1,), 10)

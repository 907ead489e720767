"""Merkle trees after RFC 6962."""

from __future__ import annotations

from hashlib import sha256

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from timed.primitives import merkle

LEAF, NODE = b"TIME/merkle-leaf/v1", b"TIME/merkle-node/v1"


def recursive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word: split at the largest power of two below n."""
    if len(leaves) == 1:
        return sha256(LEAF + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(NODE + recursive_root(leaves[:split]) + recursive_root(leaves[split:])).digest()


def recursive_branch(leaves: list[bytes], index: int) -> list[bytes]:
    """RFC 6962, section 2.1.1: the audit path."""
    if len(leaves) == 1:
        return []
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if index < split:
        return [*recursive_branch(leaves[:split], index), recursive_root(leaves[split:])]
    return [*recursive_branch(leaves[split:], index - split), recursive_root(leaves[:split])]


def leaves_of(count: int) -> list[bytes]:
    """Distinct leaves."""
    return [b"leaf %d" % number for number in range(count)]


class Trees(SynchronousTestCase):
    """Rule [2]: tagged leaves and nodes, no duplicated odd leaf."""

    def test_roots_are_those_of_the_rfc(self) -> None:
        """[2] Every size up to 40, against the recursive definition."""
        for count in range(1, 41):
            self.assertEqual(merkle.root(leaves_of(count)), recursive_root(leaves_of(count)), count)

    def test_odd_leaf_is_not_duplicated(self) -> None:
        """[2] The attack on duplicating trees: a, b, c and a, b, c, c have different roots."""
        a, b, c = leaves_of(3)
        self.assertNotEqual(merkle.root([a, b, c]), merkle.root([a, b, c, c]))

    def test_leaves_and_nodes_cannot_be_exchanged(self) -> None:
        """[2] A leaf that looks like a node's contents does not hash like the node."""
        a, b = leaves_of(2)
        inner = sha256(LEAF + a).digest() + sha256(LEAF + b).digest()
        self.assertNotEqual(merkle.root([inner]), merkle.root([a, b]))

    def test_empty_tree(self) -> None:
        """No leaves have a root of their own, and no leaf has it."""
        self.assertEqual(merkle.root([]), sha256(b"TIME/merkle-empty/v1").digest())
        self.assertNotEqual(merkle.root([b""]), merkle.root([]))
        self.assertEqual(merkle.branches([]), (merkle.EMPTY_ROOT, []))


class Branches(SynchronousTestCase):
    """Proofs that a leaf is in a tree."""

    def test_branches_are_those_of_the_rfc(self) -> None:
        """Every leaf of every size up to 33, one by one and all at once."""
        for count in range(1, 34):
            leaves = leaves_of(count)
            root, all_branches = merkle.branches(leaves)
            self.assertEqual(root, merkle.root(leaves))
            for index in range(count):
                branch = merkle.branch(leaves, index)
                self.assertEqual(list(branch), recursive_branch(leaves, index), (count, index))
                self.assertEqual(all_branches[index], branch)

    def test_branch_leads_to_the_root(self) -> None:
        """With the number of leaves and without it."""
        for count in range(1, 70):
            leaves = leaves_of(count)
            root, all_branches = merkle.branches(leaves)
            for index, branch in enumerate(all_branches):
                self.assertEqual(merkle.root_from_branch(leaves[index], index, count, branch), root)
                self.assertEqual(merkle.root_from_branch(leaves[index], index, None, branch), root)

    @settings(deadline=None, max_examples=100)
    @given(st.integers(1, 64), st.data())
    def test_anything_changed_leads_elsewhere(self, count: int, data: st.DataObject) -> None:
        """Another leaf or a flipped partner never gives the same root."""
        leaves = leaves_of(count)
        index = data.draw(st.integers(0, count - 1))
        root, branch = merkle.root(leaves), list(merkle.branch(leaves, index))
        self.assertNotEqual(merkle.root_from_branch(b"other", index, None, branch), root)
        if branch:
            place = data.draw(st.integers(0, len(branch) - 1))
            branch[place] = bytes(32)
            self.assertNotEqual(merkle.root_from_branch(leaves[index], index, None, branch), root)

    def test_place_and_length_must_agree(self) -> None:
        """A branch too short, too long, or for a place outside the tree."""
        leaves = leaves_of(6)
        branch = merkle.branch(leaves, 5)
        for index, count, given_branch in (
            (6, 6, branch), (-1, 6, branch), (5, 6, branch[:-1]), (5, 6, (*branch, bytes(32))),
            (-1, None, branch), (7, None, branch[:2]), (1, None, ()),
        ):  # fmt: skip
            with self.assertRaises(merkle.InvalidBranch):
                merkle.root_from_branch(leaves[5], index, count, given_branch)
        self.assertRaises(IndexError, merkle.branch, leaves, 6)
        self.assertRaises(IndexError, merkle.branch, leaves, -1)
        self.assertRaises(IndexError, merkle.branches_of, leaves, (0, 6))

    def test_a_few_branches_are_those_among_all(self) -> None:
        for count in (1, 2, 3, 7, 8, 33):
            leaves = leaves_of(count)
            _, every = merkle.branches(leaves)
            for chosen in ((0,), (count - 1, 0), tuple(range(count))):
                self.assertEqual(merkle.branches_of(leaves, chosen), [every[index] for index in chosen])
        self.assertEqual(merkle.branches_of([], ()), [])

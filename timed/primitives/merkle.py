"""Merkle trees in the manner of RFC 6962: tagged leaves and nodes, no duplicated odd leaf."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from timed.errors import RemoteError
from timed.primitives.hashing import tag, tagged_hash

_LEAF = tag("merkle-leaf")
_NODE = tag("merkle-node")

EMPTY_ROOT = tagged_hash("merkle-empty")
"""The root of a tree without leaves."""


class InvalidBranch(RemoteError):
    """A branch that cannot belong to a leaf at that place."""


def _leaves(leaves: Sequence[bytes]) -> list[bytes]:
    return [sha256(_LEAF + leaf).digest() for leaf in leaves]


def _parents(level: list[bytes]) -> list[bytes]:
    """The level above; a node without a partner goes up unchanged."""
    above = [
        sha256(_NODE + one + other).digest() for one, other in zip(level[::2], level[1::2], strict=False)
    ]
    if len(level) % 2:
        above.append(level[-1])
    return above


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over the leaves in their order (32 bytes); EMPTY_ROOT without leaves."""
    if not leaves:
        return EMPTY_ROOT
    level = _leaves(leaves)
    while len(level) > 1:
        level = _parents(level)
    return level[0]


def branches(leaves: Sequence[bytes]) -> tuple[bytes, list[tuple[bytes, ...]]]:
    """The root and the branch of every leaf, for one hashing of the tree."""
    if not leaves:
        return EMPTY_ROOT, []
    return _walk(leaves, range(len(leaves)))


def branches_of(leaves: Sequence[bytes], indices: Sequence[int]) -> list[tuple[bytes, ...]]:
    """The branches of the leaves at `indices`, for one hashing of the tree; IndexError outside."""
    for index in indices:
        if not 0 <= index < len(leaves):
            raise IndexError(index)
    return _walk(leaves, indices)[1] if indices else []


def branch(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The partners of leaf `index` on the way to the root, lowest first; IndexError outside."""
    return branches_of(leaves, (index,))[0]


def _walk(leaves: Sequence[bytes], indices: Sequence[int]) -> tuple[bytes, list[tuple[bytes, ...]]]:
    """The root, and the partners of the leaves at `indices` on every level that has one for them."""
    level = _leaves(leaves)
    paths: list[list[bytes]] = [[] for _ in indices]
    depth = 0
    while len(level) > 1:
        for index, path in zip(indices, paths, strict=True):
            partner = (index >> depth) ^ 1
            if partner < len(level):
                path.append(level[partner])
        level = _parents(level)
        depth += 1
    return level[0], [tuple(path) for path in paths]


def root_from_branch(leaf: bytes, index: int, count: int | None, branch: Sequence[bytes]) -> bytes:
    """The root a tree has that holds `leaf` at `index` with this branch.

    With `count`, the number of leaves, the branch must have exactly the length that
    place asks for. Without it, the length tells at which level the leaf's node became
    the last of its row: below that level a partner stands where the index says, above
    it only left partners remain. InvalidBranch when no tree has such a leaf.
    """
    length = len(branch)
    border = _border(index, length) if count is None else _known_border(index, count, length)
    node = sha256(_LEAF + leaf).digest()
    for level, partner in enumerate(branch):
        if level >= border or index >> level & 1:
            node = sha256(_NODE + partner + node).digest()
        else:
            node = sha256(_NODE + node + partner).digest()
    return node


def _border(index: int, length: int) -> int:
    """The lowest level from which on all of `length` partners stand on the left."""
    if index < 0 or index.bit_count() > length:
        raise InvalidBranch("branch", f"{length} partners for leaf {index}")
    border = 0
    while border + (index >> border).bit_count() < length:
        border += 1
    return border


def _known_border(index: int, count: int, length: int) -> int:
    """The level at which leaf `index` of `count` joins the last row, with the length checked."""
    if not 0 <= index < count:
        raise InvalidBranch("branch", f"leaf {index} of {count}")
    border = (index ^ (count - 1)).bit_length()
    if border + (index >> border).bit_count() != length:
        raise InvalidBranch("branch", f"{length} partners for leaf {index} of {count}")
    return border

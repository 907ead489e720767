"""Which open session leads to which member of the current roster."""

from __future__ import annotations

from collections.abc import Sequence

from timed.peer.table import PeerTable
from timed.primitives.roster import Roster

_WHOLE = 1 << 32
_STEP = 0x9E3779B9
"""The golden section of `_WHOLE`: its multiples, and those of its multiples, spread evenly (Knuth, 6.4)."""


class Voters:
    """Members by roster index and by session, derived from the open sessions."""

    def __init__(self) -> None:
        self._member_of: dict[bytes, int] = {}
        self._node_of: dict[int, bytes] = {}
        self._all: tuple[bytes, ...] = ()
        self._turn = 0

    def update(self, roster: Roster, table: PeerTable) -> None:
        """Look again after a session opened or closed, or the roster changed; conduct spares members `[21]`."""
        table.members = frozenset(member.operator_key for member in roster.members)
        self._member_of.clear()
        self._node_of.clear()
        handles = table.peers()
        self._all = tuple(peer.node_id for peer in handles)
        for peer in handles:
            member = roster.index_of(peer.operator) if peer.operator is not None else None
            if member is not None and roster.members[member].weight:
                self._member_of[peer.node_id] = member
                self._node_of[member] = peer.node_id

    def is_voter(self, node_id: bytes) -> bool:
        return node_id in self._member_of

    def is_member(self, node_id: bytes, member: int) -> bool:
        """This session is with the member at `member` of the roster."""
        return self._member_of.get(node_id) == member

    def connected(self) -> tuple[bytes, ...]:
        """The node ids of members with an open session."""
        return tuple(self._member_of)

    def is_connected(self, member: int) -> bool:
        """There is a session with the member at `member` of the roster."""
        return member in self._node_of

    def weight(self, roster: Roster, own: int) -> int:
        """The weight of the member `own` and of those with an open session."""
        return roster.weight_of(sorted({own, *self._node_of}))

    def followers(self) -> tuple[bytes, ...]:
        """The node ids of everybody else."""
        return tuple(node_id for node_id in self._all if node_id not in self._member_of)

    def choose(self, members: Sequence[int]) -> bytes | None:
        """A peer to ask for what `members` have: two times of three one of them, else anybody; all equally often.

        That holds for every second, third and so on question, too: what is missing is asked for again and
        again in the same order, and none of it must meet the same peer each time.
        """
        named = [self._node_of[member] for member in members if member in self._node_of]
        others = [node_id for node_id in self._all if node_id not in named]
        self._turn += 1
        point, whole, third = self._turn * _STEP % _WHOLE, _WHOLE, _WHOLE // 3
        candidates = named or others
        if named and others:
            if point < third:
                candidates, whole = others, third
            else:
                point, whole = point - third, _WHOLE - third
        return candidates[point * len(candidates) // whole] if candidates else None

"""What a block gives the event log: the same events whenever it is looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from timed.feed.attendance import Absent, missed_at
from timed.feed.event import BLOCK, CONFIRMED, JOINED, LEFT, MISSED, RETURNED, Draft
from timed.feed.records import LockTouch
from timed.primitives.block import Block
from timed.primitives.roster import Member, Roster
from timed.primitives.transaction import Transaction


def drafts_of(
    block: Block,
    size: int,
    before: Block | None,
    roster_at: Callable[[int], Roster],
    touches_of: Callable[[Transaction], tuple[LockTouch, ...]],
    absent: Absent,
    now_us: int,
) -> Iterator[Draft]:
    """The block, its transactions in their order, then who joined, left, missed or returned.

    `size` is the block's in bytes, `before` the block before it; `absent` is asked for this
    block and `MISSED_IN_A_ROW` before it.
    """
    header = block.header
    yield Draft.of(
        BLOCK, now_us, header.hash, height=header.height, time=header.time, size=size,
        transactions=len(block.transactions), previous=header.previous.hex(), proposer=header.proposer.hex(),
    )  # fmt: skip
    for position, transaction in enumerate(block.transactions):
        yield Draft.of(
            CONFIRMED, now_us, transaction.txid, touches_of(transaction),
            height=header.height, block=header.hash.hex(), position=position,
        )  # fmt: skip
    if before is None:
        return
    yield from _roster_changes(
        roster_at(header.height), roster_at(header.height + 1), header.height + 1, now_us
    )
    yield from _attendance_changes(header.height, roster_at(header.height - 1), absent, now_us)


def _roster_changes(old: Roster, new: Roster, height: int, now_us: int) -> Iterator[Draft]:
    if old.hash == new.hash:
        return
    had, has = _by_key(old.members), _by_key(new.members)
    for key, member in has.items():
        if key not in had:
            yield _member_draft(JOINED, member, height, now_us)
    for key, member in had.items():
        if key not in has:
            yield _member_draft(LEFT, member, height, now_us)


def _attendance_changes(height: int, roster: Roster, absent: Absent, now_us: int) -> Iterator[Draft]:
    now, then = missed_at(height, absent), missed_at(height - 1, absent)
    for member in roster.members:
        key = member.operator_key
        if (key in now) is not (key in then):
            yield Draft.of(MISSED if key in now else RETURNED, now_us, key, height=height - 1)


def _by_key(members: Sequence[Member]) -> dict[bytes, Member]:
    return {member.operator_key: member for member in members}


def _member_draft(kind: str, member: Member, height: int, now_us: int) -> Draft:
    address = member.network_address.decode("utf-8", "replace")
    return Draft.of(kind, now_us, member.operator_key, height=height, address=address, weight=member.weight)

"""What a block gives the event log: the same events whenever it is looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from timed.feed.event import BLOCK, CONFIRMED, JOINED, LEFT, MISSED, RETURNED, Draft
from timed.feed.records import LockTouch
from timed.primitives.block import Block
from timed.primitives.certificate import indices_of
from timed.primitives.roster import Member, Roster
from timed.primitives.transaction import Transaction

FIRST_JUDGED = 2
"""Block 1 attests the whole first roster: nobody signed genesis."""


def drafts_of(
    block: Block,
    size: int,
    before: Block | None,
    roster_at: Callable[[int], Roster],
    touches_of: Callable[[Transaction], tuple[LockTouch, ...]],
    now_us: int,
) -> Iterator[Draft]:
    """The block, its transactions in their order, then who joined, left, missed or returned.

    `size` is the block's in bytes, `before` the block before it. The attendance of a block
    is who signed the certificate of the one before it (protocol §4).
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
    if header.height >= FIRST_JUDGED:
        now = _attending(block, roster_at(header.height - 1))
        then = _attending(before, roster_at(header.height - 2))
        yield from _attendance_changes(now, then, header.height - 1, now_us)


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


def _attendance_changes(
    now: dict[bytes, bool], then: dict[bytes, bool], height: int, now_us: int
) -> Iterator[Draft]:
    for key, signed in now.items():
        if signed is not then.get(key, True):
            yield Draft.of(RETURNED if signed else MISSED, now_us, key, height=height)


def _attending(block: Block, roster: Roster) -> dict[bytes, bool]:
    """By operator key: whether the member signed the certificate that the block attests."""
    signed = set(indices_of(block.attendance, len(roster.members)))
    return {member.operator_key: index in signed for index, member in enumerate(roster.members)}


def _by_key(members: Sequence[Member]) -> dict[bytes, Member]:
    return {member.operator_key: member for member in members}


def _member_draft(kind: str, member: Member, height: int, now_us: int) -> Draft:
    address = member.network_address.decode("utf-8", "replace")
    return Draft.of(kind, now_us, member.operator_key, height=height, address=address, weight=member.weight)

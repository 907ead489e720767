"""What one block holds in numbers, and how many transactions a stretch of blocks holds."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from timed.ledger.rewards import base_reward
from timed.primitives.block import Block
from timed.primitives.certificate import indices_of
from timed.primitives.transaction import Output
from timed.rpc.chainview import ChainView
from timed.rpc.slices import Work

PERCENTILES = (10, 25, 50, 75, 90)
MAX_COUNTED = 2_000
"""Blocks whose transactions are counted one by one, where there is no index."""


@attrs.frozen
class Spread:
    """The least, the middle, the most and the mean of some numbers; zeros for none."""

    least: int
    middle: int
    most: int
    mean: int

    @classmethod
    def of(cls, numbers: Sequence[int]) -> Spread:
        if not numbers:
            return cls(0, 0, 0, 0)
        ordered = sorted(numbers)
        count = len(ordered)
        middle = (ordered[(count - 1) // 2] + ordered[count // 2]) // 2
        return cls(ordered[0], middle, ordered[-1], sum(ordered) // count)


@attrs.frozen
class BlockStatistics:
    """Amounts in units, sizes in bytes, rates in units for a byte; the coinbase counts where it says so."""

    block: Block
    size: int
    transactions: int
    """With the coinbase."""
    inputs: int
    outputs: int
    """With the coinbase's."""
    total_out: int
    fees: int
    minted: int
    fee: Spread
    fee_rate: Spread
    transaction_size: Spread
    percentiles: tuple[int, ...]
    """Fee rates below which so many per cent of the block's bytes paid."""
    attending: int
    members: int
    weight: int
    total_weight: int


def block_statistics(view: ChainView, height: int) -> Work[BlockStatistics]:
    """The statistics of the block at `height`."""
    block = yield from view.opened(height)
    spent = yield from view.spent_outputs(block)
    fees = fees_of(block, spent)
    yield
    payments = block.transactions[1:]
    sizes = [transaction.size for transaction in payments]
    rates = [fee // size for fee, size in zip(fees, sizes, strict=True)]
    roster = view.genesis.roster_at(max(0, height - 1))
    attending = indices_of(block.attendance, len(roster.members)) if height else ()
    return BlockStatistics(
        block=block,
        size=len(view.store.block(height) or b""),
        transactions=len(block.transactions),
        inputs=len(spent),
        outputs=sum(len(transaction.outputs) for transaction in block.transactions),
        total_out=sum(output.value for transaction in payments for output in transaction.outputs),
        fees=sum(fees),
        minted=block.header.reward - sum(fees),
        fee=Spread.of(fees),
        fee_rate=Spread.of(rates),
        transaction_size=Spread.of(sizes),
        percentiles=_percentiles(sorted(zip(rates, sizes, strict=True))),
        attending=len(attending),
        members=len(roster.members) if height else 0,
        weight=roster.weight_of(attending),
        total_weight=roster.total_weight if height else 0,
    )


def fees_of(block: Block, spent: Sequence[Output]) -> list[int]:
    """The fee of each transaction after the coinbase, in units; `spent` as `ChainView.spent_outputs` gives it."""
    fees, at = [], 0
    for transaction in block.transactions[1:]:
        taken = spent[at : at + len(transaction.inputs)]
        at += len(taken)
        fees.append(
            sum(output.value for output in taken) - sum(output.value for output in transaction.outputs)
        )
    return fees


def _percentiles(rates: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """The rates at which the percentiles of all bytes are reached; zeros without a transaction."""
    total = sum(size for _, size in rates)
    found: list[int] = []
    passed = 0
    for rate, size in rates:
        passed += size
        while len(found) < len(PERCENTILES) and 100 * passed >= PERCENTILES[len(found)] * total:
            found.append(rate)
    return tuple(found) or (0,) * len(PERCENTILES)


@attrs.frozen
class Stretch:
    """How many transactions the blocks after `first` up to `last` hold."""

    first: int
    last: int
    first_time: int
    last_time: int
    transactions: int
    total: int | None
    """From genesis to `last`; None where only counting would tell."""


def count_transactions(view: ChainView, first: int, last: int) -> Work[Stretch]:
    """Count by the index, else block by block; the caller has bounded the range."""
    before, after = view.totals(first), view.totals(last)
    total = None if after is None else after.transactions
    if before is not None and after is not None:
        count = after.transactions - before.transactions
    else:
        count = 0
        for height in range(first + 1, last + 1):
            count += len((yield from view.opened(height)).transactions)
            yield
    return Stretch(first, last, view.header(first).time, view.header(last).time, count, total)


@attrs.frozen
class MemberReward:
    """What one member received in a stretch of blocks."""

    operator: bytes
    output: Output
    """Its lock, and the sum in units."""
    blocks: int
    """In which it attended."""


@attrs.frozen
class RewardReport:
    """What the blocks from `first` to `last` paid; amounts in units."""

    first: int
    last: int
    minted: int
    fees: int
    members: tuple[MemberReward, ...]
    """In the order of operator keys."""


def reward_report(view: ChainView, first: int, last: int) -> Work[RewardReport]:
    """Who received what; the caller has bounded the range, which does not begin before block 1."""
    sums: dict[tuple[bytes, bytes], MemberReward] = {}
    minted = fees = 0
    for height in range(first, last + 1):
        block = yield from view.opened(height)
        roster = view.genesis.roster_at(height - 1)
        attending = indices_of(block.attendance, len(roster.members))
        reward = base_reward(len(attending))
        minted += reward
        fees += block.header.reward - reward
        for index, output in zip(attending, block.transactions[0].outputs, strict=True):
            operator = roster.members[index].operator_key
            key = (operator, output.lock.encode())
            before = sums.get(key)
            sums[key] = MemberReward(
                operator,
                Output(output.value + (before.output.value if before else 0), output.lock),
                1 + (before.blocks if before else 0),
            )
        yield
    return RewardReport(first, last, minted, fees, tuple(sums[key] for key in sorted(sums)))

"""One computation of a block's contents, for its proposer and for everybody who checks it.

A `Draft` is what a proposer is free to choose; the rest follows from the chain.
`compose` turns a draft into the one block it can be. Validating a block is
composing its draft again and comparing.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import attrs

from timed.errors import InvalidBlock, InvalidCertificate
from timed.ledger.content import (
    BlockEffects,
    CoinSource,
    apply_transfers,
    coinbase_transaction,
    coins_of,
)
from timed.ledger.digest import utxo_root
from timed.ledger.filters import block_filter
from timed.ledger.genesis import Genesis
from timed.ledger.prepared import Prepared
from timed.ledger.rewards import base_reward, split
from timed.ledger.slots import is_grid_point
from timed.primitives.block import (
    BLOCK_VERSION,
    Block,
    BlockHeader,
    Evidence,
    ReportReference,
    attendance_root,
    evidence_root,
    tx_root,
)
from timed.primitives.certificate import BlockCertificate, SignatureItem, bitmap_of, indices_of
from timed.primitives.filters import filter_root
from timed.primitives.roster import Member, Roster, is_quorum
from timed.primitives.transaction import Transaction


@attrs.frozen
class Tip:
    """The newest block of the chain and the set digest states after it."""

    height: int
    hash: bytes
    header: BlockHeader
    certificate: BlockCertificate | None
    """None for genesis."""
    digests: tuple[bytes, ...]


@attrs.frozen
class Draft:
    """What a proposer chooses; `transactions` are without the coinbase, in block order."""

    time: int
    round: int
    proposer: bytes
    transactions: tuple[Transaction, ...]
    reports: tuple[ReportReference, ...]
    parent_certificate: BlockCertificate | None
    evidence: tuple[Evidence, ...]


def compose(
    genesis: Genesis, parent: Tip, draft: Draft, coin: CoinSource, prepared: Prepared
) -> BlockEffects:
    """The one block that `draft` makes on top of `parent`; InvalidBlock(rule) when it makes none.

    `prepared` of that height may have worked out some of it before; it changes nothing else.
    """
    params, height = genesis.params, parent.height + 1
    roster = genesis.roster_at(height)
    _check_time(genesis, parent, draft.time)
    if roster.index_of(draft.proposer) is None:
        raise InvalidBlock("proposer", "not a member of the roster")
    if draft.evidence:
        raise InvalidBlock("evidence-not-active", "evidence in blocks is not active on this network")
    _check_reports(draft.reports, roster)
    certificate_items = parent_certificate_items(genesis, parent, draft.parent_certificate)
    attendance = _attendance(genesis, height, draft.parent_certificate)
    attending = attending_members(genesis.roster_at(height - 1), attendance)
    if len(draft.transactions) + 1 > params.max_block_transactions:
        raise InvalidBlock("block-transactions", f"{len(draft.transactions)} and the coinbase")
    transfers = apply_transfers(draft.transactions, prepared.transfer, coin)
    reward = base_reward(len(attending))
    coinbase = coinbase_transaction(height, split(reward, transfers.fees, attending))
    transactions = (coinbase, *draft.transactions)
    rewarded = coins_of(coinbase, height)
    digests = prepared.digests(parent.digests, rewarded, transfers)
    root = tx_root(transactions)
    header = BlockHeader(
        version=BLOCK_VERSION,
        chain_id=params.chain_id,
        height=height,
        time=draft.time,
        previous=parent.hash,
        tx_root=root,
        utxo_root=utxo_root(digests),
        filter_root=filter_root(block_filter(root, transactions, transfers.spent)),
        roster=roster.hash,
        next_roster=genesis.roster_at(height + 1).hash,
        attendance_root=attendance_root(attendance),
        evidence_root=evidence_root(draft.evidence),
        reward=reward + transfers.fees,
        proposer=draft.proposer,
        round=draft.round,
    )
    block = Block(
        header=header,
        transactions=transactions,
        attendance=attendance,
        evidence=draft.evidence,
        parent_certificate=draft.parent_certificate,
        reports=draft.reports,
    )
    return BlockEffects(
        block=block,
        fees=transfers.fees,
        created=rewarded + transfers.created,
        spent=transfers.spent,
        digests=digests,
        coins=tuple(one.coins for one in transfers.each),
        certificate_items=certificate_items,
    )


def attending_members(roster: Roster, attendance: bytes) -> tuple[Member, ...]:
    """The members of the parent's roster whose bit is set, in roster order."""
    try:
        indices = indices_of(attendance, len(roster.members))
    except InvalidCertificate as error:
        raise InvalidBlock("attendance", str(error)) from None
    return tuple(roster.members[index] for index in indices)


def _attendance(genesis: Genesis, height: int, certificate: BlockCertificate | None) -> bytes:
    """The signers of the parent's certificate; height 1 counts the whole roster `[11]`."""
    if certificate is not None:
        return certificate.bitmap
    count = len(genesis.roster_at(height - 1).members)
    return bitmap_of(range(count), count)


def _check_time(genesis: Genesis, parent: Tip, time: int) -> None:
    if time <= parent.header.time:
        raise InvalidBlock("time-parent", f"{time} is not later than the parent's {parent.header.time}")
    if not is_grid_point(genesis.time, genesis.interval, time):
        raise InvalidBlock("time-grid", f"{time} is not genesis time plus whole intervals")


def _check_reports(reports: Sequence[ReportReference], roster: Roster) -> None:
    """Each member's report once, in roster order, and together a quorum (protocol §3, step 4)."""
    members = [reference.member for reference in reports]
    if any(first >= second for first, second in pairwise(members)):
        raise InvalidBlock("report-order")
    if members and members[-1] >= len(roster.members):
        raise InvalidBlock("report-member", f"member {members[-1]} of {len(roster.members)}")
    weight = roster.weight_of(members)
    if not is_quorum(weight, roster.total_weight):
        raise InvalidBlock("report-quorum", f"weight {weight} of {roster.total_weight}")


def parent_certificate_items(
    genesis: Genesis, parent: Tip, certificate: BlockCertificate | None
) -> tuple[SignatureItem, ...]:
    """The signatures of a parent certificate that are not known to be right yet.

    Raises InvalidBlock(rule) unless it certifies `parent`; genesis has none.
    """
    if parent.height == 0:
        if certificate is not None:
            raise InvalidBlock("parent-certificate-unexpected", "genesis has no certificate")
        return ()
    if certificate is None:
        raise InvalidBlock("parent-certificate-missing")
    chain_id = genesis.params.chain_id
    if (certificate.chain_id, certificate.height, certificate.target) != (
        chain_id,
        parent.height,
        parent.hash,
    ):
        raise InvalidBlock("parent-certificate-target", "it does not certify the parent")
    if certificate == parent.certificate:
        return ()
    try:
        return tuple(certificate.signature_items(genesis.roster_at(parent.height)))
    except InvalidCertificate as error:
        raise InvalidBlock("parent-certificate", str(error)) from None

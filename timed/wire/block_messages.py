"""Messages of the rounds, and those that hand blocks and headers to who lacks them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from timed.codec.value import Retained, Value, retain_hash
from timed.errors import InvalidBlock, InvalidCertificate
from timed.primitives.bitmap import bitmap_of, indices_of
from timed.primitives.block import Block, BlockHeader, Evidence, ReportReference, txid_root
from timed.primitives.certificate import BlockCertificate, block_vote_message
from timed.primitives.hashing import tagged_hash
from timed.primitives.roster import Roster
from timed.primitives.transaction import Transaction
from timed.wire.message import Message
from timed.wire.transaction_messages import EpochReport


class ReportShare(Value, frozen=True, gc=False):
    """An epoch report inside a proposal: bit i of `named` stands for the proposal's i-th txid."""

    member: int
    named: bytes
    signature: bytes


class ProposalBody(Retained, Value, frozen=True, gc=False):
    """What a block rests on besides its header: the reports, their txids once, the parent's certificate."""

    attendance: bytes
    evidence: tuple[Evidence, ...]
    parent_certificate: BlockCertificate | None
    txids: tuple[bytes, ...]
    reports: tuple[ReportShare, ...]

    @classmethod
    def of(
        cls,
        reports: Sequence[EpochReport],
        *,
        attendance: bytes,
        evidence: tuple[Evidence, ...],
        parent_certificate: BlockCertificate | None,
    ) -> ProposalBody:
        """The body that carries `reports`; every txid stands in it once."""
        txids = sorted({txid for report in reports for txid in report.txids})
        place = {txid: index for index, txid in enumerate(txids)}
        shares = [
            ReportShare(
                report.member, bitmap_of([place[txid] for txid in report.txids], len(txids)), report.signature
            )
            for report in reports
        ]
        return cls(attendance, evidence, parent_certificate, tuple(txids), tuple(shares))

    @property
    def hash(self) -> bytes:
        """What the proposer's signature binds the body by."""
        try:
            return self._hash
        except AttributeError:
            digest = tagged_hash("proposal-body", self.raw)
            retain_hash(self, digest)
            return digest


class ProposalStatement(Value, frozen=True, gc=False):
    """What a proposer signs; `block` and `body` are hashes."""

    chain_id: int
    height: int
    round: int
    valid_round: int
    block: bytes
    body: bytes


class BlockProposal(Message, frozen=True, gc=False):
    """A block without its transactions: the reports name them.

    `valid_round` is 0 for none, else one more than the round the block was valid in.
    """

    chain_id: int
    round: int
    valid_round: int
    header: BlockHeader
    body: ProposalBody
    signature: bytes

    def signed_message(self) -> bytes:
        """The 32 bytes `signature` is over: place, header and body, so that nobody can swap a part."""
        header = self.header
        statement = ProposalStatement(
            self.chain_id, header.height, self.round, self.valid_round, header.hash, self.body.hash
        )
        return tagged_hash("proposal", statement.encode())

    def reports(self) -> tuple[EpochReport, ...]:
        """The epoch reports, written out; InvalidBlock("proposal-reports") when they do not add up."""
        txids = self.body.txids
        named: set[int] = set()
        reports = []
        for share in self.body.reports:
            try:
                indices = indices_of(share.named, len(txids))
            except InvalidCertificate as error:
                raise InvalidBlock("proposal-reports", error.detail) from None
            named.update(indices)
            reports.append(
                EpochReport(
                    chain_id=self.chain_id,
                    epoch=self.header.height,
                    roster=self.header.roster,
                    member=share.member,
                    txids=tuple([txids[index] for index in indices]),
                    signature=share.signature,
                )
            )
        if len(named) != len(txids):
            raise InvalidBlock("proposal-reports", "a transaction that no report names")
        return tuple(reports)


class BlockVote(Message, frozen=True, gc=False):
    """A prevote (step 1) or precommit (step 2); `block` is zeros for nil."""

    chain_id: int
    height: int
    round: int
    step: int
    block: bytes
    roster: bytes
    member: int
    signature: bytes

    def signed_message(self) -> bytes:
        """The 32 bytes `signature` is over."""
        return block_vote_message(self.chain_id, self.height, self.round, self.step, self.roster, self.block)


class BlockCommit(Message, frozen=True, gc=False):
    """The certificate of a block."""

    certificate: BlockCertificate


class BlockAnnouncement(Message, frozen=True, gc=False):
    """The sender has this certified block."""

    height: int
    hash: bytes


class GetHeaders(Message, frozen=True, gc=False):
    """Asks for up to `count` headers from height `start` on."""

    start: int
    count: int


class SignedHeader(Value, frozen=True, gc=False):
    """A header and the certificate for it."""

    header: BlockHeader
    certificate: BlockCertificate


class HeadersResponse(Message, frozen=True, gc=False):
    """Headers in ascending order without a gap."""

    headers: tuple[SignedHeader, ...]


class GetBlocks(Message, frozen=True, gc=False):
    """Asks for up to `count` blocks from height `start` on."""

    start: int
    count: int


class CertifiedBlock(Value, frozen=True, gc=False):
    """A block and the certificate for it."""

    block: Block
    certificate: BlockCertificate


class BlocksResponse(Message, frozen=True, gc=False):
    """Blocks in ascending order without a gap, as many as fit."""

    blocks: tuple[CertifiedBlock, ...]


class BlockRequest(Message, frozen=True, gc=False):
    """Asks for one block by its hash."""

    hash: bytes


class BlockResponse(Message, frozen=True, gc=False):
    """The block asked for, or none."""

    blocks: tuple[CertifiedBlock, ...]


class GetCompactBlock(Message, frozen=True, gc=False):
    """Asks for one block by its hash, without the transactions but its coinbase."""

    hash: bytes


class CompactBlock(Value, frozen=True, gc=False):
    """A block that names its transactions instead of holding them, in the block's order."""

    header: BlockHeader
    coinbase: Transaction
    txids: tuple[bytes, ...]
    attendance: bytes
    evidence: tuple[Evidence, ...]
    parent_certificate: BlockCertificate | None
    reports: tuple[ReportReference, ...]

    @classmethod
    def of(cls, block: Block) -> CompactBlock:
        """What is left of a block when its transactions are named."""
        coinbase, *others = block.transactions
        return cls(
            block.header,
            coinbase,
            tuple([transaction.txid for transaction in others]),
            block.attendance,
            block.evidence,
            block.parent_certificate,
            block.reports,
        )

    @property
    def is_consistent(self) -> bool:
        """True when the transactions named are those that the header stands for; so none is named twice."""
        return txid_root([self.coinbase.txid, *self.txids]) == self.header.tx_root

    def block(self, bodies: Mapping[bytes, Transaction]) -> Block:
        """The block, with a body for every txid; KeyError when one is missing."""
        return Block(
            self.header,
            (self.coinbase, *[bodies[txid] for txid in self.txids]),
            self.attendance,
            self.evidence,
            self.parent_certificate,
            self.reports,
        )


class CompactBlockResponse(Message, frozen=True, gc=False):
    """The block asked for with its transactions named, or none."""

    blocks: tuple[CompactBlock, ...]


class GetMasternodes(Message, frozen=True, gc=False):
    """Asks for the roster of one height."""

    height: int


class MasternodesResponse(Message, frozen=True, gc=False):
    """The roster of `height`."""

    height: int
    roster: Roster


class RoundState(Message, frozen=True, gc=False):
    """Where the sender stands; said on a new session.

    `step` counts from 0 for waiting over propose, prevote and precommit to 4 for
    decided. `reported` is true when it has closed the epoch of this height.
    """

    height: int
    round: int
    step: int
    reported: bool


class GetProposal(Message, frozen=True, gc=False):
    """Asks for the proposal of one round; a BlockProposal answers it."""

    height: int
    round: int


from timed.wire import _block_codec as _block_codec  # noqa: E402 (binds the codec)

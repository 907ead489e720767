"""One realistic message of every type, always the same bytes.

Hashes, keys and signatures are noise, as they are in life; numbers have the sizes
they have in life, which is what JSON's length depends on.
"""

from __future__ import annotations

import random

from timed.primitives.block import Block, BlockHeader, ReportReference
from timed.primitives.certificate import BlockCertificate, BundleCertificate, BundleSigner
from timed.primitives.roster import Member, Roster
from timed.primitives.transaction import Lock, OutPoint, Output, Transaction, Witness
from timed.wire import messages as wire
from timed.wire.block_messages import CompactBlock
from timed.wire.message import Message

MEMBERS = 7
QUORUM = 5
BLOCK_TRANSACTIONS = 500
BUNDLE_ENTRIES = 16
PAGE = 64
"""Entries of the queries and replies that page."""
TIME_US = 1_766_000_000_123_456


class Samples:
    """Builds messages; two objects with one seed build the same ones."""

    def __init__(self, seed: int = 1) -> None:
        self._noise = random.Random(seed)

    def hash(self) -> bytes:
        return self._noise.randbytes(32)

    def signature(self) -> bytes:
        return self._noise.randbytes(64)

    def hashes(self, count: int) -> tuple[bytes, ...]:
        """Ascending, as reports and proposals ask."""
        return tuple(sorted(self.hash() for _ in range(count)))

    def amount(self) -> int:
        return self._noise.randrange(10**6, 10**12)

    def lock(self) -> Lock:
        return Lock(1, self._noise.randbytes(20))

    def transaction(self, inputs: int = 2, outputs: int = 2) -> Transaction:
        return Transaction.make(
            inputs=tuple(OutPoint(self.hash(), self._noise.randrange(4)) for _ in range(inputs)),
            outputs=tuple(Output(self.amount(), self.lock()) for _ in range(outputs)),
            witnesses=tuple(Witness(self.hash(), self.signature()) for _ in range(inputs)),
        )

    def block_certificate(self) -> BlockCertificate:
        return BlockCertificate(
            chain_id=3,
            height=123_456,
            round=0,
            target=self.hash(),
            roster=self.hash(),
            bitmap=b"\x1f",
            signatures=tuple(self.signature() for _ in range(QUORUM)),
        )

    def bundle_certificate(self, kind: int = 2) -> BundleCertificate:
        signers = tuple(
            BundleSigner(self.signature(), 4_321, leaf, tuple(self.hash() for _ in range(4)))
            for leaf in range(QUORUM)
        )
        return BundleCertificate(
            kind=kind,
            chain_id=3,
            epoch=123_456,
            target=self.hash(),
            roster=self.hash(),
            bitmap=b"\x1f",
            signers=signers,
        )

    def header(self) -> BlockHeader:
        return BlockHeader(
            1, 3, 123_456, 1_766_000_000,
            self.hash(), self.hash(), self.hash(), self.hash(), self.hash(), self.hash(), self.hash(), self.hash(),
            294_591_014_905, self.hash(), 0,
        )  # fmt: skip

    def block(self, transactions: int = BLOCK_TRANSACTIONS) -> wire.CertifiedBlock:
        block = Block(
            header=self.header(),
            transactions=tuple(self.transaction() for _ in range(transactions)),
            attendance=b"\x7f",
            evidence=(),
            parent_certificate=self.block_certificate(),
            reports=tuple(ReportReference(member, self.hash()) for member in range(QUORUM)),
        )
        return wire.CertifiedBlock(block, self.block_certificate())

    def proposal(self, transactions: int = BLOCK_TRANSACTIONS) -> wire.BlockProposal:
        named = b"\xff" * ((transactions + 7) // 8)
        body = wire.ProposalBody(
            attendance=b"\x7f",
            evidence=(),
            parent_certificate=self.block_certificate(),
            txids=self.hashes(transactions),
            reports=tuple(wire.ReportShare(member, named, self.signature()) for member in range(QUORUM)),
        )
        return wire.BlockProposal(3, 0, 0, self.header(), body, self.signature())

    def report(self, transactions: int = BLOCK_TRANSACTIONS) -> wire.EpochReport:
        return wire.EpochReport(3, 123_456, self.hash(), 4, self.hashes(transactions), self.signature())

    def roster(self) -> Roster:
        members = [
            Member(self.hash(), self.hash(), self.lock(), 1, 1, b"192.0.2.17:24000") for _ in range(MEMBERS)
        ]
        return Roster(tuple(sorted(members, key=lambda member: member.operator_key)))

    def vote(self) -> wire.BlockVote:
        return wire.BlockVote(3, 123_456, 0, 2, self.hash(), self.hash(), 4, self.signature())


def session_messages(make: Samples) -> list[Message]:
    """Messages about the session and about peers."""
    proof = wire.OperatorProof(make.hash(), make.signature())
    peers = tuple(wire.PeerAddress(make.hash(), "192.0.2.17", 24_000, TIME_US) for _ in range(PAGE))
    return [
        wire.Handshake(
            1, 1, 0, "regtest", make.hash(), make.hash(), TIME_US, 7, "timed/0.1.0", 7_000, 123_456, make.hash(),
            TIME_US, 32, (proof,),
        ),
        wire.Ack(1, make.hash()),
        wire.Goodbye("duplicate", "another session is older"),
        wire.Ping(14_263_882_105_187_241_093, TIME_US),
        wire.Pong(14_263_882_105_187_241_093, TIME_US),
        wire.GetPeers(),
        wire.PeersResponse(peers),
    ]  # fmt: skip


def transaction_messages(make: Samples) -> list[Message]:
    """Messages of the fast path and of the epoch."""
    outpoints = tuple(OutPoint(make.hash(), 1) for _ in range(PAGE))
    certified = tuple(
        wire.CertifiedTransaction(make.transaction(), make.bundle_certificate())
        for _ in range(BUNDLE_ENTRIES)
    )
    return [
        wire.TransactionBroadcast(make.transaction()),
        wire.TransactionVote(
            2, 3, 123_456, make.hash(), 4_321, 4, make.hashes(BUNDLE_ENTRIES), make.signature()
        ),
        wire.TransactionCertified(make.bundle_certificate()),
        wire.TransactionFinalized(make.bundle_certificate(3)),
        wire.TransactionRejected(make.hash(), "fee-too-low", "100 units are missing"),
        wire.TransactionAnnouncement(make.hashes(PAGE)),
        wire.GetTransactions(make.hashes(PAGE)),
        wire.TransactionsResponse(tuple(make.transaction() for _ in range(PAGE))),
        wire.GetPendingTransactions(),
        wire.PendingTransactionsResponse(123_456, make.hashes(BLOCK_TRANSACTIONS)),
        wire.GetCertificates(123_456, make.hashes(BUNDLE_ENTRIES)),
        wire.CertificatesResponse(certified),
        make.report(),
        wire.UTXOStateQuery(outpoints),
        wire.UTXOStateResponse(tuple(wire.UTXOState(point, 2, make.hash()) for point in outpoints)),
    ]


def block_messages(make: Samples) -> list[Message]:
    """Messages of the rounds, headers and blocks."""
    headers = tuple(wire.SignedHeader(make.header(), make.block_certificate()) for _ in range(PAGE))
    return [
        make.proposal(),
        make.vote(),
        wire.BlockCommit(make.block_certificate()),
        wire.BlockAnnouncement(123_456, make.hash()),
        wire.GetHeaders(123_456, 512),
        wire.HeadersResponse(headers),
        wire.GetBlocks(123_456, 16),
        wire.BlocksResponse((make.block(),)),
        wire.BlockRequest(make.hash()),
        wire.BlockResponse((make.block(),)),
        wire.GetCompactBlock(make.hash()),
        wire.CompactBlockResponse((CompactBlock.of(make.block().block),)),
        wire.GetMasternodes(123_456),
        wire.MasternodesResponse(123_456, make.roster()),
        wire.RoundState(123_456, 0, 1, True),
        wire.GetProposal(123_456, 0),
    ]


def all_messages() -> list[Message]:
    """One message of every type, in the order of their modules."""
    make = Samples()
    return [*session_messages(make), *transaction_messages(make), *block_messages(make)]

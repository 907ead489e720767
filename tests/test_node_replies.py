"""Whatever a node holds, what it has to say fits into its message (F17).

Blocks up to four MiB, payments up to their bound, pools and rosters as large as they
may be: every reply keeps to the room it was given, moves on whoever asks, and can be
encoded; so can the largest proposal and the largest certificate.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import attrs
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.node_world import NodeWorld
from tests.test_attack_peers import FakeLedger
from tests.test_ledger_genesis import BUILTIN
from timed.errors import ConfigError
from timed.ledger.genesis import roster_bytes
from timed.node.serving import MAX_PENDING_SERVED, MAX_REPLY_BYTES, Serving, room_of
from timed.params import MAX_ROSTER, NULL_HASH, REGTEST
from timed.peer.limits import PEER_QUEUE_BYTES
from timed.primitives.bitmap import bitmap_of
from timed.primitives.block import BlockHeader
from timed.primitives.certificate import BlockCertificate, BundleCertificate, BundleSigner
from timed.primitives.roster import Member, Roster, Tier
from timed.primitives.transaction import Lock, Output, Transaction, TransactionKind
from timed.wire.catalogue import BY_NAME, MAX_BLOCK_BYTES, MAX_MESSAGE_BYTES, encode_message
from timed.wire.layouts import (
    MAX_BUNDLE_ENTRIES,
    MAX_CERTIFICATES_ASKED,
    MAX_REPORT_TXIDS,
    MAX_TRANSACTIONS_ASKED,
)
from timed.wire.message import Verbatim
from timed.wire.messages import (
    BlockCommit,
    BlockProposal,
    GetCertificates,
    GetHeaders,
    GetTransactions,
    MasternodesResponse,
    Message,
    ProposalBody,
    ReportShare,
    TransactionCertified,
    TransactionFinalized,
)

WORLD = NodeWorld()
SINGLE = Lock.key_hash(bytes(32))
SHARED = Lock.multisig(16, [bytes((number,)) * 20 for number in range(16)])
COUNT_BYTES = 16
"""Of a reply beside its items: counts, and the epoch."""
rooms = st.sampled_from((0, 1, 1_000, 60_000, MAX_REPLY_BYTES, 3 * MAX_REPLY_BYTES, MAX_MESSAGE_BYTES))
block_sizes = st.lists(
    st.sampled_from((400, 20_000, 600_000, MAX_REPLY_BYTES, 4 * MAX_REPLY_BYTES - 2_000)), max_size=70
)


def txid(number: int) -> bytes:
    return number.to_bytes(32, "big")


def hashes(count: int) -> list[bytes]:
    return [txid(number + 1) for number in range(count)]


def block_certificate(signers: int) -> BlockCertificate:
    return BlockCertificate(
        chain_id=3, height=1, round=0, target=NULL_HASH, roster=NULL_HASH,
        bitmap=bytes((MAX_ROSTER + 7) // 8), signatures=signers * (bytes(64),),
    )  # fmt: skip


def bundle_certificate(kind: int, signers: int) -> BundleCertificate:
    """Every signer's bundle as long as a bundle may be: the longest branches."""
    depth = (MAX_BUNDLE_ENTRIES - 1).bit_length()
    signer = BundleSigner(signature=bytes(64), tick=0, leaf=0, branch=depth * (bytes(32),))
    return BundleCertificate(
        kind=kind, chain_id=3, epoch=1, target=NULL_HASH, roster=NULL_HASH,
        bitmap=bytes((MAX_ROSTER + 7) // 8), signers=signers * (signer,),
    )  # fmt: skip


def payment(size: int) -> Transaction:
    """A payment of so many bytes, or a little less."""
    outputs = (Output(1, SHARED),) * (size // len(Output(1, SHARED).encode()))
    return Transaction.make(kind=TransactionKind.TRANSFER, inputs=(), outputs=outputs, payload=b"")


class Chain(FakeLedger):
    """A chain with headers, too."""

    def header(self, height: int) -> BlockHeader | None:
        block = self.block(height)
        return None if block is None else block.header


def serving(ledger: Any = None, pool: Any = None, tallies: Any = None) -> Serving:
    path: Any = SimpleNamespace(epoch=1, tallies=tallies or {})
    return Serving(ledger or WORLD.node.ledger, pool or WORLD.node.mempool, path)


class ReplyTests(SynchronousTestCase):
    def fits(self, reply: Message | Verbatim[Any], room: int) -> int:
        """The reply can be encoded and is no longer than the room; its length."""
        _, payload = encode_message(reply)
        if len(payload) > COUNT_BYTES:
            self.assertLessEqual(len(payload), room + COUNT_BYTES, reply.entry().name)
        return len(payload)

    @settings(deadline=None, max_examples=40)
    @given(block_sizes, st.integers(0, 71), st.integers(0, 512), rooms, st.sampled_from((1, 100, MAX_ROSTER)))
    @example([1_000, 5_000, 100_000], 1, 500, MAX_MESSAGE_BYTES, MAX_ROSTER)
    def test_blocks_and_headers(
        self, sizes: list[int], start: int, count: int, room: int, signers: int
    ) -> None:
        """With room, whoever asks gets on, however large the next block is."""
        ledger: Any = Chain(WORLD, *sizes)
        ledger.proof = block_certificate(signers)
        served = serving(ledger)
        blocks, headers = served.blocks(start, count, room), served.headers(GetHeaders(start, count), room)
        self.fits(blocks, room)
        self.fits(headers, room)
        if room == MAX_MESSAGE_BYTES and count and 1 <= start <= len(sizes):
            self.assertGreaterEqual(min(len(blocks.read().blocks), len(headers.headers)), 1)

    @settings(deadline=None, max_examples=40)
    @given(st.lists(st.sampled_from((100, 5_000, 85_000)), max_size=MAX_TRANSACTIONS_ASKED), rooms)
    def test_payments(self, sizes: list[int], room: int) -> None:
        held = {txid(number): payment(size) for number, size in enumerate(sizes)}
        reply = serving(pool=held).transactions(GetTransactions(tuple(held)), room)
        self.fits(reply, room)
        self.assertEqual(bool(reply.transactions), bool(sizes) and room >= held[txid(0)].size)

    @settings(deadline=None, max_examples=20)
    @given(
        st.lists(st.sampled_from((100, 85_000)), max_size=MAX_CERTIFICATES_ASKED), rooms,
        st.sampled_from((3, 100, quorum := 2 * MAX_ROSTER // 3 + 1)),
    )  # fmt: skip
    def test_certificates_and_what_follows_them(self, sizes: list[int], room: int, signers: int) -> None:
        """The certificates of finality that are sent along are within the room as well."""
        vote, final = bundle_certificate(2, signers), bundle_certificate(3, signers)
        tallies = {
            txid(number): SimpleNamespace(
                certificate={2: vote, 3: final}.get, certified=True, transaction=payment(size)
            )
            for number, size in enumerate(sizes)
        }
        reply = serving(tallies=tallies).certificates(GetCertificates(1, tuple(tallies)), room)
        along = len(reply.entries) * len(TransactionFinalized(final).encode())
        self.assertLessEqual(self.fits(reply, room) + along, room + COUNT_BYTES)
        if room == MAX_MESSAGE_BYTES and sizes:
            self.assertGreaterEqual(len(reply.entries), 1)

    @settings(deadline=None, max_examples=20)
    @given(st.sampled_from((0, 10, MAX_PENDING_SERVED, 200_000)), st.sampled_from((0, 16_000)), rooms)
    def test_lists_of_pending_payments(self, pooled: int, certified: int, room: int) -> None:
        pool = SimpleNamespace(txids=lambda: tuple(hashes(pooled)))
        tally = SimpleNamespace(certified=True)
        tallies = {number.to_bytes(32, "little"): tally for number in range(certified)}
        reply = serving(pool=pool, tallies=tallies).pending(room)
        self.fits(reply, room)
        if room == MAX_MESSAGE_BYTES:
            self.assertEqual(len(reply.txids), min(pooled, MAX_PENDING_SERVED) + certified)

    def test_a_queue_that_is_not_empty_leaves_room_for_votes(self) -> None:
        for free in range(0, PEER_QUEUE_BYTES + 1, PEER_QUEUE_BYTES // 64):
            room = room_of(free)
            self.assertTrue(
                room == MAX_MESSAGE_BYTES if free == PEER_QUEUE_BYTES else room < free or not free
            )

    def test_states_and_addresses_have_their_bounds_in_the_layout(self) -> None:
        """However many coins there are: as many answers as questions, each of one width."""
        for name in ("UTXOStateResponse", "PeersResponse", "PendingTransactionsResponse"):
            self.assertLess(BY_NAME[name].max_size, PEER_QUEUE_BYTES, name)


def widest(count: int, lock: Lock) -> Roster:
    """A roster of so many members with the longest of everything else."""
    members = [
        Member(key, bytes(32), lock, Tier.FREE, 1, bytes(255)) for key in hashes(count)
    ]  # fmt: skip
    return Roster(tuple(members))


class RosterTests(SynchronousTestCase):
    """The largest roster is one for which everything that members say can be said."""

    def test_a_roster_that_messages_have_no_room_for(self) -> None:
        """Refused where it is written down, not when a proposal is to be sent."""
        for words, members in (
            ("1701 members", widest(MAX_ROSTER + 1, SINGLE)),
            ("leave too little of a block", widest(MAX_ROSTER, SHARED)),
        ):
            self.assertIn(words, str(self.assertRaises(ConfigError, attrs.evolve, BUILTIN, members=members)))
        attrs.evolve(BUILTIN, members=widest(MAX_ROSTER, SINGLE))

    def test_the_roster_itself(self) -> None:
        encode_message(MasternodesResponse(height=1, roster=widest(MAX_ROSTER, SHARED)))

    def test_certificates_of_all_members(self) -> None:
        encode_message(BlockCommit(certificate=block_certificate(MAX_ROSTER)))
        for kind, message in ((2, TransactionCertified), (3, TransactionFinalized)):
            encode_message(message(certificate=bundle_certificate(kind, MAX_ROSTER)))

    def test_a_proposal_with_a_report_of_every_member_and_a_full_block(self) -> None:
        ids = hashes(MAX_REPORT_TXIDS)
        share = ReportShare(0, bitmap_of(range(MAX_REPORT_TXIDS), MAX_REPORT_TXIDS), bytes(64))
        body = ProposalBody(
            attendance=bytes((MAX_ROSTER + 7) // 8), evidence=(),
            parent_certificate=block_certificate(MAX_ROSTER), txids=tuple(ids), reports=MAX_ROSTER * (share,),
        )  # fmt: skip
        header = WORLD.node.ledger.tip.header
        proposal = BlockProposal(3, 0, 0, header, body, bytes(64))
        self.assertLessEqual(len(encode_message(proposal)[1]), MAX_BLOCK_BYTES)

    def test_a_block_of_everything_that_two_thirds_can_certify(self) -> None:
        """[6] What the roster takes and twice what a member votes for fit, and not much more would."""
        taken = roster_bytes(widest(MAX_ROSTER, SINGLE))
        self.assertLessEqual(2 * REGTEST.epoch_bytes + taken, REGTEST.max_block_bytes)
        self.assertGreater(taken, MAX_ROSTER * (64 + 34 + 31))
        self.assertLess(roster_bytes(BUILTIN.members), 2_000)

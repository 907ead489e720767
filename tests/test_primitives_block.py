"""Blocks: the header's hash and the roots it commits to."""

from __future__ import annotations

from hashlib import sha256

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from tests.layout_strategies import sample
from timed.codec import interpret
from timed.errors import InvalidBlock
from timed.primitives import layouts, merkle
from timed.primitives.block import Block, BlockHeader, Evidence, attendance_root, evidence_root, tx_root
from timed.primitives.transaction import Transaction, Witness
from timed.wire.layouts import BLOCK_PROPOSAL
from timed.wire.messages import BlockProposal, EpochReport, ProposalBody


def block() -> Block:
    """A fixed block."""
    return interpret.from_plain(layouts.BLOCK, sample(layouts.BLOCK, "block"))


class Headers(SynchronousTestCase):
    """The header is complete, and its hash is the block's name."""

    def test_hash_covers_the_encoding(self) -> None:
        """Tag and bytes, computed independently."""
        header = block().header
        self.assertEqual(header.hash, sha256(b"TIME/block/v1" + header.encode()).digest())
        self.assertEqual(block().hash, header.hash)
        self.assertEqual(BlockHeader.decode(header.encode()).hash, header.hash)

    def test_every_field_changes_the_hash(self) -> None:
        """Nothing in a header is outside its hash."""
        header = block().header
        names = {header.hash}
        for field in header.__struct_fields__:
            value = getattr(header, field)
            other = value ^ 1 if isinstance(value, int) else bytes(32)
            names.add(msgspec.structs.replace(header, **{field: other}).hash)
        self.assertEqual(len(names), 1 + len(header.__struct_fields__))


class Roots(SynchronousTestCase):
    """What the header commits to."""

    def test_transactions(self) -> None:
        """[2] The tree over the ids in the block's order: order counts, witnesses do not."""
        transactions = block().transactions
        self.assertEqual(tx_root(transactions), merkle.root([each.txid for each in transactions]))
        self.assertNotEqual(tx_root(transactions), tx_root(transactions[::-1]))
        stripped = [each.with_witnesses([Witness(bytes(32), bytes(64))]) for each in transactions]
        self.assertEqual(tx_root(stripped), tx_root(transactions))

    def test_attendance_and_evidence(self) -> None:
        """Every bit and every byte counts; evidence cannot be moved between its halves."""
        self.assertNotEqual(attendance_root(b"\x01"), attendance_root(b"\x01\x00"))
        one, other = Evidence(b"ab", b"c"), Evidence(b"a", b"bc")
        self.assertEqual(len({evidence_root([]), evidence_root([one]), evidence_root([other])}), 3)
        self.assertNotEqual(evidence_root([one, other]), evidence_root([other, one]))

    def test_transactions_of_a_decoded_block_keep_their_bytes(self) -> None:
        """[3] Ids of a received block are hashes of received slices."""
        data = block().encode()
        for transaction in Block.decode(data).transactions:
            self.assertIn(transaction.raw, data)
            self.assertEqual(Transaction.decode(transaction.raw).txid, transaction.txid)


def report_of(member: int, *txids: bytes) -> EpochReport:
    return EpochReport(
        chain_id=3,
        epoch=7,
        roster=b"\7" * 32,
        member=member,
        txids=tuple(sorted(txids)),
        signature=bytes([member]) * 64,
    )


def proposal_of(*reports: EpochReport) -> BlockProposal:
    header = msgspec.structs.replace(block().header, chain_id=3, height=7, roster=b"\7" * 32)
    body = ProposalBody.of(reports, attendance=b"", evidence=(), parent_certificate=None)
    return BlockProposal(3, 0, 0, header, body, bytes(64))


class Proposals(SynchronousTestCase):
    """A proposal is a header and its reports; each txid stands in it once."""

    def test_reports_come_out_as_they_went_in(self) -> None:
        """However they overlap, over the wire and back."""
        names = [sha256(bytes([number])).digest() for number in range(9)]
        reports = (report_of(0, *names[:4]), report_of(2), report_of(3, *names[2:]))
        proposal = BlockProposal.decode(proposal_of(*reports).encode())
        self.assertEqual(proposal.reports(), reports)
        self.assertEqual(len(proposal.body.txids), 9)

    def test_rejects_a_transaction_that_no_report_names(self) -> None:
        """What a block contains is what reports name, and nothing else."""
        proposal = proposal_of(report_of(0, bytes(32)))
        body = msgspec.structs.replace(proposal.body, txids=(bytes(32), b"\1" * 32))
        with self.assertRaises(InvalidBlock) as caught:
            msgspec.structs.replace(proposal, body=body).reports()
        self.assertEqual(caught.exception.rule, "proposal-reports")

    def test_rejects_bits_beyond_the_transactions(self) -> None:
        proposal = proposal_of(report_of(0, bytes(32)))
        share = msgspec.structs.replace(proposal.body.reports[0], named=b"\x03")
        body = msgspec.structs.replace(proposal.body, reports=(share,))
        with self.assertRaises(InvalidBlock):
            msgspec.structs.replace(proposal, body=body).reports()

    def test_signature_of_a_proposal(self) -> None:
        """Chain, height, round, valid round, block and body are bound: no relay can swap a part."""
        proposal = interpret.from_plain(BLOCK_PROPOSAL, sample(BLOCK_PROPOSAL, "proposal"))
        signed = {proposal.signed_message()}
        for change in ({"chain_id": 9}, {"round": 9}, {"valid_round": 9}):
            signed.add(msgspec.structs.replace(proposal, **change).signed_message())
        header = msgspec.structs.replace(proposal.header, height=9)
        signed.add(msgspec.structs.replace(proposal, header=header).signed_message())
        body = msgspec.structs.replace(proposal.body, reports=())
        signed.add(msgspec.structs.replace(proposal, body=body).signed_message())
        self.assertEqual(len(signed), 6)

    def test_report_hash_covers_all_but_the_signature(self) -> None:
        """A report signed anew keeps its name; any other change gives another."""
        report = report_of(1, b"\1" * 32, b"\2" * 32)
        self.assertEqual(report.hash, sha256(b"TIME/report/v1" + report.encode()[:-64]).digest())
        self.assertEqual(msgspec.structs.replace(report, signature=bytes(64)).hash, report.hash)
        for change in ({"chain_id": 9}, {"epoch": 9}, {"roster": bytes(32)}, {"member": 9}, {"txids": ()}):
            self.assertNotEqual(msgspec.structs.replace(report, **change).hash, report.hash)
        self.assertEqual(report.signed_message(), report.hash)

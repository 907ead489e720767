"""Blocks: the header's hash and the roots it commits to."""

from __future__ import annotations

from hashlib import sha256

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from tests.layout_strategies import sample
from timed.codec import interpret
from timed.primitives import layouts, merkle
from timed.primitives.block import Block, BlockHeader, Evidence, attendance_root, evidence_root, tx_root
from timed.primitives.transaction import Transaction, Witness
from timed.wire.layouts import BLOCK_PROPOSAL
from timed.wire.messages import BlockProposal


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


class Proposals(SynchronousTestCase):
    """A proposal is a block without transactions, with its reports in full."""

    def test_block_of_a_proposal(self) -> None:
        """Given the transactions it is the block: header, body and references to the reports."""
        proposal = interpret.from_plain(BLOCK_PROPOSAL, sample(BLOCK_PROPOSAL, "proposal"))
        self.assertIsInstance(proposal, BlockProposal)
        made = proposal.block(block().transactions)
        self.assertEqual(made.header, proposal.header)
        self.assertEqual(made.transactions, block().transactions)
        self.assertEqual(
            [(reference.member, reference.report) for reference in made.reports],
            [(report.member, report.hash) for report in proposal.reports],
        )

    def test_signature_of_a_proposal(self) -> None:
        """Chain, height, round, valid round and block are bound; the reports through the block."""
        proposal = interpret.from_plain(BLOCK_PROPOSAL, sample(BLOCK_PROPOSAL, "proposal"))
        signed = {proposal.signed_message()}
        for change in ({"chain_id": 9}, {"round": 9}, {"valid_round": 9}):
            signed.add(msgspec.structs.replace(proposal, **change).signed_message())
        header = msgspec.structs.replace(proposal.header, height=9)
        signed.add(msgspec.structs.replace(proposal, header=header).signed_message())
        self.assertEqual(len(signed), 5)

    def test_report_hash_covers_all_but_the_signature(self) -> None:
        """A report signed anew keeps its name; any other change gives another."""
        proposal = interpret.from_plain(BLOCK_PROPOSAL, sample(BLOCK_PROPOSAL, "proposal"))
        report = proposal.reports[0]
        self.assertEqual(report.hash, sha256(b"TIME/report/v1" + report.encode()[:-64]).digest())
        self.assertEqual(msgspec.structs.replace(report, signature=bytes(64)).hash, report.hash)
        for change in ({"chain_id": 9}, {"epoch": 9}, {"roster": bytes(32)}, {"member": 9}, {"txids": ()}):
            self.assertNotEqual(msgspec.structs.replace(report, **change).hash, report.hash)
        self.assertEqual(report.signed_message(), report.hash)

"""Each invariant names what breaks it, and is silent about what is right."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import attrs
import msgspec
from twisted.trial.unittest import SynchronousTestCase

from timed.consensus.proposer import proposer
from timed.consensus.signing import signed
from timed.events import TransactionCertified, TransactionFinal, TransactionLocked, TransactionReleased
from timed.interfaces import Coin
from timed.primitives import merkle
from timed.primitives.bitmap import bitmap_of
from timed.primitives.block import Block
from timed.primitives.certificate import (
    PRECOMMIT,
    PREVOTE,
    BlockCertificate,
    BundleCertificate,
    BundleSigner,
    bundle_leaf,
)
from timed.primitives.transaction import Lock, OutPoint, Output, Transaction
from timed.sim.cast import make_cast
from timed.sim.chain_rules import ChainRules
from timed.sim.durable import DurableLog
from timed.sim.invariants import Invariants
from timed.sim.signing_rules import ACKNOWLEDGEMENT, VOTE, SigningRules
from timed.sim.violation import NAMES, SAFETY, Violation
from timed.store.memory import MemoryStore
from timed.wire.catalogue import encode_record
from timed.wire.messages import (
    BlockProposal,
    BlockVote,
    EpochReport,
    ProposalBody,
    TransactionBroadcast,
    TransactionVote,
)
from timed.wire.messages import TransactionCertified as Certified

CAST = make_cast(5, 4, 15)
ROSTER = CAST.genesis.members
KEYS = {key.public: key for key in CAST.operator_keys}
COINS = [OutPoint(CAST.genesis.block().transactions[0].txid, index) for index in range(4)]
ELSEWHERE = OutPoint(bytes(31) + b"\1", 0)
A, B = (bytes([number]) * 32 for number in (1, 2))
"""Blocks."""


def payment(*inputs: OutPoint, value: int = 5_000) -> Transaction:
    lock = Lock.key_hash(CAST.purses[0].public)
    return Transaction.make(inputs=inputs, outputs=(Output(value=value, lock=lock),))


FIRST = payment(COINS[0])
RIVAL = payment(COINS[0], value=6_000)
CHILD = payment(OutPoint(FIRST.txid, 0), value=4_000)
BODIES = {made.txid: made for made in (FIRST, RIVAL, CHILD)}


class Rules(SynchronousTestCase):
    """Members that sign, and disks that hold what they signed."""

    def setUp(self) -> None:
        chain = ChainRules(CAST.genesis)
        commit = CAST.genesis.commit()
        store = MemoryStore()
        store.commit(commit)
        chain.committed(commit, store.tip())
        self.chain = chain
        self.rules = SigningRules(ROSTER, BODIES.get, chain.unspent_before, chain.became_final)
        self.logs = [DurableLog(ROSTER, height=0) for _ in ROSTER.members]

    def violates(self, name: str, call: Callable[..., object], *args: object) -> None:
        self.assertIn(name, NAMES)
        violation = self.assertRaises(Violation, call, *args)
        self.assertEqual(violation.name, name, str(violation))

    def bundle(self, member: int, kind: int, *txids: bytes, epoch: int = 1, tick: int = 1) -> TransactionVote:
        unsigned = TransactionVote(
            kind=kind, chain_id=CAST.genesis.params.chain_id, epoch=epoch, roster=ROSTER.hash,
            tick=tick, member=member, entries=txids, signature=bytes(64),
        )  # fmt: skip
        return signed(unsigned, KEYS[ROSTER.members[member].operator_key])

    def report(self, member: int, *txids: bytes, epoch: int = 1) -> EpochReport:
        unsigned = EpochReport(
            chain_id=CAST.genesis.params.chain_id, epoch=epoch, roster=ROSTER.hash,
            member=member, txids=tuple(sorted(txids)), signature=bytes(64),
        )  # fmt: skip
        return signed(unsigned, KEYS[ROSTER.members[member].operator_key])

    def block_vote(self, member: int, block: bytes, round_: int = 0, step: int = PRECOMMIT) -> BlockVote:
        unsigned = BlockVote(
            chain_id=CAST.genesis.params.chain_id, height=1, round=round_, step=step, block=block,
            roster=ROSTER.hash, member=member, signature=bytes(64),
        )  # fmt: skip
        return signed(unsigned, KEYS[ROSTER.members[member].operator_key])

    def write(self, member: int, message: object) -> None:
        """The message reaches the member's disk."""
        self.logs[member].add(encode_record(message))  # type: ignore[arg-type]
        if isinstance(message, TransactionVote):
            self.rules.bundle(message, self.logs[member])
        elif isinstance(message, EpochReport):
            self.rules.report(message, self.logs[member])
        elif isinstance(message, BlockVote):
            self.rules.block_vote(message)

    def vote(self, member: int, made: Transaction, tick: int = 1) -> TransactionVote:
        self.write(member, TransactionBroadcast(transaction=made))
        bundle = self.bundle(member, VOTE, made.txid, tick=tick)
        self.write(member, bundle)
        return bundle

    def certificate(self, bundles: list[TransactionVote], epoch: int = 1) -> BundleCertificate:
        first = bundles[0]
        members = sorted(bundle.member for bundle in bundles)
        by_member = {bundle.member: bundle for bundle in bundles}
        leaves = [bundle_leaf(first.entries[0])]
        return BundleCertificate(
            kind=first.kind, chain_id=first.chain_id, epoch=epoch, target=first.entries[0], roster=ROSTER.hash,
            bitmap=bitmap_of(members, len(ROSTER.members)),
            signers=tuple(
                BundleSigner(by_member[m].signature, by_member[m].tick, 0, merkle.branch(leaves, 0)) for m in members
            ),
        )  # fmt: skip

    def hold(self, member: int, certificate: BundleCertificate) -> None:
        self.rules.bundle_certificate(certificate)
        self.write(member, Certified(certificate=certificate))


class VotingTests(Rules):
    def test_an_epoch_by_the_rules_violates_nothing(self) -> None:
        votes = [self.vote(member, FIRST) for member in range(3)]
        certificate = self.certificate(votes)
        for member in range(3):
            self.rules.sent(votes[member], member, self.logs[member])
            self.hold(member, certificate)
            self.write(member, self.bundle(member, ACKNOWLEDGEMENT, FIRST.txid, tick=2))
            self.vote(member, CHILD, tick=3)
            self.write(member, self.report(member, FIRST.txid))
        self.assertEqual(len(self.logs[0].votes), 3)

    def test_two_votes_on_one_outpoint(self) -> None:
        """[15] no key signs twice for one (outpoint, epoch)."""
        self.vote(0, FIRST)
        self.vote(1, RIVAL)
        self.violates("vote-once", self.vote, 0, RIVAL, 2)

    def test_a_vote_that_leaves_before_it_is_durable(self) -> None:
        """[13] the lock is durable before the vote leaves."""
        bundle = self.bundle(0, VOTE, FIRST.txid)
        self.violates("durable-before-send", self.rules.sent, bundle, 0, self.logs[0])

    def test_a_vote_whose_body_is_not_durable(self) -> None:
        self.violates("durable-before-send", self.write, 0, self.bundle(0, VOTE, FIRST.txid))

    def test_a_vote_for_a_child_without_the_certificate_of_its_parent(self) -> None:
        """[13] inputs are unspent in the last block or made by a certified transaction of this epoch."""
        self.violates("inputs-available", self.vote, 0, CHILD)

    def test_a_bundle_of_somebody_else_that_nobody_signed(self) -> None:
        forged = msgspec.structs.replace(self.bundle(1, VOTE, FIRST.txid), epoch=2)
        for member in (0, None):
            self.violates("certificate-counts-cast-votes", self.rules.sent, forged, member, self.logs[0])

    def test_a_bundle_of_somebody_else_with_another_epoch_in_it(self) -> None:
        """[13] a vote is bound to its epoch: what was signed for one says nothing in the next."""
        bundle = self.vote(1, FIRST)
        self.rules.kept(bundle)
        self.rules.sent(bundle, 0, self.logs[0])
        forged = msgspec.structs.replace(bundle, epoch=2)
        self.violates("certificate-counts-cast-votes", self.rules.kept, forged)
        self.violates("certificate-counts-cast-votes", self.rules.sent, forged, 0, self.logs[0])


class ClosingTests(Rules):
    def certified(self) -> BundleCertificate:
        return self.certificate([self.vote(member, FIRST) for member in range(3)])

    def test_an_acknowledgement_without_a_durable_certificate(self) -> None:
        self.certified()
        bundle = self.bundle(0, ACKNOWLEDGEMENT, FIRST.txid, tick=2)
        self.violates("durable-before-send", self.write, 0, bundle)

    def test_an_acknowledged_transaction_that_the_report_leaves_out(self) -> None:
        self.hold(0, self.certified())
        self.write(0, self.bundle(0, ACKNOWLEDGEMENT, FIRST.txid, tick=2))
        self.violates("acknowledged-is-reported", self.write, 0, self.report(0))

    def test_a_vote_or_acknowledgement_after_the_report(self) -> None:
        self.hold(0, self.certified())
        self.write(0, self.report(0, FIRST.txid))
        bundle = self.bundle(0, ACKNOWLEDGEMENT, FIRST.txid, tick=2)
        self.violates("silent-after-report", self.write, 0, bundle)

    def test_two_reports_of_one_epoch(self) -> None:
        self.hold(0, self.certified())
        self.write(0, self.report(0, FIRST.txid))
        self.violates("report-once", self.write, 0, self.report(0))

    def test_a_report_that_leaves_before_it_is_durable(self) -> None:
        self.violates("durable-before-send", self.rules.sent, self.report(0), 0, self.logs[0])


class CertificateTests(Rules):
    def test_fewer_signers_than_a_quorum(self) -> None:
        """[9] the quorum is that of the whole roster."""
        votes = [self.vote(member, FIRST) for member in range(2)]
        self.violates("certificate-valid", self.rules.bundle_certificate, self.certificate(votes))

    def test_a_signature_of_another_epoch(self) -> None:
        votes = [self.vote(member, FIRST) for member in range(3)]
        replayed = self.certificate(votes, epoch=2)
        self.violates("certificate-valid", self.rules.bundle_certificate, replayed)

    def test_a_vote_that_is_on_no_disk(self) -> None:
        votes = [self.vote(member, FIRST) for member in range(2)]
        votes.append(self.bundle(2, VOTE, FIRST.txid))
        self.violates("certificate-counts-cast-votes", self.rules.bundle_certificate, self.certificate(votes))

    def test_certificates_of_conflicting_spends(self) -> None:
        """[15] no two certificates for conflicting spends."""
        self.rules.bundle_certificate(self.certificate([self.vote(member, FIRST) for member in range(3)]))
        rivals = []
        for member in range(3):
            bundle = self.bundle(member, VOTE, RIVAL.txid, tick=9)
            self.rules._cast[bundle.signature] = bundle
            rivals.append(bundle)
        self.violates("no-conflicting-certificates", self.rules.bundle_certificate, self.certificate(rivals))

    def test_a_child_certified_without_its_parent(self) -> None:
        votes = []
        for member in range(3):
            bundle = self.bundle(member, VOTE, CHILD.txid)
            self.rules._cast[bundle.signature] = bundle
            votes.append(bundle)
        self.violates("parent-certified", self.rules.bundle_certificate, self.certificate(votes))


class BlockTests(Rules):
    def block_certificate(self, votes: list[BlockVote]) -> BlockCertificate:
        return BlockCertificate(
            chain_id=votes[0].chain_id, height=votes[0].height, round=0, target=votes[0].block, roster=ROSTER.hash,
            bitmap=bitmap_of([vote.member for vote in votes], len(ROSTER.members)),
            signatures=tuple(vote.signature for vote in votes),
        )  # fmt: skip

    def prevote(self, block: bytes, round_: int, *members: int) -> None:
        for member in members:
            self.write(member, self.block_vote(member, block, round_, PREVOTE))

    def test_a_precommit_without_a_quorum_of_prevotes(self) -> None:
        """§4: a lock rests on a quorum of this round."""
        self.prevote(A, 0, 0, 1, 2)
        self.prevote(A, 1, 0, 1)
        self.write(0, self.block_vote(0, A))
        self.violates("locking-rule", self.write, 0, self.block_vote(0, A, 1))
        self.write(0, self.block_vote(0, bytes(32), 1))

    def test_a_prevote_against_the_own_lock(self) -> None:
        """§4: nothing but a quorum of prevotes as new as the lock opens it."""
        self.prevote(B, 0, 0, 1, 2)
        self.prevote(A, 1, 0, 1, 2)
        self.write(0, self.block_vote(0, A, 1))
        self.write(0, self.block_vote(0, A, 2, PREVOTE))
        self.violates("locking-rule", self.prevote, B, 3, 0)
        self.prevote(B, 3, 1, 2, 3)
        self.prevote(B, 4, 0)

    def proposal(self, member: int, *reports: EpochReport) -> BlockProposal:
        header = msgspec.structs.replace(CAST.genesis.block().header, height=1)
        body = ProposalBody.of(reports, attendance=b"", evidence=(), parent_certificate=None)
        unsigned = BlockProposal(header.chain_id, 0, 0, header, body, bytes(64))
        return signed(unsigned, KEYS[ROSTER.members[member].operator_key])

    def test_a_proposal_of_another_than_the_proposer(self) -> None:
        mine = proposer(ROSTER, 1, 0)
        other = (mine + 1) % len(ROSTER.members)
        reports = [self.report(member) for member in range(3)]
        for report in reports:
            self.write(report.member, report)
        self.violates("certificate-valid", self.rules.proposal, self.proposal(other, *reports))
        right = self.proposal(mine, *reports)
        self.violates("certificate-counts-cast-votes", self.rules.sent, right, other, self.logs[other])
        self.violates("durable-before-send", self.rules.sent, right, mine, self.logs[mine])
        self.rules.proposal(right)
        self.rules.sent(right, other, self.logs[other])

    def test_a_proposal_without_the_reports_of_a_quorum(self) -> None:
        """§3.4: from counted reports of quorum weight the block takes what they name and nothing else."""
        mine = proposer(ROSTER, 1, 0)
        reports = [self.report(member) for member in range(3)]
        self.violates("certificate-counts-cast-votes", self.rules.proposal, self.proposal(mine, *reports))
        for report in reports:
            self.write(report.member, report)
        self.rules._proposals.clear()
        self.violates("certificate-valid", self.rules.proposal, self.proposal(mine, *reports[:2]))
        self.rules._proposals.clear()
        proposal = self.proposal(mine, *reports)
        self.rules.proposal(proposal)
        block = proposal.header.hash
        self.rules.contents(block, ())
        self.violates("reported-in-block", self.rules.contents, block, (FIRST.txid,))
        self.violates("reported-in-block", self.rules.contents, A, ())

    def test_two_values_in_one_round_and_step(self) -> None:
        """[15] no key signs twice for one (height, round, step)."""
        self.write(0, self.block_vote(0, A, step=PREVOTE))
        self.violates("block-vote-once", self.write, 0, self.block_vote(0, B, step=PREVOTE))

    def test_two_certified_blocks_at_one_height(self) -> None:
        """[15] no two certified blocks at one height."""
        for block in (b"\1" * 32, b"\2" * 32):
            votes = [self.block_vote(member, block) for member in range(3)]
            self.rules._block_votes.update({(vote.member, 1, 0, PRECOMMIT): vote for vote in votes})
            certificate = self.block_certificate(votes)
            if block[0] == 1:
                self.rules.block_certificate(certificate)
        self.violates("one-block-per-height", self.rules.block_certificate, certificate)

    def test_a_precommit_that_nobody_cast(self) -> None:
        votes = [self.block_vote(member, A) for member in range(3)]
        self.prevote(A, 0, 0, 1, 2)
        for vote in votes[:2]:
            self.write(vote.member, vote)
        self.violates(
            "certificate-counts-cast-votes", self.rules.block_certificate, self.block_certificate(votes)
        )

    def test_a_final_transaction_that_its_block_lacks(self) -> None:
        """[15] a final transaction is in the very next block."""
        self.violates("final-in-block", self.chain.became_final, FIRST.txid, 0)

    def test_what_a_quorum_has_acknowledged_is_final_though_nobody_lives_to_tell(self) -> None:
        certificate = self.certificate([self.vote(member, FIRST) for member in range(3)])
        for member in range(3):
            self.assertEqual(self.chain.final, {})
            self.hold(member, certificate)
            for tick in (2, 3):
                self.write(member, self.bundle(member, ACKNOWLEDGEMENT, FIRST.txid, tick=tick))
        self.assertEqual(self.chain.final, {FIRST.txid: 1})

    def test_a_transaction_final_in_two_epochs(self) -> None:
        self.chain.became_final(FIRST.txid, 1)
        self.violates("final-in-block", self.chain.became_final, FIRST.txid, 2)

    def test_another_block_or_other_coins_at_a_known_height(self) -> None:
        """[15] equal height means equal roots on every node."""
        commit = CAST.genesis.commit()
        other = attrs.evolve(commit, block_hash=bytes(32))
        self.violates("one-block-per-height", self.chain.committed, other, None)
        other = attrs.evolve(commit, digests=(bytes(2048),))
        self.violates("equal-roots", self.chain.committed, other, None)

    def test_coins_out_of_nothing(self) -> None:
        """[15] the UTXO sum equals what was emitted."""
        commit = CAST.genesis.commit()
        coin = Coin(Output(value=1, lock=Lock.key_hash(CAST.purses[0].public)), 0, False)
        inflated = attrs.evolve(commit, created=(*commit.created, (ELSEWHERE, coin)))
        self.violates("supply", ChainRules(CAST.genesis)._first, inflated)

    def test_coins_that_are_not_those_of_the_transactions(self) -> None:
        """[15] whoever holds the block holds its coins."""
        commit = CAST.genesis.commit()
        (place, coin), *rest = commit.created
        moved = msgspec.structs.replace(coin, output=Output(coin.output.value, Lock.key_hash(bytes(32))))
        others = ((place, moved), *rest)
        self.violates("supply", ChainRules(CAST.genesis)._first, attrs.evolve(commit, created=others))
        self.violates("supply", ChainRules(CAST.genesis)._first, attrs.evolve(commit, spent=(rest[0],)))
        store = MemoryStore()
        store.commit(commit)
        self.chain.committed(commit, store.tip())
        other = attrs.evolve(commit, created=others)
        self.violates("equal-roots", self.chain.committed, other, store.tip())
        other = attrs.evolve(commit, txids=(*commit.txids, FIRST.txid))
        self.violates("equal-roots", ChainRules(CAST.genesis)._first, other)

    def test_the_digest_is_that_of_all_coins(self) -> None:
        self.chain.check_coins()
        self.chain._coins.popitem()
        self.violates("equal-roots", self.chain.check_coins)

    def next_block(self, after_s: int, previous: bytes, attendance: bytes = b"") -> Block:
        genesis = CAST.genesis.block()
        header = msgspec.structs.replace(
            genesis.header, height=1, time=genesis.header.time + after_s, previous=previous
        )
        return msgspec.structs.replace(genesis, header=header, attendance=attendance)

    def test_a_block_beside_the_chain_or_the_grid(self) -> None:
        """[6] a grid point, later than the parent's."""
        interval, previous = CAST.genesis.interval, CAST.genesis.hash
        self.chain._in_place(self.next_block(2 * interval, previous))
        for after_s in (0, interval + 1, -interval):
            self.violates("block-in-place", self.chain._in_place, self.next_block(after_s, previous))
        self.violates("block-in-place", self.chain._in_place, self.next_block(interval, bytes(32)))

    def test_paid_are_those_that_signed_the_parent(self) -> None:
        """[10] attendance is what the chain alone shows."""
        self.assertEqual(self.chain._attending(self.next_block(15, bytes(32))), len(ROSTER.members))
        certificate = self.block_certificate([self.block_vote(member, A) for member in range(3)])
        for attendance, count in ((certificate.bitmap, 3), (bitmap_of(range(4), 4), None)):
            block = self.next_block(15, bytes(32), attendance)
            second = msgspec.structs.replace(
                block, header=msgspec.structs.replace(block.header, height=2), parent_certificate=certificate
            )
            if count is None:
                self.violates("supply", self.chain._attending, second)
            else:
                self.assertEqual(self.chain._attending(second), count)


class TellingTests(Rules):
    """What users are told is on the disk of the node that tells it."""

    def setUp(self) -> None:
        super().setUp()
        self.invariants = Invariants(CAST, BODIES.get)
        self.log = self.invariants.logs[0]
        self.log.height = 0
        self.member = self.invariants.member_of[0] or 0
        self.process: Any = SimpleNamespace(host=SimpleNamespace(index=0), name="0.1")

    def told(self, kind: type) -> None:
        self.invariants.published(self.process, kind(FIRST.txid, 1))

    def test_a_lock_is_told_when_the_vote_of_this_very_node_is_durable(self) -> None:
        other = (self.member + 1) % len(ROSTER.members)
        for member, kind in ((other, VOTE), (self.member, ACKNOWLEDGEMENT)):
            self.log.add(encode_record(self.bundle(member, kind, FIRST.txid)))
            self.violates("durable-before-publish", self.told, TransactionLocked)
        self.log.add(encode_record(self.bundle(self.member, VOTE, FIRST.txid)))
        self.told(TransactionLocked)

    def test_a_certificate_is_told_when_a_quorum_of_its_bundles_is_durable(self) -> None:
        for kind, event in ((VOTE, TransactionCertified), (ACKNOWLEDGEMENT, TransactionFinal)):
            for member in range(3):
                self.violates("durable-before-publish", self.told, event)
                self.log.add(encode_record(self.bundle(member, kind, FIRST.txid)))
            self.told(event)

    def test_what_a_block_holds_is_not_told_to_be_released(self) -> None:
        commit = CAST.genesis.commit()
        store = MemoryStore()
        store.commit(commit)
        self.invariants.begun(0, commit, store.tip())
        self.invariants.published(self.process, TransactionReleased(FIRST.txid, 0))
        told = TransactionReleased(commit.txids[0], 0)
        self.violates("final-in-block", self.invariants.published, self.process, told)


class NameTests(SynchronousTestCase):
    def test_names_are_distinct_and_most_are_of_safety(self) -> None:
        self.assertEqual(len(set(NAMES)), len(NAMES))
        self.assertLess(set(SAFETY), set(NAMES))
        self.assertIn("vote-once", SAFETY)
        self.assertNotIn("live-payments", SAFETY)

"""Certificates: what is checked before a signature is looked at."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from timed.errors import DecodeError, InvalidCertificate
from timed.primitives import merkle
from timed.primitives.bitmap import bitmap_of
from timed.primitives.certificate import (
    PRECOMMIT,
    PREVOTE,
    BlockCertificate,
    BundleCertificate,
    BundleSigner,
    CertificateKind,
    block_vote_message,
    bundle_leaf,
    bundle_message,
    bundle_root,
)
from timed.primitives.roster import Member, Roster
from timed.primitives.transaction import Lock
from timed.wire.messages import BlockVote, TransactionVote

TARGET = b"\x77" * 32
TXIDS = [bytes([number]) * 32 for number in range(1, 6)]


def roster(*weights: int) -> Roster:
    """Members 1, 2, 3, … with these weights."""
    keys = [number.to_bytes(32, "big") for number in range(1, len(weights) + 1)]
    return Roster(
        tuple(
            [
                Member(key, key, Lock.key_hash(key), 0, weight)
                for key, weight in zip(keys, weights, strict=True)
            ]
        )
    )


FOUR = roster(1, 1, 1, 1)


def block_certificate(
    signers: tuple[int, ...] = (0, 1, 3), members: Roster = FOUR, **changes: Any
) -> BlockCertificate:
    """A certificate whose signatures are made of the signers' positions."""
    fields = {
        "chain_id": 3, "height": 9, "round": 2, "target": TARGET, "roster": members.hash,
        "bitmap": bitmap_of(signers, len(members.members)),
        "signatures": tuple([bytes([index]) * 64 for index in signers]),
    }  # fmt: skip
    return BlockCertificate(**{**fields, **changes})


def bundle_certificate(
    signers: tuple[int, ...] = (0, 1, 3), members: Roster = FOUR, **changes: Any
) -> BundleCertificate:
    """Each signer voted for the second of five transactions in a bundle of its own tick."""
    branch = merkle.branch([bundle_leaf(txid) for txid in TXIDS], 1)
    fields = {
        "kind": 2, "chain_id": 3, "epoch": 9, "target": TXIDS[1], "roster": members.hash,
        "bitmap": bitmap_of(signers, len(members.members)),
        "signers": tuple([BundleSigner(bytes([index]) * 64, 100 + index, 1, branch) for index in signers]),
    }  # fmt: skip
    return BundleCertificate(**{**fields, **changes})


class SignatureItems(SynchronousTestCase):
    """Rule [9]: a certificate speaks for the whole roster it names, or for nobody."""

    def assert_refused(self, rule: str, certificate: Any, members: Roster = FOUR) -> None:
        """`signature_items` raises `rule`."""
        with self.assertRaises(InvalidCertificate) as caught:
            certificate.signature_items(members)
        self.assertEqual(caught.exception.rule, rule)

    def test_block_certificate_lists_its_precommits(self) -> None:
        """Each signer's operator key, the precommit it signed, its signature, in roster order."""
        message = block_vote_message(3, 9, 2, PRECOMMIT, FOUR.hash, TARGET)
        self.assertEqual(
            block_certificate().signature_items(FOUR),
            [(FOUR.members[index].operator_key, message, bytes([index]) * 64) for index in (0, 1, 3)],
        )

    def test_bundle_certificate_lists_its_bundles(self) -> None:
        """Each signer's own tick and the root its branch leads to."""
        root = bundle_root(TXIDS)
        for kind in (CertificateKind.VOTE, CertificateKind.ACKNOWLEDGEMENT):
            self.assertEqual(
                bundle_certificate(kind=int(kind)).signature_items(FOUR),
                [
                    (
                        FOUR.members[index].operator_key,
                        bundle_message(kind, 3, 9, FOUR.hash, 100 + index, root),
                        bytes([index]) * 64,
                    )
                    for index in (0, 1, 3)
                ],
            )

    def test_quorum_is_of_the_whole_roster(self) -> None:
        """[9] Two of four is no quorum, in both kinds; weight counts, not heads."""
        for make in (block_certificate, bundle_certificate):
            self.assert_refused("quorum", make((0, 1)))
            self.assert_refused("quorum", make(()))
            heavy = roster(7, 1, 1, 1)
            self.assertEqual(len(make((0,), heavy).signature_items(heavy)), 1)
            self.assert_refused("quorum", make((1, 2, 3), heavy), heavy)

    def test_another_roster(self) -> None:
        """A certificate of one roster proves nothing to another of the same size."""
        for make in (block_certificate, bundle_certificate):
            self.assert_refused("roster", make(), roster(1, 1, 1, 2))

    def test_bitmaps_and_counts(self) -> None:
        """A stray bit, another length, more or fewer signatures than bits."""
        for make, many in ((block_certificate, "signatures"), (bundle_certificate, "signers")):
            certificate: Any = make()
            self.assert_refused("bitmap", msgspec.structs.replace(certificate, bitmap=b"\x1b"))
            self.assert_refused("bitmap", msgspec.structs.replace(certificate, bitmap=b"\x0b\x00"))
            self.assert_refused("bitmap", msgspec.structs.replace(certificate, bitmap=b""))
            for signers in (getattr(certificate, many)[:2], getattr(certificate, many) * 2):
                self.assert_refused("signer-count", msgspec.structs.replace(certificate, **{many: signers}))

    def test_branch_that_no_tree_has(self) -> None:
        """A leaf's place that its branch cannot have."""
        signers = tuple([BundleSigner(bytes(64), 1, 0x7FFF, (bytes(32),))] * 3)
        self.assert_refused("branch", msgspec.structs.replace(bundle_certificate(), signers=signers))

    def test_branch_to_another_transaction(self) -> None:
        """A branch for another leaf gives another message: the signature cannot hold."""
        honest = bundle_certificate().signature_items(FOUR)
        moved = bundle_certificate(target=TXIDS[2]).signature_items(FOUR)
        self.assertTrue(all(one[1] != other[1] for one, other in zip(honest, moved, strict=True)))


class SignedMessages(SynchronousTestCase):
    """Every vote binds chain, height, round, step, roster and target."""

    def test_block_votes_are_laid_out_as_specified(self) -> None:
        """Tag and fields in order, computed independently; the message class agrees."""
        expected = sha256(
            b"TIME/block-vote/v1"
            + bytes.fromhex("03000000" "0900000000000000" "02000000" "01") + FOUR.hash + TARGET
        ).digest()  # fmt: skip
        self.assertEqual(block_vote_message(3, 9, 2, PREVOTE, FOUR.hash, TARGET), expected)
        vote = BlockVote(3, 9, 2, PREVOTE, TARGET, FOUR.hash, 1, bytes(64))
        self.assertEqual(vote.signed_message(), expected)

    def test_bundles_are_laid_out_as_specified(self) -> None:
        """Tag and fields in order, computed independently; the message class agrees."""
        root = merkle.root(TXIDS)
        expected = sha256(
            b"TIME/bundle/v1"
            + bytes.fromhex("02" "03000000" "0900000000000000") + FOUR.hash + bytes.fromhex("6500000000000000") + root
        ).digest()  # fmt: skip
        self.assertEqual(bundle_message(2, 3, 9, FOUR.hash, 101, root), expected)
        vote = TransactionVote(2, 3, 9, FOUR.hash, 101, 0, tuple(TXIDS), bytes(64))
        self.assertEqual((vote.root(), vote.signed_message()), (root, expected))

    def test_no_field_can_be_exchanged(self) -> None:
        """Chain, height, round, step, roster and block each change what is signed."""
        base = (1, 2, 3, 1, b"\1" * 32, b"\2" * 32)
        messages = {block_vote_message(*base)}
        for place, other in enumerate((9, 9, 9, 2, b"\3" * 32, b"\4" * 32)):
            messages.add(block_vote_message(*base[:place], other, *base[place + 1 :]))  # type: ignore[arg-type]
        self.assertEqual(len(messages), 7)
        base_bundle = (2, 1, 2, b"\1" * 32, 3, b"\2" * 32)
        messages = {bundle_message(*base_bundle)}
        for place, other in enumerate((3, 9, 9, b"\3" * 32, 9, b"\4" * 32)):
            messages.add(bundle_message(*base_bundle[:place], other, *base_bundle[place + 1 :]))  # type: ignore[arg-type]
        self.assertEqual(len(messages), 7)


class Decoding(SynchronousTestCase):
    """Rule [3] for the two classes behind one kind byte."""

    def test_kind_tells_the_class(self) -> None:
        """[3] Each kind decodes to its class, and only to it."""
        acknowledged = bundle_certificate(kind=int(CertificateKind.ACKNOWLEDGEMENT))
        for certificate in (block_certificate(), bundle_certificate(), acknowledged):
            self.assertEqual(type(certificate).decode(certificate.encode()), certificate)
        self.assertRaises(DecodeError, BundleCertificate.decode, block_certificate().encode())
        self.assertRaises(DecodeError, BlockCertificate.decode, bundle_certificate().encode())

    def test_unknown_kinds(self) -> None:
        """[3] No bytes, kind 0, kind 4."""
        for data in (b"", b"\x00", b"\x04" + block_certificate().encode()[1:]):
            for kind in (BlockCertificate, BundleCertificate):
                self.assertRaises(DecodeError, kind.decode, data)

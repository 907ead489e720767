"""Proof that a quorum of a roster signed (protocol §1, §3, §4)."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Union

from timed.codec.value import Retained, Value
from timed.errors import InvalidCertificate
from timed.primitives import merkle
from timed.primitives.bitmap import bitmap_of as bitmap_of
from timed.primitives.bitmap import indices_of as indices_of
from timed.primitives.hashing import tagged_hash
from timed.primitives.roster import Roster, is_quorum


class CertificateKind(IntEnum):
    """What the signers agreed on."""

    BLOCK = 1
    VOTE = 2
    ACKNOWLEDGEMENT = 3


SignatureItem = tuple[bytes, bytes, bytes]
"""(public key, message, signature): what a signature backend checks."""

PREVOTE = 1
PRECOMMIT = 2


class BlockVoteStatement(Value, frozen=True, gc=False):
    """What a prevote or precommit signs."""

    chain_id: int
    height: int
    round: int
    step: int
    roster: bytes
    block: bytes


class BundleStatement(Value, frozen=True, gc=False):
    """What one bundle of votes or acknowledgements signs."""

    kind: int
    chain_id: int
    epoch: int
    roster: bytes
    tick: int
    root: bytes


class BundleSigner(Value, frozen=True, gc=False):
    """One member's signature over a bundle, and the branch from the bundle's root to one entry.

    `leaf` is the position of the entry in the bundle.
    """

    signature: bytes
    tick: int
    leaf: int
    branch: tuple[bytes, ...]


class BlockCertificate(Retained, Value, frozen=True, gc=False, kw_only=True):
    """A quorum of precommits for the block `target`."""

    kind: int = int(CertificateKind.BLOCK)
    chain_id: int
    height: int
    round: int
    target: bytes
    roster: bytes
    bitmap: bytes
    signatures: tuple[bytes, ...]

    def signature_items(self, roster: Roster) -> list[SignatureItem]:
        """What is left to verify: one item per signer, in roster order.

        InvalidCertificate: "roster", "bitmap", "signer-count", "quorum".
        """
        signers = _signers(self.roster, self.bitmap, len(self.signatures), roster)
        message = block_vote_message(
            self.chain_id, self.height, self.round, PRECOMMIT, self.roster, self.target
        )
        members = roster.members
        return [
            (members[index].operator_key, message, signature)
            for index, signature in zip(signers, self.signatures, strict=True)
        ]


class BundleCertificate(Retained, Value, frozen=True, gc=False, kw_only=True):
    """A quorum of votes, or of acknowledgements, for the transaction `target` in one epoch."""

    kind: int
    chain_id: int
    epoch: int
    round: int = 0
    target: bytes
    roster: bytes
    bitmap: bytes
    signers: tuple[BundleSigner, ...]

    def signature_items(self, roster: Roster) -> list[SignatureItem]:
        """What is left to verify: one item per signer, in roster order.

        InvalidCertificate: "roster", "bitmap", "signer-count", "quorum", "branch".
        """
        positions = _signers(self.roster, self.bitmap, len(self.signers), roster)
        leaf = bundle_leaf(self.target)
        members = roster.members
        items = []
        for index, signer in zip(positions, self.signers, strict=True):
            try:
                root = merkle.root_from_branch(leaf, signer.leaf, None, signer.branch)
            except merkle.InvalidBranch as error:
                raise InvalidCertificate("branch", error.detail) from None
            message = bundle_message(self.kind, self.chain_id, self.epoch, self.roster, signer.tick, root)
            items.append((members[index].operator_key, message, signer.signature))
        return items


Certificate = Union[BlockCertificate, BundleCertificate]


def _signers(named: bytes, bitmap: bytes, count: int, roster: Roster) -> tuple[int, ...]:
    """The signers' positions after every check that needs no signature."""
    if named != roster.hash:
        raise InvalidCertificate("roster", named.hex())
    positions = indices_of(bitmap, len(roster.members))
    if len(positions) != count:
        raise InvalidCertificate("signer-count", f"{len(positions)} bits, {count} signatures")
    weight, total = roster.weight_of(positions), roster.total_weight
    if not is_quorum(weight, total):
        raise InvalidCertificate("quorum", f"{weight} of {total}")
    return positions


def block_vote_message(
    chain_id: int, height: int, round_number: int, step: int, roster: bytes, block: bytes
) -> bytes:
    """The 32 bytes that a prevote (step 1) or precommit (step 2) signs."""
    statement = BlockVoteStatement(chain_id, height, round_number, step, roster, block)
    return tagged_hash("block-vote", statement.encode())


def bundle_message(kind: int, chain_id: int, epoch: int, roster: bytes, tick: int, root: bytes) -> bytes:
    """The 32 bytes that one bundle of kind VOTE or ACKNOWLEDGEMENT signs."""
    return tagged_hash("bundle", BundleStatement(kind, chain_id, epoch, roster, tick, root).encode())


def bundle_leaf(txid: bytes) -> bytes:
    """The leaf of a bundle's tree for one transaction: its id, which binds the inputs it locks."""
    return txid


def bundle_root(entries: Sequence[bytes]) -> bytes:
    """The Merkle root a bundle of these transaction ids signs."""
    return merkle.root([bundle_leaf(txid) for txid in entries])


from timed.primitives import _certificate_codec as _certificate_codec  # noqa: E402 (binds the codec)

"""That a block holds some transactions, shown by their Merkle branches, its header and its certificate."""

from __future__ import annotations

from collections.abc import Sequence

from timed.codec.value import Value
from timed.errors import InvalidCertificate
from timed.primitives import merkle
from timed.primitives.block import BlockHeader
from timed.primitives.certificate import BlockCertificate, SignatureItem
from timed.primitives.roster import Roster


class ProvenTransaction(Value, frozen=True, gc=False):
    """Transaction number `index` of its block, and the branch from there to the root."""

    index: int
    txid: bytes
    branch: tuple[bytes, ...]


class TransactionProof(Value, frozen=True, gc=False):
    """Some of the `count` transactions of one certified block; genesis has no certificate."""

    header: BlockHeader
    certificate: BlockCertificate | None
    count: int
    transactions: tuple[ProvenTransaction, ...]

    @classmethod
    def make(
        cls,
        header: BlockHeader,
        certificate: BlockCertificate | None,
        txids: Sequence[bytes],
        indices: Sequence[int],
    ) -> TransactionProof:
        """The proof for the transactions at `indices` of a block that holds `txids`."""
        paths = merkle.branches_of(txids, indices)
        return cls(
            header,
            certificate,
            len(txids),
            tuple(
                ProvenTransaction(index, txids[index], path)
                for index, path in zip(indices, paths, strict=True)
            ),
        )

    def signature_items(self, roster: Roster) -> list[SignatureItem]:
        """What is left to verify, with the roster of the header's height; none for genesis.

        Raises InvalidCertificate or InvalidBranch, with a rule, when the proof proves nothing.
        """
        for proven in self.transactions:
            root = merkle.root_from_branch(proven.txid, proven.index, self.count, proven.branch)
            if root != self.header.tx_root:
                raise merkle.InvalidBranch("branch", f"{proven.txid.hex()} is not in the block")
        certificate = self.certificate
        if certificate is None:
            if self.header.height:
                raise InvalidCertificate("certificate-missing")
            return []
        named = (certificate.chain_id, certificate.height, certificate.target)
        if named != (self.header.chain_id, self.header.height, self.header.hash):
            raise InvalidCertificate("certificate-target", "it does not certify the block")
        return certificate.signature_items(roster)


from timed.light import _proof_codec as _proof_codec  # noqa: E402 (binds the codec)

"""Invariants on blocks: one chain, the same coins everywhere, and what was final is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from timed.ledger.digest import utxo_root
from timed.ledger.rewards import base_reward
from timed.primitives.bitmap import indices_of
from timed.primitives.block import Block
from timed.primitives.certificate import BlockCertificate
from timed.sim.violation import Violation

if TYPE_CHECKING:
    from timed.interfaces import BlockCommit, StoredTip
    from timed.ledger.genesis import Genesis
    from timed.primitives.transaction import OutPoint


@attrs.frozen
class Known:
    """The block at one height, as the first node committed it."""

    block_hash: bytes
    digests: tuple[bytes, ...]
    txids: dict[bytes, None]
    supply: int
    certificate: BlockCertificate | None


@attrs.define
class Life:
    """Heights at which a coin was made and spent."""

    created: int
    spent: int | None = None


class ChainRules:
    """The one chain all honest nodes must have."""

    def __init__(self, genesis: Genesis) -> None:
        self._genesis = genesis
        self.blocks: list[Known] = []
        self._coins: dict[OutPoint, Life] = {}
        self.final: dict[bytes, int] = {}
        """Final transactions, and the epoch they were final in."""
        self._awaited: dict[int, list[bytes]] = {}

    @property
    def height(self) -> int:
        """The newest height anybody committed."""
        return len(self.blocks) - 1

    def unspent_before(self, outpoint: OutPoint, epoch: int) -> bool | None:
        """Whether the coin was unspent after block `epoch` - 1; None while that block is unknown."""
        if epoch > len(self.blocks):
            return None
        life = self._coins.get(outpoint)
        return life is not None and life.created < epoch and (life.spent is None or life.spent >= epoch)

    def committed(self, commit: BlockCommit, tip: StoredTip | None) -> BlockCertificate | None:
        """A node's disk holds this block; the certificate is returned the first time it is seen."""
        height = commit.height
        if height > len(self.blocks):
            raise Violation("one-block-per-height", f"block {height} was committed before {len(self.blocks)}")
        if height == len(self.blocks):
            self._first(commit)
            new = self.blocks[height].certificate
        else:
            new = None
        known = self.blocks[height]
        if known.block_hash != commit.block_hash:
            raise Violation(
                "one-block-per-height",
                f"{known.block_hash.hex()[:12]} and {commit.block_hash.hex()[:12]} at height {height}",
            )
        if known.digests != commit.digests or tuple(known.txids) != commit.txids:
            raise Violation("equal-roots", f"two nodes hold different coins after block {height}")
        if tip is None or (tip.height, tip.block_hash, tip.digests) != (
            height,
            commit.block_hash,
            commit.digests,
        ):
            raise Violation("equal-roots", f"the store's tip is not block {height} after its commit")
        if tip.supply != known.supply:
            raise Violation(
                "supply", f"{tip.supply} units in coins, {known.supply} emitted at height {height}"
            )
        return new

    def _first(self, commit: BlockCommit) -> None:
        height = commit.height
        block = Block.decode(commit.block)
        if block.hash != commit.block_hash or block.header.height != height:
            raise Violation("equal-roots", f"block {height} is stored under another name")
        if utxo_root(commit.digests) != block.header.utxo_root:
            raise Violation("equal-roots", f"the header of block {height} names another set of coins")
        certificate = BlockCertificate.decode(commit.certificate) if commit.certificate else None
        if (certificate is None) != (height == 0):
            raise Violation("certificate-valid", f"block {height} was committed without a certificate")
        if certificate is not None and (certificate.target, certificate.height) != (block.hash, height):
            raise Violation("certificate-valid", f"the certificate stored with block {height} is for another")
        for outpoint, _coin in commit.created:
            self._coins[outpoint] = Life(height)
        for outpoint, _coin in commit.spent:
            self._coins[outpoint].spent = height
        supply = self._supply(commit, block)
        txids = dict.fromkeys(commit.txids)
        self.blocks.append(Known(commit.block_hash, commit.digests, txids, supply, certificate))
        for txid in self._awaited.pop(height, ()):
            self._in_block(txid, height)

    def _supply(self, commit: BlockCommit, block: Block) -> int:
        """What must exist after the block: the allocation and every base reward, and no unit more."""
        if commit.height == 0:
            expected = sum(value for _lock, value in self._genesis.allocation)
        else:
            members = self._genesis.roster_at(commit.height - 1).members
            attending = (
                len(members) if commit.height == 1 else len(indices_of(block.attendance, len(members)))
            )
            expected = self.blocks[-1].supply + base_reward(attending)
        before = self.blocks[-1].supply if self.blocks else 0
        created = sum(coin.output.value for _outpoint, coin in commit.created)
        spent = sum(coin.output.value for _outpoint, coin in commit.spent)
        if before + created - spent != expected:
            raise Violation(
                "supply", f"block {commit.height} leaves {before + created - spent}, not {expected}"
            )
        return expected

    def became_final(self, txid: bytes, epoch: int) -> None:
        """A quorum has acknowledged it, or a node told its users so: block `epoch` holds it or will."""
        first = self.final.setdefault(txid, epoch)
        if first != epoch:
            raise Violation("final-in-block", f"{txid.hex()[:12]} was final in epoch {first} and in {epoch}")
        if epoch < len(self.blocks):
            self._in_block(txid, epoch)
        else:
            self._awaited.setdefault(epoch, []).append(txid)

    def _in_block(self, txid: bytes, height: int) -> None:
        if txid not in self.blocks[height].txids:
            raise Violation(
                "final-in-block", f"{txid.hex()[:12]} was final in epoch {height}, block {height} lacks it"
            )

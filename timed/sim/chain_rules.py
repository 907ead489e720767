"""Invariants on blocks: one chain, the same coins everywhere, and what was final is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from timed.interfaces import Coin
from timed.ledger.digest import apply_digests, empty_digests, utxo_root
from timed.ledger.rewards import base_reward
from timed.primitives.bitmap import indices_of
from timed.primitives.block import Block
from timed.primitives.certificate import BlockCertificate
from timed.primitives.transaction import OutPoint
from timed.sim.violation import Violation

if TYPE_CHECKING:
    from timed.interfaces import BlockCommit, StoredTip
    from timed.ledger.genesis import Genesis


@attrs.frozen
class Known:
    """The block at one height, as the first node committed it."""

    block_hash: bytes
    time: int
    """Unix seconds."""
    digests: tuple[bytes, ...]
    txids: dict[bytes, None]
    supply: int
    certificate: BlockCertificate | None
    created: dict[OutPoint, Coin]
    spent: dict[OutPoint, Coin]


@attrs.define
class Life:
    """A coin, and the heights at which it was made and spent."""

    coin: Coin
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
        if (known.digests, tuple(known.txids), known.created, known.spent) != (
            commit.digests,
            commit.txids,
            dict(commit.created),
            dict(commit.spent),
        ):
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
        if height:
            self._in_place(block)
        self._move_coins(commit, block)
        self.blocks.append(
            Known(
                block_hash=commit.block_hash,
                time=block.header.time,
                digests=commit.digests,
                txids=dict.fromkeys(commit.txids),
                supply=self._supply(commit, block),
                certificate=certificate,
                created=dict(commit.created),
                spent=dict(commit.spent),
            )
        )
        for txid in self._awaited.pop(height, ()):
            self._in_block(txid, height)

    def _in_place(self, block: Block) -> None:
        """The block stands on the one before, on the grid, and later (protocol §1 [6])."""
        header, parent = block.header, self.blocks[-1]
        if header.previous != parent.block_hash:
            raise Violation("block-in-place", f"block {header.height} stands on another parent")
        if header.time <= parent.time or (header.time - self._genesis.time) % self._genesis.interval:
            raise Violation(
                "block-in-place", f"block {header.height} at {header.time}, its parent at {parent.time}"
            )

    def _move_coins(self, commit: BlockCommit, block: Block) -> None:
        """The coins made and spent are those of the transactions, and nothing is spent twice."""
        height = commit.height
        if commit.txids != tuple(transaction.txid for transaction in block.transactions):
            raise Violation("equal-roots", f"block {height} is stored with other transactions")
        made = {
            OutPoint(transaction.txid, index): Coin(output, height, transaction is block.transactions[0])
            for transaction in block.transactions
            for index, output in enumerate(transaction.outputs)
        }
        if dict(commit.created) != made:
            raise Violation("supply", f"block {height} makes other coins than its transactions")
        self._coins.update({outpoint: Life(coin, height) for outpoint, coin in made.items()})
        used = [outpoint for transaction in block.transactions for outpoint in transaction.inputs]
        if [outpoint for outpoint, _coin in commit.spent] != used:
            raise Violation("supply", f"block {height} spends other coins than its transactions")
        for outpoint, coin in commit.spent:
            life = self._coins.get(outpoint)
            if life is None or life.spent is not None or life.coin != coin:
                place = f"{outpoint.txid.hex()[:12]}:{outpoint.index}"
                raise Violation("supply", f"block {height} spends {place}, which is not there")
            life.spent = height

    def check_coins(self) -> None:
        """The digest of all coins there are, from scratch, is the one that grew block by block."""
        coins = [(outpoint, life.coin) for outpoint, life in self._coins.items() if life.spent is None]
        if apply_digests(empty_digests(self._genesis.shard_bits), coins, ()) != self.blocks[-1].digests:
            raise Violation("equal-roots", f"the digest after block {self.height} is not that of its coins")

    def _supply(self, commit: BlockCommit, block: Block) -> int:
        """What must exist after the block: the allocation and every base reward, and no unit more."""
        if commit.height == 0:
            expected = sum(value for _lock, value in self._genesis.allocation)
        else:
            expected = self.blocks[-1].supply + base_reward(self._attending(block))
        paid = sum(output.value for output in block.transactions[0].outputs)
        if block.header.reward != paid:
            raise Violation("supply", f"block {commit.height} names {block.header.reward} and pays {paid}")
        before = self.blocks[-1].supply if self.blocks else 0
        created = sum(coin.output.value for _outpoint, coin in commit.created)
        spent = sum(coin.output.value for _outpoint, coin in commit.spent)
        if before + created - spent != expected:
            raise Violation(
                "supply", f"block {commit.height} leaves {before + created - spent}, not {expected}"
            )
        return expected

    def _attending(self, block: Block) -> int:
        """How many members are paid: all at height 1, then those that signed the parent's certificate [10]."""
        height, certificate = block.header.height, block.parent_certificate
        count = len(self._genesis.roster_at(height - 1).members)
        if height == 1:
            return count
        if certificate is None or block.attendance != certificate.bitmap:
            raise Violation("supply", f"block {height} pays others than those that signed its parent")
        return len(indices_of(certificate.bitmap, count))

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

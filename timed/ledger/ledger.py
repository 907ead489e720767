"""The chain as one node knows it: its tip, its coins and what may come next.

Live blocks, caught-up blocks and replayed blocks all go through `evaluate` and
`advance`. The ledger keeps nothing that the store or genesis can answer but
bounded caches of headers and coins, and the blocks the store is still writing.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence

import attrs

from timed.errors import InvalidBlock, LocalError, StoreError
from timed.interfaces import BlockCommit, Coin, IStore
from timed.ledger.compose import Draft, Tip, compose, parent_certificate_items
from timed.ledger.content import HEADER_SIZE, BlockEffects
from timed.ledger.digest import utxo_root
from timed.ledger.genesis import ROSTER_DELAY, Genesis
from timed.ledger.order import order_transactions
from timed.ledger.prepared import Prepared
from timed.params import NetworkParams
from timed.primitives.block import BLOCK_VERSION, Block, BlockHeader, Evidence, ReportReference
from timed.primitives.certificate import BlockCertificate, SignatureItem
from timed.primitives.roster import Roster
from timed.primitives.transaction import OutPoint, Transaction, TransactionKind

MAX_CACHED_HEADERS = 144
"""A day of blocks, which is what consensus, peers at the tip and dashboards look at. The oldest-used leaves
first; it can be read again."""
MAX_CACHED_COINS = 32_768
"""Coins read from the store that are kept at hand: a payment's inputs are looked at by mempool, voter and
block. Beyond it all are let go."""
MAX_UNSETTLED = 256
"""Blocks the ledger may be ahead of what the store has made durable."""


class Ledger:
    """Opens at the store's tip; the store must hold the block of `genesis` already.

    Raises StoreError when the store is empty or belongs to another chain.
    """

    def __init__(self, store: IStore, genesis: Genesis) -> None:
        self.genesis = genesis
        self._store = store
        self._headers: OrderedDict[int, BlockHeader] = OrderedDict()
        self._coins: dict[OutPoint, Coin] = {}
        """Unspent after the tip, as the store had them."""
        self._unsettled: deque[_Unsettled] = deque()
        self._tip = self._stored_tip()
        self._prepared = self._nothing_prepared()

    @property
    def params(self) -> NetworkParams:
        return self.genesis.params

    @property
    def tip(self) -> Tip:
        return self._tip

    def roster(self, height: int) -> Roster:
        """The roster of `height`, known up to two blocks after the tip `[7]`."""
        if not 0 <= height <= self._tip.height + ROSTER_DELAY:
            raise LocalError(f"the roster of height {height} is not known at height {self._tip.height}.")
        return self.genesis.roster_at(height)

    def coin(self, outpoint: OutPoint) -> Coin | None:
        """The unspent output after the tip; None when spent or unknown."""
        for unsettled in reversed(self._unsettled):
            if outpoint in unsettled.spent:
                return None
            if outpoint in unsettled.created:
                return unsettled.created[outpoint]
        coin = self._coins.get(outpoint)
        if coin is None:
            coin = self._store.coin(outpoint)
            if coin is not None:
                if len(self._coins) >= MAX_CACHED_COINS:
                    self._coins.clear()
                self._coins[outpoint] = coin
        return coin

    def block(self, height: int) -> Block | None:
        """The durable block at `height`."""
        data = self._store.block(height)
        return None if data is None else Block.decode(data)

    def encoded(self, height: int) -> tuple[bytes, bytes] | None:
        """The durable block at `height` and its certificate as they are stored; None for genesis, too."""
        certificate = self._store.certificate(height)
        block = self._store.block(height) if certificate else None
        return (block, certificate) if block is not None and certificate else None

    def header(self, height: int) -> BlockHeader | None:
        """The header at `height`, without decoding its block."""
        header = self._headers.get(height)
        if header is None:
            data = self._store.header(height)
            if data is None:
                return None
            header = BlockHeader.decode(data)
            self._remember(header)
        else:
            self._headers.move_to_end(height)
        return header

    def certificate(self, height: int) -> BlockCertificate | None:
        """The certificate of the block at `height`; None for genesis and unknown heights."""
        data = self._store.certificate(height)
        return BlockCertificate.decode(data) if data else None

    def height_of(self, block_hash: bytes) -> int | None:
        """The height of a durable block."""
        return self._store.height_of(block_hash)

    def locate(self, txid: bytes) -> tuple[int, int] | None:
        """(height, position) of a transaction in a durable block."""
        return self._store.locate(txid)

    def prepare(self, transaction: Transaction) -> None:
        """Work out now what this transaction will do in the next block, where it most likely stands."""
        self._prepared.add(transaction, self.coin)

    def make_block(
        self,
        *,
        time: int,
        round: int,  # noqa: A002 (the field's name everywhere)
        proposer: bytes,
        transactions: Sequence[Transaction],
        reports: Sequence[ReportReference],
        parent_certificate: BlockCertificate | None,
        evidence: Sequence[Evidence] = (),
    ) -> tuple[Block, BlockEffects]:
        """The block with these transactions (coinbase excluded, any order) on top of the tip.

        Raises InvalidBlock(rule) when they make none that `evaluate` would accept.
        """
        draft = Draft(
            time=time,
            round=round,
            proposer=proposer,
            transactions=order_transactions(transactions),
            reports=tuple(reports),
            parent_certificate=parent_certificate,
            evidence=tuple(evidence),
        )
        effects = compose(self.genesis, self._tip, draft, self.coin, self._prepared)
        self._check_size(effects.block)
        return effects.block, effects

    def evaluate(self, block: Block) -> BlockEffects:
        """Check every rule of a block on top of the tip, except signatures; InvalidBlock(rule)."""
        self._check_size(block)
        self._check_position(block.header)
        transactions = block.transactions
        if not transactions or transactions[0].kind != TransactionKind.COINBASE:
            raise InvalidBlock("coinbase-missing")
        draft = Draft(
            time=block.header.time,
            round=block.header.round,
            proposer=block.header.proposer,
            transactions=tuple(transactions[1:]),
            reports=block.reports,
            parent_certificate=block.parent_certificate,
            evidence=block.evidence,
        )
        if order_transactions(draft.transactions) != draft.transactions:
            raise InvalidBlock("transaction-order", "parents first, then by txid")
        effects = compose(self.genesis, self._tip, draft, self.coin, self._prepared)
        _compare(block, effects.block)
        return attrs.evolve(effects, block=block)

    def parent_certificate_items(self, certificate: BlockCertificate | None) -> tuple[SignatureItem, ...]:
        """What is left to verify of the certificate that a block on top of the tip brings; InvalidBlock(rule)."""
        return parent_certificate_items(self.genesis, self._tip, certificate)

    def advance(self, commit: BlockCommit) -> None:
        """Make the block of `commit`, which `evaluate` accepted, the new tip.

        It may be on its way to the store; then its coins are kept here until the
        store has them. LocalError when the store falls too far behind.
        """
        if commit.height != self._tip.height + 1:
            raise LocalError(f"block {commit.height} cannot follow block {self._tip.height}.")
        self._settle()
        if len(self._unsettled) >= MAX_UNSETTLED:
            raise LocalError(f"the store is {MAX_UNSETTLED} blocks behind.")
        header = BlockHeader.decode(commit.block[:HEADER_SIZE])
        self._tip = Tip(
            height=commit.height,
            hash=commit.block_hash,
            header=header,
            certificate=BlockCertificate.decode(commit.certificate),
            digests=commit.digests,
        )
        self._prepared = self._nothing_prepared()
        self._remember(header)
        for outpoint, _ in commit.spent:
            self._coins.pop(outpoint, None)
        self._unsettled.append(_Unsettled(commit))
        self._settle()

    @property
    def unsettled(self) -> int:
        """How many blocks the store is behind; `advance` refuses at MAX_UNSETTLED."""
        self._settle()
        return len(self._unsettled)

    def _nothing_prepared(self) -> Prepared:
        return Prepared(self._tip.height + 1, self.genesis.shard_bits, self.params)

    def _settle(self) -> None:
        """Let go of the coins of blocks that the store has by now."""
        stored = self._store.tip()
        durable = -1 if stored is None else stored.height
        while self._unsettled and self._unsettled[0].height <= durable:
            self._unsettled.popleft()

    def _stored_tip(self) -> Tip:
        stored = self._store.tip()
        if stored is None:
            raise StoreError("the store holds no chain yet.", "Commit `genesis.commit()` first.")
        if self._store.height_of(self.genesis.hash) != 0:
            raise StoreError("the store holds the chain of another genesis.", "Use another data directory.")
        header, certificate = self.header(stored.height), self.certificate(stored.height)
        if header is None or header.hash != stored.block_hash:
            raise StoreError(
                f"the block at the tip, height {stored.height}, is not the one that was committed."
            )
        if utxo_root(stored.digests) != header.utxo_root:
            raise StoreError(
                f"the set digest beside block {stored.height} is not the one its header commits to.",
                "The database is damaged; restore this data directory or sync anew.",
            )
        return Tip(stored.height, stored.block_hash, header, certificate, stored.digests)

    def _remember(self, header: BlockHeader) -> None:
        self._headers[header.height] = header
        if len(self._headers) > MAX_CACHED_HEADERS:
            self._headers.popitem(last=False)

    def _check_size(self, block: Block) -> None:
        size = len(block.encode())
        if size > self.params.max_block_bytes:
            raise InvalidBlock("block-bytes", f"{size} bytes")

    def _check_position(self, header: BlockHeader) -> None:
        """The cheap rules, before anything is computed."""
        tip = self._tip
        if header.version != BLOCK_VERSION:
            raise InvalidBlock("version", str(header.version))
        if header.chain_id != self.params.chain_id:
            raise InvalidBlock("chain-id", str(header.chain_id))
        if header.height != tip.height + 1:
            raise InvalidBlock("height", f"{header.height} after {tip.height}")
        if header.previous != tip.hash:
            raise InvalidBlock("previous", f"{header.previous.hex()} after {tip.hash.hex()}")


class _Unsettled:
    """The coins of a block that the store may not have yet."""

    __slots__ = ("created", "height", "spent")

    def __init__(self, commit: BlockCommit) -> None:
        self.height = commit.height
        self.created = dict(commit.created)
        self.spent = frozenset(outpoint for outpoint, _ in commit.spent)


_COMPUTED = (
    ("attendance_root", "attendance-root"),
    ("evidence_root", "evidence-root"),
    ("roster", "roster"),
    ("next_roster", "next-roster"),
    ("reward", "reward"),
    ("tx_root", "tx-root"),
    ("filter_root", "filter-root"),
    ("utxo_root", "utxo-root"),
)
"""Header fields that follow from the draft and the chain, and the rule each breaks."""


def _compare(block: Block, expected: Block) -> None:
    """Raise InvalidBlock for the first thing in which `block` is not the one its draft makes."""
    if block.attendance != expected.attendance:
        raise InvalidBlock("attendance", "not the signers of the parent's certificate")
    if block.transactions[0] != expected.transactions[0]:
        raise InvalidBlock("coinbase", "it does not pay the attending members what they earned")
    for field, rule in _COMPUTED:
        found, computed = getattr(block.header, field), getattr(expected.header, field)
        if found != computed:
            raise InvalidBlock(rule, f"{_show(found)}, computed {_show(computed)}")


def _show(value: bytes | int) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)

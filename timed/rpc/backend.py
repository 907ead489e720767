"""The one place where RPC and wallet touch the node.

Everything is a read of this moment on the reactor thread, except `submit`. What
the node calls a thing is mended here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, KeysView, Set
from typing import TYPE_CHECKING, Any

import attrs

from timed.events import CONFIRMED, FINAL, UNKNOWN
from timed.interfaces import Coin, IEventSink, IStore, StoredTip
from timed.ledger.compose import Tip
from timed.ledger.genesis import Genesis
from timed.node.voting import Voting, VotingState
from timed.params import NULL_HASH, NetworkParams
from timed.primitives.block import Block, BlockHeader
from timed.primitives.certificate import BlockCertificate
from timed.primitives.roster import Roster
from timed.primitives.transaction import OutPoint, Output, Transaction
from timed.rpc.chainview import ChainView, no_block
from timed.rpc.moment import Moment

if TYPE_CHECKING:
    from timed.events import NodeEvent
    from timed.ledger.mempool import Mempool
    from timed.node.admission import Verdict
    from timed.node.views import ConsensusState, OutpointState, TransactionState
    from timed.peer.values import PeerHandle
    from timed.sync.catchup import SyncState

SETTLED = (FINAL, CONFIRMED)
"""States a merchant may rely on."""


@attrs.frozen
class TransactionStatus:
    """Where a transaction stands. Weights are voting weight of `total_weight`."""

    txid: bytes
    state: str
    epoch: int | None = None
    votes: int | None = None
    acknowledgements: int | None = None
    total_weight: int | None = None
    height: int | None = None
    position: int | None = None

    @property
    def final(self) -> bool:
        return self.state in SETTLED


@attrs.frozen
class OutputStatus:
    """The state of an outpoint in the protocol's words, and who spends it."""

    state: str
    spender: bytes | None


class ChainBackend:
    """Reads of one running node, and the way into it."""

    def __init__(self, driver: Any, store: IStore) -> None:
        self._driver = driver
        self._store = store

    @property
    def driver(self) -> Any:
        """The host of the node, for who shows what it holds."""
        return self._driver

    @property
    def _node(self) -> Any:
        return self._driver.node

    def now(self) -> int:
        """Microseconds of unix time."""
        return int(self._driver.clock())

    def subscribe(self, sink: IEventSink) -> None:
        """Tell `sink` every event published from now on."""
        self._driver.add_sink(sink)

    def tell(self, event: NodeEvent) -> None:
        """Tell every sink what the wallet has to say."""
        self._driver.tell(event)

    def submit(self, raw: bytes) -> bytes:
        """Hand a transaction to the node: its txid, or InvalidTransaction at once; else events tell."""
        txid: bytes = self._driver.submit(raw)
        return txid

    def examine(self, raw: bytes, told: Callable[[Verdict], None]) -> None:
        """Tell, now or later in a turn of the node, what `submit` would come to; InvalidTransaction at once."""
        self._driver.operate(self._node.examine, raw, told, self.now())

    # The chain.

    @property
    def store(self) -> IStore:
        """What is durable."""
        return self._store

    @property
    def genesis(self) -> Genesis:
        genesis: Genesis = self._node.ledger.genesis
        return genesis

    @property
    def params(self) -> NetworkParams:
        return self.genesis.params

    def tip(self) -> Tip:
        tip: Tip = self._node.ledger.tip
        return tip

    def stored_tip(self) -> StoredTip | None:
        """The newest durable block, with the size and sum of the set of coins."""
        return self._store.tip()

    def newest(self) -> BlockHeader:
        return self.tip().header

    def find_header(self, height: int) -> BlockHeader | None:
        return self.header(height)

    def header(self, height: int) -> BlockHeader | None:
        header: BlockHeader | None = self._node.ledger.header(height)
        return header

    def block(self, height: int) -> Block | None:
        block: Block | None = self._node.ledger.block(height)
        return block

    def certificate(self, height: int) -> BlockCertificate | None:
        certificate: BlockCertificate | None = self._node.ledger.certificate(height)
        return certificate

    def height_of(self, block_hash: bytes) -> int | None:
        return self._store.height_of(block_hash)

    def height_meant(self, block: int | bytes | Moment) -> int:
        """The height of the block a caller means, by height, hash or time; RpcError -5 when there is none."""
        if isinstance(block, Moment):
            return ChainView(self._store, self.genesis).height_of(block)
        height: int | None = self._node.ledger.height_of(block) if isinstance(block, bytes) else block
        if height is None or height > self.tip().height:
            raise no_block(block)
        return height

    def roster(self, height: int) -> Roster:
        roster: Roster = self._node.ledger.roster(height)
        return roster

    def coin(self, outpoint: OutPoint) -> Coin | None:
        coin: Coin | None = self._node.ledger.coin(outpoint)
        return coin

    def output(self, outpoint: OutPoint) -> Output | None:
        """An unspent output, or one of a pending transaction."""
        coin = self.coin(outpoint)
        return coin.output if coin is not None else self.mempool.output(outpoint)

    def coins(self) -> Iterator[tuple[OutPoint, Coin]]:
        """Every unspent output of one consistent snapshot."""
        return self._store.coins()

    # What is under way.

    @property
    def mempool(self) -> Mempool:
        mempool: Mempool = self._node.mempool
        return mempool

    def body(self, txid: bytes) -> Transaction | None:
        """A transaction that no block holds, also one whose inputs are not known yet."""
        return self.mempool.get(txid) or self.mempool.waiting.get(txid)

    def status(self, txid: bytes) -> TransactionStatus | None:
        """Where a transaction stands; None when nothing is known of it."""
        found: TransactionState = self._node.transaction_state(txid)
        if found.state == UNKNOWN:
            return None
        if found.state == CONFIRMED:
            return TransactionStatus(
                txid, CONFIRMED, epoch=found.epoch, height=found.height, position=found.position
            )
        return TransactionStatus(
            txid,
            found.state,
            epoch=found.epoch,
            votes=found.votes,
            acknowledgements=found.acknowledgements,
            total_weight=found.total_weight,
        )

    def voting(self, txid: bytes) -> VotingState:
        """Who has signed for a transaction in this epoch, and what stands in its way."""
        node = self._node
        return Voting(node.chain, node.views).of(txid, self.body(txid))

    def output_status(self, outpoint: OutPoint) -> OutputStatus:
        """The state of an outpoint, derived by the node."""
        found: OutpointState = self._node.outpoint_state(outpoint)
        word = found.state.name.title().replace("_", "")
        return OutputStatus(word, None if found.txid == NULL_HASH else found.txid)

    def mempool_counters(self) -> dict[str, int]:
        """What happened in the mempool since the start."""
        mempool = self.mempool
        return {**attrs.asdict(mempool.counters), "waiting_evicted": mempool.waiting.evicted}

    def consensus(self) -> ConsensusState:
        """Where the making of the next block stands."""
        state: ConsensusState = self._node.consensus_state()
        return state

    def sync(self) -> SyncState:
        """How far the chain is proven beyond what is applied."""
        state: SyncState = self._node.sync_state()
        return state

    def store_failure(self) -> str | None:
        """Why nothing is written any more, None while the disk works."""
        failure: str | None = self._node.gate.failure
        return failure

    def peers(self) -> tuple[PeerHandle, ...]:
        """The open sessions, ordered by node id."""
        peers: tuple[PeerHandle, ...] = self._node.peers.peers()
        return peers

    # What the wallet asks (timed.wallet.wallet.WalletChain).

    def next_height(self) -> int:
        return self.tip().height + 1

    def pending(self, txid: bytes) -> Transaction | None:
        return self.mempool.get(txid)

    def spenders(self, outpoint: OutPoint) -> tuple[bytes, ...]:
        return self.mempool.spenders(outpoint)

    def is_locked(self, outpoint: OutPoint) -> bool:
        return self._node.chain.fastpath.lock_of(outpoint) is not None

    def spent_among(self, outpoints: KeysView[OutPoint]) -> Set[OutPoint]:
        return self.mempool.spent_among(outpoints)

    def locked_among(self, outpoints: KeysView[OutPoint]) -> Set[OutPoint]:
        locks: dict[OutPoint, bytes] = self._node.chain.fastpath.locks
        return locks.keys() & outpoints

    def block_transactions(self, height: int) -> tuple[Transaction, ...]:
        block = self.block(height)
        return block.transactions if block is not None else ()

    def pending_transactions(self) -> Iterator[Transaction]:
        return iter(self.mempool)

    def final_transactions(self) -> tuple[Transaction, ...]:
        found = []
        for transaction in self.mempool:
            status = self.status(transaction.txid)
            if status is not None and status.final:
                found.append(transaction)
        return tuple(found)

"""What the handlers of the methods work with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from timed.errors import DecodeError, LocalError, StoreError
from timed.feed.feed import Feed
from timed.index.status import Indexes
from timed.params import NetworkParams
from timed.primitives.transaction import Lock, Output, Transaction
from timed.rpc.backend import ChainBackend
from timed.rpc.chainview import ChainView
from timed.rpc.chronicle import Chronicle
from timed.rpc.coinset import CoinScan
from timed.rpc.custody import Custody
from timed.rpc.errors import DESERIALIZATION, NOT_FOUND, WALLET_ERROR, WARMING_UP, RpcError
from timed.rpc.locks import lock_of
from timed.rpc.parts import Parts
from timed.rpc.patience import Patience
from timed.rpc.peering import Peering
from timed.rpc.reader import Read, Reader
from timed.rpc.waiting import Waiters
from timed.wallet.pursuit import Pursuit
from timed.wallet.wallet import Wallet

if TYPE_CHECKING:
    from timed.app.live import LiveConfig
    from timed.app.reload import Reloads
    from timed.monitor.alerts import Alarms
    from timed.monitor.watch import Watch
    from timed.rpc.consolidation import Consolidation


@attrs.define
class Identity:
    """What this node says of itself; it does not change while the process runs."""

    node_id: bytes
    operator: bytes | None
    software: str
    p2p_port: int


class LogLevels(Protocol):
    """`timed.app.logging.LogLevels`."""

    def shown(self) -> dict[str, str]: ...
    def set(self, namespace: str, level: str) -> None: ...
    def clear(self, namespace: str) -> None: ...


class Recorded(Protocol):
    """`timed.app.recordings.Saved`."""

    @property
    def path(self) -> Path: ...
    @property
    def size(self) -> int: ...
    @property
    def began(self) -> int: ...
    @property
    def ended(self) -> int: ...


async def no_recording(why: str) -> Recorded:
    """Of a process without a recorded node."""
    raise LocalError(
        "nothing is recorded here.", "Set node.recorder_bytes in the process of the node and restart it."
    )


async def no_writing() -> None:
    """Of a process that writes nothing."""
    raise StoreError("this process writes nothing.", "Ask the chain process.")


async def no_pause() -> None:
    """For whoever has nothing else to do."""


@attrs.define
class Environment:
    """Handed to every handler. What does not run is None."""

    params: NetworkParams
    identity: Identity
    monotonic: Callable[[], float]
    started: float
    """`monotonic` at the start of the service."""
    shut_down: Callable[[], None]
    waiters: Waiters
    parts: Parts
    """What answers calls in this process."""
    write_wallet: Callable[[], Awaitable[None]] = no_writing
    """Makes the wallet's outbox durable."""
    remember: Callable[[], Awaitable[None]] = no_writing
    """Makes bans durable; LocalError when it cannot be."""
    record: Callable[[str], Awaitable[Recorded]] = no_recording
    """Makes what the flight recorder holds a file, with the reason; LocalError when it cannot be."""
    backend: ChainBackend | None = None
    peering: Peering | None = None
    log_levels: LogLevels | None = None
    own_wallet: Wallet | None = None
    own_custody: Custody | None = None
    own_chronicle: Chronicle | None = None
    own_pursuit: Pursuit | None = None
    consolidation: Consolidation | None = None
    """Merges small coins by itself."""
    patience: Patience = attrs.field(factory=Patience)
    """Payments that wait for the change of others."""
    pause: Callable[[], Awaitable[object]] = no_pause
    """Lets the reactor, and the node, have a turn."""
    indexes: Callable[[], Indexes | None] = lambda: None
    """What is built beside the chain, while the index service runs."""
    feed: Callable[[], Feed | None] = lambda: None
    """The log of events, where it is kept or followed."""
    scan: CoinScan = attrs.field(factory=CoinScan)
    """The walk over the coins that may be under way."""
    reader: Reader | None = None
    """Answers from the durable chain."""
    configuration: LiveConfig | None = None
    reloads: Reloads | None = None
    """What is read again when the operator says so."""
    alarms: Callable[[], Alarms | None] = lambda: None
    """The alerts, while the monitor service runs."""
    watch: Callable[[], Watch | None] = lambda: None
    """What the monitor service measures, while it runs."""

    @property
    def chain(self) -> ChainBackend:
        """The node's reads; RpcError -28 while there is no chain."""
        if self.backend is None:
            raise self._no_chain()
        return self.backend

    @property
    def view(self) -> ChainView:
        """The durable chain with its indexes, for calls about the past; RpcError -28 while there is none."""
        chain, indexes = self.chain, self.indexes()
        return ChainView(chain.store, chain.genesis, None if indexes is None else indexes.reader)

    async def read(self, read: Read) -> Any:
        """What `read` answers of a snapshot, off the reactor thread; RpcError -28 while there is no chain."""
        if self.reader is None:
            raise self._no_chain()
        return await self.reader.read(read)

    @property
    def peers(self) -> Peering:
        """The node's peers; RpcError -28 while there is no chain."""
        if self.peering is None:
            raise self._no_chain()
        return self.peering

    def _no_chain(self) -> RpcError:
        return RpcError(
            WARMING_UP,
            f"This node follows no chain of {self.params.name}",
            rule="no-chain",
            hint="Put chain into services.enabled and set node.genesis.",
        )

    @property
    def wallet(self) -> Wallet:
        """The wallet; RpcError -4 without one or when it cannot read the set of coins, -28 while it reads it."""
        if self.own_wallet is None:
            raise _no_wallet()
        trouble = self.own_wallet.trouble
        if trouble is not None:
            raise RpcError(
                WALLET_ERROR,
                f"The wallet cannot read the set of coins: {trouble.message}",
                rule="wallet-scan-failed",
                hint=f"{trouble.hint} It is tried again by itself.".lstrip(),
            )
        if not self.own_wallet.ready:
            raise RpcError(
                WARMING_UP,
                "The wallet is reading the set of coins",
                rule="wallet-scan",
                hint="Try again soon.",
            )
        return self.own_wallet

    @property
    def chronicle(self) -> Chronicle:
        """The wallet's history; RpcError -4 without a wallet, or when its disk does not do its part."""
        if self.own_chronicle is None:
            raise _no_wallet()
        return self.own_chronicle

    @property
    def pursuit(self) -> Pursuit:
        """What becomes of the wallet's open payments; RpcError -4 without a wallet."""
        if self.own_pursuit is None:
            raise _no_wallet()
        return self.own_pursuit

    @property
    def custody(self) -> Custody:
        """The wallet's secrets and files; RpcError -4 without a wallet."""
        if self.own_custody is None:
            raise _no_wallet()
        return self.own_custody

    def lock_of(self, address: str) -> Lock:
        """As `timed.rpc.locks.lock_of`, of this network."""
        return lock_of(self.params, address)


def _no_wallet() -> RpcError:
    return RpcError(
        WALLET_ERROR, "This node keeps no wallet", rule="no-wallet", hint="Set wallet.enabled = yes."
    )


def decode_transaction(data: bytes) -> Transaction:
    """The transaction in `data`; RpcError -22 otherwise."""
    try:
        return Transaction.decode(data)
    except DecodeError as error:
        raise RpcError(
            DESERIALIZATION,
            f"TX decode failed: {error}",
            rule=error.rule,
            hint="Give the whole canonical encoding in hexadecimal.",
            param="hexstring",
        ) from error


def spent_outputs(env: Environment, transaction: Transaction) -> tuple[Output, ...]:
    """What the inputs spend, of the chain and the mempool; RpcError -5 when one is not there."""
    found = []
    for outpoint in transaction.inputs:
        output = env.chain.output(outpoint)
        if output is None:
            raise RpcError(
                NOT_FOUND,
                f"Input not found or already spent: {outpoint.txid.hex()}:{outpoint.index}",
                rule="input-missing",
                hint="Ask a node that has the inputs in its chain.",
            )
        found.append(output)
    return tuple(found)

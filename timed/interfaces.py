"""The zope interfaces a plugin or a host provides, and the records they exchange.

Everything from `timed.node` down sees storage only through `IStore`; the reactor,
threads and files behind it belong to `timed.app` and `timed.store`.
"""

# zope interfaces declare methods without `self`; mypy-zope understands them.
# ruff: noqa: N805

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager

import attrs
import msgspec
from zope.interface import Attribute, Interface

from timed.primitives.transaction import OutPoint, Output


class Coin(msgspec.Struct, frozen=True, gc=False):
    """An unspent output: what it holds, and where and how it was made."""

    output: Output
    height: int
    coinbase: bool


@attrs.frozen
class BlockCommit:
    """Everything that becomes durable with one certified block, in one transaction.

    `block` and `certificate` are the canonical encodings. `digests` is the set
    digest state after the block (one 2,048-byte lane array per shard). The block
    ends the log; `carried` are the records with which the next one begins.
    """

    height: int
    block_hash: bytes
    block: bytes
    certificate: bytes
    txids: tuple[bytes, ...]
    created: tuple[tuple[OutPoint, Coin], ...]
    spent: tuple[tuple[OutPoint, Coin], ...]
    digests: tuple[bytes, ...]
    carried: tuple[bytes, ...] = ()


@attrs.frozen
class StoredTip:
    """The newest committed block and the set digest state after it."""

    height: int
    block_hash: bytes
    digests: tuple[bytes, ...]
    coins: int
    """Number of unspent outputs."""
    supply: int
    """Sum of the unspent outputs, in units."""


@attrs.frozen
class StoreUsage:
    """Bytes of a database: as far as its pages reach, and the address space it may grow in."""

    used_bytes: int
    map_bytes: int


class IReads(Interface):
    """Reading blocks and coins. Errors of the disk are `StoreError`."""

    def tip() -> StoredTip | None:
        """The newest committed block, None before genesis is committed."""

    def block(height: int) -> bytes | None:
        """The encoded block at `height`."""

    def header(height: int) -> bytes | None:
        """The encoded header of the block at `height`, without reading its body."""

    def certificate(height: int) -> bytes | None:
        """The encoded block certificate for the block at `height` (empty for genesis)."""

    def height_of(block_hash: bytes) -> int | None:
        """The height of a committed block."""

    def locate(txid: bytes) -> tuple[int, int] | None:
        """(height, position) of a confirmed transaction."""

    def coin(outpoint: OutPoint) -> Coin | None:
        """The unspent output, None when spent or unknown."""

    def coins() -> Iterator[tuple[OutPoint, Coin]]:
        """Every unspent output of one consistent snapshot, in key order."""

    def usage() -> StoreUsage | None:
        """How much of its address space the database uses; None for a store without a file."""


class IStore(IReads):
    """Blocks, coins and the log of one data directory.

    Reading sees the last committed block and may be done from any thread.
    `append` and `commit` are called from one thread (or none) and return when
    durable. Errors of the disk are `StoreError`.
    """

    def snapshot() -> AbstractContextManager[IReads]:
        """What is durable at this moment, to be read by one thread.

        It is to be closed soon: what is replaced meanwhile keeps its space.
        """

    def append(records: Sequence[bytes]) -> None:
        """Append to the log; one fsync for as many records as a batch holds, which is 65,535."""

    def commit(commit: BlockCommit) -> None:
        """Apply one block in one transaction, then start a new, empty log."""

    def replay() -> Iterable[bytes]:
        """The log's records since the last commit, oldest first.

        A torn tail that was never acknowledged is cut; anything else that is
        damaged raises StoreError with file and offset. `doubtful` says whether
        something was cut whose durability cannot be judged.
        """

    doubtful = Attribute(
        "True when replay cut a record that may have been acknowledged: do not sign this epoch."
    )
    notes = Attribute("What was found and left out when opening, one sentence each, for the operator.")

    def close() -> None:
        """Release every file."""


class IStoreBackend(Interface):
    """A plugin that opens stores (`getPlugins(IStoreBackend, timed.plugins)`)."""

    name = Attribute("The name used in the configuration, such as 'lmdb'.")

    def open(directory: str, network: str, genesis_hash: bytes) -> IStore:
        """Open or create; StoreError when the directory is foreign, locked or unwritable."""


class ISignatureBackend(Interface):
    """A plugin that checks signatures (`getPlugins(ISignatureBackend, timed.plugins)`)."""

    name = Attribute("The name used in the configuration, such as 'pynacl'.")
    constant_time = Attribute("True when it may sign with a real key.")

    def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
        """The verdict of the one signature rule (protocol §1)."""

    def with_test_keys() -> ISignatureBackend:
        """The backend for a network whose keys are well known: there even one that leaks them may sign."""

    def sign(seed: bytes, message: bytes) -> bytes:
        """64 bytes; LocalError when the backend only verifies."""

    def public_key(seed: bytes) -> bytes:
        """The 32-byte public key of a 32-byte seed."""


class IServiceMaker(Interface):
    """A plugin that makes one service of the application (chain, index, p2p, rpc, monitor)."""

    name = Attribute("The name used in `services.enabled`.")
    order = Attribute("Services start in this order and stop in reverse.")

    def make(context: object) -> object:
        """A twisted IService; `context` is `timed.app.context.Context`."""


class IEventSink(Interface):
    """A plugin that is told every published node event."""

    name = Attribute("The name used in the configuration.")
    hears = Attribute(
        "The classes of `timed.events` that it is told, a frozenset. It may be left out: then it is told every one."
    )

    def published(event: object, now_us: int) -> None:
        """Called on the reactor thread; must not block."""


class ISink(Interface):
    """Somebody outside who is given the durable events of the log, one batch after the other."""

    name = Attribute("Under which its place in the log is durable: ASCII, at most 64 characters.")
    kind = Attribute("How it is shown, such as 'webhook'.")
    title = Attribute("What people call it, without secrets.")
    wanted = Attribute("`timed.feed.event.Filter`: which events it is given.")
    batch_events = Attribute("Events that one batch may hold.")

    def deliver(batch: object) -> Awaitable[None]:
        """Over when the receiver has all of `batch`, a `timed.feed.delivery.Batch`, for good.

        Fails with `timed.feed.delivery.NotTaken`; then the same comes again. It may be cancelled.
        """

    def close() -> Awaitable[None]:
        """Nothing more comes; over when no connection or call is left."""

    def reload() -> None:
        """Read files again that may have changed; LocalError, and then nothing has changed."""


class ISinkMaker(Interface):
    """A plugin that makes sinks of one kind (`feed.sinks`)."""

    name = Attribute("The kind of its sinks, as `feed.sinks` names it.")

    def make(context: object) -> Sequence[object]:
        """The `ISink`s of the configuration, perhaps none; ConfigError.

        `context` is `timed.app.context.Context`.
        """


def names(items: Iterable[object]) -> list[str]:
    """The `name` of each plugin, sorted: for messages that list what there is."""
    return sorted(str(getattr(item, "name", item)) for item in items)

"""What a node answers: chain, pending transactions and certificates, within byte bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import attrs

from timed.codec.value import Encoding
from timed.consensus.fastpath import FastPath
from timed.ledger.genesis import ROSTER_DELAY
from timed.ledger.ledger import Ledger
from timed.ledger.mempool import Mempool
from timed.params import HASH_SIZE
from timed.peer.limits import PEER_QUEUE_BYTES, SPARE_QUEUE_BYTES
from timed.primitives.block import Block
from timed.primitives.certificate import CertificateKind
from timed.primitives.transaction import Transaction
from timed.wire.catalogue import MAX_MESSAGE_BYTES
from timed.wire.message import Verbatim
from timed.wire.messages import (
    BlockResponse,
    BlocksResponse,
    CertificatesResponse,
    CertifiedBlock,
    CertifiedTransaction,
    CompactBlock,
    CompactBlockResponse,
    GetCertificates,
    GetHeaders,
    GetTransactions,
    HeadersResponse,
    MasternodesResponse,
    PendingTransactionsResponse,
    SignedHeader,
    TransactionsResponse,
)

MAX_HEADERS_SERVED = 256
MAX_BLOCKS_SERVED = 64
MAX_REPLY_BYTES = 1024 * 1024
"""A reply ends in front of the item that would pass this; the rest is asked for again. The first item
may be longer, as a full block is."""
MAX_PENDING_SERVED = 16_384

R = TypeVar("R", BlocksResponse, BlockResponse)


def room_of(free: int) -> int:
    """Bytes that one more reply may take where `free` bytes of a queue are: an empty one takes any."""
    return MAX_MESSAGE_BYTES if free >= PEER_QUEUE_BYTES else max(0, free - SPARE_QUEUE_BYTES)


@attrs.define
class Fill:
    """How much a reply holds so far; `room` bounds all of it."""

    room: int
    size: int = 0

    def takes(self, size: int) -> bool:
        """Account for one more item; False when the reply has to end in front of it."""
        bound = min(self.room, MAX_REPLY_BYTES) if self.size else self.room
        if self.size + size > bound:
            return False
        self.size += size
        return True


class Serving:
    """Builds replies; reads, changes nothing."""

    def __init__(self, ledger: Ledger, mempool: Mempool, fastpath: FastPath) -> None:
        self._ledger = ledger
        self._mempool = mempool
        self._fastpath = fastpath
        self._last: Block | None = None
        self._last_bodies: dict[bytes, Transaction] | None = None
        self._stored: tuple[int, tuple[bytes, bytes]] | None = None

    def transaction(self, txid: bytes) -> Transaction | None:
        """A pending transaction whose signatures were checked, wherever it is kept."""
        found = self._mempool.get(txid)
        if found is None:
            tally = self._fastpath.tallies.get(txid)
            found = tally.transaction if tally is not None else None
        return found

    def block_at(self, height: int) -> Block | None:
        """A durable block; the one asked for last is kept, since everybody asks for the newest."""
        if self._last is None or self._last.header.height != height:
            self._last = self._ledger.block(height)
            self._last_bodies = None
        return self._last

    def _confirmed_last(self, txid: bytes) -> Transaction | None:
        """A transaction of the newest block, which who puts it together may lack."""
        block = self.block_at(self._ledger.tip.height)
        if self._last_bodies is None:
            transactions = block.transactions[1:] if block is not None else ()
            self._last_bodies = {one.txid: one for one in transactions}
        return self._last_bodies.get(txid)

    def transactions(self, request: GetTransactions, room: int = MAX_MESSAGE_BYTES) -> TransactionsResponse:
        found: list[Transaction] = []
        fill = Fill(room)
        for txid in dict.fromkeys(request.txids):
            transaction = self.transaction(txid) or self._confirmed_last(txid)
            if transaction is None:
                continue
            if not fill.takes(transaction.size):
                break
            found.append(transaction)
        return TransactionsResponse(transactions=tuple(found))

    def pending(self, room: int = MAX_MESSAGE_BYTES) -> PendingTransactionsResponse:
        count = min(2 * MAX_PENDING_SERVED, room // HASH_SIZE)
        txids = dict.fromkeys(self._mempool.txids()[:MAX_PENDING_SERVED][:count])
        for txid, tally in self._fastpath.tallies.items():
            if tally.certified and len(txids) < count:
                txids[txid] = None
        return PendingTransactionsResponse(epoch=self._fastpath.epoch, txids=tuple(txids))

    def certificates(self, request: GetCertificates, room: int = MAX_MESSAGE_BYTES) -> CertificatesResponse:
        """With the certificates of finality, which follow the reply, accounted for."""
        entries: list[CertifiedTransaction] = []
        fill = Fill(room)
        for txid in dict.fromkeys(request.txids) if request.epoch == self._fastpath.epoch else ():
            tally = self._fastpath.tallies.get(txid)
            certificate = tally.certificate(CertificateKind.VOTE) if tally is not None else None
            if tally is None or certificate is None or tally.transaction is None:
                continue
            final = tally.certificate(CertificateKind.ACKNOWLEDGEMENT)
            if not fill.takes(tally.transaction.size + certificate.size + (final.size if final else 0)):
                break
            entries.append(CertifiedTransaction(transaction=tally.transaction, certificate=certificate))
        return CertificatesResponse(entries=tuple(entries))

    def headers(self, request: GetHeaders, room: int = MAX_MESSAGE_BYTES) -> HeadersResponse:
        found: list[SignedHeader] = []
        fill = Fill(room)
        for height in range(max(1, request.start), request.start + min(request.count, MAX_HEADERS_SERVED)):
            if fill.size >= room:
                break
            header, certificate = self._ledger.header(height), self._ledger.certificate(height)
            if header is None or certificate is None or not fill.takes(header.size + certificate.size):
                break
            found.append(SignedHeader(header=header, certificate=certificate))
        return HeadersResponse(headers=tuple(found))

    def blocks(self, start: int, count: int, room: int = MAX_MESSAGE_BYTES) -> Verbatim[BlocksResponse]:
        """Stored blocks, which nobody reads on their way."""
        found: list[tuple[bytes, bytes]] = []
        fill = Fill(room)
        for height in range(max(1, start), start + min(count, MAX_BLOCKS_SERVED)):
            if fill.size >= room:
                break
            entry = self._encoded(height)
            if entry is None or not fill.takes(sum(map(len, entry))):
                break
            found.append(entry)
        return stored_blocks(BlocksResponse, found)

    def block(self, block_hash: bytes, room: int = MAX_MESSAGE_BYTES) -> Verbatim[BlockResponse]:
        """The stored block with this hash, which nobody reads on its way."""
        height = self._ledger.height_of(block_hash) if room else None
        entry = self._encoded(height) if height else None
        fits = entry is not None and Fill(room).takes(sum(map(len, entry)))
        return stored_blocks(BlockResponse, [entry] if entry is not None and fits else [])

    def compact(self, block_hash: bytes, room: int = MAX_MESSAGE_BYTES) -> CompactBlockResponse:
        """A block with its transactions named."""
        height = self._ledger.height_of(block_hash)
        block = self.block_at(height) if height else None
        if block is None:
            return CompactBlockResponse(blocks=())
        compact = CompactBlock.of(block)
        return CompactBlockResponse(blocks=(compact,) if len(compact.encode()) <= room else ())

    def masternodes(self, height: int) -> MasternodesResponse:
        """The roster at `height`, or at the newest height it is known for."""
        known = min(height, self._ledger.tip.height + ROSTER_DELAY)
        return MasternodesResponse(height=known, roster=self._ledger.roster(known))

    def _encoded(self, height: int) -> tuple[bytes, bytes] | None:
        """A durable block and its certificate as they are stored; those asked for last are kept, too."""
        if self._stored is None or self._stored[0] != height:
            found = self._ledger.encoded(height)
            if found is None:
                return None
            self._stored = height, found
        return self._stored[1]


def stored_blocks(kind: type[R], found: Sequence[tuple[bytes, bytes]]) -> Verbatim[R]:
    """The answer that hands over these encoded blocks, each with its encoded certificate."""
    blocks: Any = tuple([CertifiedBlock(*[_stands_for(part) for part in entry]) for entry in found])
    return Verbatim(kind, kind(blocks=blocks).encode())


def _stands_for(part: bytes) -> Any:
    """In the place of the value, of which the codec asks nothing but its encoding."""
    return Encoding(part)

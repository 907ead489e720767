"""What a node answers: chain, pending transactions and certificates, within byte bounds."""

from __future__ import annotations

from timed.consensus.fastpath import FastPath
from timed.ledger.ledger import Ledger
from timed.ledger.mempool import Mempool
from timed.primitives.block import Block
from timed.primitives.certificate import BlockCertificate
from timed.primitives.transaction import Transaction
from timed.wire.messages import (
    BlockResponse,
    BlocksResponse,
    CertificatesResponse,
    CertifiedBlock,
    CertifiedTransaction,
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
"""A reply ends with the item that passes this; the rest is asked for again."""
MAX_PENDING_SERVED = 16_384


class Serving:
    """Builds replies; reads, changes nothing."""

    def __init__(self, ledger: Ledger, mempool: Mempool, fastpath: FastPath) -> None:
        self._ledger = ledger
        self._mempool = mempool
        self._fastpath = fastpath

    def transaction(self, txid: bytes) -> Transaction | None:
        """A pending transaction, wherever it is kept."""
        found = self._mempool.get(txid)
        if found is None:
            tally = self._fastpath.tallies.get(txid)
            found = tally.transaction if tally is not None else None
        return found or self._mempool.waiting.get(txid)

    def transactions(self, request: GetTransactions) -> TransactionsResponse:
        found: list[Transaction] = []
        size = 0
        for txid in request.txids:
            transaction = self.transaction(txid)
            if transaction is not None and size < MAX_REPLY_BYTES:
                found.append(transaction)
                size += transaction.size
        return TransactionsResponse(transactions=tuple(found))

    def pending(self) -> PendingTransactionsResponse:
        txids = dict.fromkeys(self._mempool.txids()[:MAX_PENDING_SERVED])
        for txid, tally in self._fastpath.tallies.items():
            if tally.certificate is not None and len(txids) < 2 * MAX_PENDING_SERVED:
                txids[txid] = None
        return PendingTransactionsResponse(epoch=self._fastpath.epoch, txids=tuple(txids))

    def certificates(self, request: GetCertificates) -> CertificatesResponse:
        entries: list[CertifiedTransaction] = []
        size = 0
        for txid in request.txids if request.epoch == self._fastpath.epoch else ():
            tally = self._fastpath.tallies.get(txid)
            if tally is None or tally.certificate is None or tally.transaction is None:
                continue
            if size >= MAX_REPLY_BYTES:
                break
            entries.append(CertifiedTransaction(transaction=tally.transaction, certificate=tally.certificate))
            size += tally.transaction.size + tally.certificate.size
        return CertificatesResponse(entries=tuple(entries))

    def headers(self, request: GetHeaders) -> HeadersResponse:
        found: list[SignedHeader] = []
        size = 0
        for height in range(max(1, request.start), request.start + min(request.count, MAX_HEADERS_SERVED)):
            header, certificate = self._ledger.header(height), self._ledger.certificate(height)
            if header is None or certificate is None or size >= MAX_REPLY_BYTES:
                break
            found.append(SignedHeader(header=header, certificate=certificate))
            size += header.size + certificate.size
        return HeadersResponse(headers=tuple(found))

    def blocks(self, start: int, count: int) -> BlocksResponse:
        found: list[CertifiedBlock] = []
        size = 0
        for height in range(max(1, start), start + min(count, MAX_BLOCKS_SERVED)):
            entry = self._certified(height)
            if entry is None or size >= MAX_REPLY_BYTES:
                break
            found.append(CertifiedBlock(block=entry[0], certificate=entry[1]))
            size += len(entry[0].encode())
        return BlocksResponse(blocks=tuple(found))

    def block(self, block_hash: bytes) -> BlockResponse:
        height = self._ledger.height_of(block_hash)
        entry = self._certified(height) if height else None
        blocks = (CertifiedBlock(block=entry[0], certificate=entry[1]),) if entry is not None else ()
        return BlockResponse(blocks=blocks)

    def masternodes(self, height: int) -> MasternodesResponse:
        """The roster at `height`, or at the newest height it is known for."""
        known = min(height, self._ledger.tip.height + 2)
        return MasternodesResponse(height=known, roster=self._ledger.roster(known))

    def _certified(self, height: int) -> tuple[Block, BlockCertificate] | None:
        block, certificate = self._ledger.block(height), self._ledger.certificate(height)
        return (block, certificate) if block is not None and certificate is not None else None

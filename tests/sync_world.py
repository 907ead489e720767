"""A follower's CatchUp among scripted peers, on chains that are made once.

Requests stay open until a test answers them (`answer`), drops them (`lose`) or lets
everybody answer (`run`); signatures are real and checked at once unless `slow_checks`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import attrs

from tests.builders import ChainBuilder, genesis
from timed.crypto.batch import verify_batch
from timed.errors import InvalidBlock
from timed.ledger.genesis import Genesis
from timed.ledger.ledger import Ledger
from timed.params import SECOND
from timed.primitives.transaction import Transaction
from timed.store.memory import MemoryStore
from timed.sync.catchup import CatchUp
from timed.wire.message import Message
from timed.wire.messages import (
    BlocksResponse,
    CertifiedBlock,
    CompactBlock,
    CompactBlockResponse,
    GetBlocks,
    GetCompactBlock,
    GetHeaders,
    GetTransactions,
    HeadersResponse,
    SignedHeader,
)

START = 1_800_000_000 * SECOND
LONG = 100
"""Blocks of the chain that `chain` makes."""


@cache
def chain(members: int = 4, length: int = LONG) -> ChainBuilder:
    """A certified chain; never extend it."""
    builder = ChainBuilder(genesis(members))
    for _ in range(length):
        builder.extend()
    return builder


def header_at(builder: ChainBuilder, height: int) -> SignedHeader:
    header, certificate = builder.ledger.header(height), builder.ledger.certificate(height)
    if header is None or certificate is None:
        raise AssertionError(f"no block {height}")
    return SignedHeader(header=header, certificate=certificate)


def block_at(builder: ChainBuilder, height: int) -> CertifiedBlock:
    block, certificate = builder.ledger.block(height), builder.ledger.certificate(height)
    if block is None or certificate is None:
        raise AssertionError(f"no block {height}")
    return CertifiedBlock(block=block, certificate=certificate)


@attrs.define(eq=False)
class Request:
    """One question that nobody has answered yet."""

    node_id: bytes
    number: int
    message: Any
    at: int


class Peer:
    """A source of a chain; `headers` and `blocks` may be replaced by a liar's."""

    def __init__(self, name: str, builder: ChainBuilder) -> None:
        self.node_id = name.encode().ljust(32, b"\0")
        self.builder = builder
        self.asked: list[Message] = []

    @property
    def height(self) -> int:
        return self.builder.height

    def headers(self, start: int, count: int) -> Sequence[SignedHeader]:
        end = min(start + count, self.height + 1)
        return [header_at(self.builder, height) for height in range(start, end)]

    def blocks(self, start: int, count: int) -> Sequence[CertifiedBlock]:
        end = min(start + count, self.height + 1)
        return [block_at(self.builder, height) for height in range(start, end)]

    def compact(self, block_hash: bytes) -> Sequence[CompactBlock]:
        height = self.builder.ledger.height_of(block_hash)
        return [CompactBlock.of(block_at(self.builder, height).block)] if height else []

    def bodies(self, txids: Sequence[bytes]) -> Sequence[Transaction]:
        transactions = block_at(self.builder, self.height).block.transactions
        return [one for one in transactions if one.txid in txids]


class SyncWorld:
    """What CatchUp needs of the node (`Surroundings`), and the peers around it."""

    def __init__(self, of: Genesis | None = None, *, voter: bool = False, slow_checks: bool = False) -> None:
        self.store = MemoryStore()
        start = chain().genesis if of is None else of
        self.store.commit(start.commit())
        self.ledger = Ledger(self.store, start)
        self.now = START
        self.voter = voter
        self.compact = False
        self.known: dict[bytes, Transaction] = {}
        self.slow_checks = slow_checks
        self.peers: dict[bytes, Peer] = {}
        self.window = 32
        self.open: list[Request] = []
        self.checks: list[Callable[[], None]] = []
        self.applied: list[int] = []
        self.sources: list[bytes] = []
        self.misdeeds: list[tuple[bytes, str]] = []
        self._numbers = 0
        self.catchup = CatchUp(self.ledger, self)

    @property
    def height(self) -> int:
        return self.ledger.tip.height

    # Surroundings

    def request(self, node_id: bytes, message: Message, now: int) -> int | None:
        peer = self.peers.get(node_id)
        if peer is None or sum(1 for one in self.open if one.node_id == node_id) >= self.window:
            return None
        self._numbers += 1
        peer.asked.append(message)
        self.open.append(Request(node_id, self._numbers, message, now))
        return self._numbers

    def check(self, items: Any, then: Callable[[bool, int], None]) -> None:
        def verdict() -> None:
            then(all(verify_batch(items)), self.now)

        if self.slow_checks:
            self.checks.append(verdict)
        else:
            verdict()

    def apply(self, block: CertifiedBlock, source: bytes, now: int) -> None:
        height = block.block.header.height
        try:
            effects = self.ledger.evaluate(block.block)
        except InvalidBlock:
            self.catchup.refused(height, source, now)
            return
        commit = effects.commit(block.certificate)
        self.store.commit(commit)
        self.ledger.advance(commit)
        self.applied.append(height)
        self.sources.append(source)
        self.catchup.advanced(now)

    def misbehaved(self, node_id: bytes, event: str, now: int) -> None:
        self.misdeeds.append((node_id, event))

    def votes(self) -> bool:
        return self.voter

    def compacts(self, node_id: bytes) -> bool:
        return self.compact

    def body(self, txid: bytes) -> Transaction | None:
        return self.known.get(txid)

    # The world

    def join(self, peer: Peer, claimed: int | None = None) -> Peer:
        """A session with `peer`, which says how high its chain is."""
        self.peers[peer.node_id] = peer
        self.catchup.peer_opened(peer.node_id, peer.height if claimed is None else claimed, self.now)
        return peer

    def leave(self, peer: Peer) -> None:
        del self.peers[peer.node_id]
        self.open = [one for one in self.open if one.node_id != peer.node_id]
        self.catchup.peer_closed(peer.node_id, self.now)

    def open_for(self, peer: Peer, kind: type = object) -> list[Request]:
        return [one for one in self.open if one.node_id == peer.node_id and isinstance(one.message, kind)]

    def answer(self, request: Request) -> None:
        """Let the peer answer as it does."""
        self.open.remove(request)
        peer, message = self.peers[request.node_id], request.message
        if isinstance(message, GetHeaders):
            headers = HeadersResponse(headers=tuple(peer.headers(message.start, message.count)))
            self.catchup.headers(request.node_id, request.number, headers, self.now)
        elif isinstance(message, GetBlocks):
            blocks = BlocksResponse(blocks=tuple(peer.blocks(message.start, message.count)))
            self.catchup.blocks(request.node_id, request.number, blocks, self.now)
        elif isinstance(message, GetCompactBlock):
            compact = CompactBlockResponse(blocks=tuple(peer.compact(message.hash)))
            self.catchup.compact(request.node_id, request.number, compact, self.now)
        elif isinstance(message, GetTransactions):
            self.catchup.transactions(request.node_id, request.number, peer.bodies(message.txids), self.now)

    def lose(self, request: Request) -> None:
        """The request's deadline passes."""
        self.open.remove(request)
        self.catchup.failed(request.node_id, request.number, self.now)

    def run(
        self, seconds: int = 60, *, mute: Sequence[Peer] = (), latency: int = 0, deadline: int = 8 * SECOND
    ) -> None:
        """Everybody but the mute answers after `latency`; requests to the mute run into their deadline."""
        end = self.now + seconds * SECOND
        silent = {peer.node_id for peer in mute}
        turns = 0
        while self.now < end:
            spoken = [one for one in self.open if one.node_id not in silent]
            request = next((one for one in spoken if one.at + latency <= self.now), None)
            if self.checks:
                self.checks.pop(0)()
            elif request is not None:
                self.answer(request)
            else:
                due = [one.at + deadline for one in self.open] + [one.at + latency for one in spoken]
                wake = self.catchup.next_deadline()
                turns = turns + 1 if wake is not None and wake <= self.now else 0
                if turns > 5:
                    raise AssertionError(f"a deadline of {wake} does not go away at {self.now}")
                due += [max(wake, self.now)] if wake is not None else []
                if not due:
                    break
                self.now = max(self.now, min(due))
                for late in [one for one in self.open if one.at + deadline <= self.now]:
                    self.lose(late)
                self.catchup.wake(self.now)

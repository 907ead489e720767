"""Catching up: certified headers first, then bodies from several peers (protocol §6).

What a peer claims only says whom to ask. How far behind we are is what has been
proven by certificates; there is no "syncing" flag that could stick.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from timed.errors import InvalidBlock, InvalidCertificate
from timed.ledger.genesis import ROSTER_DELAY
from timed.ledger.ledger import Ledger
from timed.primitives.block import Block
from timed.primitives.roster import Roster
from timed.primitives.transaction import Transaction
from timed.sync.pieces import Pieces
from timed.sync.source import PATIENCE_US, RETRY_US, Source
from timed.sync.surroundings import Items, Surroundings
from timed.wire.layouts import MAX_TRANSACTIONS_ASKED
from timed.wire.message import Message
from timed.wire.messages import (
    BlocksResponse,
    CertifiedBlock,
    CompactBlockResponse,
    GetBlocks,
    GetCompactBlock,
    GetHeaders,
    GetTransactions,
    HeadersResponse,
    SignedHeader,
)

HEADERS_PER_REQUEST = 256
HEADERS_AHEAD = 2_048
"""Verified headers kept above the tip."""
BLOCKS_PER_REQUEST = 16
BLOCKS_AHEAD = 128
"""Bodies kept or under way above the tip."""
BYTES_AHEAD = 32 * 1024 * 1024
"""While this much waits to be applied, nothing is asked for but what it waits for."""
LIVE_GRACE_US = 300_000
"""A voter waits this long for its own rounds to decide a block that a peer announces."""


@attrs.frozen
class SyncState:
    """How far the chain is proven beyond what is applied."""

    height: int
    proven: int
    claimed: int
    waiting_bodies: int
    sources: tuple[tuple[bytes, int], ...]
    """(node id, bodies taken from it) of connected peers."""

    @property
    def behind(self) -> int:
        return max(0, self.proven - self.height)


class CatchUp:
    """Plans requests; owns no sessions and applies nothing itself."""

    def __init__(self, ledger: Ledger, around: Surroundings) -> None:
        self._ledger = ledger
        self._around = around
        self._sources: dict[bytes, Source] = {}
        self._headers: dict[int, SignedHeader] = {}
        self._header_requests: dict[tuple[bytes, int], int] = {}
        """When who was asked for headers under which id."""
        self._checking_headers = False
        self._bodies: dict[int, tuple[CertifiedBlock, bytes]] = {}
        self._bytes = 0
        self._requests: dict[tuple[bytes, int], tuple[int, int, int]] = {}
        """(first height, count, when) of what was asked of whom under which id."""
        self._pieces: dict[tuple[bytes, int], Pieces] = {}
        """Blocks for which the peer was asked for the bodies that were missing here."""
        self._pieced: dict[int, bool] = {}
        """Heights that are put together here, or were to be and are now wanted whole (False)."""
        self.pieced = 0
        """Blocks put together from bodies that were here."""
        self._applying = False
        self._stepped_at = 0

    # Peers

    def peer_opened(self, node_id: bytes, height: int, now: int) -> None:
        self._sources[node_id] = Source(claimed=height, since=now)
        self.step(now)

    def peer_closed(self, node_id: bytes, now: int) -> None:
        self._sources.pop(node_id, None)
        for key in [key for key in (*self._header_requests, *self._requests) if key[0] == node_id]:
            self._header_requests.pop(key, None)
            self._requests.pop(key, None)
            self._pieces.pop(key, None)
        self.step(now)

    def announced(self, node_id: bytes, height: int, now: int) -> None:
        """A peer says it has a block at `height`; nothing is believed, only asked for."""
        source = self._sources.get(node_id)
        if source is not None and height > source.claimed:
            source.claimed, source.since = height, now
            self.step(now)

    # Answers

    def headers(self, node_id: bytes, request: int, response: HeadersResponse, now: int) -> None:
        """Check what goes beyond the tip, which may have moved since the request."""
        asked_at = self._header_requests.pop((node_id, request), None)
        source = self._sources.get(node_id)
        if asked_at is None or source is None:
            return
        source.unanswered = 0
        source.slow = source.slow + 1 if now >= asked_at + PATIENCE_US else 0
        if self._checking_headers:
            return  # those of another peer, which was asked as well
        top = self._top()
        headers = [signed for signed in response.headers if signed.header.height > top]
        if not headers:
            source.rest(now)
            self.step(now)
            return
        try:
            items, count = self._check_chain(headers)
        except (InvalidBlock, InvalidCertificate):
            self._around.misbehaved(node_id, "bad-headers", now)
            source.rest(now)
            self.step(now)
            return
        self._checking_headers = True
        checked = headers[:count]
        self._around.check(items, lambda good, later: self._headers_checked(node_id, checked, good, later))

    def blocks(self, node_id: bytes, request: int, response: BlocksResponse, now: int) -> None:
        asked, source = self._answered(node_id, request)
        if asked is None or source is None:
            return
        taken = 0
        for certified in response.blocks:
            height = certified.block.header.height
            header = self._headers.get(height)
            if not asked[0] <= height < asked[0] + asked[1] or header is None or height in self._bodies:
                continue
            if certified.block.hash != header.header.hash:
                self._around.misbehaved(node_id, "bad-block", now)
                continue
            self._take(certified.block, header, source, node_id)
            taken += 1
        if not taken:
            source.rest(now)
        self.step(now)

    def compact(self, node_id: bytes, request: int, response: CompactBlockResponse, now: int) -> None:
        """A block that names its transactions: put it together, or ask for the bodies it lacks."""
        asked, source = self._answered(node_id, request)
        if asked is None or source is None:
            return
        height = asked[0]
        header = self._headers.get(height)
        compact = response.blocks[0] if response.blocks else None
        if header is not None and height not in self._bodies:
            if compact is not None and not (
                compact.header.hash == header.header.hash and compact.is_consistent
            ):
                self._around.misbehaved(node_id, "bad-block", now)
                compact = None
            if compact is None:
                self._pieced[height] = False
            else:
                self._piece(Pieces.of(compact, self._around.body), header, source, node_id, now)
        self.step(now)

    def transactions(self, node_id: bytes, request: int, brought: Sequence[Transaction], now: int) -> bool:
        """The bodies that a block lacked; False when this is no answer to such a question."""
        pieces = self._pieces.pop((node_id, request), None)
        if pieces is None:
            return False
        asked, source = self._answered(node_id, request)
        header = self._headers.get(asked[0]) if asked is not None else None
        if source is not None and header is not None and header.header.height not in self._bodies:
            pieces.add(brought)
            if pieces.lacking:
                self._pieced[header.header.height] = False
            else:
                self._piece(pieces, header, source, node_id, now)
        self.step(now)
        return True

    def failed(self, node_id: bytes, request: int, now: int) -> None:
        """A request ran into its deadline or was refused; one that is not of this planner says nothing here."""
        key = (node_id, request)
        self._pieces.pop(key, None)
        for_headers = self._header_requests.pop(key, None) is not None
        if not for_headers and self._requests.pop(key, None) is None:
            return
        source = self._sources.get(node_id)
        if source is not None:
            source.slow += for_headers
            source.under_way -= not for_headers
            source.let_pass(now)
        self.step(now)

    # The tip

    def advanced(self, now: int) -> None:
        """The ledger has a new tip, by whatever path."""
        self._applying = False
        height = self._ledger.tip.height
        for stale in [one for one in self._headers if one <= height]:
            del self._headers[stale]
        for stale in [one for one in self._bodies if one <= height]:
            self._drop_body(stale)
        self._pieced = {one: whether for one, whether in self._pieced.items() if one > height}
        first = self._headers.get(height + 1)
        if first is not None and first.header.previous != self._ledger.tip.hash:
            self._headers.clear()
            for stale in list(self._bodies):
                self._drop_body(stale)
        self.step(now)

    def refused(self, height: int, source: bytes, now: int) -> None:
        """The body at `height` does not fit its certified header: fetch it elsewhere."""
        self._applying = False
        if height in self._bodies:
            self._drop_body(height)
        if self._pieced.get(height):
            self._pieced[height] = False
        else:
            self._around.misbehaved(source, "bad-block", now)
        known = self._sources.get(source)
        if known is not None:
            known.rest(now)
        self.step(now)

    def state(self) -> SyncState:
        tip = self._ledger.tip.height
        return SyncState(
            height=tip,
            proven=max(self._headers, default=tip),
            claimed=max((source.claimed for source in self._sources.values()), default=tip),
            waiting_bodies=len(self._bodies),
            sources=tuple((node_id, self._sources[node_id].bodies) for node_id in sorted(self._sources)),
        )

    # Time

    def next_deadline(self) -> int | None:
        """The end of a rest or of the grace; while answers are awaited, a look every half second."""
        if self._checking_headers or self._applying:
            return None
        tip = self._ledger.tip.height
        waits = [
            max(source.resting_until, source.since + LIVE_GRACE_US)
            for source in self._sources.values()
            if source.claimed > tip
        ]
        again = self._stepped_at + RETRY_US
        return min((at if at > self._stepped_at else again for at in waits), default=None)

    def clock_set_back(self, now: int) -> None:
        """The host's clock was ahead: nobody rests longer for it."""
        for source in self._sources.values():
            source.clock_set_back(now)
        for key, at in self._header_requests.items():
            self._header_requests[key] = min(at, now)
        for key, (start, count, at) in self._requests.items():
            self._requests[key] = start, count, min(at, now)
        self.step(now)

    def wake(self, now: int) -> None:
        self.step(now)

    # Planning

    def step(self, now: int) -> None:
        """Ask for whatever is worth asking for now."""
        self._stepped_at = now
        self._apply_next(now)
        self._ask_headers(now)
        self._ask_bodies(now)

    def _top(self) -> int:
        return max(self._headers, default=self._ledger.tip.height)

    def _ask_headers(self, now: int) -> None:
        if self._checking_headers or any(now < at + PATIENCE_US for at in self._header_requests.values()):
            return
        top = self._top()
        if top - self._ledger.tip.height >= HEADERS_AHEAD:
            return
        asked = {node_id for node_id, _ in self._header_requests}
        for node_id, source in self._by_claim():
            if node_id in asked or source.claimed <= top or source.resting_until > now:
                continue
            live = source.claimed == self._ledger.tip.height + 1 and self._around.votes()
            if live and now < source.since + LIVE_GRACE_US:
                continue
            message = GetHeaders(start=top + 1, count=HEADERS_PER_REQUEST)
            request = self._around.request(node_id, message, now)
            if request is not None:
                self._header_requests[node_id, request] = now
                return

    def _ask_bodies(self, now: int) -> None:
        tip = self._ledger.tip.height
        self._ask_another(tip + 1, now)
        under_way = {
            height for start, count, _ in self._requests.values() for height in range(start, start + count)
        }
        wanted = [
            height
            for height in range(tip + 1, min(self._top(), tip + BLOCKS_AHEAD) + 1)
            if height not in self._bodies and height not in under_way
        ]
        if self._applying and wanted and wanted[0] == tip + 1:
            wanted = wanted[1:]
        share = -(-len(wanted) // max(1, len(self._sources)))
        for node_id, source in self._by_load():
            while (
                wanted
                and (self._bytes < BYTES_AHEAD or wanted[0] == tip + 1)
                and source.takes(wanted[0], now)
            ):
                count = 1
                while (
                    count < min(BLOCKS_PER_REQUEST, share, len(wanted)) and wanted[count] == wanted[0] + count
                ):
                    count += 1
                if not self._ask_body(node_id, source, wanted[0], count, now):
                    break
                del wanted[:count]

    def _ask_another(self, height: int, now: int) -> None:
        """The body that all others wait for, of one peer more, when those that were asked for it dawdle."""
        asked = {
            node_id: at
            for (node_id, _), (start, count, at) in self._requests.items()
            if start <= height < start + count
        }
        if height in self._bodies or not asked or now < max(asked.values()) + PATIENCE_US:
            return
        for node_id, source in self._by_load():
            if node_id not in asked and source.takes(height, now):
                self._ask_body(node_id, source, height, 1, now)
                return

    def _ask_body(self, node_id: bytes, source: Source, start: int, count: int, now: int) -> bool:
        request = self._around.request(node_id, self._question(node_id, start, count), now)
        if request is None:
            return False
        self._requests[node_id, request] = start, count, now
        source.under_way += 1
        return True

    def _question(self, node_id: bytes, start: int, count: int) -> Message:
        """The block on top of the tip comes without the bodies that are here, if it is the newest; others whole."""
        newest = start == self._ledger.tip.height + 1 == self._top()
        if newest and self._pieced.get(start, True) and self._around.compacts(node_id):
            return GetCompactBlock(hash=self._headers[start].header.hash)
        return GetBlocks(start=start, count=count)

    def _answered(self, node_id: bytes, request: int) -> tuple[tuple[int, int, int] | None, Source | None]:
        """What a peer was asked that has answered, and the peer; None for what was not asked any more."""
        asked = self._requests.pop((node_id, request), None)
        source = self._sources.get(node_id)
        if asked is not None and source is not None:
            source.under_way -= 1
            source.unanswered = 0
        return asked, source

    def _take(self, block: Block, header: SignedHeader, source: Source, node_id: bytes) -> None:
        """Keep a block that has the hash of a checked header."""
        verified = CertifiedBlock(block=block, certificate=header.certificate)
        self._bodies[header.header.height] = (verified, node_id)
        self._bytes += len(block.encode())
        source.bodies += 1

    def _piece(self, pieces: Pieces, header: SignedHeader, source: Source, node_id: bytes, now: int) -> None:
        """Take the block if nothing is missing; else ask for that, or for the whole block if it is much."""
        height = header.header.height
        self._pieced[height] = True
        if not pieces.lacking:
            self.pieced += 1
            self._take(pieces.block(), header, source, node_id)
            return
        request = None
        if len(pieces.lacking) <= MAX_TRANSACTIONS_ASKED:
            request = self._around.request(node_id, GetTransactions(txids=pieces.lacking), now)
        if request is None:
            self._pieced[height] = False
            return
        self._pieces[node_id, request] = pieces
        self._requests[node_id, request] = height, 1, now
        source.under_way += 1

    def _apply_next(self, now: int) -> None:
        height = self._ledger.tip.height + 1
        entry = self._bodies.get(height)
        if entry is None or self._applying:
            return
        self._applying = True
        self._around.apply(entry[0], entry[1], now)

    def _by_claim(self) -> list[tuple[bytes, Source]]:
        """Who answers in time first, of those who has most."""
        return sorted(
            self._sources.items(),
            key=lambda pair: (pair[1].slow, -pair[1].claimed, pair[1].headers, pair[0]),
        )

    def _by_load(self) -> list[tuple[bytes, Source]]:
        return sorted(self._sources.items(), key=lambda pair: (pair[1].under_way, pair[1].bodies, pair[0]))

    # Headers

    def _check_chain(self, headers: Sequence[SignedHeader]) -> tuple[Items, int]:
        """Heights, links, rosters and certificates of a run of headers above what is verified.

        Rosters are known up to two blocks above the tip; a run stops in front of
        the first header whose roster is not known yet. Returns the signatures to
        check and how many headers they cover.
        """
        top = self._top()
        tip = self._ledger.tip
        known: dict[bytes, Roster] = {}
        for height in range(tip.height + 1, tip.height + ROSTER_DELAY + 1):
            roster = self._ledger.roster(height)
            known[roster.hash] = roster
        previous = self._headers[top].header if top > tip.height else tip.header
        items: list[tuple[bytes, bytes, bytes]] = []
        count = 0
        for position, signed in enumerate(headers):
            header = signed.header
            if header.height != top + 1 + position or header.previous != previous.hash:
                raise InvalidBlock("header-chain")
            if header.roster != previous.next_roster:
                raise InvalidBlock("header-roster")
            if header.roster not in known:
                break
            certificate = signed.certificate
            place = (self._ledger.params.chain_id, header.height, header.hash)
            if (certificate.chain_id, certificate.height, certificate.target) != place:
                raise InvalidCertificate("certificate-target")
            items.extend(certificate.signature_items(known[header.roster]))
            previous = header
            count += 1
        return items, count

    def _headers_checked(self, node_id: bytes, headers: Sequence[SignedHeader], good: bool, now: int) -> None:
        self._checking_headers = False
        source = self._sources.get(node_id)
        if not good:
            self._around.misbehaved(node_id, "bad-headers", now)
        else:
            self._keep(headers)
        if source is not None:
            source.headers += len(headers) if good else 0
            if not good or not headers:
                source.rest(now)
        self.step(now)

    def _keep(self, headers: Sequence[SignedHeader]) -> None:
        """Add what was checked; the tip may have moved in the meantime."""
        tip = self._ledger.tip
        top = self._top()
        previous = self._headers[top].header.hash if top > tip.height else tip.hash
        for signed in headers:
            if signed.header.height <= top:
                continue
            if signed.header.height != top + 1 or signed.header.previous != previous:
                return
            top += 1
            previous = signed.header.hash
            self._headers[top] = signed

    # Inside

    def _drop_body(self, height: int) -> None:
        body, _ = self._bodies.pop(height)
        self._bytes -= len(body.block.encode())

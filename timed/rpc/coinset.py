"""Walks over the whole set of coins: counting it anew, and looking for addresses in it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import islice

import attrs

from timed.interfaces import Coin, StoredTip
from timed.ledger.digest import change_digests, empty_digests, merge_digests
from timed.primitives.lthash import LtHash
from timed.primitives.transaction import Lock, OutPoint
from timed.rpc.chainview import ChainView
from timed.rpc.errors import CLIENT_BUSY, INVALID_PARAMETER, MISC, RpcError
from timed.rpc.slices import Work

Entry = tuple[OutPoint, Coin]

COINS_PER_STEP = 100
MAX_FOUND = 10_000
"""Coins that one scan may find."""


@attrs.frozen
class Recount:
    """The set of coins, counted from scratch at one block."""

    tip: StoredTip
    coins: int
    transactions: int
    """That have at least one unspent output."""
    supply: int
    digests: tuple[bytes, ...]

    @property
    def differences(self) -> tuple[str, ...]:
        """In what the store's own account is not this one; empty when all is well."""
        names = ("coins", "supply", "digests")
        return tuple(name for name in names if getattr(self, name) != getattr(self.tip, name))


@attrs.frozen
class Found:
    """What a scan found, at one block."""

    tip: StoredTip
    scanned: int
    coins: tuple[tuple[OutPoint, Coin], ...]


@attrs.define
class CoinScan:
    """The one walk that may be under way: it holds a snapshot, which keeps the database from reusing space."""

    running: bool = False
    aborted: bool = False
    scanned: int = 0
    total: int = 0

    def recount(self, view: ChainView) -> Work[Recount]:
        """Count the set anew, with its digest; RpcError when somebody aborts it."""
        with self._walk(view) as (tip, walk):
            shard_bits = len(tip.digests).bit_length() - 1
            change: dict[int, LtHash] = {}
            coins = supply = transactions = 0
            last = b""
            while step := self._step(walk):
                change_digests(change, shard_bits, step, ())
                coins += len(step)
                supply += sum(coin.output.value for _, coin in step)
                for outpoint, _ in step:
                    transactions += outpoint.txid != last
                    last = outpoint.txid
                yield
            if self.aborted:
                raise RpcError(MISC, "The walk was aborted", rule="scan-aborted", hint="Begin it again.")
            digests = merge_digests(empty_digests(shard_bits), change)
            return Recount(tip, coins, transactions, supply, digests)

    def find(self, view: ChainView, locks: Collection[Lock]) -> Work[Found | None]:
        """Every coin of these owners; None when the walk was aborted."""
        found: list[Entry] = []
        with self._walk(view) as (tip, walk):
            while step := self._step(walk):
                found += [(outpoint, coin) for outpoint, coin in step if coin.output.lock in locks]
                if len(found) > MAX_FOUND:
                    raise RpcError(
                        INVALID_PARAMETER,
                        f"These addresses hold more than {MAX_FOUND} coins",
                        rule="scan-size",
                        hint="Ask for fewer addresses, or page through getaddressutxos.",
                    )
                yield
            return None if self.aborted else Found(tip, self.scanned, tuple(found))

    def abort(self) -> bool:
        """End the walk under way; False when there is none."""
        self.aborted = self.running
        return self.running

    def _step(self, walk: Iterator[Entry]) -> tuple[Entry, ...]:
        """The next few coins; none at the end, or when the walk was aborted."""
        step = () if self.aborted else tuple(islice(walk, COINS_PER_STEP))
        self.scanned += len(step)
        return step

    @contextmanager
    def _walk(self, view: ChainView) -> Iterator[tuple[StoredTip, Iterator[Entry]]]:
        """The tip and all coins of a snapshot."""
        self.check_free()
        self.running, self.aborted, self.scanned = True, False, 0
        try:
            tip = view.tip()
            self.total = tip.coins
            yield tip, iter(view.store.coins())
        finally:
            self.running = False

    def check_free(self) -> None:
        """RpcError -9 while another walk is under way."""
        if self.running:
            raise RpcError(
                CLIENT_BUSY,
                "Another walk over the set of coins is under way",
                rule="scan-busy",
                hint="Ask scantxoutset status, or abort it.",
            )

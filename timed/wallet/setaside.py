"""Coins the user has set aside: no payment takes one unless it is named.

What is to outlive a restart goes as a record to the wallet's outbox; the rest is
forgotten with the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, KeysView

from timed.errors import WalletFull
from timed.primitives.transaction import OutPoint
from timed.wallet.walletkey import Record

MAX_SET_ASIDE = 10_000
"""Coins; one more is refused."""


class SetAside:
    """Outpoints, each with whether the wallet's file keeps it.

    A coin that is spent is forgotten: `forget` is told of every one. One whose spending
    nobody saw, because the chain was read anew, makes room when it is needed; `is_there`
    knows the coins there are.
    """

    def __init__(self, outbox: list[Record], is_there: Callable[[OutPoint], bool]) -> None:
        self._outbox = outbox
        self._is_there = is_there
        self._kept: dict[OutPoint, bool] = {}
        self.refused = 0
        """How often there was no room."""

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, outpoint: object) -> bool:
        return outpoint in self._kept

    def __iter__(self) -> Iterator[OutPoint]:
        return iter(self._kept)

    @property
    def outpoints(self) -> KeysView[OutPoint]:
        return self._kept.keys()

    def is_kept(self, outpoint: OutPoint) -> bool:
        """True when it outlives a restart."""
        return self._kept.get(outpoint, False)

    def add(self, outpoints: Iterable[OutPoint], *, keep: bool) -> None:
        """Set all of them aside, or none; WalletFull when they are too many."""
        wanted = dict.fromkeys(outpoints)
        if len(self._kept.keys() | wanted.keys()) > MAX_SET_ASIDE:
            self.free([outpoint for outpoint in self._kept if not self._is_there(outpoint)])
        if len(self._kept.keys() | wanted.keys()) > MAX_SET_ASIDE:
            self.refused += 1
            raise WalletFull(
                f"a wallet sets {MAX_SET_ASIDE} coins aside at most.", "Free some: lockunspent true."
            )
        for outpoint in wanted:
            if keep and not self.is_kept(outpoint):
                self._outbox.append(_record("setaside", outpoint))
            self._kept[outpoint] = keep or self.is_kept(outpoint)

    def free(self, outpoints: Iterable[OutPoint]) -> None:
        """They may be chosen again."""
        for outpoint in list(outpoints):
            if self._kept.pop(outpoint, False):
                self._outbox.append(_record("free", outpoint))

    def forget(self, outpoint: OutPoint) -> None:
        """The coin is spent."""
        if outpoint in self._kept:
            self.free((outpoint,))

    def restore(self, record: Record) -> None:
        """Take over a record; KeyError, TypeError or ValueError when it is damaged."""
        if "setaside" in record:
            self._kept[_outpoint(record["setaside"])] = True
        elif "free" in record:
            self._kept.pop(_outpoint(record["free"]), None)

    def records(self) -> list[Record]:
        """What a snapshot holds."""
        return [_record("setaside", outpoint) for outpoint, kept in self._kept.items() if kept]


def _record(word: str, outpoint: OutPoint) -> Record:
    return {word: {"txid": outpoint.txid.hex(), "vout": outpoint.index}}


def _outpoint(fields: Record) -> OutPoint:
    return OutPoint(bytes.fromhex(fields["txid"]), int(fields["vout"]))

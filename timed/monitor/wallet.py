"""The metrics of this node's wallet: how many coins and payments, not how much money."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from timed.monitor.row import COUNTER, GAUGE, Row, Sample, Source, by, one
from timed.monitor.view import View

if TYPE_CHECKING:
    from timed.rpc.parts import Parts
    from timed.wallet.wallet import Wallet


def _of(source: Callable[[Wallet], Iterable[Sample]]) -> Source:
    """What the wallet tells; nothing while there is none in this process."""

    def read(view: View) -> Iterable[Sample]:
        parts: Parts | None = view.parts
        return [] if parts is None or parts.wallet is None else source(parts.wallet)

    return read


def _coins(wallet: Wallet) -> list[Sample]:
    return by(
        {
            "own": len(wallet.coins.own),
            "watched": len(wallet.coins.watched),
            "reserved": len(wallet.reservations),
            "set_aside": len(wallet.set_aside),
        }.items()
    )


def _refused(wallet: Wallet) -> list[Sample]:
    return by({"payment": wallet.reservations.refused, "set_aside": wallet.set_aside.refused}.items())


def _consolidation(view: View) -> list[Sample]:
    parts: Parts | None = view.parts
    if parts is None or parts.wallet is None or parts.consolidation is None:
        return []
    counters = parts.consolidation.counters
    return by((name, counters[name]) for name in ("merges", "coins", "busy", "locked", "failed"))


def _history(view: View) -> list[Sample]:
    parts: Parts | None = view.parts
    chronicle = None if parts is None else parts.chronicle
    return [] if chronicle is None else one(chronicle.status.height)


def _history_failed(view: View) -> list[Sample]:
    parts: Parts | None = view.parts
    chronicle = None if parts is None else parts.chronicle
    return [] if chronicle is None else one(int(chronicle.failure is not None))


def _ended(view: View) -> list[Sample]:
    """What was done for payments that were not final at once."""
    parts: Parts | None = view.parts
    if parts is None or parts.chronicle is None or parts.pursuit is None:
        return []
    pursuit = parts.pursuit
    counts = {
        "resent": pursuit.resent,
        "refused": pursuit.refused.total(),
        "released": parts.chronicle.released,
    }
    return by(counts.items())


def _patience(view: View) -> list[Sample]:
    parts: Parts | None = view.parts
    if parts is None or parts.wallet is None or parts.patience is None:
        return []
    queue = parts.patience
    return by({"waited": queue.waited, "gave_up": queue.gave_up, "refused": queue.refused}.items())


WALLET_METRICS: tuple[Row, ...] = (
    Row("timed_wallet_coins", GAUGE, ("what",),
        "Unspent outputs of the wallet: its own, only watched, chosen by payments in the making, set aside.",
        _of(_coins)),
    Row("timed_wallet_payments", GAUGE, (), "The wallet's payments that no block holds yet.",
        _of(lambda wallet: one(len(wallet.payments)))),
    Row("timed_wallet_pursuit", COUNTER, ("what",),
        "Open payments that were handed to the node again, attempts that it refused, and payments released because they "
        "can never be final.", _ended),
    Row("timed_wallet_unrecorded", COUNTER, (),
        "Payments whose comments were let go of because the history did not follow the blocks.",
        _of(lambda wallet: one(wallet.unrecorded))),
    Row("timed_wallet_history_height", GAUGE, (), "All blocks up to it are in the wallet's history.", _history),
    Row("timed_wallet_history_failing", GAUGE, (), "1 while the wallet's history cannot be read or written.",
        _history_failed),
    Row("timed_wallet_refused", COUNTER, ("what",),
        "Payments, and coins to be set aside, that the wallet had no room for.", _of(_refused)),
    Row("timed_wallet_patience", COUNTER, ("what",),
        "Payments that lacked only the change of others: they got it, gave up, or found the queue full.", _patience),
    Row("timed_wallet_consolidation", COUNTER, ("what",),
        "Automatic merges of small coins, the coins they took, and why one was left: a payment that is not final, a "
        "locked wallet, a failure.", _consolidation),
)  # fmt: skip

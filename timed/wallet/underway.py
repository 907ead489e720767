"""The wallet's transactions that no block holds: its own payments, and what others do to its addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import attrs

from timed import events
from timed.primitives.transaction import OutPoint, Output, Transaction
from timed.wallet.history import judge
from timed.wallet.records import HistoryEntry
from timed.wallet.wallet import Wallet, WalletChain


@attrs.frozen
class Sighting:
    """A transaction of the mempool and when it was first seen here, in microseconds."""

    transaction: Transaction
    seen: int


class Underway:
    """What is on its way. Of others' transactions it keeps those that are in the mempool: its bound is ours."""

    def __init__(
        self, wallet: Wallet, chain: WalletChain, recorded: Callable[[OutPoint], Output | None]
    ) -> None:
        """`recorded` gives an output in a block that the wallet looks after, spent or not."""
        self._wallet = wallet
        self._chain = chain
        self._recorded = recorded
        self._seen: dict[bytes, Sighting] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def begin(self, now: int) -> None:
        """Look through the mempool: at the start, or because the wallet looks after more than before."""
        keys = self._wallet.keys
        for transaction in self._chain.pending_transactions():
            if any(keys.watches(output.lock) for output in transaction.outputs) or any(
                self._spent(outpoint) is not None for outpoint in transaction.inputs
            ):
                self._seen.setdefault(transaction.txid, Sighting(transaction, now))

    def published(self, event: object, now: int) -> None:
        """An event of the node."""
        if isinstance(event, events.TransactionAccepted | events.TransactionFinal):
            transaction = self._chain.pending(event.txid)
            if transaction is not None:
                self._look(transaction, now)
        elif isinstance(event, events.TransactionDropped):
            self._seen.pop(event.txid, None)
        elif isinstance(event, events.BlockCertified):
            for txid in event.txids:
                self._seen.pop(txid, None)

    def entries(self) -> Iterator[HistoryEntry]:
        """The newest first. `time` is when this node first knew of it."""
        moments = {txid: sighting.seen for txid, sighting in self._seen.items()}
        moments |= {payment.txid: payment.created for payment in self._wallet.payments}
        for txid in sorted(moments, key=lambda txid: (moments[txid], txid), reverse=True):
            entry = self.entry(txid)
            if entry is not None:
                yield entry

    def entry(self, txid: bytes) -> HistoryEntry | None:
        """One of them; None when it is not on its way, or is none of the wallet's."""
        payment, sighting = self._wallet.payment(txid), self._seen.get(txid)
        if payment is not None:
            transaction, time = payment.transaction, payment.created
        elif sighting is not None:
            transaction, time = sighting.transaction, sighting.seen
        else:
            return None
        return judge(
            transaction,
            [self._spent(outpoint) for outpoint in transaction.inputs],
            self._wallet.keys.watches,
            height=self._chain.next_height(),
            position=0,
            time=time,
            made=self._wallet.made(txid),
        )

    def _look(self, transaction: Transaction, now: int) -> None:
        """Take it in if it concerns the wallet. Every payment of the network comes here: only memory is asked."""
        keys = self._wallet.keys
        if transaction.txid not in self._seen and (
            any(keys.watches(output.lock) for output in transaction.outputs)
            or any(self._is_known(outpoint) for outpoint in transaction.inputs)
        ):
            self._seen[transaction.txid] = Sighting(transaction, now)

    def _is_known(self, outpoint: OutPoint) -> bool:
        """A coin that the wallet looks after, or an output that such a transaction on its way has given it."""
        if outpoint in self._wallet.coins:
            return True
        parent = self._seen.get(outpoint.txid)
        if parent is None or outpoint.index >= len(parent.transaction.outputs):
            return False
        return self._wallet.keys.watches(parent.transaction.outputs[outpoint.index].lock)

    def _spent(self, outpoint: OutPoint) -> Output | None:
        """The output behind an input when the wallet looks after it."""
        output = self._chain.output(outpoint) or self._recorded(outpoint)
        return output if output is not None and self._wallet.keys.watches(output.lock) else None

"""The wallet: own keys, own coins, and payments that survive a crash.

Pure like the machines below it: time comes as `now` (microseconds), and what has
to be written waits in `outbox`. A payment goes `prepare` → the outbox made durable
→ `stored` → handed to the node, so that nothing is visible before it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import attrs

from timed.errors import DecodeError, LocalError
from timed.events import BlockCertified, TransactionFinal
from timed.interfaces import Coin
from timed.ledger.rules import check_form, check_spend
from timed.primitives.transaction import Lock, OutPoint, Output, Transaction
from timed.wallet.coins import CoinIndex, OwnCoin
from timed.wallet.funds import Availability, Spending
from timed.wallet.history import Made
from timed.wallet.keystore import CHANGE, RECEIVE, Keystore, WalletKey
from timed.wallet.planning import Plan, Wish, plan
from timed.wallet.reservations import Reservations
from timed.wallet.setaside import SetAside
from timed.wallet.signing import sign
from timed.wallet.walletfile import Record

MAX_CLOSING = 10_000
"""Payments in blocks that wait for the history; beyond it the oldest lose their comments."""


class WalletChain(Spending, Protocol):
    """What the wallet asks the node; every answer is of this moment."""

    def pending(self, txid: bytes) -> Transaction | None:
        """A transaction of the mempool."""

    def block_transactions(self, height: int) -> tuple[Transaction, ...]:
        """The transactions of a durable block."""

    def output(self, outpoint: OutPoint) -> Output | None:
        """An unspent output, or one of a transaction of the mempool."""

    def pending_transactions(self) -> Iterator[Transaction]:
        """The mempool, oldest first."""

    def final_transactions(self) -> tuple[Transaction, ...]:
        """The final transactions that no block holds yet, parents first."""


@attrs.frozen
class Payment:
    """A signed transaction this wallet made; `created` is in microseconds."""

    transaction: Transaction
    comment: str
    created: int
    comment_to: str = ""
    """Whom it is for, in the payer's own words."""

    @property
    def txid(self) -> bytes:
        return self.transaction.txid


@attrs.frozen
class Doom:
    """Why a payment can never be final: `rule`, and the final transaction that spends one of its coins, if that is why."""

    rule: str
    rival: bytes | None = None


@attrs.frozen
class Prepared:
    """A payment whose coins are reserved; its record is in the outbox. `fee` is in units."""

    payment: Payment
    fee: int


@attrs.frozen
class Drafted:
    """An unsigned transaction, and which of its outputs is the change."""

    transaction: Transaction
    change: int | None


class Wallet:
    """Keys, coins and payments of one wallet file."""

    def __init__(self, chain: WalletChain, entropy: Callable[[int], bytes]) -> None:
        self._chain = chain
        self.outbox: list[Record] = []
        """Records for the wallet file, oldest first; whoever writes takes them away."""
        self.keys = Keystore(entropy, self.outbox)
        self.set_aside = SetAside(self.outbox, lambda outpoint: outpoint in self.coins)
        self.coins = CoinIndex(self.keys.watches, self.keys.owns, self.keys.saw, self.set_aside.forget)
        self.keys.joined = self.coins.claim
        self.reservations = Reservations()
        self._prepared: dict[bytes, Payment] = {}
        """Payments in the making: their records are in the outbox, or on their way to the disk."""
        self._payments: dict[bytes, Payment] = {}
        self._closing: dict[bytes, Payment] = {}
        """Payments in a block that the history has not taken in yet."""
        self.unrecorded = 0
        """Payments whose comments were let go of because the history did not follow."""
        self.took: Callable[[Payment], object] = lambda payment: None
        """Told of every payment that is stored, before the node has it."""
        self.doomed: dict[bytes, Doom] = {}
        """Stored payments that can never be final and are not released yet."""
        self._newly_doomed: list[bytes] = []
        self._ending: dict[bytes, Record] = {}
        """The last records of payments that still hold their coins: in the outbox, or on their way to the disk."""
        self._spent: dict[OutPoint, bytes] = {}
        self.available = Availability(chain, self.coins, self._spent, self.reservations, self.set_aside)
        self._backlog: list[object] | None = []
        self.trouble: LocalError | None = None
        """Why the set of coins could not be read the last time; None while it is read, and afterwards."""

    @property
    def network(self) -> str:
        """The name of the network whose coins it keeps."""
        return self._chain.params.name

    # The file.

    def take_outbox(self) -> list[Record]:
        """What is to be written now, in this order, before anything taken later."""
        records = list(self.outbox)
        self.outbox.clear()
        return records

    def restore(self, records: Iterable[Record]) -> None:
        """Take over what a wallet file holds; LocalError when it is damaged."""
        kept = list(records)
        self.keys.restore(kept)
        try:
            for record in kept:
                self._restore_payment(record)
                self.set_aside.restore(record)
        except (KeyError, TypeError, ValueError, DecodeError) as error:
            raise LocalError(
                f"a record of the wallet file is damaged ({error!r}).", "Restore it from a backup."
            ) from None

    def records(self) -> list[Record]:
        """What a snapshot holds: all keys, the payments that are not in the history yet, the coins set aside.

        Those in the making among them, and the ends of those that are being abandoned: a snapshot takes the
        place of a journal that may have them already.
        """
        payments = [*self._closing.values(), *self._payments.values(), *self._prepared.values()]
        kept = [*map(_payment_record, payments), *self._ending.values()]
        return self.keys.records() + kept + self.set_aside.records()

    def _restore_payment(self, record: Record) -> None:
        if "payment" in record:
            fields = record["payment"]
            transaction = Transaction.decode(bytes.fromhex(fields["hex"]))
            whom = str(fields.get("comment_to", ""))
            self._remember(Payment(transaction, str(fields["comment"]), int(fields["created"]), whom))
        elif "abandon" in record:
            self._forget(bytes.fromhex(record["abandon"]["txid"]))

    # The coins.

    @property
    def ready(self) -> bool:
        """False until the scan of the coins is over."""
        return self._backlog is None

    def begin_scan(self) -> None:
        """The set of coins is to be read from its start: new keys may own some of it."""
        if self._backlog is None or self.trouble is not None:
            self._backlog = []

    def scan_failed(self, trouble: LocalError) -> None:
        """The set of coins could not be read: nothing is known until `begin_scan` and a whole scan."""
        self.trouble = trouble
        self._backlog = []
        self.coins.clear()

    def scan(self, entries: Iterable[tuple[OutPoint, Coin]]) -> None:
        """Take in a part of the store's unspent outputs; what happens meanwhile is kept for later."""
        self.coins.scan(entries)
        # Most rewards are old: they are not to be looked through again all at once.
        self.coins.immature(self._chain.next_height())

    def scanned(self) -> None:
        """The scan is over: catch up with what was published since it began."""
        self.trouble = None
        backlog, self._backlog = self._backlog or [], None
        for event in backlog:
            self.published(event)
        for transaction in self._chain.final_transactions():
            self.coins.final(transaction)

    def published(self, event: object) -> None:
        """An event of the node."""
        if not isinstance(event, BlockCertified | TransactionFinal):
            return
        if self._backlog is not None:
            self._backlog.append(event)
        elif isinstance(event, BlockCertified):
            confirmed = self._chain.block_transactions(event.height)
            self.coins.block(event.height, confirmed)
            if self._payments:
                for one in confirmed:
                    self._beaten_by(one)
                for txid in [txid for txid in event.txids if txid in self._payments]:
                    self.settle(txid)
        else:
            transaction = self._chain.pending(event.txid)
            if transaction is not None:
                self.coins.final(transaction)
                self._beaten_by(transaction)

    def spendable(self) -> Iterator[OwnCoin]:
        """Own coins a new payment may choose, the smallest first."""
        return self.available.supplies()[-1].ascending()

    def balance(self) -> int:
        """Units of own coins that nobody spends and that are old enough."""
        return self.available.balance()

    # Addresses and payments.

    def new_key(self, label: str) -> WalletKey:
        """A fresh key for receiving; show its address once the outbox is durable."""
        return self.keys.take(RECEIVE, label)

    def prepare(self, lock: Lock, amount: int, comment: str, now: int) -> Prepared:
        """`pay` for the plain case."""
        return self.pay(Wish.to(lock, amount), comment, "", now)

    def plan(self, wish: Wish, *, in_blocks: bool = False, watched: bool = False) -> Plan:
        """How the wish can be fulfilled now; nothing is reserved.

        Errors are those of `timed.wallet.planning.plan`.
        """
        supplies = self.available.supplies(in_blocks=in_blocks, watched=watched)
        return plan(wish, supplies, self._chain.params, lambda: self.available.funds(in_blocks=in_blocks))

    def draft(self, wish: Wish, made: Plan, lock_height: int = 0) -> Drafted:
        """The unsigned transaction of a plan; change without a place goes to a fresh key.

        The outputs stand in the order of their values, so that change is not known by its place.
        """
        paid = zip(wish.payees, made.paid, strict=True)
        outputs = [Output(value=value, lock=payee.lock) for payee, value in paid]
        change = None
        if made.change:
            lock = wish.change if wish.change is not None else self.keys.take(CHANGE).lock
            change = Output(value=made.change, lock=lock)
            outputs.append(change)
        outputs.sort(key=lambda output: (output.value, output.lock.data))
        transaction = Transaction.make(
            inputs=[coin.outpoint for coin in made.coins], outputs=outputs, lock_height=lock_height
        )
        return Drafted(transaction, None if change is None else outputs.index(change))

    def pay(
        self, wish: Wish, comment: str, comment_to: str, now: int, *, in_blocks: bool = False
    ) -> Prepared:
        """Choose and reserve coins, sign, and check the result as every node will.

        Raises what `plan` does, or InvalidTransaction when the payment itself breaks a
        rule. WalletLocked before anything is chosen.
        """
        self.keys.check_open()
        params = self._chain.params
        made = self.plan(wish, in_blocks=in_blocks)
        spent = [coin.output for coin in made.coins]
        transaction = sign(self.draft(wish, made).transaction, spent, params.chain_id, self.keys)
        height = self._chain.next_height()
        check_form(transaction, params)
        check_spend(transaction, [coin.as_coin(height) for coin in made.coins], height, params)
        self.reservations.reserve(transaction.inputs)
        payment = Payment(transaction, comment, now, comment_to)
        self._prepared[payment.txid] = payment
        self.outbox.append(_payment_record(payment))
        return Prepared(payment, made.fee)

    def stored(self, prepared: Prepared) -> None:
        """Its record is durable: from now on the payment holds its coins."""
        self._remember(prepared.payment)
        self.release(prepared)
        self.took(prepared.payment)

    def release(self, prepared: Prepared) -> None:
        """Give back the reservation of a payment that could not be stored."""
        self._prepared.pop(prepared.payment.txid, None)
        self.reservations.release(prepared.payment.transaction.inputs)

    def abandon(self, txid: bytes, reason: str = "refused") -> None:
        """A payment that can never be final, or that nobody else has: its coins are free again."""
        self.abandoning(txid, reason)
        self.abandoned(txid)

    def abandoning(self, txid: bytes, reason: str) -> None:
        """The end of a payment is to be written; it holds its coins until `abandoned`."""
        self._ending[txid] = {"abandon": {"txid": txid.hex(), "reason": reason}}
        self.outbox.append(self._ending[txid])

    def abandoned(self, txid: bytes) -> None:
        """The end of a payment is durable: its coins are free."""
        self._forget(txid)

    def doom(self, txid: bytes, doom: Doom) -> None:
        """A payment was found to be dead; it keeps its coins until it is abandoned."""
        if txid in self._payments and txid not in self.doomed:
            self.doomed[txid] = doom
            self._newly_doomed.append(txid)

    def take_doomed(self) -> list[bytes]:
        """Payments that were found to be dead since the last call."""
        found, self._newly_doomed = self._newly_doomed, []
        return found

    def settle(self, txid: bytes) -> None:
        """A block holds the payment: nothing is left to do for it but to keep what it was for."""
        payment = self._forget(txid)
        if payment is not None:
            self._closing[txid] = payment
            if len(self._closing) > MAX_CLOSING:
                del self._closing[next(iter(self._closing))]
                self.unrecorded += 1

    def recorded(self, txids: Iterable[bytes]) -> None:
        """The history holds these transactions durably."""
        for txid in txids:
            self._forget(txid)
            self._closing.pop(txid, None)

    def made(self, txid: bytes) -> Made | None:
        """What the history is to keep of a payment of this wallet."""
        payment = self._payments.get(txid) or self._closing.get(txid)
        return None if payment is None else Made(payment.comment, payment.comment_to, payment.created)

    def payment(self, txid: bytes) -> Payment | None:
        return self._payments.get(txid)

    @property
    def payments(self) -> tuple[Payment, ...]:
        """Stored payments that no block holds, oldest first."""
        return tuple(self._payments.values())

    @property
    def recording(self) -> int:
        """Payments in blocks that wait for the history."""
        return len(self._closing)

    def unrecorded_txids(self) -> tuple[bytes, ...]:
        """Stored payments that `recorded` has not named."""
        return (*self._closing, *self._payments)

    def unsent(self) -> tuple[Payment, ...]:
        """Stored payments that neither a block nor the mempool holds, oldest first."""
        return tuple(payment for txid, payment in self._payments.items() if self._chain.pending(txid) is None)

    def _beaten_by(self, transaction: Transaction) -> None:
        """It is final or in a block: no other payment of a coin that it spends can ever be."""
        for outpoint in transaction.inputs:
            txid = self._spent.get(outpoint)
            if txid is not None and txid != transaction.txid:
                self.doom(txid, Doom("input-spent", transaction.txid))

    def _remember(self, payment: Payment) -> None:
        self._payments[payment.txid] = payment
        for outpoint in payment.transaction.inputs:
            self._spent[outpoint] = payment.txid

    def _forget(self, txid: bytes) -> Payment | None:
        payment = self._payments.pop(txid, None)
        self.doomed.pop(txid, None)
        self._ending.pop(txid, None)
        if payment is not None:
            for outpoint in payment.transaction.inputs:
                if self._spent.get(outpoint) == txid:
                    del self._spent[outpoint]
        return payment


def _payment_record(payment: Payment) -> Record:
    return {
        "payment": {
            "hex": payment.transaction.encode().hex(),
            "comment": payment.comment,
            "created": payment.created,
            "comment_to": payment.comment_to,
        }
    }

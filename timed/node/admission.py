"""The way of a transaction into the mempool, from a peer or from this node's users."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import attrs

from timed.errors import DecodeError, InvalidTransaction
from timed.interfaces import Coin
from timed.ledger.ledger import Ledger
from timed.ledger.mempool import Mempool
from timed.ledger.rules import check_form, check_spend, signature_items
from timed.primitives.transaction import OutPoint, Output, Transaction

MAX_CHECKING = 4_096
"""Transactions whose signatures are being checked; more are refused and counted."""

LATER_KINDS = ("kind-", "transaction-version")
"""Rules that a node of a later version may break in good faith."""

Items = Sequence[tuple[bytes, bytes, bytes]]


@attrs.frozen
class Offer:
    """A transaction and where it came from.

    `origin` is the peer's node id, None for this node's users. `certified` says
    that a quorum has voted for it: the mempool's bounds do not apply to it.
    """

    transaction: Transaction
    origin: bytes | None
    certified: bool = False


@attrs.frozen
class Look:
    """What a transaction spends and pays. `tip` is the block after which that holds whatever else becomes
    pending; None when an input is a pending output, which may go."""

    coins: tuple[Coin, ...]
    fee: int
    tip: bytes | None


@attrs.frozen
class Verdict:
    """What would come of a transaction: its fee and who would give way to it, or why it would be refused."""

    fee: int | None = None
    displaced: tuple[bytes, ...] = ()
    refusal: InvalidTransaction | None = None


@attrs.define
class AdmissionCounters:
    accepted: int = 0
    overflow: int = 0
    late: int = 0
    """Those that stood in a block already when they came."""
    refused: dict[str, int] = attrs.Factory(dict)


class Admission:
    """Checks form, inputs, fee and signatures, in this order, cheapest first."""

    def __init__(
        self,
        ledger: Ledger,
        mempool: Mempool,
        pending_output: Callable[[OutPoint], Output | None],
        check: Callable[[Items, Callable[[bool, int], None]], None],
        accepted: Callable[[Offer, int], None],
        refused: Callable[[Offer, InvalidTransaction, int], None],
        missing: Callable[[Offer, tuple[bytes, ...], int], None],
        displaced: Callable[[tuple[bytes, ...]], None],
    ) -> None:
        self._ledger = ledger
        self._mempool = mempool
        self._pending_output = pending_output
        self._check = check
        self._accepted = accepted
        self._refused = refused
        self._missing = missing
        self._displaced = displaced
        self._checking: dict[bytes, Offer] = {}
        self._bodies_of: Counter[bytes] = Counter()
        """By txid, how many bodies are being checked."""
        self.counters = AdmissionCounters()

    @property
    def checking(self) -> int:
        """Transactions whose signatures are being checked."""
        return len(self._checking)

    def offer(self, offer: Offer, now: int) -> None:
        """Start the checks; what comes of it is told by the callbacks."""
        if self._known(offer):
            return
        if len(self._checking) >= MAX_CHECKING and not offer.certified:
            self.counters.overflow += 1
            return
        try:
            check_form(offer.transaction, self._ledger.params)
        except InvalidTransaction as error:
            self._refuse(offer, Malformed(error.rule, error.detail), now)
            return
        try:
            look = self._look(offer.transaction)
        except UnknownInputs as unknown:
            self._wait(offer, unknown.parents, now)
        except InvalidTransaction as error:
            self._refuse(offer, error, now)
        else:
            self._verify(offer, look)

    def decode(self, raw: bytes) -> Transaction:
        """A user's transaction out of its encoding; InvalidTransaction for what a block holds already."""
        try:
            transaction = Transaction.decode(raw)
        except DecodeError as error:
            raise InvalidTransaction("transaction-encoding", error.detail or error.rule) from None
        if self._ledger.locate(transaction.txid) is not None:
            raise InvalidTransaction("already-confirmed")
        return transaction

    def submit(self, transaction: Transaction) -> None:
        """Offer a user's transaction; InvalidTransaction for what can be said at once.

        One whose signatures are being checked for a peer becomes the user's.
        """
        checked = self._checking.get(transaction.raw)
        if checked is not None:
            self._checking[transaction.raw] = attrs.evolve(checked, origin=None)
        else:
            self._verify(Offer(transaction, None), self._judge(transaction))

    def examine(self, transaction: Transaction, told: Callable[[Verdict], None]) -> None:
        """Tell what would come of it if a user offered it now, by the same checks; nothing is taken."""
        try:
            look = self._judge(transaction)
            self._mempool.judge(transaction, look.fee)
        except InvalidTransaction as refusal:
            told(Verdict(refusal=refusal))
            return
        items = signature_items(transaction, look.coins, self._ledger.params.chain_id)
        self._check(items, lambda good, _: told(self._examined(transaction, look, good)))

    def _examined(self, transaction: Transaction, look: Look, good: bool) -> Verdict:
        try:
            if not good:
                raise InvalidTransaction("signature")
            look = self._renewed(transaction, look)
            return Verdict(look.fee, self._mempool.judge(transaction, look.fee))
        except InvalidTransaction as refusal:
            return Verdict(look.fee, refusal=refusal)

    def _judge(self, transaction: Transaction) -> Look:
        """All that can be said of a user's transaction before its signatures are checked."""
        check_form(transaction, self._ledger.params)
        try:
            look = self._look(transaction)
        except UnknownInputs as unknown:
            raise InvalidTransaction(
                "input-missing", f"no transaction {unknown.parents[0].hex()} is known"
            ) from None
        rivals = self._mempool.conflicts(transaction)
        if rivals:
            raise InvalidTransaction("mempool-conflict", f"{rivals[0].hex()} spends the same output")
        return look

    def restore(self, transaction: Transaction) -> bool:
        """Take a transaction back from the log: its signatures were checked before it was written."""
        if transaction.txid in self._mempool:
            return True
        try:
            return self._admit(Offer(transaction, None, certified=True), self._look(transaction))
        except InvalidTransaction:
            return False

    def known(self, txid: bytes, now: int) -> None:
        """The outputs of this transaction are pending or in a block: look again at what waited for them."""
        for child in self._mempool.waiting.take(txid):
            self.offer(Offer(child.transaction, child.origin, child.certified), now)

    def is_checking(self, txid: bytes) -> bool:
        """A body of this transaction is here and its signatures are being checked."""
        return txid in self._bodies_of

    def _known(self, offer: Offer) -> bool:
        return offer.transaction.txid in self._mempool or offer.transaction.raw in self._checking

    def _look(self, transaction: Transaction) -> Look:
        """Check inputs, fee and witnesses by the tip of now."""
        tip = self._ledger.tip
        coins = self._coins(transaction)
        fee = check_spend(transaction, coins, tip.height + 1, self._ledger.params)
        lasting = all(coin.height <= tip.height for coin in coins)
        return Look(tuple(coins), fee, tip.hash if lasting else None)

    def _coins(self, transaction: Transaction) -> list[Coin]:
        """The coins of the inputs, from the chain or from pending transactions."""
        coins = []
        unknown: dict[bytes, None] = {}
        for outpoint in transaction.inputs:
            coin = self._ledger.coin(outpoint)
            if coin is None:
                output = self._pending_output(outpoint)
                if output is None:
                    self._explain(outpoint)
                    unknown[outpoint.txid] = None
                    continue
                coin = Coin(output, self._ledger.tip.height + 1, False)
            coins.append(coin)
        if unknown:
            raise UnknownInputs(tuple(unknown))
        return coins

    def _explain(self, outpoint: OutPoint) -> None:
        """Raise when waiting cannot help: the output was spent, or never existed."""
        if self._ledger.locate(outpoint.txid) is not None:
            raise InvalidTransaction("input-spent", f"{outpoint.txid.hex()}:{outpoint.index}")
        if outpoint.txid in self._mempool:
            raise InvalidTransaction("input-index", f"{outpoint.txid.hex()} has no output {outpoint.index}")

    def _verify(self, offer: Offer, look: Look) -> None:
        self._checking[offer.transaction.raw] = offer
        self._bodies_of[offer.transaction.txid] += 1
        items = signature_items(offer.transaction, look.coins, self._ledger.params.chain_id)
        self._check(items, lambda good, now: self._verified(offer.transaction.raw, look, good, now))

    def _verified(self, raw: bytes, look: Look, good: bool, now: int) -> None:
        offer = self._checking.pop(raw)
        self._bodies_of[offer.transaction.txid] -= 1
        if not self._bodies_of[offer.transaction.txid]:
            del self._bodies_of[offer.transaction.txid]
        if not good:
            self._refuse(offer, InvalidTransaction("signature"), now)
            return
        try:
            if not self._admit(offer, look):
                return
        except UnknownInputs as unknown:
            self._wait(offer, unknown.parents, now)
            return
        except InvalidTransaction as error:
            self._refuse(offer, error, now)
            return
        self.counters.accepted += 1
        self._accepted(offer, now)
        self.known(offer.transaction.txid, now)

    def _admit(self, offer: Offer, look: Look) -> bool:
        """Into the mempool, judged by the tip of now: it may have moved since the first look."""
        transaction = offer.transaction
        if transaction.txid in self._mempool:
            return False
        look = self._renewed(transaction, look)
        try:
            self._displaced(self._mempool.add(transaction, look.fee, self._ledger.tip.height))
        except InvalidTransaction:
            if not offer.certified:
                raise
        return True

    def _renewed(self, transaction: Transaction, look: Look) -> Look:
        """What holds by the tip of now."""
        return look if look.tip == self._ledger.tip.hash else self._look(transaction)

    def _wait(self, offer: Offer, parents: tuple[bytes, ...], now: int) -> None:
        self._mempool.waiting.add(offer.transaction, parents, offer.origin, certified=offer.certified)
        self._missing(offer, parents, now)

    def _refuse(self, offer: Offer, error: InvalidTransaction, now: int) -> None:
        """Count it and tell; but a payment whose inputs are spent by itself is only late."""
        if error.rule == "input-spent" and self._ledger.locate(offer.transaction.txid) is not None:
            self.counters.late += 1
            return
        self.counters.refused[error.rule] = self.counters.refused.get(error.rule, 0) + 1
        self._refused(offer, error, now)


class Malformed(InvalidTransaction):
    """The transaction alone shows that it is invalid: no node that checks passes it on."""


class UnknownInputs(InvalidTransaction):
    """It spends outputs of transactions that are not known here (yet)."""

    def __init__(self, parents: tuple[bytes, ...]) -> None:
        super().__init__("input-missing")
        self.parents = parents


def conduct_event(error: InvalidTransaction) -> str:
    """What a peer did that sent a transaction refused with `error`, in the words of its conduct."""
    if error.rule == "signature":
        return "invalid-signature"
    if isinstance(error, Malformed) and not error.rule.startswith(LATER_KINDS):
        return "invalid-transaction-form"
    return "invalid-transaction"

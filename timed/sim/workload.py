"""Payments: ordinary ones, pairs that spend the same coin, and chains of unconfirmed money."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from timed.errors import InvalidTransaction
from timed.ledger.rules import largest_total
from timed.params import SECOND
from timed.primitives.transaction import Lock, OutPoint, Output, Transaction, Witness, signing_hash
from timed.sim.cast import Cast, purse_of

if TYPE_CHECKING:
    import random

    from timed.crypto.keys import SigningKey
    from timed.sim.chain_rules import ChainRules
    from timed.sim.host import Process
    from timed.sim.world import World

PLAIN = 46
CONFLICTS = 11
"""Pairs; two payments each."""
CHAINS = 6
"""Chains of two to four payments."""
BEFORE_SLOT = 0.35
"""Share of payments submitted in the last moments before a slot time."""
SECOND_INPUT = 0.4
"""Share of conflicts over a coin that only one of the two spends first."""
RESUBMIT = 10 * SECOND
"""A wallet repeats what it does not see confirmed."""


@attrs.frozen
class Money:
    """An output somebody of the cast can spend, confirmed or not."""

    outpoint: OutPoint
    output: Output


@attrs.define
class Payment:
    """One transaction of the workload and what became of it."""

    transaction: Transaction
    kind: str
    """plain, conflict or chain."""
    rivals: tuple[bytes, ...] = ()
    """txids that cannot both be confirmed with this one."""
    parent: bytes | None = None
    height: int | None = None
    """Height of the block that confirmed it."""


class Workload:
    """Makes payments from the allocation, submits them, and follows what is confirmed."""

    def __init__(self, world: World, cast: Cast, entropy: random.Random) -> None:
        self._world = world
        self._cast = cast
        self._entropy = entropy
        self._purses = purse_of(cast)
        coinbase = cast.genesis.block().transactions[0]
        self._coins = [
            Money(OutPoint(coinbase.txid, index), output) for index, output in enumerate(coinbase.outputs)
        ]
        self._outputs: dict[OutPoint, Output] = {money.outpoint: money.output for money in self._coins}
        self.payments: dict[bytes, Payment] = {}
        self.transactions: dict[bytes, Transaction] = {}
        """Every body that was ever made here, for the invariants."""
        self._seen_height = 0

    def plan(self, start: int, end: int) -> None:
        """Schedule all payments of the run between two true times."""
        jobs = [self._plain] * PLAIN + [self._conflict] * CONFLICTS + [self._chain] * CHAINS
        self._entropy.shuffle(jobs)
        for number, job in enumerate(jobs):
            when = self._moment(start, end)
            self._world.clock.at(when, f"payment {number} {job.__name__}", job)
        for when in range(start + RESUBMIT, end, RESUBMIT):
            self._world.clock.at(when, "repeat", self.repeat)

    def _moment(self, start: int, end: int) -> int:
        when = self._entropy.randrange(start, end)
        if self._entropy.random() >= BEFORE_SLOT:
            return when
        interval = self._cast.genesis.interval * SECOND
        base = self._cast.genesis.time * SECOND
        slot = base + ((when - base) // interval + 1) * interval
        return max(start, slot - int(self._entropy.expovariate(1.0) * 40_000))

    # Making transactions

    def spend(self, money: list[Money], change: int = 0) -> Transaction:
        """A signed payment of all of `money` to two purses; `change` varies the outputs."""
        params = self._cast.genesis.params
        total = largest_total(sum(coin.output.value for coin in money), params)
        first = total // 3 + change
        targets = self._entropy.sample(self._cast.purses, 2)
        outputs = (
            Output(value=first, lock=Lock.key_hash(targets[0].public)),
            Output(value=total - first, lock=Lock.key_hash(targets[1].public)),
        )
        unsigned = Transaction.make(inputs=tuple(coin.outpoint for coin in money), outputs=outputs)
        digest = signing_hash(params.chain_id, unsigned.txid, [coin.output for coin in money])
        signers: dict[bytes, SigningKey] = {}
        for coin in money:
            key = self._purses[coin.output.lock.data]
            signers[key.public] = key
        witnesses = tuple(
            Witness(public_key=public, signature=signers[public].sign(digest)) for public in sorted(signers)
        )
        transaction = unsigned.with_witnesses(witnesses)
        self.transactions[transaction.txid] = transaction
        for index, output in enumerate(outputs):
            self._outputs[OutPoint(transaction.txid, index)] = output
        return transaction

    def rival_of(self, txid: bytes) -> Transaction | None:
        """Another payment of the same coins; None when the workload does not know them."""
        original = self.transactions.get(txid)
        if original is None or any(outpoint not in self._outputs for outpoint in original.inputs):
            return None
        money = [Money(outpoint, self._outputs[outpoint]) for outpoint in original.inputs]
        rival = self.spend(money, change=self._entropy.randrange(1, 1_000))
        payment = self.payments.get(txid)
        others = (txid, *(payment.rivals if payment is not None else ()))
        for other in others:
            known = self.payments.get(other)
            if known is not None:
                known.kind = "conflict"
                known.rivals = (*known.rivals, rival.txid)
        self.payments[rival.txid] = Payment(rival, "conflict", others)
        return rival

    def _coin(self) -> Money:
        return self._coins.pop(self._entropy.randrange(len(self._coins)))

    def _plain(self) -> None:
        money = [self._coin() for _ in range(1 if self._entropy.random() < 0.8 else 2)]
        self.pay(money, self._somebody())

    def pay(self, money: list[Money] | None, process: Process | None) -> bytes:
        """Hand an ordinary payment, of one coin unless `money` is given, to a node; its id."""
        transaction = self.spend([self._coin()] if money is None else money)
        self.payments[transaction.txid] = Payment(transaction, "plain")
        self.submit(transaction, process)
        return transaction.txid

    def _conflict(self) -> None:
        """Two payments of one coin, each to one half of the nodes at once; sometimes with children."""
        coin = self._coin()
        before = [self._coin()] if self._entropy.random() < SECOND_INPUT else []
        first, second = self.spend([coin]), self.spend([*before, coin], change=1_000)
        self.payments[first.txid] = Payment(first, "conflict", (second.txid,))
        self.payments[second.txid] = Payment(second, "conflict", (first.txid,))
        order = self._world.voting()
        self._entropy.shuffle(order)
        cut = len(order) // 2 if self._entropy.random() < 0.7 else 1
        for index, process in enumerate(order):
            self.submit(first if index < cut else second, process)
        if self._entropy.random() < 0.5:
            for parent, place in ((first, 0), (second, -1)):
                child = self.spend([self._output_of(parent, 0)])
                self.payments[child.txid] = Payment(child, "conflict", parent=parent.txid)
                if order:
                    self._later(child, order[place])

    def split(self, order: list[Process], first: int) -> None:
        """Two payments of one coin: the one everybody prefers later to the `first` nodes, its rival to the rest."""
        coin = self._coin()
        one, two = sorted((self.spend([coin]), self.spend([coin], change=1_000)), key=lambda made: made.txid)
        self.payments[one.txid] = Payment(one, "conflict", (two.txid,))
        self.payments[two.txid] = Payment(two, "conflict", (one.txid,))
        for index, process in enumerate(order):
            self.submit(one if index < first else two, process)

    def _chain(self) -> None:
        """Each payment spends an output of the one before, which nobody has confirmed."""
        parent = self.spend([self._coin()])
        self.payments[parent.txid] = Payment(parent, "chain")
        self.submit(parent, self._somebody())
        for _ in range(self._entropy.randrange(1, 4)):
            child = self.spend([self._output_of(parent, self._entropy.randrange(2))])
            self.payments[child.txid] = Payment(child, "chain", parent=parent.txid)
            if self._entropy.random() < 0.5:
                self.submit(child, self._somebody())
            else:
                self._later(child, self._somebody())
            parent = child

    def _output_of(self, transaction: Transaction, index: int) -> Money:
        return Money(OutPoint(transaction.txid, index), transaction.outputs[index])

    # Submitting

    def _somebody(self) -> Process | None:
        running = self._world.running()
        return self._entropy.choice(running) if running else None

    def _later(self, transaction: Transaction, process: Process | None) -> None:
        delay = self._entropy.randrange(0, 400_000)
        self._world.clock.after(delay, "payment child", lambda: self.submit(transaction, process))

    def submit(self, transaction: Transaction, process: Process | None) -> None:
        """Hand a payment to one node, as its RPC would."""
        if process is None or not process.alive:
            return

        def call(now: int) -> None:
            try:
                process.operate(process.node.submit, transaction.raw, now)
            except InvalidTransaction as error:
                self._world.clock.note(f"refused {transaction.txid.hex()[:12]} {error.rule}")

        self._world.clock.note(f"submit {transaction.txid.hex()[:12]} to {process.name}")
        process.turn("submit", call)

    def repeat(self) -> None:
        """Wallets submit again what is not confirmed, parents before children."""
        for payment in self.open_payments():
            self.submit(payment.transaction, self._somebody())

    def open_payments(self) -> list[Payment]:
        """Payments that are neither confirmed nor made impossible by a confirmed rival."""
        return [
            payment
            for payment in self.payments.values()
            if payment.height is None and not self._impossible(payment)
        ]

    def _impossible(self, payment: Payment) -> bool:
        if any(self.payments[rival].height is not None for rival in payment.rivals):
            return True
        parent = self.payments.get(payment.parent) if payment.parent is not None else None
        return parent is not None and self._impossible(parent)

    # Following

    def follow(self, chain: ChainRules) -> None:
        """Note what new blocks confirm; coins of confirmed payments become money again."""
        while self._seen_height < chain.height:
            self._seen_height += 1
            for txid in chain.blocks[self._seen_height].txids:
                payment = self.payments.get(txid)
                if payment is None:
                    continue
                payment.height = self._seen_height
                if payment.kind == "plain":
                    self._coins += [self._output_of(payment.transaction, index) for index in (0, 1)]

"""The order of transactions in a block."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.builders import coin, outpoint
from timed.errors import InvalidBlock
from timed.ledger.order import order_transactions
from timed.primitives.transaction import OutPoint, Transaction


def transaction(number: int, *parents: Transaction) -> Transaction:
    """Unsigned: order does not ask for witnesses."""
    inputs = [OutPoint(parent.txid, number) for parent in parents] or [outpoint(number)]
    return Transaction.make(inputs=inputs, outputs=[coin().output], lock_height=number)


@st.composite
def families(draw: st.DrawFn) -> list[Transaction]:
    """Transactions of which some spend outputs of earlier ones, shuffled."""
    made: list[Transaction] = []
    for number in range(draw(st.integers(0, 12))):
        parents = draw(st.lists(st.sampled_from(made), max_size=3, unique_by=id)) if made else []
        made.append(transaction(number, *parents))
    return list(draw(st.permutations(made)))


def naive_order(transactions: list[Transaction]) -> tuple[Transaction, ...]:
    """The rule read aloud: again and again the smallest txid whose parents stand before it."""
    rest = sorted(transactions, key=lambda each: each.txid)
    placed: list[Transaction] = []
    while rest:
        waiting = {each.txid for each in rest}
        ready = next(each for each in rest if not any(spent.txid in waiting for spent in each.inputs))
        rest.remove(ready)
        placed.append(ready)
    return tuple(placed)


class OrderTests(SynchronousTestCase):
    def test_strangers_stand_by_txid(self) -> None:
        strangers = [transaction(number) for number in range(10)]
        txids = [each.txid for each in order_transactions(strangers)]
        self.assertEqual(txids, sorted(txids))

    def test_parents_stand_before_their_children(self) -> None:
        parent = transaction(0)
        children = [transaction(number, parent) for number in range(1, 6)]
        self.assertEqual(order_transactions([*children, parent])[0], parent)

    @settings(deadline=None, max_examples=100)
    @given(family=families())
    def test_it_is_the_rule_read_aloud(self, family: list[Transaction]) -> None:
        """Proposer and validator order alike, whatever they received first."""
        ordered = order_transactions(family)
        self.assertEqual(ordered, naive_order(family))
        self.assertEqual(order_transactions(ordered), ordered)

    def test_a_transaction_twice_has_no_order(self) -> None:
        error = self.assertRaises(InvalidBlock, order_transactions, [transaction(1), transaction(1)])
        self.assertEqual(error.rule, "transaction-duplicate")

    def test_a_long_chain_is_no_burden(self) -> None:
        chain = [transaction(0)]
        for number in range(1, 3_000):
            chain.append(transaction(number, chain[-1]))
        self.assertEqual(order_transactions(chain[::-1]), tuple(chain))

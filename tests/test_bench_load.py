"""The load and what is read of it: valid payments, an open loop, stamps of the probe."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from timed import events
from timed.bench import finality, load, probe, processes, throughput
from timed.bench.cluster import COIN, PAYER, Observed, cluster, endow
from timed.crypto.rule import verify
from timed.interfaces import Coin
from timed.ledger.rules import check_form, check_spend, signature_items
from timed.primitives.transaction import Lock, OutPoint, Transaction
from timed.testnet.layout import make_network
from timed.testnet.rpc import call

TXID, OTHER = bytes([1]) * 32, bytes([2]) * 32


class Payments(SynchronousTestCase):
    def test_every_payment_is_valid_and_spends_a_coin_of_its_own(self) -> None:
        directory = self.mktemp()
        os.makedirs(directory)
        plan = make_network(Path(directory) / "net", 1, 1, 5)
        genesis = endow(plan, 6)
        coins = dict(genesis.created())
        payments = load.sign_payments(genesis, 2) + load.sign_payments(genesis, 4, skip=2)
        spent = set()
        for payment in payments:
            transaction = Transaction.decode(bytes.fromhex(payment.text))
            self.assertEqual(transaction.txid, payment.txid)
            (place,) = transaction.inputs
            spent.add(place)
            self.assertEqual(
                (coins[place].output.value, coins[place].output.lock), (COIN, Lock.key_hash(PAYER.public))
            )
            check_form(transaction, genesis.params)
            self.assertGreater(check_spend(transaction, [coins[place]], 1, genesis.params), 0)
            for item in signature_items(transaction, [coins[place]], genesis.params.chain_id):
                self.assertTrue(verify(*item))
        self.assertEqual(len(spent), 6)

    def test_payments_in_turn_spend_what_those_before_made(self) -> None:
        directory = self.mktemp()
        os.makedirs(directory)
        genesis = endow(make_network(Path(directory) / "net", 1, 1, 5), 3)
        coins = dict(genesis.created())
        transactions = [
            Transaction.decode(bytes.fromhex(payment.text)) for payment in load.sign_in_turn(genesis, 8)
        ]
        for position, transaction in enumerate(transactions):
            (place,) = transaction.inputs
            if position < 3:
                self.assertEqual(coins[place].output.lock, Lock.key_hash(PAYER.public))
            else:
                self.assertEqual(place, OutPoint(transactions[position - 3].txid, 0))
            check_form(transaction, genesis.params)
            self.assertGreater(check_spend(transaction, [coins[place]], 1, genesis.params), 0)
            for item in signature_items(transaction, [coins[place]], genesis.params.chain_id):
                self.assertTrue(verify(*item))
            coins[OutPoint(transaction.txid, 0)] = Coin(transaction.outputs[0], 1, coinbase=False)

    def test_the_schedule_is_the_rate_and_always_the_same(self) -> None:
        due = load.schedule(10_000, 500.0)
        self.assertEqual(due, load.schedule(10_000, 500.0))
        self.assertEqual(due, sorted(due))
        self.assertLess(abs(due[-1] / 1e9 - 20.0), 1.0)

    def test_the_load_is_spread_over_nodes_and_connections(self) -> None:
        payments = [load.Payment(bytes([number]) * 32, "") for number in range(80)]
        nodes: Any = [SimpleNamespace(number=number) for number in (1, 2, 3, 4)]
        work = load.Load(nodes, payments, 10.0, connections=2)._work
        self.assertEqual(sorted(work), [(node, lane) for node in (1, 2, 3, 4) for lane in (0, 1)])
        self.assertEqual({len(each) for each in work.values()}, {10})


class Stamps(SynchronousTestCase):
    """The probe beside a driver that publishes."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.path = self.directory / probe.FILE
        self.reactor = Clock()
        self.stolen_ns = 0
        """What the clock went on while nothing turned."""
        self.patch(probe, "time", SimpleNamespace(monotonic_ns=self.now_ns))
        self.sinks: list[Any] = []
        context = SimpleNamespace(
            config=SimpleNamespace(datadir=self.directory),
            driver=SimpleNamespace(add_sink=self.sinks.append),
            reactor=self.reactor,
        )
        self.probe = probe.service.make(context)
        self.probe.startService()

    def now_ns(self) -> int:
        return round(self.reactor.seconds() * 1e9) + self.stolen_ns

    def observed(self) -> Observed:
        self.probe.stopService()
        found = Observed()
        found.take(self.path)
        return found

    def test_steps_of_a_transaction_are_stamped(self) -> None:
        self.assertEqual(self.sinks, [self.probe])
        self.probe.published(events.TransactionCertified(TXID, 1), 0)
        self.probe.published(events.TransactionFinal(TXID, 1), 0)
        self.probe.published(events.TransactionDropped(OTHER, "signature"), 0)
        found = self.observed()
        self.assertEqual(
            (list(found.certified), list(found.final), list(found.dropped)), ([TXID], [TXID], [OTHER])
        )
        self.assertLessEqual(found.certified[TXID], found.final[TXID])
        self.assertEqual(found.early, set())

    def test_a_block_counts_for_what_was_not_final_yet(self) -> None:
        self.probe.published(events.TransactionFinal(TXID, 1), 0)
        self.probe.published(events.BlockCertified(1, OTHER, 0, (TXID, OTHER), True), 0)
        found = self.observed()
        self.assertEqual((sorted(found.final), found.early), ([TXID, OTHER], {OTHER}))

    def test_lag_is_what_a_call_comes_late(self) -> None:
        self.reactor.advance(probe.TICK_S)
        self.stolen_ns = 2_000_000
        self.reactor.advance(probe.TICK_S)
        found = self.observed()
        self.assertEqual(list(found.lag_ns), [0, 2_000_000])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_a_stall_counts_with_every_tick_that_it_misses(self) -> None:
        """One call in a hundred would else be late, and the 99th percentile knew nothing of it."""
        self.stolen_ns = 95_000_000
        self.reactor.advance(probe.TICK_S)
        self.reactor.advance(0.005)
        self.reactor.advance(probe.TICK_S)
        found = self.observed()
        late = [number * 10_000_000 + 5_000_000 for number in reversed(range(10))]
        self.assertEqual(list(found.lag_ns), [*late, 0, 0], "and the grid stays where it was")

    def test_a_stall_beyond_all_measure_counts_up_to_a_bound(self) -> None:
        self.stolen_ns = 2 * probe.MAX_MISSED * 10_000_000
        self.reactor.pump([probe.TICK_S] * 3)
        found = self.observed()
        self.assertEqual((len(found.lag_ns), list(found.lag_ns)[-2:]), (probe.MAX_MISSED + 2, [0, 0]))
        self.assertEqual(self.probe.left_out, probe.MAX_MISSED + 1)

    def test_what_was_written_meanwhile_is_read_once(self) -> None:
        found = Observed()
        self.probe.published(events.TransactionFinal(TXID, 1), 0)
        self.reactor.pump([probe.TICK_S] * probe.FLUSH_CALLS)
        found.take(self.path)
        self.assertEqual((list(found.final), len(found.lag_ns)), ([TXID], probe.FLUSH_CALLS))
        self.probe.published(events.TransactionFinal(OTHER, 1), 0)
        self.probe.stopService()
        found.take(self.path)
        self.assertEqual((list(found.final), len(found.lag_ns)), ([TXID, OTHER], probe.FLUSH_CALLS))


class Arithmetic(SynchronousTestCase):
    def test_a_payment_is_final_when_the_last_node_has_it(self) -> None:
        seen = [{TXID: 5_000_000, OTHER: 1}, {TXID: 7_000_000}]
        self.assertEqual(finality.last_of(seen, {TXID: 2_000_000, OTHER: 0}), [5.0])

    def test_growth_is_per_hour(self) -> None:
        still = [(float(at), 100.0) for at in range(10)]
        growing = [(at, value + at) for at, value in still]
        self.assertAlmostEqual(throughput.growth_mb_per_h({1: still, 2: growing}), 3600.0)
        self.assertEqual(throughput.growth_mb_per_h({}), 0.0)

    def test_the_kernel_knows_this_process_and_no_other(self) -> None:
        self.assertGreater(processes.anonymous_mb(os.getpid()), 1.0)
        self.assertGreaterEqual(processes.rss_mb(os.getpid()), processes.anonymous_mb(os.getpid()))
        self.assertEqual(
            (processes.rss_mb(0), processes.anonymous_mb(0), processes.cpu_s(0)), (0.0, 0.0, 0.0)
        )


class RealProcess(SynchronousTestCase):
    def test_the_probe_of_a_running_node_sees_payments_become_final(self) -> None:
        with cluster(1, 3, interval=1) as network:
            times = finality.pay(network, 20.0, 3, 0)
            (node,) = network.plan.nodes
            self.assertEqual((times.missing, times.refused, len(times.final)), (0, 0, 3))
            self.assertGreaterEqual(call(node, "getblockcount"), 1)
            directory = network.plan.directory
        self.assertFalse(directory.exists())

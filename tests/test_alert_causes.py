"""Every alert is raised by its real cause, is told to the operator with its remedy, and is over afterwards.

`CAUSES` names the test of each rule; a rule without one fails.
"""

from __future__ import annotations

import ast
import inspect
import os
import time
from itertools import pairwise
from shutil import rmtree
from types import SimpleNamespace
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from tests.alarm_world import COARSE_S, STEP_S, AlarmCase
from tests.feed_world import FeedWorld, draft
from tests.index_world import RandomChain, builders_of, reader_of
from tests.test_docs_failures import found
from tests.test_docs_protocol import ROOT
from tests.test_feed_delivery import Receiver
from timed.app.config import override
from timed.app.indexing import Indexer
from timed.consensus.signing import signed
from timed.crypto.backends.reference import ReferenceBackend
from timed.crypto.rule import use_backend
from timed.errors import StoreError
from timed.feed.delivery import Delivery, NotTaken
from timed.index.status import ReadIndexes
from timed.ledger.regtest import well_known_key
from timed.monitor.health import CHECKS
from timed.monitor.profiler import Profiler
from timed.monitor.rules import MIB, RULES
from timed.params import SECOND
from timed.primitives.certificate import CertificateKind
from timed.primitives.transaction import Lock, Output, Transaction, Witness, signing_hash
from timed.rpc.activity import Activity
from timed.rpc.chainlink import ChainLink
from timed.rpc.parts import Parts
from timed.rpc.probe import SnapshotProbe
from timed.rpc.toll import Toll
from timed.rpc.waiting import Waiters
from timed.wire import messages as wire

FULL = StoreError("No space left on device.", "Free some space.")


class MemberCase(AlarmCase):
    """With payments of the first member's coins."""

    def payment(self, number: int = 0, note: int = 0) -> Transaction:
        """Coin `number` of the allocation to somebody else, signed; another `note` makes it another one."""
        key = well_known_key("wallet", 1)
        own = Lock.key_hash(key.public)
        coins = [entry for entry in self.one.store.coins() if entry[1].output.lock == own]
        outpoint, coin = sorted(coins, key=lambda entry: entry[0].key)[number]
        value = coin.output.value - self.world.genesis.params.maximum_fee_floor - note
        output = Output(value=value, lock=Lock.key_hash(well_known_key("wallet", 2).public))
        unsigned = Transaction.make(inputs=[outpoint], outputs=[output])
        message = signing_hash(self.world.genesis.params.chain_id, unsigned.txid, [coin.output])
        return unsigned.with_witnesses([Witness(key.public, key.sign(message))])

    def pay(self, number: int = 0) -> None:
        self.one.driver.submit(self.payment(number).encode())


class Peers(MemberCase):
    def test_the_other_members_are_gone(self) -> None:
        self.world.separate(self.one, self.two)
        self.fires("check-peers", "check-blocks", "quorum-thin")
        self.world.connect(self.one, self.two)
        self.clears("check-peers", "check-blocks", "quorum-thin")

    def test_the_connection_drops_again_and_again(self) -> None:
        for _ in range(8):
            self.world.separate(self.one, self.two)
            self.pass_time(2, COARSE_S)
            self.world.connect(self.one, self.two)
            self.pass_time(5, COARSE_S)
        self.fires("sessions-lost")
        self.clears("sessions-lost")

    def test_the_way_between_the_members_is_slow(self) -> None:
        self.world.delay_s = 1.2
        for number in range(60):
            self.pay(number % 3)
            self.pass_time(5, 0.1)
            if "finality-slow" in self.one.active():
                break
        self.fires("finality-slow")
        self.world.delay_s = 0.0
        self.clears("finality-slow")

    def test_blocks_that_are_proven_and_never_come(self) -> None:
        """A follower whose peers prove blocks and keep their bodies to themselves."""
        follower = self.world.machine(3, member=False)
        self.watched = follower
        follower.withheld = (wire.BlocksResponse, wire.BlockResponse, wire.CompactBlockResponse)
        self.world.connect(follower, self.two)
        self.fires("check-sync", seconds=1_200, step_s=COARSE_S)
        follower.withheld = ()
        self.clears("check-sync")

    def test_the_clock_of_this_machine_is_stepped(self) -> None:
        self.one.skew_us = 20 * SECOND
        self.fires("check-clock", "clock-offset", "check-voting", step_s=0.1)
        self.one.skew_us = 0
        self.clears("check-clock", "clock-offset", "check-voting")


class Missed(MemberCase):
    members = (1, 2, 3)

    def test_a_member_that_does_not_run(self) -> None:
        """Two are a quorum: the network goes on without the third."""
        self.fires("member-missed", step_s=COARSE_S)
        third = self.world.machine(3)
        self.world.connect(third, self.one)
        self.world.connect(third, self.two)
        self.clears("member-missed")


class Disk(MemberCase):
    on_disk = True

    def test_the_disk_refuses_writes(self) -> None:
        self.one.disk.broken = FULL
        self.pay()
        self.fires("check-disk", "check-voting", step_s=0.1)
        self.assertIn("No space left", self.one.health()["checks"]["disk"]["reason"])
        self.one.stop()
        self.one.start()
        self.world.connect(self.one, self.two)
        self.pass_time(180, 0.1)
        self.assertEqual(self.one.active(), {}, "a node that was started again on a disk that works")
        self.assertGreater(self.height(self.one), 5)

    def test_a_record_of_the_store_is_damaged(self) -> None:
        """Found when a payment spends the coin; over when the node starts on a copy that is whole."""
        payment = self.payment()
        key = payment.inputs[0].key
        whole = self.exchange(key, b"damaged")
        self.two.driver.submit(payment.encode())
        self.fires("check-disk", step_s=0.1)
        checks = self.one.health()["checks"]
        self.assertIn(f"the record {key.hex()} of table coins", checks["disk"]["reason"])
        self.assertIn("restore a copy", checks["disk"]["remedy"])
        self.assertEqual(checks["bugs"]["state"], "ok")
        self.assertIn("the store cannot be read: the record", self.one.log())
        self.exchange(key, whole)
        self.one.stop()
        self.one.start()
        self.world.connect(self.one, self.two)
        self.pass_time(180, 0.1)
        self.assertEqual(self.one.active(), {})
        self.assertGreater(self.height(self.one), 5)

    def exchange(self, key: bytes, value: bytes) -> bytes:
        """Put other bytes under a coin's key, below the node; what was there."""
        database = self.one.store._database
        with database._environment.begin(write=True) as transaction:
            before: bytes = transaction.get(key, db=database._tables["coins"])
            transaction.put(key, value, db=database._tables["coins"])
        return before

    def test_the_data_directory_is_removed_under_the_node(self) -> None:
        rmtree(self.one.path / "chain")
        self.pay()
        self.fires("check-disk", "check-voting", step_s=0.1)
        checks = self.one.health()["checks"]
        self.assertIn("is gone. It was removed or moved", checks["disk"]["reason"])
        self.assertIn("See the check disk", checks["voting"]["remedy"])

    def test_the_disk_is_slow(self) -> None:
        self.one.disk.slow_s = 0.8
        self.fires("disk-slow", step_s=0.1)
        self.one.disk.slow_s = 0.0
        self.clears("disk-slow")

    def test_the_disk_fills_up(self) -> None:
        real = os.statvfs
        free = [100 * MIB]

        def statvfs(path: Any) -> Any:
            state = real(path)
            return SimpleNamespace(f_bavail=free[0] // state.f_frsize, f_frsize=state.f_frsize)

        self.patch(os, "statvfs", statvfs)
        self.fires("disk-space", step_s=COARSE_S)
        free[0] = 100_000 * MIB
        self.clears("disk-space")


class Safety(MemberCase):
    def vote(self, txid: bytes, tick: int) -> wire.TransactionVote:
        """As the second member signs it when its key runs on two machines."""
        path = self.one.driver.node.chain.fastpath
        member = path.roster.index_of(well_known_key("operator", 2).public)
        assert member is not None
        unsigned = wire.TransactionVote(
            kind=CertificateKind.VOTE.value, chain_id=self.world.genesis.params.chain_id, epoch=path.epoch,
            roster=path.roster.hash, tick=tick, member=member, entries=(txid,), signature=bytes(64),
        )  # fmt: skip
        return signed(unsigned, well_known_key("operator", 2))

    def test_a_key_that_runs_twice(self) -> None:
        first, second = self.payment(0), self.payment(0, note=1)
        peers = self.two.driver.node.peers
        for number, one in enumerate((first, second)):
            for message in (wire.TransactionBroadcast(transaction=one), self.vote(one.txid, 900 + number)):
                self.two.driver.operate(peers.broadcast, message, to=[self.one.node_key.public])
        self.fires("equivocation")
        self.assertGreater(self.one.monitor._watch.counts.equivocations, 0)
        self.world.separate(self.one, self.two)
        self.clears("equivocation", seconds=4_500, step_s=2.0)

    def test_two_certified_blocks_of_one_height(self) -> None:
        """The same members on a second network that took another way: what a broken quorum would sign."""
        twin = Peers("test_the_other_members_are_gone")
        twin.setUp()
        self.addCleanup(twin.doCleanups)
        twin.pay()
        twin.until(lambda: twin.height(twin.one) >= 3, 60)
        self.until(lambda: self.height(self.one) >= twin.height(twin.one), 60)
        certificate = twin.one.driver.node.ledger.tip.certificate
        assert certificate is not None
        peers = self.two.driver.node.peers
        self.two.driver.operate(
            peers.broadcast, wire.BlockCommit(certificate=certificate), to=[self.one.node_key.public]
        )
        self.fires("check-safety")
        self.assertIn("two certified blocks", self.one.health()["checks"]["safety"]["reason"])
        # A node on which the note of it is gone; tests.test_app_services holds that it stays until then.
        self.one.stop()
        self.one.start()
        self.pass_time(20)
        self.assertNotIn("check-safety", self.one.active())


class Process(MemberCase):
    def test_the_chain_does_not_run(self) -> None:
        running, self.one.context.running = self.one.context.running, None
        self.fires("check-chain")
        self.one.context.running = running
        self.clears("check-chain")

    def test_signatures_are_checked_in_pure_python(self) -> None:
        before = use_backend(ReferenceBackend())
        self.addCleanup(use_backend, before)
        self.fires("check-signatures", step_s=COARSE_S)
        self.assertEqual(self.one.health()["state"], "degraded")
        use_backend(before)
        self.clears("check-signatures")

    def test_a_loop_stalls(self) -> None:
        """The node's timer is lost: no rounds, no dials, until the watchdog sets it again."""
        self.one.driver._arm = lambda: None  # type: ignore[method-assign]
        wake = self.one.driver._wake_call
        assert wake is not None
        wake.cancel()
        self.fires("check-loops")
        self.assertIn("node-timer", self.one.health()["checks"]["loops"]["reason"])
        del self.one.driver._arm
        self.clears("check-loops")
        self.assertGreater(self.one.context.loops.restarts()["node-timer"], 0)

    def test_an_exception_comes_out_of_the_core(self) -> None:
        node = self.one.driver.node

        def broken(now: int) -> None:
            raise ZeroDivisionError

        self.patch(node, "drained", lambda link, now: broken(now))
        self.pass_time(1)
        self.fires("check-bugs")
        self.flushLoggedErrors(ZeroDivisionError)
        self.one.stop()
        self.one.start()
        self.pass_time(20)
        self.assertNotIn("check-bugs", self.one.active())

    def test_the_event_loop_is_held_up(self) -> None:
        """Somebody computes for 0.4 s in each turn."""
        self.fires("reactor-late", step_s=0.4)
        self.clears("reactor-late", step_s=STEP_S)

    def test_the_log_is_flooded(self) -> None:
        log = Logger(namespace="timed.test.flood", observer=self.one.observer)
        for number in range(400):
            log.info("line {number} of a level that is too low", number=number)
        self.fires("log-loud")
        self.clears("log-loud")

    def test_memory_is_leaked(self) -> None:
        """Two megabytes a minute, for an hour; the block is real and was written to."""
        leak: list[bytes] = []
        for machine in (self.one, self.two):
            for link in list(machine.links):
                machine.links.pop(link)

        def leaking() -> bool:
            if self.world.clock.seconds() % 60 < 2:
                leak.append(os.urandom(1) * (4 * MIB))
            return "memory-grows" in self.one.active()

        self.until(leaking, 4_500, 2.0)
        self.fires("memory-grows")
        leak.clear()
        self.clears("memory-grows", seconds=4_500, step_s=2.0)

    def test_the_processor_is_busy(self) -> None:
        """The limit is a few times of what the node needs here, so that the test need not burn 0.9 of a core."""
        self.world.separate(self.one, self.two)
        begun = time.process_time()
        self.pass_time(60, 1.0)
        limit = 3 * (time.process_time() - begun) / 60 + 0.002
        config = self.one.context.live.config
        changed = (override("monitor.limits", f"cpu-high:{limit:.6f}", "--set"),)
        self.one.monitor._regulate(config.with_layers(attrs.evolve(config.layers, changed=changed)))
        self.until(lambda: burn(1.5 * limit) or "cpu-high" in self.one.active(), 700, 1.0)
        self.fires("cpu-high")
        self.clears("cpu-high", step_s=1.0)


def burn(seconds: float) -> None:
    """Compute for so long, as the process's own clock counts it."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        sum(range(1_000))


class Files(MemberCase):
    """The parts beside the chain, with the disk under them refusing."""

    def test_an_index_does_not_go_on(self) -> None:
        clock, chain = self.world.clock, RandomChain()
        builders = builders_of(self.mktemp(), chain.store)
        self.addCleanup(lambda: [builder.close() for builder in builders.values()])
        broken: list[Exception] = [FULL]
        indexer = Indexer(
            list(builders.values()), clock, clock.seconds,
            lambda step: fail(broken[0]) if broken else succeed(step()),
        )  # fmt: skip
        indexer.start()
        self.one.context.indexes = ReadIndexes("", chain.store, reader_of(builders), indexer.sharpen)
        self.fires("check-indexes", step_s=COARSE_S)
        broken.clear()
        self.clears("check-indexes")
        self.one.context.indexes = None
        indexer.stop()

    def test_the_log_of_events_does_not_go_on(self) -> None:
        feed = self.feed()
        feed.failing = FULL
        feed.tell(draft())
        self.fires("check-events", step_s=COARSE_S)
        feed.failing = None
        self.clears("check-events")

    def test_a_receiver_of_events_is_away(self) -> None:
        feed = self.feed()
        receiver = Receiver()
        receiver.answers = [NotTaken("connection-refused") for _ in range(12)]
        delivery = Delivery(
            receiver, feed.window, lambda sink: feed.writer.log.position(sink) if feed.writer.log else None,
            feed.scribe.save, self.world.clock.callLater, self.world.clock.seconds, lambda: 0.0,
        )  # fmt: skip
        feed.hub.listeners.append(delivery.woken)
        feed.feed.sinks = [delivery]
        delivery.start()
        self.pass_time(1)
        feed.tell(attrs.evolve(draft(), time_us=self.one.now()))
        self.fires("check-sinks", step_s=COARSE_S)
        receiver.answers.clear()
        delivery.hurry()
        self.clears("check-sinks")
        delivery.stop()

    def feed(self) -> FeedWorld:
        """An event log beside this node, on its clock."""
        made = FeedWorld(self.mktemp(), clock=self.world.clock)
        self.addCleanup(made.writer.close)
        made.feed.scribe, made.feed.failure = made.scribe, lambda: made.scribe.failed
        self.one.context.feed = made.feed
        self.addCleanup(setattr, self.one.context, "feed", None)
        return made


class Apart(MemberCase):
    """What only an RPC process has: a way to the node, and its files."""

    def setUp(self) -> None:
        super().setUp()
        self.link = ChainLink("/nowhere", None, self.world.clock)  # type: ignore[arg-type]
        self.error: Exception | None = None
        self.probe = SnapshotProbe(self, self.world.clock, self.world.clock.seconds)  # type: ignore[arg-type]
        self.probe.start()
        clock = self.world.clock
        parts = Parts(
            Activity(clock.seconds, self.one.now), Toll(clock, 1_000, 30), Waiters(clock),
            Profiler(clock, clock.seconds), link=self.link, probe=self.probe,
        )  # fmt: skip
        self.link.start()

        def sibling(name: str) -> Any:
            return SimpleNamespace(parts=parts) if name == "rpc" else None

        self.patch(self.one.monitor._view, "_sibling", sibling)

    def read(self, read: Any) -> Deferred[int]:
        """The reader's thread: it cannot open the files, or can."""
        return fail(self.error) if self.error is not None else succeed(self.height(self.one))

    def test_the_chain_process_is_away(self) -> None:
        self.fires("check-link")
        protocol = SimpleNamespace()
        self.link.fits(protocol)  # type: ignore[arg-type]
        self.clears("check-link")

    def test_the_files_of_the_chain_cannot_be_read(self) -> None:
        self.error = StoreError("the store is of another network.", "Set node.datadir.")
        self.fires("check-snapshot")
        self.error = None
        self.clears("check-snapshot")


CAUSES = {
    "check-chain": "Process.test_the_chain_does_not_run",
    "check-disk": "Disk.test_the_disk_refuses_writes",
    "check-safety": "Safety.test_two_certified_blocks_of_one_height",
    "check-voting": "Disk.test_the_disk_refuses_writes",
    "check-clock": "Peers.test_the_clock_of_this_machine_is_stepped",
    "check-peers": "Peers.test_the_other_members_are_gone",
    "check-sync": "Peers.test_blocks_that_are_proven_and_never_come",
    "check-blocks": "Peers.test_the_other_members_are_gone",
    "check-signatures": "Process.test_signatures_are_checked_in_pure_python",
    "check-indexes": "Files.test_an_index_does_not_go_on",
    "check-events": "Files.test_the_log_of_events_does_not_go_on",
    "check-sinks": "Files.test_a_receiver_of_events_is_away",
    "check-link": "Apart.test_the_chain_process_is_away",
    "check-snapshot": "Apart.test_the_files_of_the_chain_cannot_be_read",
    "check-loops": "Process.test_a_loop_stalls",
    "check-bugs": "Process.test_an_exception_comes_out_of_the_core",
    "sessions-lost": "Peers.test_the_connection_drops_again_and_again",
    "member-missed": "Missed.test_a_member_that_does_not_run",
    "finality-slow": "Peers.test_the_way_between_the_members_is_slow",
    "reactor-late": "Process.test_the_event_loop_is_held_up",
    "disk-slow": "Disk.test_the_disk_is_slow",
    "disk-space": "Disk.test_the_disk_fills_up",
    "memory-grows": "Process.test_memory_is_leaked",
    "cpu-high": "Process.test_the_processor_is_busy",
    "log-loud": "Process.test_the_log_is_flooded",
    "clock-offset": "Peers.test_the_clock_of_this_machine_is_stepped",
    "equivocation": "Safety.test_a_key_that_runs_twice",
    "quorum-thin": "Peers.test_the_other_members_are_gone",
}
"""The test of each rule, in this module."""


class EveryRule(SynchronousTestCase):
    def test_has_a_test_that_causes_it(self) -> None:
        self.assertEqual(set(CAUSES), {rule.name for rule in RULES})
        self.assertLessEqual({f"check-{check.name}" for check in CHECKS}, set(CAUSES))
        for rule, name in CAUSES.items():
            self.assertTrue(found(f"{__name__}.{name}"), name)
            self.assertIn(rule, self.fired(name), f"{name} does not wait for {rule}")

    def fired(self, name: str) -> set[str]:
        """The alerts that a test waits for."""
        case, _, method = name.partition(".")
        tree = ast.parse(inspect.getsource(globals()[case]).expandtabs())
        [body] = [
            each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef) and each.name == method
        ]
        calls = [each for each in ast.walk(body) if isinstance(each, ast.Call)]
        return {
            argument.value
            for call in calls
            if isinstance(call.func, ast.Attribute) and call.func.attr == "fires"
            for argument in call.args
            if isinstance(argument, ast.Constant)
        }

    def test_has_its_page_in_the_runbook(self) -> None:
        lines = (ROOT / "docs/runbook.rst").read_text(encoding="utf-8").splitlines()
        titles = {above for above, below in pairwise(lines) if below and set(below) == {"-"}}
        self.assertLessEqual(set(CAUSES), titles)

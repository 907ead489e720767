"""The wallet in a process: durable before visible, sent again until it is in a block."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import LoopingCall, deferLater
from twisted.trial.unittest import TestCase

from tests.rpc_world import FRIEND, World, address_of
from tests.wallet_world import vectors
from timed.errors import LocalError, StoreError, WalletFull, WalletLocked
from timed.interfaces import Coin
from timed.ledger.regtest import well_known_seed
from timed.primitives.transaction import Lock, OutPoint
from timed.rpc import paying, wallethost
from timed.rpc.sweeping import sweep
from timed.rpc.wallethost import WalletHost
from timed.wallet import pursuit, walletfile
from timed.wallet.keystore import RECEIVE, Keystore
from timed.wallet.planning import Payee

UNITS = 10**8
FRIEND_LOCK = Lock.key_hash(FRIEND.public)


class Hosted(TestCase):
    """Each test has a world on virtual time; the host's thread is a real one."""

    timeout = 60

    def setUp(self) -> None:
        directory = self.mktemp()
        os.mkdir(directory)
        self.path = os.path.join(directory, "wallet.json")
        self.hosts: list[WalletHost] = []

    async def tearDown(self) -> None:
        for host in self.hosts:
            await host.stop()

    def host(self, world: World) -> WalletHost:
        host = WalletHost(self.path, world.backend, reactor, random.Random(5).randbytes)
        self.hosts.append(host)
        host.start(well_known_seed("wallet", 1))
        return host

    async def scanned(self, host: WalletHost) -> WalletHost:
        while not host.wallet.ready:
            await deferLater(reactor, 0)
        await host.chronicle.caught_up()
        return host

    async def test_nobody_is_told_that_what_found_no_room_is_durable(self) -> None:
        """Neither the new file nor the journal has room for a payment whose sender waits for another write."""
        world = World(with_wallet=False)
        host = await self.scanned(self.host(world))
        before = os.path.getsize(f"{self.path}.journal")
        host.wallet.prepare(FRIEND_LOCK, 10**8, "", world.now())
        first = host.write()
        host.wallet.prepare(FRIEND_LOCK, 10**8, "", world.now())
        second = host.write()
        self.patch(walletfile, "MAX_FILE_BYTES", before + 1_000)
        await self.assertFailure(host.replace(), WalletFull)
        await first
        await self.assertFailure(second, WalletFull)

    async def test_whoever_asked_for_a_new_file_and_leaves_says_nothing_of_what_others_write(self) -> None:
        world = World(with_wallet=False)
        host = await self.scanned(self.host(world))
        host.wallet.prepare(FRIEND_LOCK, 10**8, "", world.now())
        first = host.write()
        host.wallet.prepare(FRIEND_LOCK, 10**8, "", world.now())
        second = host.write()
        leaving = host.replace()
        leaving.cancel()
        await self.assertFailure(leaving, CancelledError)
        await first
        await second
        await host.stop()
        again = await self.scanned(self.host(world))
        self.assertEqual(len(again.wallet.payments), 2)

    async def test_a_stored_payment_is_sent_after_a_crash_before_the_node_saw_it(self) -> None:
        world = World(with_wallet=False)
        host = await self.scanned(self.host(world))
        prepared = host.wallet.prepare(FRIEND_LOCK, 10**8, "rent", world.now())
        await host.write()
        txid = prepared.payment.txid
        self.assertIsNone(world.backend.status(txid))
        await host.stop()
        again = await self.scanned(self.host(world))
        world.advance(1)
        self.assertEqual(world.backend.status(txid).state, "final")
        self.assertEqual(again.wallet.payment(txid).comment, "rent")
        world.block()
        self.assertIsNone(again.wallet.payment(txid))

    async def test_a_kill_between_the_payments_of_one_sendall_pays_nothing_twice_and_loses_nothing(
        self,
    ) -> None:
        """A hundred coins go in ten payments; the process ends before, within and after the fourth."""
        for step in ("write", "submit", "answer"):
            world = World(with_wallet=False)
            self.path = os.path.join(self.mktemp(), "wallet.json")
            os.mkdir(os.path.dirname(self.path))
            host = await self.scanned(self.host(world))
            mine = set(host.wallet.coins.outpoints)
            await self.sweep(world, host, killed=(step, 4))
            after = self.mktemp()
            shutil.copytree(os.path.dirname(self.path), after)
            await host.stop()
            self.path = os.path.join(after, "wallet.json")
            again = await self.scanned(self.host(world))
            world.block()
            # One that was prepared goes its way as soon as anything has written it.
            self.assertIn(len(self.paid(world)), (3, 4) if step == "write" else (4,), step)
            await self.sweep(world, again)
            world.block()
            self.assertEqual(
                (set(again.wallet.coins.outpoints) & mine, again.wallet.unsent()), (set(), ()), step
            )
            self.assertGreater(sum(self.paid(world)), 999_999 * UNITS, step)

    def paid(self, world: World) -> list[int]:
        return [coin.output.value for _, coin in world.backend.coins() if coin.output.lock == FRIEND_LOCK]

    async def sweep(self, world: World, host: WalletHost, killed: tuple[str, int] | None = None) -> None:
        """Pay everything in parts of ten coins; when `killed`, until this step of its payment of this number."""
        env, counts = world.environment, Counter[str]()
        env.params = attrs.evolve(env.params, max_inputs=10)
        env.own_wallet = host.wallet
        ended: Deferred[Any] = Deferred()

        def reached(step: str) -> bool:
            counts[step] += 1
            if (step, counts[step]) != killed:
                return ended.called
            ended.callback(None)
            return True

        def write() -> Deferred[None]:
            return Deferred() if reached("write") else host.write()

        submit = paying.submit

        async def submitted(env: Any, transaction: Any) -> Any:
            if reached("submit"):
                await Deferred[None]()
            answer = await submit(env, transaction)
            if reached("answer"):
                await Deferred[None]()
            return answer

        env.write_wallet = write
        self.patch(paying, "submit", submitted)
        sweeping = Deferred.fromCoroutine(sweep(env, (Payee(FRIEND_LOCK, None),), (), "", in_blocks=False))
        sweeping.addCallbacks(ended.callback, ended.errback)
        while not ended.called:
            world.clock.advance(0.05)
            await deferLater(reactor, 0)
        self.patch(paying, "submit", submit)
        await ended

    async def test_a_payment_that_is_in_a_block_is_not_sent_again(self) -> None:
        world = World(with_wallet=False)
        host = await self.scanned(self.host(world))
        prepared = host.wallet.prepare(FRIEND_LOCK, 10**8, "", world.now())
        await host.write()
        world.backend.submit(prepared.payment.transaction.raw)
        await host.stop()
        world.block()
        submitted: list[bytes] = []
        self.patch(world.backend, "submit", submitted.append)
        again = await self.scanned(self.host(world))
        self.assertEqual(submitted, [])
        self.assertIsNone(again.wallet.payment(prepared.payment.txid))

    async def test_a_payment_that_can_never_be_is_given_up_and_its_coins_are_free(self) -> None:
        world = World(with_wallet=False)
        host = await self.scanned(self.host(world))
        prepared = host.wallet.prepare(FRIEND_LOCK, 10**8, "", world.now())
        host.wallet.stored(prepared)
        await host.write()
        host.wallet.abandon(prepared.payment.txid)
        rival = host.wallet.prepare(FRIEND_LOCK, 2 * 10**8, "", world.now()).payment.transaction
        self.assertEqual(rival.inputs, prepared.payment.transaction.inputs)
        await host.stop()
        world.backend.submit(rival.raw)
        world.block()
        # What the file holds now: the first payment was abandoned, the rival is in the block.
        again = await self.scanned(self.host(world))
        self.assertEqual(again.wallet.unsent(), ())

    async def test_a_double_spent_payment_is_given_up_at_the_next_start(self) -> None:
        world = World(with_wallet=False)
        host = await self.scanned(self.host(world))
        prepared = host.wallet.prepare(FRIEND_LOCK, 10**8, "", world.now())
        await host.write()
        await host.stop()
        twin = World(with_wallet=False)
        other = WalletHost(self.path + "2", twin.backend, reactor, random.Random(6).randbytes)
        self.hosts.append(other)
        other.start(well_known_seed("wallet", 1))
        await self.scanned(other)
        rival = other.wallet.prepare(FRIEND_LOCK, 3 * 10**8, "", twin.now()).payment.transaction
        self.assertEqual(rival.inputs, prepared.payment.transaction.inputs)
        world.backend.submit(rival.raw)
        world.block()
        again = await self.scanned(self.host(world))
        while again.wallet.payments:
            await deferLater(reactor, 0)
        await again.write()
        released = again.chronicle.book.entry(prepared.payment.txid)
        self.assertEqual((released.released, released.reason), (True, "input-spent"))

    async def test_a_payment_the_mempool_dropped_is_sent_again_after_the_next_block(self) -> None:
        world = World(with_wallet=False)
        host = await self.scanned(self.host(world))
        submitted: list[bytes] = []
        submit = world.backend.submit
        prepared = host.wallet.prepare(FRIEND_LOCK, 10**8, "", world.now())
        host.wallet.stored(prepared)
        self.patch(world.backend, "submit", lambda raw: (submitted.append(raw), submit(raw))[1])
        world.block()
        self.assertEqual(submitted, [prepared.payment.transaction.raw])
        world.block()
        self.assertEqual(world.backend.status(prepared.payment.txid).state, "confirmed")

    async def test_writes_asked_for_together_share_one_fsync(self) -> None:
        world = World(with_wallet=False)
        host = await self.scanned(self.host(world))
        syncs: list[int] = []
        fsync = os.fsync
        self.patch(walletfile.os, "fsync", lambda fd: (syncs.append(fd), fsync(fd))[1])
        writes: list[Deferred[None]] = []
        for _ in range(20):
            host.wallet.new_key("")
            writes.append(host.write())
        for done in writes:
            await done
        self.assertLessEqual(len(syncs), 2)

    async def test_after_a_failed_write_nothing_is_shown_or_sent(self) -> None:
        world = World(with_wallet=False)
        host = await self.scanned(self.host(world))

        def full(descriptor: int, data: bytes) -> None:
            raise OSError(28, "No space left on device")

        full_disk = self.patch(walletfile, "write_all", full)
        world.environment.own_wallet = host.wallet
        world.environment.write_wallet = host.write
        for method, params in (("getnewaddress", []), ("sendtoaddress", [address_of(FRIEND, world), 1])):
            waiting = world.begin(method, params)
            reply = await waiting
            self.assertIn(b"wallet-file", reply.body)
        self.assertEqual(len(world.backend.mempool), 0)
        self.assertEqual(len(host.wallet.reservations), 0)
        full_disk.restore()
        with self.assertRaises(LocalError):
            await host.write()

    async def test_the_scan_takes_turns(self) -> None:
        world = World(with_wallet=False)
        self.patch(wallethost, "SCAN_STEP", 7)
        host = self.host(world)
        self.assertFalse(host.wallet.ready)
        await self.scanned(host)
        self.assertEqual(host.wallet.balance(), 1_000_000 * 10**8)

    async def test_a_scan_the_store_refuses_is_said_and_begun_again(self) -> None:
        """What was spent meanwhile is no coin afterwards."""
        world = World(with_wallet=False)
        host = await self.scanned(self.host(world))
        self.patch(wallethost, "FIRST_RETRY_S", 0.01)
        self.patch(wallethost, "SCAN_STEP", 7)
        host._retry_s = 0.01
        coins, failures = world.backend.coins, [5, 0, 9]

        def failing() -> Iterator[tuple[OutPoint, Coin]]:
            for number, entry in enumerate(coins()):
                if failures and number == failures[0]:
                    failures.pop(0)
                    raise StoreError("the store is damaged.", "Check the disk.")
                yield entry

        self.patch(world.backend, "coins", failing)
        ended = self.assertFailure(host.rescan(), StoreError)
        await ended
        world.environment.own_wallet = host.wallet
        reply = await world.begin("getbalance")
        self.assertIn(b"wallet-scan-failed", reply.body)
        self.assertIn(b"Check the disk. It is tried again by itself.", reply.body)
        spent = world.wallet.prepare(FRIEND_LOCK, 10**8, "", world.now()).payment.transaction
        world.backend.submit(spent.raw)
        world.block()
        await self.scanned(host)
        self.assertEqual(failures, [])
        self.assertIsNone(host.wallet.trouble)
        mine = [coin for _, coin in world.store.coins() if host.wallet.keys.owns(coin.output.lock)]
        self.assertEqual(host.wallet.balance(), sum(coin.output.value for coin in mine))
        self.assertNotIn(spent.inputs[0], host.wallet.coins)

    async def test_a_payment_nobody_took_is_sent_again_after_a_while(self) -> None:
        world = World(with_wallet=False)
        host = await self.scanned(self.host(world))
        self.patch(pursuit, "FIRST_US", 10_000)
        prepared = host.wallet.prepare(FRIEND_LOCK, 10**8, "", world.now())
        host.wallet.stored(prepared)
        host._pursue()
        while world.backend.status(prepared.payment.txid) is None:
            world.clock.advance(0.05)
            await deferLater(reactor, 0.01)
        self.assertEqual(host.pursuit.resent, 1)

    async def test_another_wallets_file_put_in_place_gets_a_history_of_its_own(self) -> None:
        world = World(with_wallet=False)
        first = WalletHost(self.path + "1", world.backend, reactor, random.Random(7).randbytes)
        self.hosts.append(first)
        first.start(None)
        await self.scanned(first)
        host = await self.scanned(self.host(world))
        world.block()
        await host.chronicle.caught_up()
        await host.stop()
        await first.stop()
        for name in ("", ".journal"):
            Path(f"{self.path}1{name}").write_bytes(Path(self.path + name).read_bytes())
        second = WalletHost(self.path + "1", world.backend, reactor, random.Random(8).randbytes)
        self.hosts.append(second)
        second.start(None)
        await self.scanned(second)
        while second.chronicle.status.rescan is not None:
            await deferLater(reactor, 0)
        entries, _ = second.chronicle.book.page(10)
        self.assertEqual([entry.height for entry in entries], [1, 0])
        await second.stop()
        third = WalletHost(self.path + "1", world.backend, reactor, random.Random(8).randbytes)
        self.hosts.append(third)
        third.start(None)
        await self.scanned(third)
        self.assertIsNone(third.chronicle.status.rescan)

    async def test_an_older_copy_of_the_file_sends_nothing_that_was_released(self) -> None:
        """Its owner has taken the payment back and may have paid otherwise; the history remembers."""
        world = World(with_wallet=False)
        host = await self.scanned(self.host(world))
        prepared = host.wallet.prepare(FRIEND_LOCK, 10**8, "", world.now())
        await host.write()
        host.wallet.stored(prepared)
        copies = {name: Path(self.path + name).read_bytes() for name in ("", ".journal")}
        await host.chronicle.release(prepared.payment.txid, "never-left-this-node")
        await host.stop()
        for name, data in copies.items():
            Path(self.path + name).write_bytes(data)
        submitted: list[bytes] = []
        self.patch(world.backend, "submit", submitted.append)
        again = await self.scanned(self.host(world))
        world.block()
        self.assertEqual((again.wallet.payments, submitted), ((), []))
        found = await again.on_disk(lambda file: file.read_back())
        self.assertEqual([record for record in found if "abandon" in record][-1]["abandon"]["reason"],
                         "never-left-this-node")  # fmt: skip

    async def test_the_file_is_written_anew_when_most_of_it_is_done_with(self) -> None:
        world = World(with_wallet=False)
        host = await self.scanned(self.host(world))
        for _ in range(5):
            prepared = host.wallet.prepare(FRIEND_LOCK, 10**8, "note", world.now())
            await host.write()
            host.wallet.stored(prepared)
            world.backend.submit(prepared.payment.transaction.raw)
        world.block()
        await host.chronicle.caught_up()
        await host.stop()
        self.patch(wallethost, "MIN_SHRUNK", -10_000)
        again = await self.scanned(self.host(world))
        self.assertEqual(again.wallet.payments, ())
        found = await again.on_disk(lambda file: file.read_back())
        self.assertEqual([record for record in found if "payment" in record], [])
        kept = again.chronicle.book.entry(prepared.payment.txid)
        self.assertEqual(kept.comment, "note")

    async def test_the_journal_of_a_process_that_runs_for_long_is_bounded(self) -> None:
        """It is written anew while payments go on; none is lost, and those that blocks hold leave the disk."""
        self.patch(walletfile, "GROWN_BYTES", 4_000)
        world = World(with_wallet=False)
        host = await self.scanned(self.host(world))
        sizes: list[int] = []
        for number in range(30):
            prepared = host.wallet.prepare(FRIEND_LOCK, 10**8, f"note {number}", world.now())
            await host.write()
            host.wallet.stored(prepared)
            world.backend.submit(prepared.payment.transaction.raw)
            if number % 5 == 4:
                world.block()
                await host.chronicle.caught_up()
            sizes.append(os.path.getsize(f"{self.path}.journal"))
        self.assertLess(max(sizes[5:]), 15_000)
        open_payment = host.wallet.prepare(FRIEND_LOCK, 10**8, "open", world.now())
        await host.write()
        host.wallet.stored(open_payment)
        await host.stop()
        again = await self.scanned(self.host(world))
        self.assertEqual([one.comment for one in again.wallet.payments], ["open"])
        self.assertEqual(len(again.wallet.keys), len(host.wallet.keys))

    async def test_a_new_wallet_has_a_phrase_and_an_old_one_stays_as_it_is(self) -> None:
        world = World(with_wallet=False)
        host = await self.scanned(self.host(world))
        seed = host.wallet.keys.seed.id
        await host.stop()
        again = await self.scanned(self.host(world))
        self.assertEqual(again.wallet.keys.seed.id, seed)
        await again.stop()
        old = vectors("wallet_format_1.json")
        for path, text in ((self.path, old["snapshot"]), (f"{self.path}.journal", old["journal"])):
            with open(path, "w", encoding="ascii") as file:
                file.write(text)
        host = await self.scanned(self.host(world))
        self.assertIsNone(host.wallet.keys.seed)
        self.assertEqual(host.wallet.balance(), 1_000_000 * 10**8)
        self.assertIn("shop", [key.label for key in host.wallet.keys])

    async def test_a_passphrase_is_stretched_beside_the_reactor(self) -> None:
        """The real cost: half a second, in which the reactor goes on turning."""
        world = World(with_wallet=False)
        host = await self.scanned(self.host(world))
        turns: list[float] = []
        turning = LoopingCall(lambda: turns.append(reactor.seconds()))
        turning.start(0.01)
        self.addCleanup(turning.stop)
        await host.custody.encrypt("correct horse")
        self.assertGreater(len(turns), 5)
        self.assertTrue(host.wallet.keys.locked)
        await host.stop()
        with open(self.path, encoding="ascii") as file:
            self.assertNotIn(well_known_seed("wallet", 1).hex(), file.read())
        again = await self.scanned(self.host(world))
        self.assertTrue(again.wallet.keys.locked)
        self.assertEqual(again.wallet.balance(), 1_000_000 * 10**8)
        with self.assertRaises(WalletLocked):
            again.wallet.prepare(FRIEND_LOCK, 10**8, "", world.now())
        await again.custody.unlock("correct horse", 60_000_000)
        prepared = again.wallet.prepare(FRIEND_LOCK, 10**8, "", world.now())
        world.backend.submit(prepared.payment.transaction.raw)
        world.advance(1)
        self.assertEqual(world.backend.status(prepared.payment.txid).state, "final")
        # Nothing waits after the stop: trial would find the call that locks the wallet.
        await again.stop()

    async def test_a_rescan_finds_the_coins_of_new_keys_and_the_stop_ends_it(self) -> None:
        world = World(with_wallet=False)
        host = WalletHost(self.path, world.backend, reactor, random.Random(5).randbytes)
        self.hosts.append(host)
        host.start(None)
        await self.scanned(host)
        self.assertEqual(host.wallet.balance(), 0)
        host.wallet.keys.adopt(well_known_seed("wallet", 1), "")
        await host.custody.rescan()
        self.assertEqual(host.wallet.balance(), 1_000_000 * 10**8)
        self.patch(wallethost, "SCAN_STEP", 1)
        ended = self.assertFailure(host.rescan(), LocalError)
        await host.stop()
        await ended

    async def test_coins_at_unused_addresses_move_the_pool_and_it_is_kept(self) -> None:
        """The same phrase on another machine has handed out the address."""
        world = World()
        host = await self.scanned(self.host(world))
        copy = Keystore(random.Random(9).randbytes, [])
        copy.restore(host.wallet.keys.records())
        ahead = [copy.take(RECEIVE) for _ in range(5)][-1]
        payment = world.wallet.prepare(ahead.lock, 10**8, "", world.now()).payment.transaction
        world.backend.submit(payment.raw)
        world.advance(1)
        self.assertEqual(host.wallet.keys.get(ahead.hash).role, RECEIVE)
        await host.stop()
        again = await self.scanned(self.host(world))
        self.assertEqual(again.wallet.keys.take(RECEIVE).place.index, 5)

    async def test_nothing_is_left_after_stop(self) -> None:
        world = World(with_wallet=False)
        self.patch(wallethost, "SCAN_STEP", 1)
        host = self.host(world)
        host.wallet.new_key("kept")
        await host.stop()
        again = await self.scanned(self.host(world))
        self.assertIn("kept", [key.label for key in again.wallet.keys])

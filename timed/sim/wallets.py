"""Wallets in chaos: many payments at once and on top of each other, while nodes die and paths are cut.

Every node has a wallet, all of it production code on virtual time; two of them share
a key, so that they spend each other's coins. In the end every payment that any wallet
file ever held must be final, or released for a reason that the blocks bear out.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import traceback
from collections import Counter, deque
from typing import TYPE_CHECKING

import attrs
from twisted.logger import LogEvent, globalLogPublisher
from twisted.python.failure import Failure

from timed.params import SECOND
from timed.primitives.block import Block
from timed.primitives.transaction import Lock, OutPoint
from timed.rpc.errors import RpcError
from timed.sim.nemesis import FAULTS
from timed.sim.teller import Teller, make_wallet
from timed.sim.violation import Violation
from timed.sim.world import Scenario, World
from timed.wallet.history import Eye
from timed.wallet.pursuit import DEAD_RULES

if TYPE_CHECKING:
    from timed.events import NodeEvent
    from timed.sim.host import Process
    from timed.wallet.records import HistoryEntry
    from timed.wallet.wallet import Payment

INTERVAL = 15
WARM_UP = 6 * SECOND
BURST_EVERY = 60 * SECOND
"""Mean time between two bursts of calls."""
AMID = SECOND // 2
CRASH_AMID, PARTITION_AMID = 0.6, 0.4
"""How often a burst is struck by what, within so many microseconds of its beginning."""
CHAINS = 2
"""In each burst."""
LINKS = 6
LINK_EVERY = 7 * SECOND // 10
"""A chain is so many payments, one after the other, of a wallet whose coins are all in the first of them."""
MAX_TRIES = 20
"""Calls for one wish that end without a payment before it is given up."""
SETTLE_WITHIN = 2 * 3_600 * SECOND
"""Virtual time after healing in which every payment must have ended."""
SLOWEST = 24 * 3_600 * SECOND
"""Virtual time in which the payments must have been made."""
UNFIT = ("hostile", "lone")
"""Faults that spend from the purses themselves."""


@attrs.define
class Want:
    """One payment that somebody wants to be made, once."""

    number: int
    payer: int
    payee: int
    amount: int
    tries: int = 0


@attrs.frozen
class WalletResult:
    """What one run did, and what broke."""

    seed: int
    payments: int
    """That a wallet file held."""
    confirmed: int
    released: dict[str, int]
    """Released payments by reason."""
    dependent: int
    """Payments that spent the output of one no block held."""
    most_calls: int
    """The most calls under way at one moment."""
    lost_calls: int
    """Calls whose process died before it answered."""
    resent: int
    """Payments handed to a node again."""
    lives: int
    """Processes, of all machines together."""
    faults: dict[str, int]
    blocks: int
    virtual_s: float
    events: int
    trace_hash: str
    cpu_s: float
    violation: str = ""
    detail: str = ""
    tail: tuple[str, ...] = ()


class WalletRun:
    """One network from the first boot to the last check. It is the Patron of its world."""

    def __init__(self, seed: int, payments: int, nodes: int, concurrent: int, directory: str) -> None:
        faults = tuple(name for name in FAULTS if name not in UNFIT)
        self.world = World(Scenario(seed, nodes, interval=INTERVAL, faults=faults))
        self.seed = seed
        self._wanted = payments
        self._concurrent = concurrent
        self._directory = directory
        self._entropy = self.world.entropy("wallets")
        self._tellers: dict[int, Teller] = {}
        self._wants: deque[Want] = deque()
        self._numbers = 0
        self._calls: dict[int, Want] = {}
        """Under way, by number."""
        self.most_calls = self.lost_calls = self._resent = 0
        self._made: dict[bytes, tuple[int, Payment]] = {}
        """Every payment a wallet file ever held, and whose."""
        self._dependent: set[bytes] = set()
        self._paying = True
        self._broken: Failure | None = None
        """What a call raised that no caller may see, or what was raised where nobody calls."""
        self.world.patrons.append(self)
        for host in self.world.hosts:
            self._make_wallet(host.index)

    def play(self) -> None:
        """Raises Violation, or whatever a node or wallet raised, at the event that showed it."""
        globalLogPublisher.addObserver(self._logged)  # type: ignore[arg-type]
        clock, world = self.world.clock, self.world
        for host in world.hosts:
            boot = f"boot {host.index}"
            clock.at(clock.start + 1 + host.index * 1_000, boot, lambda index=host.index: world.boot(index))  # type: ignore[misc]
        self._until(clock.start + WARM_UP)
        world.nemesis.plan(clock.now, clock.now + SLOWEST)
        self._burst()
        while len(self._made) < self._wanted:
            if clock.now > clock.start + SLOWEST:
                raise Violation("live-wallet", f"{len(self._made)} of {self._wanted} payments were made")
            self._until(clock.now + SECOND)
        self._paying = False
        world.nemesis.heal()
        self._settle()
        self._check()

    # Patron

    def booted(self, process: Process) -> None:
        index = process.host.index
        self._bury(index)
        entropy = self.world.entropy(f"wallet {index} life {process.host.lives}")
        teller = Teller(process, self._path(index), entropy, lambda payment: self._note(index, payment))
        self._tellers[index] = teller
        process.turn("wallet", lambda now: teller.start())

    def told(self, process: Process, event: NodeEvent) -> None:
        teller = self._tellers.get(process.host.index)
        if teller is not None and teller.process is process:
            teller.told(event)

    # Paying

    def _burst(self) -> None:
        """Many calls at once, sometimes as many as there may be, and again after a while."""
        if not self._paying:
            return
        delay = int(self._entropy.expovariate(1.0) * BURST_EVERY)
        self.world.clock.after(delay, "burst", self._burst)
        self._amid()
        for _ in range(CHAINS):
            self._chain()
        size = min(self._concurrent, int(self._concurrent * self._entropy.uniform(0.1, 1.5)))
        self._wants.extend(self._want() for _ in range(size - len(self._wants)))
        for _ in range(min(size, len(self._wants))):
            self._try(self._wants.popleft())

    def _amid(self) -> None:
        """Some bursts are struck while they last: processes die, or groups of nodes do not hear each other."""
        nemesis, clock = self.world.nemesis, self.world.clock
        for fault, chance in ((nemesis.crash, CRASH_AMID), (nemesis.partition, PARTITION_AMID)):
            if self._entropy.random() < chance:
                clock.after(self._entropy.randrange(AMID), "amid the burst", fault)

    def _chain(self) -> None:
        """A wallet pays nearly all it has to itself: the next payments spend what no block holds."""
        want = self._want()
        teller = self._tellers.get(want.payer)
        if teller is None or not self._open(teller):
            return
        for link in range(LINKS):
            amount = self._want().amount // LINKS if link else teller.wallet.balance() * 998 // 1_000
            payee = want.payee if link else want.payer
            each = attrs.evolve(want, number=self._numbers, payee=payee, amount=max(1_000_000, amount))
            self._numbers += 1
            delay = link * LINK_EVERY
            self.world.clock.after(delay, "link", lambda each=each: self._try(each))  # type: ignore[misc]

    def _try(self, want: Want) -> None:
        """Call, unless as many are under way or made as there are to be."""
        if len(self._calls) >= self._concurrent:
            self._again(want)
        elif self._paying and len(self._made) + len(self._calls) < self._wanted:
            self._call(want)

    def _want(self) -> Want:
        nodes = range(self.world.scenario.nodes)
        payer, payee = self._entropy.sample(nodes, 2)
        self._numbers += 1
        return Want(self._numbers, payer, payee, self._entropy.randrange(1_000_000, 400_000_000))

    def _call(self, want: Want) -> None:
        payer, payee = self._tellers.get(want.payer), self._tellers.get(want.payee)
        want.tries += 1
        if payer is None or payee is None or not self._open(payer) or not payee.wallet.ready:
            self._again(want)
            return
        teller, lock = payer, self._lock_of(payee)
        self._calls[want.number] = want
        self.most_calls = max(self.most_calls, len(self._calls))

        def call(now: int) -> None:
            done = teller.pay(lock, want.amount, f"want {want.number}")
            done.addCallbacks(
                lambda prepared: self._answered(want), lambda failure: self._refused(want, failure)
            )

        teller.process.turn("call", call)

    def _lock_of(self, payee: Teller) -> Lock:
        """An address that was handed out: where the first key of its file receives."""
        return next(key.lock for key in payee.wallet.keys if key.place is None)

    def _open(self, teller: Teller) -> bool:
        return teller.process.alive and not teller.process.paused and teller.wallet.ready

    def _answered(self, want: Want) -> None:
        self._calls.pop(want.number, None)

    def _refused(self, want: Want, failure: Failure) -> None:
        """Nothing was paid, or the payment is kept and must not be made twice."""
        if self._calls.pop(want.number, None) is None:
            return
        error = failure.value
        if not isinstance(error, RpcError):
            self._broken = failure
        elif "txid" not in error.data:
            self._again(want)

    def _logged(self, event: LogEvent) -> None:
        """A program that cannot tell a caller of its exception logs it."""
        if "log_failure" in event and self._broken is None:
            self._broken = event["log_failure"]

    def _again(self, want: Want) -> None:
        if want.tries < MAX_TRIES:
            self._wants.append(want)

    def _note(self, index: int, payment: Payment) -> None:
        if payment.txid in self._made:
            return
        transaction = payment.transaction
        self._made[payment.txid] = (index, payment)
        self.world.workload.transactions[payment.txid] = transaction
        chain = self.world.hosts[index].store
        if any(chain.locate(outpoint.txid) is None for outpoint in transaction.inputs):
            self._dependent.add(payment.txid)

    def _bury(self, index: int) -> None:
        """The process there is dead: its calls end without an answer."""
        before = self._tellers.pop(index, None)
        if before is None:
            return
        self._resent += before.host.pursuit.resent
        before.died()
        for number in [number for number, want in self._calls.items() if want.payer == index]:
            del self._calls[number]
            self.lost_calls += 1

    # The end

    def _until(self, when: int) -> None:
        clock = self.world.clock
        while clock.now < when:
            clock.run_until(min(when, clock.now + SECOND))
            if self._broken is not None:
                self._broken.raiseException()
            for index, teller in list(self._tellers.items()):
                if not teller.process.alive:
                    self._bury(index)

    def _settle(self) -> None:
        """All is healed: every payment ends by itself, and every history has what there is."""
        clock, world = self.world.clock, self.world
        limit = clock.now + SETTLE_WITHIN
        while not self._settled():
            if clock.now > limit:
                still = sum(len(teller.wallet.payments) for teller in self._tellers.values())
                raise Violation("live-wallet", f"{still} payments are open, {len(self._calls)} calls under way,"
                                f" heights {world.heights()}")  # fmt: skip
            self._until(clock.now + SECOND)

    def _settled(self) -> bool:
        tellers, heights = self._tellers.values(), set(self.world.heights())
        return (
            len(tellers) == len(self.world.hosts)
            and not self._calls
            and len(heights) == 1
            and all(teller.wallet.ready and not teller.wallet.payments for teller in tellers)
            and all({teller.host.chronicle.status.height} == heights for teller in tellers)
            and not any(len(teller.process.node.mempool) for teller in tellers)
        )

    def _check(self) -> None:
        blocks = self._blocks()
        confirmed = {one.txid: height for height, block in enumerate(blocks) for one in block.transactions}
        spender = {
            outpoint: one.txid for block in blocks for one in block.transactions for outpoint in one.inputs
        }
        self._check_balances()
        self._check_ends(confirmed, spender)
        for index, teller in self._tellers.items():
            self._check_history(index, teller, confirmed)

    def _blocks(self) -> list[Block]:
        store = self.world.hosts[0].store
        return [Block.decode(store.block(height) or b"") for height in range(self.world.heights()[0] + 1)]

    def _check_balances(self) -> None:
        """Every node's disk gives every wallet the balance that the wallet shows, all of it free to spend."""
        for index, teller in self._tellers.items():
            wallet = teller.wallet
            shown = wallet.balance()
            for host in self.world.hosts:
                held = sum(
                    coin.output.value for _, coin in host.store.coins() if wallet.keys.owns(coin.output.lock)
                )
                if held != shown:
                    raise Violation(
                        "wallet-balance", f"wallet {index} shows {shown}, disk {host.index} holds {held}"
                    )
            free = sum(coin.value for coin in wallet.spendable())
            if free != shown or len(wallet.reservations):
                raise Violation("wallet-balance", f"wallet {index}: {free} of {shown} can be spent")

    def _check_ends(self, confirmed: dict[bytes, int], spender: dict[OutPoint, bytes]) -> None:
        """Every payment is in a block, or its wallet released it and no block will ever hold it."""
        for txid, (index, payment) in self._made.items():
            entry = self._tellers[index].host.chronicle.book.entry(txid)
            if entry is None or entry.released == (txid in confirmed):
                raise Violation("wallet-release", f"{txid.hex()[:12]} of wallet {index}: in a block:"
                                f" {txid in confirmed}, history: {entry}")  # fmt: skip
            if txid in confirmed:
                continue
            beaten = any(outpoint in spender for outpoint in payment.transaction.inputs)
            if entry.reason in DEAD_RULES and not beaten:
                raise Violation("wallet-release", f"{txid.hex()[:12]} was released as {entry.reason},"
                                " and none of its coins is spent")  # fmt: skip

    def _check_history(self, index: int, teller: Teller, confirmed: dict[bytes, int]) -> None:
        """What the history says adds up to the balance, and no wish was fulfilled twice."""
        book, eye = teller.host.chronicle.book, Eye(teller.wallet.keys)
        entries: list[HistoryEntry] = []
        after: bytes | None = None
        while True:
            page, after = book.page(500, after)
            entries += page
            if after is None:
                break
        kept = [entry for entry in entries if not entry.released]
        total = sum(eye.credit(entry) - eye.debit(entry) for entry in kept)
        if total != teller.wallet.balance():
            raise Violation("wallet-history", f"wallet {index}: lines of {total},"
                            f" balance {teller.wallet.balance()}")  # fmt: skip
        if any(confirmed.get(entry.txid) != entry.height for entry in kept):
            raise Violation("wallet-history", f"wallet {index} has a line for another block")
        twice = [
            note for note, count in Counter(entry.comment for entry in kept).items() if note and count > 1
        ]
        if twice:
            raise Violation("wallet-twice", f"wallet {index} has paid twice: {twice[0]}")

    def result(self, started: float, violation: str = "", detail: str = "") -> WalletResult:
        released: Counter[str] = Counter()
        confirmed = 0
        for txid, (index, _) in self._made.items():
            teller = self._tellers.get(index)
            entry = teller.host.chronicle.book.entry(txid) if teller is not None and not violation else None
            if entry is not None and entry.released:
                released[entry.reason] += 1
            confirmed += entry is not None and not entry.released
        world, clock = self.world, self.world.clock
        return WalletResult(
            seed=self.seed,
            payments=len(self._made),
            confirmed=confirmed,
            released=dict(sorted(released.items())),
            dependent=len(self._dependent),
            most_calls=self.most_calls,
            lost_calls=self.lost_calls,
            resent=self._resent + sum(teller.host.pursuit.resent for teller in self._tellers.values()),
            lives=sum(host.lives for host in world.hosts),
            faults=dict(world.nemesis.counts),
            blocks=world.invariants.chain.height,
            virtual_s=(clock.now - clock.start) / SECOND,
            events=clock.events,
            trace_hash=clock.trace_hash,
            cpu_s=time.process_time() - started,
            violation=violation,
            detail=detail,
            tail=tuple(clock.tail) if violation else (),
        )

    def close(self) -> None:
        """Let go of every wallet's files, and of the log."""
        globalLogPublisher.removeObserver(self._logged)  # type: ignore[arg-type]
        for index in list(self._tellers):
            self._bury(index)

    # Files

    def _path(self, index: int) -> str:
        return os.path.join(self._directory, f"wallet-{index}.json")

    def _make_wallet(self, index: int) -> None:
        """The purses go round; the first two wallets also hold the other's first key."""
        nodes = self.world.scenario.nodes
        purses = [purse for number, purse in enumerate(self.world.cast.purses) if number % nodes == index]
        if index < 2:
            purses += self.world.cast.purses[:2]
        make_wallet(
            self._path(index), self.world.cast.genesis.params, self.world.entropy(f"keys {index}"),
            [purse.seed for purse in dict.fromkeys(purses)],
        )  # fmt: skip


def run_wallets(seed: int, payments: int, nodes: int = 4, concurrent: int = 50) -> WalletResult:
    """Play one run; whatever a node or a wallet raises is a violation, too."""
    started = time.process_time()
    directory = tempfile.mkdtemp(prefix="timed-sim-")
    run: WalletRun | None = None
    try:
        run = WalletRun(seed, payments, nodes, concurrent, directory)
        try:
            run.play()
        except Violation as violation:
            return run.result(started, violation.name, violation.detail)
        except Exception:  # noqa: BLE001 - a traceback is what is being looked for
            return run.result(started, "no-traceback", traceback.format_exc())
        return run.result(started)
    finally:
        if run is not None:
            run.close()
        shutil.rmtree(directory)

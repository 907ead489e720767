"""One process's wallet, with the calls on it: the production wallet host, file, history and payments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed

from timed.events import NodeEvent
from timed.interfaces import IEventSink
from timed.monitor.profiler import Profiler
from timed.primitives.transaction import Lock
from timed.rpc.activity import Activity
from timed.rpc.backend import ChainBackend
from timed.rpc.environment import Environment, Identity
from timed.rpc.parts import Parts
from timed.rpc.paying import pay
from timed.rpc.toll import Toll
from timed.rpc.waiting import Waiters
from timed.rpc.wallethost import WalletHost
from timed.sim.reactor import ProcessReactor, ProcessWorker
from timed.wallet.derivation import account_path
from timed.wallet.keystore import Keystore
from timed.wallet.phrase import ENTROPY_BYTES
from timed.wallet.planning import Wish
from timed.wallet.walletfile import WalletFile
from timed.wallet.walletkey import WalletSeed

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable

    from timed.params import NetworkParams
    from timed.sim.host import Process
    from timed.wallet.wallet import Payment


class Seat:
    """What `timed.app.driver.NodeDriver` is to the RPC of a daemon."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.sinks: list[IEventSink] = []

    @property
    def node(self) -> Any:
        return self._process.node

    def clock(self) -> int:
        return self._process.host.local()

    def add_sink(self, sink: IEventSink) -> None:
        self.sinks.append(sink)

    def tell(self, event: NodeEvent) -> None:
        for sink in self.sinks:
            sink.published(event, self.clock())

    def submit(self, raw: bytes) -> bytes:
        """As the driver: the node takes it now, what follows leaves in a turn of its own."""
        process = self._process
        try:
            txid = process.operate(process.node.submit, raw, self.clock())
        finally:
            process.host.clock.after(0, "submitted", lambda: process.turn("submitted", lambda now: None))
        return txid


class Teller:
    """The wallet of one process. `noted` is told of every payment that is in the file."""

    def __init__(
        self, process: Process, path: str, entropy: random.Random, noted: Callable[[Payment], object]
    ) -> None:
        self.process = process
        self._seat = Seat(process)
        self._noted = noted
        reactor: Any = ProcessReactor(process)
        backend = ChainBackend(self._seat, process.host.store)
        self._worker = ProcessWorker(process, entropy)
        self.host = WalletHost(path, backend, reactor, entropy.randbytes, self._worker)
        self.waiters = Waiters(reactor)
        backend.subscribe(self.waiters)
        wallet = self.host.wallet
        self.wallet = wallet
        took = wallet.took
        wallet.took = lambda payment: (noted(payment), took(payment))
        self.environment = Environment(
            params=backend.params,
            identity=Identity(b"", None, "timed-sim", 0),
            monotonic=reactor.seconds,
            started=reactor.seconds(),
            shut_down=lambda: None,
            waiters=self.waiters,
            parts=Parts(
                Activity(reactor.seconds, backend.now),
                Toll(reactor, budget_per_s=1, deadline_s=1),
                self.waiters,
                Profiler(reactor, reactor.seconds),
            ),
            write_wallet=self.host.write,
            remember=lambda: succeed(None),
            backend=backend,
            own_wallet=wallet,
            own_custody=self.host.custody,
            own_chronicle=self.host.chronicle,
            own_pursuit=self.host.pursuit,
        )

    def start(self) -> None:
        """The process's other parts run: read the file, and go on with what is open."""
        self.host.start(None)
        for payment in self.wallet.payments:
            self._noted(payment)

    def told(self, event: NodeEvent) -> None:
        self._seat.tell(event)

    def died(self) -> None:
        """The process is no more; whoever comes next finds its files."""
        self._worker.died()
        self.host.let_go()

    def pay(self, lock: Lock, amount: int, comment: str) -> Deferred[Any]:
        """A call of the RPC, in a turn of the process: `Prepared`, or RpcError."""
        return Deferred.fromCoroutine(pay(self.environment, Wish.to(lock, amount), comment))


def make_wallet(path: str, params: NetworkParams, entropy: random.Random, seeds: Iterable[bytes]) -> None:
    """A new wallet file with a phrase of its own and these keys."""
    file = WalletFile(path, params.name)
    outbox: list[dict[str, Any]] = []
    keys = Keystore(entropy.randbytes, outbox)
    keys.restore(file.load())
    keys.plant(WalletSeed.of(entropy.randbytes(ENTROPY_BYTES), "", account_path(params)))
    for seed in seeds:
        keys.adopt(seed, "")
    keys.refill()
    file.append(outbox)
    file.close()

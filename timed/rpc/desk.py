"""What answers calls in one process, however they arrive: dispatcher, waiting calls, budgets, the reader's thread.

A front (`timed.rpc.service` for TCP) hands requests to `dispatcher` and the replies back. One
desk serves all fronts of a process: `timed.rpc.nodedesk` where the node runs, `timed.rpc.apart`
where it does not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from timed import __version__
from timed.crew import Crew
from timed.errors import LocalError
from timed.monitor.profiler import Profiler
from timed.rpc.activity import Activity
from timed.rpc.calllog import call_log
from timed.rpc.dispatch import Dispatcher, Forward
from timed.rpc.environment import Environment, Identity
from timed.rpc.eventing import NEW_EVENT
from timed.rpc.handlers import HANDLERS
from timed.rpc.parts import Parts
from timed.rpc.reader import REST_SHARE, Reader, Source, watch_reader
from timed.rpc.toll import KEYS, Toll, watch_lanes
from timed.rpc.waiting import Waiters

if TYPE_CHECKING:
    from timed.app.config import Config
    from timed.app.context import Context

SOFTWARE = f"timed/{__version__}"


class Desk:
    """What the desks of all processes have. After `stop` no waiting call, thread or file is left."""

    _log = Logger()
    _keys: tuple[str, ...] = KEYS
    """What it follows of the configuration."""
    dispatcher: Dispatcher

    def __init__(self, context: Context) -> None:
        self._context = context
        settings = context.config.settings.rpc
        self.waiters = Waiters(context.reactor)
        self.toll = Toll(context.reactor, settings.budget_per_s, settings.deadline_s)
        activity = Activity(context.monotonic, context.clock, ended=call_log(context.log_levels))
        self._profiler = Profiler(context.reactor, context.monotonic)
        self.parts = Parts(activity, self.toll, self.waiters, self._profiler)
        self._crew: Crew | None = None
        self._ends: list[Callable[[], None]] = []
        """End what follows the configuration and watches the loops."""

    def _make_reader(self, source: Source, rest_share: float = REST_SHARE) -> Reader:
        context, activity = self._context, self.parts.activity
        self.parts.reader = reader = Reader(
            source,
            self,
            context.reactor.callFromThread,
            context.monotonic,
            rest_share=rest_share,
            activity=activity,
        )
        return reader

    def _identity(self) -> Identity:
        """Of a process that reads no keys."""
        return Identity(b"", None, SOFTWARE, self._context.config.p2p_port)

    def _make_environment(self) -> Environment:
        """What every process has of it."""
        context = self._context
        return Environment(
            params=context.params,
            identity=self._identity(),
            monotonic=context.monotonic,
            started=context.monotonic(),
            shut_down=context.shut_down,
            waiters=self.waiters,
            parts=self.parts,
            pause=self._pause,
            log_levels=context.log_levels,
            feed=lambda: context.feed,
            reader=self.parts.reader,
            configuration=context.live,
            reloads=context.reloads,
            watch=lambda: context.watch,
        )

    def _make_dispatcher(self, environment: Environment, forward: Forward | None = None) -> Dispatcher:
        return Dispatcher(
            HANDLERS,
            environment,
            pause=self._pause,
            failed=self._failed,
            forward=forward,
            admit=self.toll.admit,
            within=self.toll.within,
            activity=self.parts.activity,
        )

    def start(self) -> None:
        context, loops = self._context, self._context.loops
        context.calls = self.parts.activity
        self._crew = Crew("timed-reader", 1)
        self._ends = [
            context.live.subscribe(self._keys, self._regulate),
            watch_lanes(loops, self.toll.lanes),
        ]
        if self.parts.reader is not None:
            self._ends.append(watch_reader(loops, self.parts.reader))

    def callInThread(self, func: Callable[..., object], *args: object) -> None:  # noqa: N802 - as a ThreadPool's
        """`timed.rpc.reader.Threads`."""
        if self._crew is None:
            raise LocalError("the desk is closed.")
        self._crew.callInThread(func, *args)

    async def end_calls(self) -> None:
        """Every call under way is answered soon; a second time does nothing more."""
        ends, self._ends = self._ends, []
        for end in ends:
            end()
        self._context.calls = None
        self.waiters.close()
        self.toll.close()
        self._profiler.close()
        if self.parts.reader is not None:
            await self.parts.reader.stop()

    async def stop(self) -> None:
        """Once no front hands in calls any more."""
        await self.end_calls()
        crew, self._crew = self._crew, None
        if crew is not None:
            crew.stop()

    def _new_event(self, newest: int) -> None:
        self.waiters.tell(NEW_EVENT, newest)

    def _regulate(self, config: Config) -> None:
        self.toll.regulate(config.settings.rpc)

    def _pause(self) -> Deferred[None]:
        return deferLater(self._context.reactor, 0)

    def _failed(self, method: str, error: Exception) -> None:
        self._log.failure("the RPC method {method} raised", Failure(error), method=method)

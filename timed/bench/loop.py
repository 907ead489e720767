"""The reactor of a benchmark: run one coroutine, and talk to child processes in lines of JSON."""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet import reactor as installed
from twisted.internet import stdio
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ProcessDone
from twisted.internet.protocol import ProcessProtocol, connectionDone
from twisted.internet.task import deferLater
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from timed.bench.processes import environment
from timed.errors import LocalError

T = TypeVar("T")

reactor: Any = installed
MAX_LINE = 1 << 20
PATIENCE_S = 60.0
"""How long a helper process may take for one answer."""


def run(main: Callable[[], Coroutine[Deferred[Any], Any, T]]) -> T:
    """Run `main` in the reactor and return or raise what it does; once in a process."""
    results: list[T] = []
    failures: list[Failure] = []

    def begin() -> None:
        done = Deferred.fromCoroutine(main())
        done.addCallbacks(results.append, failures.append)
        done.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run()
    for failure in failures:
        failure.raiseException()
    if not results:
        raise LocalError("the benchmark was interrupted.")
    return results[0]


async def sleep(seconds: float) -> None:
    """Let the reactor turn for a while."""
    await deferLater(reactor, seconds)


class Child(ProcessProtocol):
    """A Python module in a process of its own, which answers lines of JSON on its standard output."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._answers: deque[Any] = deque()
        self._waiting: deque[Deferred[Any]] = deque()
        self._partial = b""
        self._ended: Deferred[None] = Deferred()
        self._failure: LocalError | None = None
        command = [sys.executable, "-m", module, *arguments]
        reactor.spawnProcess(
            self, sys.executable, command, env=environment(), childFDs={0: "w", 1: "r", 2: 2}
        )

    @property
    def pid(self) -> int:
        return int(self.transport.pid)  # type: ignore[union-attr]

    def say(self, value: object) -> None:
        """Send one line."""
        self.transport.write(json.dumps(value).encode("ascii") + b"\n")  # type: ignore[union-attr]

    def hear(self, seconds: float = PATIENCE_S) -> Deferred[Any]:
        """The next line; LocalError when the process ends instead, or says nothing for so long."""
        answer: Deferred[Any] = Deferred(self._too_long)
        if self._answers:
            answer.callback(self._answers.popleft())
        elif self._failure is not None:
            answer.errback(Failure(self._failure))
        else:
            self._waiting.append(answer)
            answer.addTimeout(seconds, reactor, self._say_so)
        return answer

    def _too_long(self, answer: Deferred[Any]) -> None:
        self._waiting.remove(answer)

    @staticmethod
    def _say_so(failure: Failure, seconds: float) -> Any:
        """A LocalError instead of the cancellation that `addTimeout` makes."""
        failure.trap(CancelledError)
        raise LocalError(
            f"a helper process said nothing for {seconds:.0f} s.", "Try again on a machine that is less busy."
        )

    async def ask(self, value: object, seconds: float = PATIENCE_S) -> Any:
        """Send a line and wait for one, which takes so long at the most."""
        self.say(value)
        return await self.hear(seconds)

    async def end(self) -> None:
        """Close its standard input, which ends it, and wait for that."""
        if self._failure is None:
            self.transport.closeStdin()  # type: ignore[union-attr]
            await self._ended

    def outReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        lines = (self._partial + data).split(b"\n")
        self._partial = lines.pop()
        for line in lines:
            value = json.loads(line)
            if self._waiting:
                self._waiting.popleft().callback(value)
            else:
                self._answers.append(value)

    def processEnded(self, reason: Failure) -> None:  # noqa: N802 - Twisted's name
        clean = reason.check(ProcessDone) is not None
        self._failure = LocalError(
            "a helper process has ended." if clean else f"a helper process: {reason.value}"
        )
        waiting, self._waiting = self._waiting, deque()
        for answer in waiting:
            answer.errback(Failure(self._failure))
        self._ended.callback(None)


class Orders(LineOnlyReceiver):
    """The child's side: calls `handle` with each line, and stops the reactor when the parent is gone."""

    delimiter = b"\n"
    MAX_LENGTH = MAX_LINE

    def __init__(self, handle: Callable[[Any], None]) -> None:
        self._handle = handle
        self._pipe = stdio.StandardIO(self)

    def say(self, value: object) -> None:
        """Send one line."""
        self._pipe.write(json.dumps(value).encode("ascii") + b"\n")

    def lineReceived(self, line: bytes) -> None:  # noqa: N802 - Twisted's name
        self._handle(json.loads(line))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if reactor.running:
            reactor.stop()

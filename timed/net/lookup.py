"""Names to addresses, through the reactor's resolver, with a deadline and a bound."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import TimeoutError as DeadlineError
from twisted.internet.interfaces import IAddress, IHostResolution, IResolutionReceiver
from zope.interface import implementer

from timed.errors import RemoteError
from timed.net import reasons


class Lookup:
    """Looks names up. A name whose resolution hangs is not looked up again meanwhile."""

    def __init__(self, reactor: Any, most: int, timeout_s: float) -> None:
        self._reactor = reactor
        self._most = most
        self._timeout_s = timeout_s
        self._hanging: dict[str, None] = {}
        """Names under way: a system's resolver cannot be told to stop."""

    def lookup(self, name: str) -> Deferred[list[str]]:
        """The addresses of a name, `most` at the most.

        RemoteError `unknown-host` when it has none, `timeout` at the deadline or while
        an earlier resolution of it hangs.
        """
        if name in self._hanging:
            return fail(RemoteError(reasons.TIMEOUT, "an earlier resolution of the name hangs"))
        self._hanging[name] = None
        found: Deferred[list[str]] = Deferred()
        self._reactor.nameResolver.resolveHostName(_Answer(self, name, found), name)
        found.addTimeout(self._timeout_s, self._reactor, onTimeoutCancel=_too_late)
        return found

    def ended(self, name: str, hosts: list[str], found: Deferred[list[str]]) -> None:
        """The resolver has said all it knows."""
        self._hanging.pop(name, None)
        if found.called:
            return
        if hosts:
            found.callback(hosts[: self._most])
        else:
            found.errback(RemoteError(reasons.UNKNOWN_HOST, f"{name} has no address"))


def _too_late(result: object, timeout_s: float) -> object:
    raise RemoteError(reasons.TIMEOUT, f"no answer within {timeout_s:g} seconds") from DeadlineError()


@implementer(IResolutionReceiver)
class _Answer:
    """Gathers what the resolver says of one name, each address once."""

    def __init__(self, owner: Lookup, name: str, found: Deferred[list[str]]) -> None:
        self._owner = owner
        self._name = name
        self._found = found
        self._hosts: dict[str, None] = {}

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """Nothing is known yet."""

    def addressResolved(self, address: IAddress) -> None:
        host = getattr(address, "host", None)
        if isinstance(host, str):
            self._hosts[host] = None

    def resolutionComplete(self) -> None:
        self._owner.ended(self._name, list(self._hosts), self._found)

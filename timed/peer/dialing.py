"""Whom this node dials, and when: one backoff for every address (protocol §5).

An address is dialled when somebody wants it and no session with the node behind
it lives. A failure makes the next attempt wait longer, with jitter, up to a cap
of seconds on test networks and a minute elsewhere. Only a session that lived
ends the episode; contact from the peer itself makes it worth trying at once.
Nothing of this is stored.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Container, Iterator
from typing import TYPE_CHECKING

import attrs

from timed.params import SECOND, NetworkParams
from timed.peer import limits

if TYPE_CHECKING:
    import random

_DOUBLINGS = 16


class Origin(enum.IntEnum):
    """Why an address is dialled; the lower one goes first, of one origin who has waited longest."""

    CONFIGURED = 0
    BOOK = 1
    """From the address book, for a session."""
    SEED = 2
    """A fixed source of addresses, for a session."""
    FEELER = 3
    """From the address book, to see whether somebody is there."""


class Phase(enum.Enum):
    """Where an address stands."""

    IDLE = "idle"
    DIALLING = "dialling"
    """A dial is under way at the host."""
    LINKED = "linked"
    """The transport is up; the session decides what comes of it."""
    SELF = "self"
    """This node itself: never dialled again."""


@attrs.define
class Target:
    """An address that this node wants a session with."""

    host: str
    port: int
    node_id: bytes | None
    """Whom to expect there; None accepts whoever answers."""
    origin: Origin = Origin.CONFIGURED
    phase: Phase = Phase.IDLE
    met: bytes | None = None
    """Who answered there last."""
    failures: int = 0
    """In this episode: not one session that lived."""
    last_failure: str = ""
    """Why the last one failed; empty after a session that lived."""
    told: str = ""
    """The last reason that the operator was told of in this episode."""
    not_before: int = 0
    deadline: int = 0
    """When a dial that the host never answered counts as failed."""

    @property
    def address(self) -> tuple[str, int]:
        return (self.host, self.port)

    @property
    def believed(self) -> bytes | None:
        """The node id that most likely answers there."""
        return self.node_id or self.met


def backoff_cap(params: NetworkParams) -> int:
    """Half a block interval, between three seconds and a minute: in microseconds."""
    half = params.default_interval_s * SECOND // 2
    return max(limits.BACKOFF_CAP_MIN, min(half, limits.BACKOFF_CAP_MAX))


class Dialing:
    """The addresses that are wanted, and their attempts."""

    def __init__(self, cap: int, entropy: random.Random) -> None:
        self._cap = cap
        self._entropy = entropy
        self._targets: dict[tuple[str, int], Target] = {}
        self.attempts = 0
        self.failed = 0

    def __iter__(self) -> Iterator[Target]:
        return iter(self._targets.values())

    def want(self, host: str, port: int, node_id: bytes | None = None) -> Target | None:
        """Keep a session with this address from now on; None when there are too many already."""
        target = self._targets.get((host, port))
        if target is None:
            if len(self._targets) >= limits.WANTED_ADDRESSES:
                return None
            target = self._targets[(host, port)] = Target(host, port, node_id)
        target.origin = Origin.CONFIGURED
        target.node_id = node_id or target.node_id
        return target

    def try_once(self, host: str, port: int, hint: bytes | None, origin: Origin) -> None:
        """Dial this address once; `hint` is who is said to be there.

        Whoever answers is taken, unless the operator named a seed's node id.
        """
        if (host, port) not in self._targets and len(self._targets) < limits.WANTED_ADDRESSES:
            insisted = hint if origin is Origin.SEED else None
            self._targets[(host, port)] = Target(host, port, insisted, origin, met=hint)

    def forget(self, host: str, port: int) -> None:
        """Do not dial this address any more; a session that lives is left alone."""
        self._targets.pop((host, port), None)

    def at(self, host: str, port: int) -> Target | None:
        return self._targets.get((host, port))

    def of(self, node_id: bytes) -> list[Target]:
        """The addresses behind which this node id is believed to be."""
        return [target for target in self if target.believed == node_id]

    def due(
        self, now: int, there: Container[bytes], kept_out: Callable[[bytes | None, str], bool]
    ) -> tuple[list[Target], int | None]:
        """The targets to dial now, and when to ask again.

        `there` are the node ids that are linked: nobody is dialled twice.
        `kept_out` says whom this node would refuse anyway, by node id and host (F31).
        """
        self._expire(now)
        under_way = sum(target.phase is Phase.DIALLING for target in self)
        chosen: list[Target] = []
        again: list[int] = []
        for target in sorted(self, key=lambda target: (target.origin, target.not_before)):
            believed = target.believed
            if target.phase is Phase.DIALLING:
                again.append(target.deadline)
            elif target.phase is not Phase.IDLE:
                continue
            elif believed is not None and believed in there:
                if target.origin is not Origin.CONFIGURED:
                    self.forget(target.host, target.port)
            elif now < target.not_before:
                again.append(target.not_before)
            elif kept_out(believed, target.host):
                if target.origin is not Origin.CONFIGURED:
                    self.forget(target.host, target.port)
                    continue
                target.not_before = now + limits.BACKOFF_CAP_MAX
                again.append(target.not_before)
            elif under_way + len(chosen) < limits.DIALS_AT_ONCE:
                target.phase = Phase.DIALLING
                target.deadline = now + limits.DIAL_DEADLINE
                again.append(target.deadline)
                chosen.append(target)
        self.attempts += len(chosen)
        return chosen, min(again, default=None)

    def linked(self, host: str, port: int, peer_id: bytes | None) -> Target | None:
        """A dial to this address met `peer_id`; None when nobody wants it any more."""
        target = self._targets.get((host, port))
        if target is None or target.phase is not Phase.DIALLING:
            return None
        target.phase = Phase.LINKED
        target.met = peer_id or target.met
        return target

    def unreachable(self, host: str, port: int, now: int, reason: str) -> Target | None:
        """A dial to this address came to nothing; None when nobody wanted it."""
        target = self._targets.get((host, port))
        if target is None or target.phase is not Phase.DIALLING:
            return None
        self._failure(target, now, reason)
        return target

    def over(self, target: Target, reason: str, now: int, *, well: bool) -> None:
        """The session that was dialled here ended; `well` when it lived, or the peer left in order.

        A duplicate is no failure: the session that lives is another one.
        """
        if target.phase is not Phase.LINKED:
            return
        if reason == "self":
            target.phase = Phase.SELF
        elif reason == "duplicate":
            self._rest(target, now, at_least=limits.PROBE_LIMIT)
        elif well:
            self._recovered(target)
            self._rest(target, now)
        else:
            self._failure(target, now, reason)

    def contact(self, node_id: bytes, now: int) -> None:
        """The peer showed up by itself: it can be reached, whatever was tried before."""
        self.afresh(lambda target: target.believed == node_id, now)

    def afresh(self, concerned: Callable[[Target], bool], now: int) -> None:
        """Forget the failures of some targets: they are dialled after a moment."""
        for target in [target for target in self if concerned(target)]:
            self._recovered(target)
            if target.phase is Phase.IDLE:
                self._rest(target, now)

    def vacant(self, node_id: bytes, now: int) -> None:
        """A session with this peer ended: whoever dials does so after a moment, so as not to cross."""
        for target in self.of(node_id):
            if target.phase is Phase.IDLE and target.not_before <= now:
                self._rest(target, now)

    def _expire(self, now: int) -> None:
        """Dials that the host never answered count as failed."""
        for target in list(self):
            if target.phase is Phase.DIALLING and now >= target.deadline:
                self._failure(target, now, "timeout")

    @staticmethod
    def _recovered(target: Target) -> None:
        target.failures, target.last_failure, target.told = 0, "", ""

    def _failure(self, target: Target, now: int, reason: str) -> None:
        """No session, or one that did not live: wait longer than the last time, if it is dialled again."""
        self.failed += 1
        target.failures += 1
        target.last_failure = reason
        self._rest(target, now)

    def _rest(self, target: Target, now: int, at_least: int = 0) -> None:
        target.phase = Phase.IDLE
        if target.origin is not Origin.CONFIGURED:
            self._targets.pop(target.address, None)
            return
        doublings = min(max(0, target.failures - 1), _DOUBLINGS)
        base = max(min(self._cap * 2 // 3, limits.BACKOFF_FIRST << doublings), at_least)
        target.not_before = now + base + self._entropy.randrange(base // 2 + 1)

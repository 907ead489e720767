"""Inbound connections that have not proved who they are: few, and not for long."""

from __future__ import annotations

from collections import Counter

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from timed.net import reasons
from timed.net.limits import NetworkLimits, address_group
from timed.net.protocol import PeerProtocol


class Lobby:
    """Half-open inbound connections, oldest first, each with its deadline."""

    def __init__(self, clock: IReactorTime, limits: NetworkLimits) -> None:
        self._clock = clock
        self.limits = limits
        self._waiting: dict[PeerProtocol, tuple[IDelayedCall, str | None]] = {}
        self._silent: dict[PeerProtocol, None] = {}
        """Those of whom not a byte has come."""
        self._groups: Counter[str | None] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    def refusal(self, host: str) -> str | None:
        """Why nobody more of this address may enter now, None when one may."""
        group = self._group(host)
        if group is not None and self._groups[group] >= self.limits.max_half_open_per_group:
            return reasons.GROUP_FULL
        return None

    def enter(self, protocol: PeerProtocol, host: str) -> None:
        """Wait for TLS. When there are too many, the oldest that said nothing leaves, else the oldest."""
        if len(self._waiting) >= self.limits.max_half_open:
            oldest = next(iter(self._silent or self._waiting))
            self.leave(oldest)
            oldest.refuse(reasons.CROWDED_OUT)
        group = self._group(host)
        deadline = self._clock.callLater(self.limits.deadline_s, protocol.refuse, reasons.TIMEOUT)
        self._waiting[protocol] = (deadline, group)
        self._silent[protocol] = None
        self._groups[group] += 1

    def _group(self, host: str) -> str | None:
        return address_group(host, loopback=self.limits.loopback_is_a_group)

    def spoke(self, protocol: PeerProtocol) -> None:
        """The first byte has come. It moves no deadline."""
        self._silent.pop(protocol, None)

    def leave(self, protocol: PeerProtocol) -> None:
        """TLS is up, or the connection is gone. Leaving twice is harmless."""
        waiting = self._waiting.pop(protocol, None)
        if waiting is None:
            return
        self._silent.pop(protocol, None)
        deadline, group = waiting
        if deadline.active():
            deadline.cancel()
        self._groups[group] -= 1
        if not self._groups[group]:
            del self._groups[group]

    def clear(self, reason: str) -> None:
        """Refuse everybody who waits."""
        for protocol in list(self._waiting):
            self.leave(protocol)
            protocol.refuse(reason)

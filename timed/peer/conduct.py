"""What this node does about a peer's conduct: one table, decided in one place.

Call sites report events by name. An event costs points by peer class; a score
halves every minute; the rule says what is done at once, and a score of 100 is
answered with a timed ban. What two unmodified nodes can do to each other, by
disagreement, by haste or by lag, costs nothing (protocol §5, [21]).

Precedence, written once: an operator's ban, then trust, then an automatic ban.
"""

from __future__ import annotations

import enum
from collections import deque

import attrs

from timed.errors import LocalError
from timed.peer import limits


class PeerClass(enum.IntEnum):
    """How much a peer is trusted."""

    ANONYMOUS = 0
    MEMBER = 1
    """It proved to hold an operator key. Its quorum is needed: it is never banned automatically."""
    TRUSTED = 2
    """Named by the operator, or on loopback: exempt."""


class Verdict(enum.IntEnum):
    """What is done about an event, the mildest first."""

    COUNT = 0
    THROTTLE = 1
    """Its requests and its gossip are left unread for a while."""
    CLOSE = 2
    BAN = 3


@attrs.frozen
class Rule:
    """What an event costs, and what is done at once."""

    points: int = 0
    verdict: Verdict = Verdict.COUNT


_COUNT = Rule()
_NEVER = 2**63

POLICY: dict[str, Rule] = {
    # Context-free and attributable: no unmodified node sends this.
    "malformed": Rule(25, Verdict.CLOSE),
    "handshake-order": Rule(25, Verdict.CLOSE),
    "wrong-reply": Rule(25, Verdict.CLOSE),
    "invalid-signature": Rule(25),
    "invalid-transaction-form": Rule(25),
    "bad-headers": Rule(25),
    "bad-block": Rule(25),
    "over-rate": Rule(2, Verdict.THROTTLE),
    # What honest nodes do to each other: counted, never scored.
    "invalid-transaction": _COUNT,
    "invalid-certificate": _COUNT,
    "invalid-block": _COUNT,
    "diverged": _COUNT,
    "equivocation": _COUNT,
    "request-window": _COUNT,
    "over-rate-control": _COUNT,
    "late-reply": _COUNT,
    "unsolicited-reply": _COUNT,
    "request-timeout": _COUNT,
    "unknown-type": _COUNT,
    "unknown-ack": _COUNT,
    "unknown-pong": _COUNT,
    "useless": _COUNT,
}
"""Every event there is. Reporting another one is a bug of ours."""

CEILING = {
    PeerClass.ANONYMOUS: Verdict.BAN,
    PeerClass.MEMBER: Verdict.CLOSE,
    PeerClass.TRUSTED: Verdict.COUNT,
}
"""The most that is done to a peer of this class."""


@attrs.frozen
class Entry:
    """One line of the ledger: what happened, what it cost, what was done."""

    time: int
    node_id: bytes
    event: str
    detail: str
    points: int
    score: float
    verdict: Verdict
    done: bool
    """False in a dry run for everything beyond counting."""


@attrs.frozen
class Ban:
    """A peer that is refused. It always ends unless the operator made it endless."""

    node_id: bytes
    until: int
    """Unix time in microseconds; 0: until the operator lifts it."""
    reason: str
    by_operator: bool


class Conduct:
    """Scores, bans and the reasons for them."""

    def __init__(self, *, dry_run: bool = False) -> None:
        self.dry_run = dry_run
        self.counts: dict[str, int] = dict.fromkeys(POLICY, 0)
        self.ledger: deque[Entry] = deque(maxlen=limits.CONDUCT_LEDGER)
        self._scores: dict[bytes, tuple[float, int]] = {}
        self._bans: dict[bytes, Ban] = {}

    def report(self, node_id: bytes, kind: PeerClass, event: str, now: int, detail: str = "") -> Verdict:
        """Account for `event`; what is to be done to the peer now."""
        rule = POLICY.get(event)
        if rule is None:
            raise LocalError(f"there is no event of conduct called {event!r}.")
        self.counts[event] += 1
        verdict = rule.verdict
        score = self.score(node_id, now)
        if rule.points:
            score += rule.points
            self._keep(node_id, score, now)
            if score >= limits.BAN_SCORE:
                verdict = Verdict.BAN
        verdict = min(verdict, CEILING[kind])
        done = not self.dry_run or verdict is Verdict.COUNT
        if rule.points or verdict is not Verdict.COUNT:
            self.ledger.append(Entry(now, node_id, event, detail, rule.points, score, verdict, done))
        if not done:
            return Verdict.COUNT
        if verdict is Verdict.BAN:
            self.ban(node_id, now + limits.BAN_TIME, event, by_operator=False)
            self._scores.pop(node_id, None)
        return verdict

    def score(self, node_id: bytes, now: int) -> float:
        """The decayed score of a peer."""
        score, at = self._scores.get(node_id, (0.0, now))
        halves = max(0, now - at) / limits.SCORE_HALF_LIFE
        return float(score * 0.5**halves)

    def ban(self, node_id: bytes, until: int, reason: str, *, by_operator: bool) -> None:
        """Refuse a peer until unix time `until` (0: until it is lifted)."""
        held = self._bans.get(node_id)
        if held is not None and held.by_operator and not by_operator:
            return
        if held is None and len(self._bans) >= limits.BANS:
            ending = min(self._bans.values(), key=lambda ban: (ban.by_operator, ban.until or _NEVER))
            del self._bans[ending.node_id]
        self._bans[node_id] = Ban(node_id, until, reason, by_operator)

    def unban(self, node_id: bytes) -> bool:
        """Lift every ban of a peer and forget its score; False when there was none."""
        self._scores.pop(node_id, None)
        return self._bans.pop(node_id, None) is not None

    def banned(self, node_id: bytes, kind: PeerClass, now: int) -> Ban | None:
        """The ban that keeps a peer of this class out now, or None."""
        ban = self._bans.get(node_id)
        if ban is None:
            return None
        if ban.until and now >= ban.until:
            del self._bans[node_id]
            return None
        if ban.by_operator or kind is not PeerClass.TRUSTED:
            return ban
        return None

    def bans(self, now: int) -> tuple[Ban, ...]:
        """Every ban that has not ended, for the operator and for the disk; by node id."""
        live = (ban for ban in self._bans.values() if not ban.until or now < ban.until)
        return tuple(sorted(live, key=lambda ban: ban.node_id))

    def _keep(self, node_id: bytes, score: float, now: int) -> None:
        if node_id not in self._scores and len(self._scores) >= limits.CONDUCT_PEERS:
            lowest = min(self._scores, key=lambda peer: self.score(peer, now))
            del self._scores[lowest]
        self._scores[node_id] = (score, now)


def is_loopback(host: str) -> bool:
    """True for the addresses of this machine."""
    return host.startswith("127.") or host in ("::1", "localhost")

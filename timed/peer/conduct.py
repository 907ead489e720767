"""What this node does about a peer's conduct: one table, decided in one place.

Call sites report events by name. An event costs points by peer class; a score
halves every minute; the rule says what is done at once, and a score of 100 is
answered with a timed ban. What two unmodified nodes can do to each other, by
disagreement, by haste or by lag, costs nothing (protocol §5, [21]).

Precedence, written once: the operator's ban of a node id, then trust (a configured
node id, or loopback unless that is off), then the operator's ban of an address or a
subnet, then an automatic ban. A node id names one peer and is meant; a place may
hold others, of whom those that the operator trusts stay.
"""

from __future__ import annotations

import enum
from collections import Counter, deque
from collections.abc import Callable
from ipaddress import ip_network

import attrs

from timed.errors import LocalError
from timed.peer import limits
from timed.peer.bans import Ban, Bans, Subject, is_in, subject_text
from timed.peer.location import address_of, is_loopback
from timed.peer.rates import Rates
from timed.peer.settings import DEFAULTS, PeerSettings


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
    host: str = ""


class Conduct:
    """Scores, rates, bans and the reasons for them."""

    def __init__(self, settings: PeerSettings = DEFAULTS) -> None:
        self.rates = Rates()
        self.regulate(settings)
        self.counts: dict[str, int] = dict.fromkeys(POLICY, 0)
        self.verdicts: Counter[tuple[str, bool]] = Counter()
        """Verdicts beyond counting by name, and whether they were carried out; else this was a dry run."""
        self.ledger: deque[Entry] = deque(maxlen=limits.CONDUCT_LEDGER)
        self.tell: Callable[[Entry], None] = lambda entry: None
        """Called with each verdict to ban, before it is carried out."""
        self._scores: dict[bytes, tuple[float, int]] = {}
        self._bans = Bans()

    def regulate(self, settings: PeerSettings) -> None:
        """These settings from now on; bans and scores stay."""
        self.rates.regulate(settings.rates)
        self.dry_run = settings.dry_run
        self.trust_loopback = settings.trust_loopback
        self._trusted = frozenset(settings.trusted)

    def class_of(self, node_id: bytes | None, host: str, *, member: bool) -> PeerClass:
        """How much a peer is trusted; `member` when it proved to be one."""
        if node_id in self._trusted or self._is_own(host):
            return PeerClass.TRUSTED
        return PeerClass.MEMBER if member else PeerClass.ANONYMOUS

    def report(
        self, node_id: bytes, kind: PeerClass, event: str, now: int, detail: str = "", host: str = ""
    ) -> Verdict:
        """Account for `event`; what is to be done to the peer, seen at `host`, now."""
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
        entry = Entry(now, node_id, event, detail, rule.points, score, verdict, done, host)
        if rule.points or verdict is not Verdict.COUNT:
            self.ledger.append(entry)
        if verdict is not Verdict.COUNT:
            self.verdicts[verdict.name.lower(), done] += 1
        if verdict is Verdict.BAN:
            # In a dry run, too, a score ends with the ban it would have led to.
            self._scores.pop(node_id, None)
            self.tell(entry)
        if not done:
            return Verdict.COUNT
        if verdict is Verdict.BAN:
            self._ban_automatically(node_id, host, event, now)
        return verdict

    def only_counted(self, event: str) -> bool:
        """Account for an event that costs nothing, whoever caused it; False for one that `report` is to judge.

        Floods consist of such events, and judging asks who somebody is.
        """
        if POLICY.get(event) is not _COUNT:
            return False
        self.counts[event] += 1
        return True

    def score(self, node_id: bytes, now: int) -> float:
        """The decayed score of a peer."""
        score, at = self._scores.get(node_id, (0.0, now))
        halves = max(0, now - at) / limits.SCORE_HALF_LIFE
        return float(score * 0.5**halves)

    def reasons(self, node_id: bytes) -> list[Entry]:
        """What the ledger still holds about a peer, the oldest first."""
        return [entry for entry in self.ledger if entry.node_id == node_id]

    # Bans.

    def ban(
        self,
        subject: Subject,
        until: int,
        reason: str,
        *,
        by_operator: bool,
        since: int = 0,
        host: str = "",
    ) -> None:
        """Refuse a node or a place until unix time `until` (0: until it is lifted)."""
        self.keep(Ban(subject, until, reason, by_operator, since, host))

    def keep(self, ban: Ban) -> None:
        """Take in a ban, of an earlier process for example."""
        self._bans.put(ban)

    def unban(self, subject: Subject) -> tuple[Ban, ...]:
        """Lift what keeps this subject out; the bans that were lifted.

        With the ban of a node its score is forgotten. With that of a place go the
        automatic bans of the addresses in it and of the nodes seen there.
        """
        lifted = [subject]
        if not isinstance(subject, bytes):
            for ban in self._bans:
                inside = is_in(ban.host if isinstance(ban.subject, bytes) else _first(ban), subject)
                if inside and not ban.by_operator:
                    lifted.append(ban.subject)
        for each in lifted:
            if isinstance(each, bytes):
                self._scores.pop(each, None)
        return tuple(gone for each in lifted if (gone := self._bans.remove(each)) is not None)

    @property
    def bans_overflows(self) -> int:
        """Bans that met a full table: one was forgotten for each."""
        return self._bans.overflows

    def clear_bans(self) -> tuple[Ban, ...]:
        """Lift every ban and forget every score."""
        lifted = tuple(self._bans)
        self._bans.clear()
        self._scores.clear()
        return lifted

    def banned(self, node_id: bytes, kind: PeerClass, now: int, host: str = "") -> Ban | None:
        """The ban that keeps a peer of this class, at this host, out now, or None."""
        ban = self._bans.of_node(node_id, now)
        if ban is not None and (ban.by_operator or kind is not PeerClass.TRUSTED):
            return ban
        if kind is PeerClass.TRUSTED:
            return None
        places = self._bans.covering(host, now)
        return next((place for place in places if place.by_operator or kind is PeerClass.ANONYMOUS), None)

    def shut_out(self, host: str, now: int) -> bool:
        """True when nobody at this host can be welcome: it need not even be asked who it is."""
        if self._trusted or self._is_own(host):
            return False
        return any(ban.by_operator for ban in self._bans.covering(host, now))

    def ban_of(self, subject: Subject, now: int) -> Ban | None:
        """The ban of exactly this subject."""
        ban = self._bans.get(subject)
        return None if ban is None or ban.ended(now) else ban

    def covering(self, host: str, now: int) -> tuple[Ban, ...]:
        """The bans of places in which a host is."""
        return tuple(self._bans.covering(host, now))

    def bans(self, now: int) -> tuple[Ban, ...]:
        """Every ban that has not ended, for the operator and for the disk: nodes, then places."""
        self._bans.expire(now)
        return tuple(sorted(self._bans, key=_order))

    def _is_own(self, host: str) -> bool:
        return self.trust_loopback and is_loopback(host)

    def _ban_automatically(self, node_id: bytes, host: str, reason: str, now: int) -> None:
        """Ban a node, and its address when others there were banned before: keys cost nothing."""
        until = now + limits.BAN_TIME
        self.ban(node_id, until, reason, by_operator=False, since=now, host=host)
        address = address_of(host)
        if address is None:
            return
        seen = sum(ban.host == host and not ban.by_operator and not ban.ended(now) for ban in self._bans)
        if seen >= limits.ADDRESS_BAN_NODES:
            self.ban(ip_network(address), until, reason, by_operator=False, since=now)

    def _keep(self, node_id: bytes, score: float, now: int) -> None:
        if node_id not in self._scores and len(self._scores) >= limits.CONDUCT_PEERS:
            lowest = min(self._scores, key=lambda peer: self.score(peer, now))
            del self._scores[lowest]
        self._scores[node_id] = (score, now)


def _order(ban: Ban) -> tuple[bool, str]:
    return not isinstance(ban.subject, bytes), subject_text(ban.subject)


def _first(ban: Ban) -> str:
    """An address of a place."""
    return "" if isinstance(ban.subject, bytes) else str(ban.subject.network_address)

"""The one owner of every session: who is linked, who is open, and whom to dial.

Everything said about sessions is computed from the live `Session` objects here.
Links are numbers that never come twice, so whatever arrives late for an old link
finds nothing. The host's calls turn into deliveries for the node; what is to be
written, closed and dialled is fetched once per turn by `drain`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from timed.errors import Refused, RemoteError
from timed.events import Action, Close, Dial, PeerClosed, PeerOpened, PeerRefused, Publish, Write
from timed.peer import limits
from timed.peer.agenda import Agenda
from timed.peer.bans import Ban
from timed.peer.clock import SteadyClock
from timed.peer.conduct import Conduct, PeerClass, Verdict
from timed.peer.dialing import Dialing, Origin, Target, backoff_cap
from timed.peer.encoder import Encoder
from timed.peer.greeting import check, compose, supersedes
from timed.peer.intake import Intake
from timed.peer.outbox import Budget
from timed.peer.retention import Retention
from timed.peer.seats import Seats
from timed.peer.session import Session, State
from timed.peer.session_events import Accepted, Acknowledged, Conducted, Farewell, Greeted, SessionEvent
from timed.peer.settings import DEFAULTS, PeerSettings
from timed.peer.values import (
    REASONS,
    Closed,
    Delivery,
    Identity,
    Incoming,
    Opened,
    PeerAddress,
    PeerHandle,
    RequestFailed,
)
from timed.wire.messages import Handshake

if TYPE_CHECKING:
    import random

DIAL = "dial"
RETENTION = "retention"

_FAILED = frozenset({"silent", "stale", "stalled", "no-pong"})
"""Reasons of a tick that say the other side is not there: nobody is told, nothing is awaited."""


class Sessions:
    """Links, sessions and dials of one node. Times are the host's microseconds."""

    def __init__(
        self,
        identity: Identity,
        entropy: random.Random,
        status: Callable[[], tuple[int, bytes]],
        *,
        wanted: Sequence[PeerAddress] = (),
        settings: PeerSettings = DEFAULTS,
    ) -> None:
        self.identity = identity
        self.conduct = Conduct(settings)
        self.dialing = Dialing(backoff_cap(identity.params), entropy)
        self.encoder = Encoder(identity.params.magic)
        self.budget = Budget()
        self.intake = Intake()
        self.retention = Retention()
        self.clock = SteadyClock()
        self.members: frozenset[bytes] = frozenset()
        """Operator keys on the roster; the node keeps it current."""
        self.reconnects = 0
        """Open sessions that ended although both sides wanted them."""
        self.refusals: Counter[str] = Counter()
        """Sessions that never opened, by the name of the refusal or failure."""
        self.violations: Counter[str] = Counter()
        """Errors of peers' bytes, by rule."""
        self.overflows = 0
        """Sessions closed because their peer did not take what must not be lost."""
        self._entropy = entropy
        self._status = status
        public = identity.params.group_diversity
        self._seats = Seats(identity.node_key.derive("seats"), settings.max_inbound, public=public)
        self._now = 0
        self._stopping = False
        self._agenda = Agenda()
        self._links: dict[int, Session] = {}
        self._by_node: dict[bytes, Session] = {}
        """The one session with a node that is accepted or open."""
        self._open: tuple[PeerHandle, ...] | None = None
        self._dirty: dict[int, None] = {}
        self._actions: list[Action] = []
        self._deliveries: list[Delivery] = []
        self._greetings = self._generation = 0
        for address in wanted:
            self.dialing.want(address.host, address.port, address.node_id)
            self._agenda.earlier(DIAL, 0)

    # What the host reports.

    def connected(
        self, link: int, outbound: bool, peer_id: bytes | None, host: str, port: int, now: int
    ) -> list[Delivery]:
        """A transport is up. `host` and `port` are those of the Dial, or the remote end's.

        A dialler greets when it knows that it has no session with that peer: at
        once where the transport names the peer, else when the peer has greeted.
        """
        time = self._read(now)
        session = Session(
            link, outbound=outbound, peer_id=peer_id, host=host, port=port,
            magic=self.identity.params.magic, checksum=peer_id is None, encoder=self.encoder,
            budget=self.budget, rates=self.conduct.rates, intake=self.intake, entropy=self._entropy, clock=self.clock,
            dialect=self.identity.dialect, tell=lambda event: self._actions.append(Publish(event)),
        )  # fmt: skip
        self._links[link] = session
        self._agenda.set(link, session.deadline())
        if outbound:
            session.target = self.dialing.linked(host, port, peer_id)
            self._agenda.earlier(DIAL, time)
        else:
            self._bound_greetings()
        try:
            if self._stopping:
                raise Refused("stopping")
            if peer_id is not None:
                self._check_known(session, peer_id)
        except Refused as refusal:
            self._refuse(session, refusal)
            return self.take()
        if not outbound or peer_id is not None:
            self._greet(session)
        return self.take()

    def received(self, link: int, data: bytes, now: int) -> list[Delivery]:
        """Bytes arrived on a link. What is not urgent may be delivered in later turns (`tick`)."""
        time = self._read(now)
        session = self._links.get(link)
        if session is None or session.state is State.CLOSED:
            return self.take()
        self._act(session, session.receive(data, time))
        self.intake.reading()
        self.intake.work(self._act)
        return self.take()

    def _act(self, session: Session, events: Iterable[SessionEvent]) -> None:
        """Do what the events of a session ask for, and what their errors do."""
        try:
            for event in events:
                self._handle(session, event)
        except Refused as refusal:
            self._refuse(session, refusal)
        except RemoteError as error:
            self._violated(session, error)
        self._touched(session)
        self._actions += session.regulate(self.clock.time)

    def disconnected(self, link: int, reason: str, now: int) -> list[Delivery]:
        """A transport is gone; nothing will be reported of this link again."""
        self._read(now)
        session = self._links.pop(link, None)
        if session is not None:
            if session.state is not State.CLOSED:
                session.close(reason)
                self._ended(session, ours=False, unwanted=session.handle is not None)
            self._agenda.set(link, None)
        return self.take()

    def dial_failed(self, host: str, port: int, reason: str, now: int) -> list[Delivery]:
        """A dial came to nothing."""
        time = self._read(now)
        target = self.dialing.unreachable(host, port, time, reason)
        if target is not None:
            self._no_answer(target)
        self._agenda.earlier(DIAL, time)
        return self.take()

    def drained(self, link: int, now: int) -> None:
        """The transport of a link holds nothing any more.

        The host reports it after every write, sooner or later; until then at
        most 64 KiB are handed to it.
        """
        time = self._read(now)
        session = self._links.get(link)
        if session is not None and session.state is not State.CLOSED:
            session.outbox.drained(time)
            if session.outbox.queued:
                self._dirty[link] = None

    # Time.

    def tick(self, now: int) -> list[Delivery]:
        """Do what is due; call it at `next_deadline`, or at any time."""
        time = self._read(now)
        for key in self._agenda.take(time):
            if key == DIAL:
                self._dial(time)
            elif key == RETENTION:
                self._agenda.set(RETENTION, self.retention.expire(time))
            elif isinstance(key, int) and key in self._links:
                self._due(self._links[key], time)
        self.intake.work(self._act)
        return self.take()

    def next_deadline(self) -> int | None:
        """When `tick` is to be called, in the host's time; None when nothing is pending."""
        if self._deliveries or self.intake.waiting:
            return self._now
        due = self._agenda.next()
        return None if due is None else self.clock.host_time(due)

    def take(self) -> list[Delivery]:
        """Deliveries that came up since the last call; sending can end a session, too."""
        deliveries, self._deliveries = self._deliveries, []
        return deliveries

    def drain(self, now: int) -> list[Action]:
        """What the host is to do: one write per link (more without batching), then the rest. A turn ends here."""
        time = self._read(now)
        self.intake.begin_turn()
        actions: list[Action] = []
        for link in self._dirty:
            session = self._links[link]
            actions += [Write(link, data) for data in session.writes(time)]
            if session.outbox.queued and (due := session.outbox.ready_at(time) or 0) > time:
                self._agenda.earlier(link, due)
            if session.requests or session.allowance.excess_until is not None:
                self._agenda.earlier(link, session.deadline() or time)
        self._dirty.clear()
        actions += self._actions
        self._actions = []
        return actions

    def stop(self, now: int) -> list[Delivery]:
        """Say Goodbye to everybody; no session and no dial begins from now on."""
        self._read(now)
        self._stopping = True
        for session in list(self._links.values()):
            self._close(session, "stopping")
        return self.take()

    # One session after another.

    def _read(self, now: int) -> int:
        self._now = now
        return self.clock.read(now, self._agenda.next())

    def _touched(self, session: Session) -> None:
        """Bytes may have been queued: write them at the end of the turn."""
        if session.overflowed and session.state is not State.CLOSED:
            self.overflows += 1
            self._close(session, "overflow", abort=True, unwanted=True)
        if session.state is not State.CLOSED:
            self._dirty[session.link] = None

    def _greet(self, session: Session) -> None:
        self._greetings += 1
        handshake = compose(
            self.identity, session.peer_id, session.outbound, self._greetings, self._status(), self._now
        )
        session.greet(handshake, self.clock.time)
        self._touched(session)

    def _handle(self, session: Session, event: SessionEvent) -> None:
        if isinstance(event, Incoming):
            self._incoming(session, event)
        elif isinstance(event, Greeted):
            self._greeted(session, event.handshake)
        elif isinstance(event, Accepted):
            self._opened(session)
        elif isinstance(event, Farewell):
            self._farewell(session, event)
        elif isinstance(event, Acknowledged):
            if not self.retention.acknowledged(session.node_id, event.number, event.reference):
                self._conduct(session, "unknown-ack", "")
        elif isinstance(event, Conducted):
            self._conduct(session, event.event, event.detail)

    def _incoming(self, session: Session, event: Incoming) -> None:
        self._deliveries.append(event)

    def _no_answer(self, target: Target) -> None:
        """A dial came to nothing; the address book wants to know."""

    def _request_failed(self, handle: PeerHandle, request_id: int, reason: str) -> None:
        self._deliveries.append(RequestFailed(handle, request_id, reason))

    def _check_known(self, session: Session, peer_id: bytes) -> None:
        """What can be said of a peer before it has spoken; Refused."""
        if peer_id == self.identity.node_id:
            raise Refused("self")
        ban = self._ban_on(session)
        if ban is not None:
            raise Refused("banned", ban.reason)
        rival = self._by_node.get(peer_id)
        silent = session.outbound and session.ours is None
        if silent and rival is not None and rival.state is State.OPEN:
            raise Refused("duplicate")

    def _greeted(self, session: Session, theirs: Handshake) -> None:
        """The peer's handshake is here: accept it, or Refused."""
        target = session.target
        operator = check(
            self.identity, theirs,
            peer_id=session.peer_id, expected=None if target is None else target.node_id,
            outbound=session.outbound,
        )  # fmt: skip
        session.operator = operator
        if target is not None:
            target.met = theirs.node_id
            if target.origin is Origin.FEELER:
                raise Refused("feeler")
        self._check_known(session, theirs.node_id)
        if session.ours is None:
            self._greet(session)
        own = self.identity.node_id
        rival = self._by_node.get(theirs.node_id)
        if rival is None:
            self._check_room(session)
        elif supersedes(session.claim(own), rival.claim(own)):
            self._close(rival, "duplicate")
        else:
            rival.probe(self.clock.time)
            self._touched(rival)
            self._agenda.set(rival.link, rival.deadline())
            raise Refused("duplicate")
        self._by_node[theirs.node_id] = session
        session.accept(self.clock.time)

    def _opened(self, session: Session) -> None:
        theirs = session.theirs
        if theirs is None:
            return
        self._generation += 1
        node_id = theirs.node_id
        session.handle = PeerHandle(
            node_id, self._generation, session.operator, session.address, session.outbound, theirs,
            session.version, session.features,
        )  # fmt: skip
        session.opened_host_time = self._now
        self._open = None
        if not session.outbound:
            self.dialing.contact(node_id, self.clock.time)
        self._agenda.set(session.link, session.deadline())
        for kept in self.retention.pending(node_id, self.clock.time):
            session.send(self.encoder.again(kept.number, kept.payload), self.clock.time)
        self._deliveries.append(Opened(session.handle))
        self._actions.append(Publish(PeerOpened(node_id, session.address, session.outbound)))

    def _farewell(self, session: Session, event: Farewell) -> None:
        known = event.reason in REASONS
        detail = event.detail if known else f"{event.reason}: {event.detail}"
        session.close(event.reason if known else "other", detail)
        self._agenda.set(session.link, self.clock.time + limits.CLOSING_DEADLINE)
        self._actions.append(Close(session.link, session.reason))
        self._ended(session, ours=False, unwanted=False)

    def _refuse(self, session: Session, refusal: Refused) -> None:
        self._close(session, refusal.rule, refusal.detail)

    def _violated(self, session: Session, error: RemoteError) -> None:
        """The peer's bytes broke a rule: the session ends, with its name."""
        greeting_state = session.state is State.GREETING
        rule = "wrong-network" if greeting_state and error.rule == "frame-magic" else error.rule
        self.violations[rule] += 1
        if not greeting_state:
            event = error.rule if error.rule in ("wrong-reply", "handshake-order") else "malformed"
            self.conduct.report(
                session.node_id, self._class_of(session), event, self._now, rule, session.host
            )
        self._close(session, rule, error.detail)

    def _due(self, session: Session, time: int) -> None:
        if session.state is State.CLOSED:
            self._actions.append(Close(session.link, session.reason, abort=True))
            del self._links[session.link]
            return
        reason = session.tick(time)
        if reason is not None:
            lost = reason in _FAILED
            self._close(session, reason, abort=lost, unwanted=lost)
            return
        for request_id in session.requests.expire(time, session.traffic.bytes_received):
            self._conduct(session, "request-timeout", "")
            if session.handle is not None:
                self._request_failed(session.handle, request_id, "timeout")
        session.send_requests(time)
        self._touched(session)
        self._actions += session.regulate(time)
        due = session.deadline()
        if due is not None:
            self._agenda.set(session.link, due)

    def _close(
        self, session: Session, reason: str, detail: str = "", *, abort: bool = False, unwanted: bool = False
    ) -> None:
        """End a session from this side."""
        if session.state is State.CLOSED:
            return
        if not abort:
            self._actions.append(Write(session.link, session.farewell(reason, detail, self.clock.time)))
        session.close(reason, detail)
        self._actions.append(Close(session.link, reason, abort))
        self._agenda.set(session.link, self.clock.time + limits.CLOSING_DEADLINE)
        self._ended(session, ours=True, unwanted=unwanted)

    def _ended(self, session: Session, *, ours: bool, unwanted: bool) -> None:
        """The session was closed just now: forget it, and tell everybody."""
        node_id = session.node_id
        if self._by_node.get(node_id) is session:
            del self._by_node[node_id]
        self._dirty.pop(session.link, None)
        handle = session.handle
        reason = session.reason
        if handle is None:
            self.refusals[reason] += 1
            self._actions.append(Publish(PeerRefused(session.address, reason, session.detail, ours)))
        else:
            self._open = None
            self.reconnects += unwanted
            for request_id in session.abandon():
                self._request_failed(handle, request_id, "session-closed")
            self._deliveries.append(Closed(handle, reason, unwanted))
            self._actions.append(Publish(PeerClosed(node_id, session.address, reason, unwanted, ours)))
        self._dial_again(session, parted=handle is not None and not ours and not unwanted)

    def _dial_again(self, session: Session, *, parted: bool) -> None:
        """What the end of a session means for the addresses of its peer."""
        time = self.clock.time
        lived = session.handle is not None and time - session.opened_at >= limits.LIVED
        if session.target is not None:
            self.dialing.over(session.target, session.reason, time, well=lived or parted)
        self.dialing.vacant(session.node_id, time)
        self._agenda.earlier(DIAL, time)

    def _bound_greetings(self) -> None:
        """Inbound links that do not open must not pile up: the oldest stranger goes."""
        waiting = [s for s in self._links.values() if not s.outbound and s.state is State.GREETING]
        if len(waiting) > limits.GREETING_LINKS:
            strangers = [session for session in waiting if not self._preferred(session)]
            self._close((strangers or waiting)[0], "full", abort=True)

    def _check_room(self, session: Session) -> None:
        """Make room for an inbound session, or Refused."""
        if session.outbound:
            return
        inbound = [other for other in self._by_node.values() if not other.outbound]
        loser = self._seats.give_way(inbound, session, self._preferred)
        if loser is not None:
            self._close(loser, "full")

    def _preferred(self, session: Session) -> bool:
        return self._class_of(session) is not PeerClass.ANONYMOUS or bool(self.dialing.of(session.node_id))

    def _class_of(self, session: Session) -> PeerClass:
        return self.conduct.class_of(session.node_id, session.host, member=session.operator in self.members)

    def _ban_on(self, session: Session) -> Ban | None:
        """What keeps the peer of a session out; who has not greeted may be a member."""
        kind = self._class_of(session)
        if session.theirs is None:
            kind = max(kind, PeerClass.MEMBER)
        return self.conduct.banned(session.node_id, kind, self._now, session.host)

    def _conduct(self, session: Session, event: str, detail: str) -> None:
        """Report to the one policy, and do what it says."""
        if self.conduct.only_counted(event):
            return
        verdict = self.conduct.report(
            session.node_id, self._class_of(session), event, self._now, detail, session.host
        )
        if verdict is Verdict.BAN:
            self._close(session, "banned", event)
        elif verdict is Verdict.CLOSE:
            self._close(session, event, detail)
        elif verdict is Verdict.THROTTLE:
            session.throttle(self.clock.time)

    def _dial(self, time: int) -> None:
        """Dial whoever is wanted, not there, and due; then say when to look again."""
        if self._stopping:
            return
        there = {session.node_id for session in self._links.values() if session.state is not State.CLOSED}
        targets, again = self.dialing.due(time, there, self.kept_out)
        self._actions += [Dial(target.host, target.port, target.node_id) for target in targets]
        self._agenda.set(DIAL, again)

    def kept_out(self, node_id: bytes | None, host: str) -> bool:
        """True for a peer that would be refused as banned, even if it turned out to be a member."""
        kind = self.conduct.class_of(node_id, host, member=True)
        return self.conduct.banned(node_id or b"", kind, self._now, host) is not None

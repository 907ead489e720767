"""What the node says to its peers, and what it may know of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from timed.errors import LocalError
from timed.events import PeerBanned, PeerUnreachable, Publish
from timed.params import SECOND
from timed.peer import limits
from timed.peer.bans import Ban, Subject, is_in
from timed.peer.conduct import Entry
from timed.peer.costs import Costs
from timed.peer.dialing import Origin, Target
from timed.peer.discovery import ANCHORS, Discovery
from timed.peer.encoder import Encoded
from timed.peer.memory import Memory
from timed.peer.outbox import Admission, Queue
from timed.peer.session import Session, State
from timed.peer.sessions import DIAL, RETENTION, Sessions
from timed.peer.settings import DEFAULTS, PeerSettings
from timed.peer.statistics import PeerStatistics, statistics_of
from timed.peer.traffic import Traffic
from timed.peer.values import Delivery, Identity, Incoming, PeerAddress, PeerHandle, host_port
from timed.wire.message import Message, Verbatim
from timed.wire.messages import GetPeers, PeersResponse

if TYPE_CHECKING:
    import random

_REQUEST_IDS = 2**32


class PeerTable(Sessions):
    """All peers of one node: sessions, messages, requests, conduct.

    Sending never blocks and never raises for what a peer does: a message is
    queued, or the answer says that it was not. A session that overflows is
    closed, which `take` reports.
    """

    def __init__(
        self,
        identity: Identity,
        entropy: random.Random,
        status: Callable[[], tuple[int, bytes]],
        *,
        wanted: Sequence[PeerAddress] = (),
        settings: PeerSettings = DEFAULTS,
        discover: bool = True,
    ) -> None:
        """`status` tells height and tip for the handshake; `discover` off dials `wanted` and nobody else."""
        super().__init__(identity, entropy, status, wanted=wanted, settings=settings)
        self.discovery = Discovery(self.dialing, entropy, public=identity.params.group_diversity)
        self.conduct.tell = self._judged
        self._discover = discover
        self._look_at = 0
        self._last_request = 0
        self._past = Traffic()
        self._anchors: tuple[PeerAddress, ...] = ()
        """Whom a stopped node had dialled."""
        self._offset: int | None = None
        """The median of the peers' clocks, as it followed from these sessions, comparisons and members."""
        self._offset_from: tuple[tuple[PeerHandle, ...], int, frozenset[bytes]] = ((), 0, frozenset())
        self._asked_peers: set[int] = set()
        """Requests of this room's own, of which the node hears nothing."""
        if discover:
            self._agenda.earlier(DIAL, 0)

    def received(self, link: int, data: bytes, now: int) -> list[Delivery]:
        deliveries = super().received(link, data, now)
        while self.intake.incomplete > limits.INCOMPLETE_BYTES:
            self._relieve()
        return deliveries + self.take()

    def _relieve(self) -> None:
        """End the session that keeps most bytes waiting for the rest of their message."""
        live = [session for session in self._links.values() if session.state is not State.CLOSED]
        strangers = [session for session in live if session.lanes.incomplete and not self._preferred(session)]
        self.intake.relieved += 1
        self._close(max(strangers or live, key=lambda one: one.lanes.incomplete), "incomplete")

    def peers(self) -> tuple[PeerHandle, ...]:
        """Open sessions by node id."""
        if self._open is None:
            handles = [handle for session in self._by_node.values() if (handle := session.handle) is not None]
            self._open = tuple(sorted(handles, key=lambda handle: handle.node_id))
        return self._open

    def get(self, node_id: bytes) -> PeerHandle | None:
        """The open session with a node."""
        session = self.session_with(node_id)
        return None if session is None else session.handle

    def session_with(self, node_id: bytes) -> Session | None:
        """The open session with a node."""
        session = self._by_node.get(node_id)
        return session if session is not None and session.state is State.OPEN else None

    # Messages.

    def send_to_peer(self, node_id: bytes, message: Message | Verbatim[Any], *, reply_to: int = 0) -> bool:
        """Queue a message, as the answer to request `reply_to` unless that is 0.

        False when there is no open session, or no room (`Outbox` says what then).
        """
        session = self.session_with(node_id)
        if session is None:
            return False
        encoded = self.encoder.encode(message, request_id=reply_to, reply=reply_to != 0)
        return self._send(session, encoded)

    def send_batch_to_peer(self, node_id: bytes, messages: Iterable[Message]) -> int:
        """Queue messages in their order; how many were queued."""
        return sum(self.send_to_peer(node_id, message) for message in messages)

    def broadcast(
        self, message: Message, *, to: Iterable[bytes] | None = None, exclude: bytes | Collection[bytes] = ()
    ) -> int:
        """Queue one message for every open session, or those with the nodes `to`.

        It is encoded once, whatever the number of peers ([18]). `exclude` is a
        node id or several. The answer is how many sessions took it.
        """
        left_out = (exclude,) if isinstance(exclude, bytes) else exclude
        nodes = list(self._by_node) if to is None else list(to)
        sessions = [s for s in map(self.session_with, nodes) if s is not None and s.node_id not in left_out]
        if not sessions:
            return 0
        encoded = self.encoder.encode(message)
        return sum(self._send(session, encoded) for session in sessions)

    def request(self, node_id: bytes, message: Message, now: int) -> int | None:
        """Ask a peer; the request's id, or None when it cannot be asked.

        That is so without a session, with one whose wire version does not know the
        question (`PeerHandle.version`), and when too many questions wait.

        What follows is one Incoming with this id and `is_reply`, or one
        RequestFailed. Beyond the window that the peer announced requests wait.
        """
        time = self._read(now)
        session = self.session_with(node_id)
        if session is None:
            return None
        if message.entry().reply is None:
            raise LocalError(f"nobody answers a {message.message_type()}.")
        self._last_request = self._last_request % (_REQUEST_IDS - 1) + 1
        request_id = self._last_request
        asked = session.ask(request_id, self.encoder.encode(message, request_id=request_id), time)
        self._sent(session)
        return request_id if asked else None

    def ping(self, node_id: bytes, now: int) -> bool:
        """Ask a peer for a sign of life, out of turn; False without an open session, or when it owes too many."""
        time = self._read(now)
        session = self.session_with(node_id)
        if session is None:
            return False
        asked = session.ping(time)
        self._sent(session)
        return asked

    def room(self, node_id: bytes, *, urgent: bool = False) -> int:
        """Bytes that may be queued for a peer (`Session.room`); bulk replies are made only when there is some."""
        session = self.session_with(node_id)
        return 0 if session is None or self.budget.exceeded else session.room(urgent=urgent)

    # Whom to dial.

    def want(self, host: str, port: int, node_id: bytes | None = None) -> bool:
        """Keep a session with whoever listens there; False when too many are wanted already."""
        self._agenda.earlier(DIAL, self.clock.time)
        return self.dialing.want(host, port, node_id) is not None

    def forget(self, host: str, port: int) -> None:
        """Do not dial this address any more; a session that lives is left alone."""
        self.dialing.forget(host, port)

    def try_once(self, host: str, port: int, node_id: bytes | None = None) -> bool:
        """Dial an address that is not wanted otherwise; False when too many are already."""
        self.dialing.try_once(host, port, node_id, Origin.BOOK)
        self._agenda.earlier(DIAL, self.clock.time)
        return self.dialing.at(host, port) is not None

    # Sources of addresses.

    def seeking(self, now: int) -> bool:
        """True while this node has too few outbound sessions and nobody left to dial for more."""
        return self._discover and not self._stopping and self.discovery.seeking(self._read(now))

    def seeded(self, places: Iterable[PeerAddress], source: str, now: int) -> int:
        """Addresses that a source outside the network told of; how many of them the book knows."""
        time = self._read(now)
        known = self.discovery.seeded(places, source, self.identity.node_id, now)
        self._look_at = time
        self._agenda.earlier(DIAL, time)
        return known

    def try_seed(self, place: PeerAddress, now: int) -> None:
        """Dial a fixed source of addresses, unless its node is linked or the address is dialled already."""
        time = self._read(now)
        linked = {(s.host, s.port) for s in self._links.values() if s.state is not State.CLOSED}
        there = place.node_id is not None and self.session_with(place.node_id) is not None
        if not there and (place.host, place.port) not in linked:
            self.dialing.try_once(place.host, place.port, place.node_id, Origin.SEED)
            self._agenda.earlier(DIAL, time)

    # Others' addresses.

    def remembered(self) -> Memory:
        """What a later process should know: addresses, the first to dial, bans. It changes no more."""
        book = self.discovery.book
        anchors = self._anchors if self._stopping else self._outbound()
        return Memory(book.secret, book.snapshot(), anchors, self.conduct.bans(self._now))

    def stop(self, now: int) -> list[Delivery]:
        if not self._stopping:
            self._anchors = self._outbound()
        return super().stop(now)

    def _outbound(self) -> tuple[PeerAddress, ...]:
        """Some peers that answered where they were dialled."""
        outbound = [s for s in self._by_node.values() if s.outbound and s.state is State.OPEN]
        return tuple(PeerAddress(s.host, s.port, s.node_id) for s in outbound[:ANCHORS])

    def remember(self, memory: Memory) -> None:
        """Take in what an earlier process knew; call it before the first event."""
        book = self.discovery.book
        book.secret = memory.secret
        for record in memory.records:
            book.restore(record)
        for ban in memory.bans:
            self.conduct.keep(ban)
        for anchor in memory.anchors:
            self.dialing.try_once(anchor.host, anchor.port, anchor.node_id, Origin.BOOK)
        self._agenda.earlier(DIAL, self.clock.time)

    def _opened(self, session: Session) -> None:
        super()._opened(session)
        book, host = self.discovery.book, session.host
        if session.outbound:
            book.succeeded(host, session.port, session.node_id, self._now)
        elif session.theirs is not None and session.theirs.listen_port:
            book.add(host, session.theirs.listen_port, session.node_id, self._now, host, self._now)
        if self._discover:
            asked = self.request(session.node_id, GetPeers(), self._now)
            if asked is not None:
                self._asked_peers.add(asked)

    def _ended(self, session: Session, *, ours: bool, unwanted: bool) -> None:
        super()._ended(session, ours=ours, unwanted=unwanted)
        self._past.add(session.traffic)
        if not session.outbound:
            return
        book = self.discovery.book
        if session.reason in ("feeler", "duplicate"):
            book.succeeded(session.host, session.port, session.node_id, self._now)
        elif session.reason == "self":
            book.is_own(session.host, session.port)
        elif session.node_id:
            book.met(session.host, session.port, session.node_id)

    def _no_answer(self, target: Target) -> None:
        self.discovery.book.failed_test(target.host, target.port)
        news = target.failures >= limits.FAILURES_TOLD and target.told != target.last_failure
        if news and target.origin is Origin.CONFIGURED:
            target.told = target.last_failure
            address = host_port(target.host, target.port)
            self._actions.append(Publish(PeerUnreachable(address, target.told)))

    def _incoming(self, session: Session, event: Incoming) -> None:
        if isinstance(event.message, GetPeers):
            answer = self.encoder.encode(
                self.discovery.answer(self._now), request_id=event.request_id, reply=event.request_id != 0
            )
            self._send(session, answer)
        elif isinstance(event.message, PeersResponse):
            self._asked_peers.discard(event.request_id)
            self.discovery.heard(event.message, session.host, self.identity.node_id, self._now)
        else:
            super()._incoming(session, event)

    def _request_failed(self, handle: PeerHandle, request_id: int, reason: str) -> None:
        if request_id in self._asked_peers:
            self._asked_peers.discard(request_id)
        else:
            super()._request_failed(handle, request_id, reason)

    def _dial(self, time: int) -> None:
        if self._discover and not self._stopping:
            if time >= self._look_at:
                live = [session for session in self._links.values() if session.state is not State.CLOSED]
                there = {session.node_id: session.host for session in live}
                there[self.identity.node_id] = ""
                outbound = [session.host for session in live if session.outbound]
                self._look_at = self.discovery.look(self._now, time, outbound, there, self.kept_out)
            super()._dial(time)
            self._agenda.earlier(DIAL, self._look_at)
        else:
            super()._dial(time)

    # Conduct.

    def report(self, node_id: bytes, event: str, now: int, detail: str = "") -> None:
        """Something a peer did; `timed.peer.conduct.POLICY` decides what it means."""
        self._read(now)
        session = self._by_node.get(node_id)
        if session is not None:
            self._conduct(session, event, detail)

    def _judged(self, entry: Entry) -> None:
        banned = PeerBanned(entry.node_id, entry.host, entry.event, limits.BAN_TIME // SECOND, entry.done)
        self._actions.append(Publish(banned))

    def useful(self, node_id: bytes, now: int, *, block: bool = False) -> None:
        """A peer delivered a transaction, or a block, that was news and is valid."""
        session = self.session_with(node_id)
        if session is not None and block:
            session.traffic.last_block = now
        elif session is not None:
            session.traffic.last_transaction = now

    def regulate(self, settings: PeerSettings, now: int) -> None:
        """Other settings from now on; strangers for whom there is no place any more are closed (`full`)."""
        self._read(now)
        self.conduct.regulate(settings)
        self._seats.most = settings.max_inbound
        inbound = [session for session in self._by_node.values() if not session.outbound]
        for session in self._seats.too_many(inbound, self._preferred):
            self._close(session, "full")

    def disconnect(self, node_id: bytes, reason: str, now: int) -> bool:
        """End the session with a peer in good order; False when there is none."""
        self._read(now)
        session = self._by_node.get(node_id)
        if session is not None:
            self._close(session, reason)
        return session is not None

    def ban(self, subject: Subject, seconds: int, reason: str, now: int) -> None:
        """The operator refuses a node or a place, for so long or (0) until it is lifted."""
        self._read(now)
        session = self._by_node.get(subject) if isinstance(subject, bytes) else None
        self.conduct.ban(
            subject, now + seconds * SECOND if seconds else 0, reason,
            by_operator=True, since=now, host="" if session is None else session.host,
        )  # fmt: skip
        for session in list(self._links.values()):
            if session.state is not State.CLOSED and self._ban_on(session) is not None:
                self._close(session, "banned", reason)

    def unban(self, subject: Subject, now: int) -> bool:
        """Lift what keeps a node or a place out, and forget score and backoff; False when nothing did."""
        self._read(now)
        self.conduct.bans(now)
        return self._welcome(self.conduct.unban(subject))

    def clear_bans(self, now: int) -> bool:
        """`unban` for everybody."""
        self._read(now)
        self.conduct.bans(now)
        return self._welcome(self.conduct.clear_bans())

    def _welcome(self, lifted: Collection[Ban]) -> bool:
        """Dial whom these bans kept out: the wanted ones, and some whose address is known."""
        if not lifted:
            return False
        nodes = {ban.subject for ban in lifted if isinstance(ban.subject, bytes)}
        places = [ban.subject for ban in lifted if not isinstance(ban.subject, bytes)]

        def concerned(node_id: bytes | None, host: str) -> bool:
            return node_id in nodes or any(is_in(host, place) for place in places)

        self.dialing.afresh(lambda target: concerned(target.believed, target.host), self.clock.time)
        known = self.discovery.book if self._discover else ()
        back = (each for each in known if each.node_id is not None and concerned(each.node_id, each.host))
        for record in islice(back, limits.DIAL_BACKS):
            self.dialing.try_once(record.host, record.port, record.node_id, Origin.BOOK)
        self._agenda.earlier(DIAL, self.clock.time)
        return True

    # Numbers.

    @property
    def costs(self) -> Costs:
        """What handling the peers' messages costs."""
        return self.intake.costs

    def traffic(self) -> Traffic:
        """What went through all sessions of this process; it never goes back."""
        total = Traffic()
        total.add(self._past)
        for session in self._links.values():
            if session.state is not State.CLOSED:
                total.add(session.traffic)
        return total

    def queues(self) -> list[Queue]:
        """What waits for each peer, by class."""
        return [
            queue for session in self._by_node.values() for queue in session.outbox.queues(self.clock.time)
        ]

    @property
    def now(self) -> int:
        """The host's time when something happened last."""
        return self._now

    def clock_offset(self) -> int | None:
        """The median of how far the peers' clocks are ahead of ours, None while nobody has answered.

        Members alone are asked when there are any: a clock costs nothing to claim.
        The node asks at every wake; the answer changes with a pong, a session or the roster.
        """
        sessions, compared, members = self._offset_from
        now = (self.peers(), self.clock.compared, self.members)
        if now[0] is not sessions or now[1] != compared or now[2] is not members:
            self._offset, self._offset_from = self._median_offset(), now
        return self._offset

    def _median_offset(self) -> int | None:
        live = [session for session in self._by_node.values() if session.traffic.clock_offset is not None]
        members = [session for session in live if session.operator in self.members]
        offsets = sorted(session.traffic.clock_offset or 0 for session in members or live)
        return offsets[len(offsets) // 2] if offsets else None

    def statistics(self, node_id: bytes) -> PeerStatistics | None:
        """An open session in numbers."""
        session = self.session_with(node_id)
        if session is None:
            return None
        score = self.conduct.score(node_id, self._now)
        return statistics_of(session, node_id, self._class_of(session), score, self.clock)

    def _send(self, session: Session, encoded: Encoded) -> bool:
        time = self.clock.time
        if encoded.kind.requires_ack and session.knows(encoded.kind):
            self.retention.keep(
                session.node_id, encoded.kind.number, encoded.payload, encoded.reference, time
            )
            self._agenda.earlier(RETENTION, time + limits.RETAINED_AGE)
        queued = session.send(encoded, time) is Admission.QUEUED
        self._sent(session)
        return queued

    def _sent(self, session: Session) -> None:
        """Write at the end of the turn; keep within the bound for all peers."""
        self._touched(session)
        while self.budget.exceeded and self._by_node:
            fullest = max(self._by_node.values(), key=lambda other: other.outbox.queued)
            if not fullest.outbox.shed_gossip(self.budget.held - self.budget.limit):
                fullest.overflowed = True
                self._touched(fullest)

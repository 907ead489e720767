"""Every order in which two crossing dials can happen, and who dials whom in every situation."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from hashlib import blake2b
from itertools import product

import attrs
from twisted.trial.unittest import SynchronousTestCase

from tests.peer_harness import End, Host, Wire, identity
from timed.params import SECOND
from timed.peer.dialing import Phase
from timed.peer.session import State

MOST_STATES = 10_000
"""A search that finds more is not the one that was meant."""


class Explored(Wire):
    """A wire whose next steps have names, so that a state can be told from another one.

    The network takes what is written at once, and no time passes: what is left to
    chance is the order in which each node learns of things.
    """

    def __init__(self, *, tls: bool) -> None:
        super().__init__(tls=tls, manual=True)
        self.labels: dict[int, deque[bytes]] = {}
        self._label = b""
        for host in [self.host(number, wanted=[3 - number], named=tls) for number in (1, 2)]:
            host.call(host.table.tick(self.now))
        for attempt in self.dialling:
            attempt()
        self.dialling.clear()

    def write(self, link: int, data: bytes) -> None:
        end = self.ends[link]
        peer = end.peer
        if end.gone or peer is None:
            return
        table = peer.host.table
        self._label = b"data" + data
        self._tell(peer, lambda: table.received(peer.link, data, self.now))
        end.host.table.drained(link, self.now)

    def close(self, link: int, reason: str, abort: bool) -> None:
        self._label = b"end " + reason.encode()
        super().close(link, reason, abort)

    def join(self, source: Host, target: Host, port: int = 7000) -> tuple[End, End]:
        self._label = b"up"
        return super().join(source, target, port)

    def _tell(self, end: End, what: Callable[[], object]) -> None:
        self.labels.setdefault(end.link, deque()).append(self._label)
        super()._tell(end, what)  # type: ignore[arg-type]

    def step(self, choice: int) -> None:
        """Do one of `choices`."""
        waiting = [end for end in self.ends.values() if end.inbox]
        self.labels[waiting[choice].link].popleft()
        self.choices()[choice]()

    def state(self) -> bytes:
        """What the future depends on."""
        digest = blake2b(digest_size=16)
        digest.update(repr([host.table._greetings for host in self.hosts]).encode())
        for link in sorted(self.ends):
            end = self.ends[link]
            session = end.host.table._links.get(link)
            known, kept = None, False
            if session is not None:
                numbers = [shake and shake.dial for shake in (session.ours, session.theirs)]
                known = (session.state, numbers)
                kept = end.host.table._by_node.get(session.node_id) is session
            digest.update(
                repr((link, end.host.name, end.gone, known, kept, *self.labels.get(link, ()))).encode()
            )
        return digest.digest()


class CrossingTests(SynchronousTestCase):
    """[22] F01"""

    def explore(self, *, tls: bool) -> tuple[int, int]:
        """Go through every state that can be reached; how many there are, and how many are final."""
        seen: dict[bytes, None] = {}
        ends = 0
        pending: list[tuple[int, ...]] = [()]
        while pending:
            path = pending.pop()
            wire = Explored(tls=tls)
            for choice in path:
                wire.step(choice)
            while (state := wire.state()) not in seen:
                seen[state] = None
                self.assertLess(len(seen), MOST_STATES)
                self.assertAtMostOneEach(wire)
                count = len(wire.choices())
                if not count:
                    ends += 1
                    self.assertOneSession(wire)
                    break
                # The first choice is made here; the others begin anew.
                pending += [(*path, choice) for choice in range(1, count)]
                wire.step(0)
                path = (*path, 0)
        return len(seen), ends

    def assertAtMostOneEach(self, wire: Explored) -> None:
        for host in wire.hosts:
            sessions = [s for s in host.table._links.values() if s.state in (State.ACCEPTED, State.OPEN)]
            self.assertLessEqual(len(sessions), 1)

    def assertOneSession(self, wire: Explored) -> None:
        """Both ends name the same survivor, nobody is blamed, and nothing counts as a failure."""
        a, b = wire.hosts
        (end,) = wire.links_between(a, b)
        mine, theirs = a.table.session_with(b.node_id), b.table.session_with(a.node_id)
        self.assertEqual((mine and mine.link, theirs and theirs.link), (end.link, end.peer and end.peer.link))
        for host in (a, b):
            self.assertEqual((host.table.reconnects, host.table.dialing.failed), (0, 0))
            self.assertEqual(sum(host.table.conduct.counts.values()), 0)

    def test_authenticated_links_end_with_one_session_in_every_order(self) -> None:
        states, ends = self.explore(tls=True)
        self.assertGreater(states, 1_000)
        self.assertGreater(ends, 1)

    def test_plain_links_end_with_one_session_in_every_order(self) -> None:
        states, ends = self.explore(tls=False)
        self.assertGreater(states, 100)
        self.assertGreater(ends, 1)


class ReachTests(SynchronousTestCase):
    """F05: nobody waits for the other to dial, whoever has the greater node id."""

    def reach(
        self, first: int, prepare: Callable[[Wire, Host, Host], None], *, both: bool, tls: bool
    ) -> None:
        """`first` wants the other of 1 and 2, which wants it as well if `both`; they meet after `prepare`."""
        wire = Wire(tls=tls)
        other = 3 - first
        a = wire.host(first, wanted=[other], named=tls)
        b = wire.host(other, wanted=[first] if both else [], named=tls)
        prepare(wire, a, b)
        wire.run(HEALED)
        about = (first, prepare.__name__, both, tls)
        self.assertEqual([peer.node_id for peer in a.table.peers()], [b.node_id], about)
        self.assertEqual([peer.node_id for peer in b.table.peers()], [a.node_id], about)
        self.assertEqual(len(wire.links_between(a, b)), 1, about)

    def test_a_peer_is_reached_whatever_was_in_the_way_at_first(self) -> None:
        for first, both, tls in product((1, 2), (True, False), (True, False)):
            for prepare in (nothing, down_at_first, mute_at_first, refused_for_an_hour):
                self.reach(first, prepare, both=both, tls=tls)

    def test_a_peer_behind_a_router_is_reached_by_its_own_dial(self) -> None:
        """It can be dialled by nobody, for hours: its own dials are enough, at the start and after a cut."""
        for first, tls in product((1, 2), (True, False)):
            self.reach(first, behind_a_router, both=True, tls=tls)
            self.reach(first, cut_behind_a_router, both=True, tls=tls)

    def test_a_node_that_does_not_know_its_own_address_is_reached_and_reaches(self) -> None:
        """It says that it listens nowhere; that is no reason for either side to wait."""
        for first, both in product((1, 2), (True, False)):
            wire = Wire()
            other = 3 - first
            who = attrs.evolve(identity(first), listen_port=0)
            a = wire.host(first, wanted=[other], identity=who)
            b = wire.host(other, wanted=[first] if both else [])
            wire.run(HEALED)
            self.assertEqual((len(a.table.peers()), len(b.table.peers())), (1, 1), (first, both))


HEALED = 5 * SECOND


def nothing(wire: Wire, a: Host, b: Host) -> None:
    """Nothing is in the way."""


def down_at_first(wire: Wire, a: Host, b: Host) -> None:
    """Nobody listens there for ten minutes."""
    b.alive = False
    wire.run(600 * SECOND)
    b.alive = True
    b.call(b.table.tick(wire.now))


def mute_at_first(wire: Wire, a: Host, b: Host) -> None:
    """Requests for a connection vanish for ten minutes, in both directions."""
    honest = wire.dial
    wire.dial = lambda source, dial: None  # type: ignore[method-assign]
    wire.run(600 * SECOND)
    wire.dial = honest  # type: ignore[method-assign]
    for source, dial in [(one, target) for one in (a, b) for target in one.table.dialing]:
        if dial.phase is Phase.DIALLING:
            source.call(source.table.dial_failed(dial.host, dial.port, "timeout", wire.now))


def refused_for_an_hour(wire: Wire, a: Host, b: Host) -> None:
    """The backoff of the dials has reached its cap when somebody listens at last."""
    b.reachable = False
    wire.run(3_600 * SECOND)
    b.reachable = True


def behind_a_router(wire: Wire, a: Host, b: Host) -> None:
    b.reachable = False


def cut_behind_a_router(wire: Wire, a: Host, b: Host) -> None:
    b.reachable = False
    wire.run(3_600 * SECOND)
    for end in wire.links_between(a, b):
        wire.cut(end)
        wire.cut(end.peer)  # type: ignore[arg-type]

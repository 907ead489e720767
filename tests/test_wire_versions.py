"""Networks of two wire versions: what a session agrees on, and what is never sent or read on it.

The previous version is there twice: as the bytes it once wrote (`tests.recorded_sessions`),
and as today's node told to speak it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import attrs
import msgspec
from twisted.trial.unittest import SynchronousTestCase

from tests import recorded_sessions
from tests.peer_harness import Host, Stranger, Wire, identity
from tests.recorded_sessions import FOLLOWER, MEMBERS, Replay, requests_of
from tests.test_peer_sessions import accept, handshake_of, open_stranger
from tests.test_peer_table import commit
from timed.events import BlockCertified, TransactionFinal
from timed.node.config import NodeConfig
from timed.params import SECOND, WIRE_VERSION, WIRE_VERSION_MIN
from timed.peer.dialect import Dialect
from timed.peer.values import Identity
from timed.sim.run import Run
from timed.sim.world import Scenario, World
from timed.wire import catalogue, message
from timed.wire.framing import Flags
from timed.wire.message import Message
from timed.wire.messages import (
    BlockAnnouncement,
    BlockCommit,
    GetBlocks,
    GetHeaders,
    Handshake,
    TransactionVote,
    UTXOStateQuery,
    UTXOStateResponse,
)

OLD, NEW = WIRE_VERSION_MIN, WIRE_VERSION
QUERY = UTXOStateQuery(outpoints=())
NEWS = BlockAnnouncement(height=1, hash=bytes(32))


@contextmanager
def later(*classes: type[Message]) -> Iterator[None]:
    """As if these messages were first in the newest wire version."""
    rows = [attrs.evolve(cls.entry(), since=NEW) for cls in classes]
    with (
        mock.patch.dict(catalogue.BY_NUMBER, {row.number: row for row in rows}),
        mock.patch.dict(catalogue.BY_NAME, {row.name: row for row in rows}),
        mock.patch.dict(message._ENTRIES, {row.cls: row for row in rows}),
    ):
        yield


def speaking(number: int, version: int) -> Identity:
    """A node whose newest wire version is this one."""
    return attrs.evolve(identity(number), dialect=Dialect(wire_version=version))


class RecordedTests(SynchronousTestCase):
    """Sessions of wire version 1 nodes, said again to today's node in the place of one of them."""

    def setUp(self) -> None:
        self.recording = recorded_sessions.read()

    def replay(self, subject: int, **options: Dialect) -> Replay:
        """Everything was understood, and the node ends where the recorded one ended."""
        replay = Replay(self.recording, subject, **options)
        replay.run()
        peers, ledger = replay.node.peers, replay.node.ledger
        self.assertEqual([peer.version for peer in peers.peers()], [OLD] * MEMBERS)
        self.assertEqual(
            (dict(peers.violations), dict(peers.refusals), list(peers.conduct.ledger)), ({}, {}, [])
        )
        self.assertEqual((peers.traffic().unknown, peers.traffic().over_rate), (0, 0))
        self.assertEqual(replay.closed, [])
        self.assertEqual(
            (ledger.tip.height, ledger.tip.hash), (len(self.recording.blocks), self.recording.blocks[-1])
        )
        self.assertEqual([len(peer.script) for peer in replay.peers], [0] * len(replay.peers))
        for peer in replay.peers:
            for frame in peer.heard:
                self.assertIn(frame.number, self.recording.types)
                self.assertFalse(frame.flags & Flags.COMPRESSED)
        return replay

    def test_the_newest_version_is_a_member_among_nodes_of_the_first(self) -> None:
        """Payments become final and blocks are made; it dials some of them, others dial it."""
        for subject in range(MEMBERS):
            replay = self.replay(subject)
            self.assertEqual(replay.node.peers.identity.dialect.wire_version, NEW)
            self.assertEqual(
                sorted(event.txid for event in replay.told(TransactionFinal)), sorted(self.recording.final)
            )
            self.assertEqual(len(replay.told(BlockCertified)), len(self.recording.blocks))
            for peer in replay.peers[: MEMBERS - 1]:
                self.assertTrue(peer.messages(TransactionVote), "it votes for payments")
                self.assertTrue(peer.messages(BlockCommit), "it makes blocks")

    def test_the_newest_version_catches_up_from_nodes_of_the_first(self) -> None:
        replay = self.replay(FOLLOWER)
        self.assertEqual(len(replay.told(BlockCertified)), len(self.recording.blocks))
        asked = [peer.messages(GetBlocks) for peer in replay.peers]
        self.assertTrue(any(asked))

    def test_the_newest_version_serves_a_node_of_the_first_that_catches_up(self) -> None:
        """Its answers are, byte for byte, those that a node of the first version gave."""
        served = 0
        for subject in range(MEMBERS):
            replay = self.replay(subject)
            (link,) = set(self.recording.links_of(subject)) & set(self.recording.links_of(FOLLOWER))
            peer = replay.peer(FOLLOWER)
            asked = {
                frame.request_id: (frame.number, frame.payload)
                for _, frame in self.recording.frames(link, self.recording.links[link].side(FOLLOWER))
                if frame.number in (GetHeaders.entry().number, GetBlocks.entry().number)
            }
            answers = requests_of(self.recording, link, FOLLOWER)
            said = {frame.request_id: frame.payload for frame in peer.heard if frame.is_reply}
            for request_id, request in asked.items():
                self.assertEqual([said[request_id]], answers[request])
                served += 1
        self.assertGreaterEqual(served, 3, "headers and both blocks")

    def test_the_version_switch_speaks_as_the_first_version_did(self) -> None:
        """What it says of itself is the recorded handshake, byte for byte but for tip and time."""
        for subject in range(MEMBERS + 1):
            replay = self.replay(subject, dialect=Dialect(wire_version=1))
            for link, peer in zip(self.recording.links_of(subject), replay.peers, strict=True):
                side = self.recording.links[link].side(subject)
                recorded = next(
                    Handshake.decode(frame.payload)
                    for _, frame in self.recording.frames(link, side)
                    if frame.number == Handshake.entry().number
                )
                (frame,) = peer.messages(Handshake)
                said = Handshake.decode(frame.payload)
                changed = {
                    name
                    for name in Handshake.__struct_fields__
                    if getattr(said, name) != getattr(recorded, name)
                }
                self.assertLessEqual(changed, {"dial", "time"})
                self.assertEqual((said.wire_version, said.min_wire_version, said.features), (1, 1, 0))

    def test_no_message_of_the_first_version_was_renumbered(self) -> None:
        known = {entry.number: entry.name for entry in catalogue.MESSAGES if entry.since == 1}
        self.assertEqual(known, self.recording.types)


class NegotiationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.wire = Wire()

    def pair(self, mine: int, theirs: int) -> tuple[Host, Host]:
        a = self.wire.host(1, wanted=[2], identity=speaking(1, mine))
        b = self.wire.host(2, identity=speaking(2, theirs))
        self.wire.run(SECOND)
        return a, b

    def stranger_of(self, version: int, **claims: int) -> Stranger:
        """A peer of this wire version that speaks by hand."""
        host = self.wire.host(1)
        stranger = Stranger(host)
        (theirs,) = stranger.heard()
        stranger.send(msgspec.structs.replace(handshake_of(host), wire_version=version, **claims))
        accept(stranger, theirs)  # type: ignore[arg-type]
        stranger.heard()
        return stranger

    def test_a_session_speaks_the_newest_version_that_both_have(self) -> None:
        for mine in range(OLD, NEW + 1):
            for theirs in range(OLD, NEW + 1):
                a, b = self.pair(mine, theirs)
                versions = {host.table.peers()[0].version for host in (a, b)}
                self.assertEqual(versions, {min(mine, theirs)})

    def test_features_are_those_that_both_have(self) -> None:
        """A bit that only the peer knows means nothing here."""
        stranger = self.stranger_of(NEW, features=2**64 - 1)
        (peer,) = stranger.host.table.peers()
        self.assertEqual(peer.features, stranger.host.table._by_node[peer.node_id].ours.features)  # type: ignore[union-attr]

    def test_a_version_to_come_is_spoken_down_to(self) -> None:
        (peer,) = self.stranger_of(NEW + 7, min_wire_version=NEW).host.table.peers()
        self.assertEqual(peer.version, NEW)

    def test_a_node_told_to_speak_an_old_version_refuses_who_has_given_it_up(self) -> None:
        host = self.wire.host(1, identity=speaking(1, OLD))
        stranger = Stranger(host)
        stranger.heard()
        stranger.send(msgspec.structs.replace(handshake_of(host), wire_version=NEW, min_wire_version=NEW))
        self.assertEqual((host.table.peers(), host.closes[-1].reason), ((), "wire-version"))

    def test_what_the_session_does_not_have_is_withheld_and_counted(self) -> None:
        with later(BlockAnnouncement):
            a, b = self.pair(NEW, OLD)
            self.assertFalse(a.table.send_to_peer(b.node_id, NEWS))
            self.assertEqual(a.table.broadcast(NEWS), 0)
            a.call(None)
            self.wire.run(SECOND)
            self.assertEqual((b.incoming(), b.table.traffic().unknown), ([], 0))
            self.assertEqual(a.table.traffic().withheld, 2)
            statistics = a.table.statistics(b.node_id)
            self.assertEqual(statistics.withheld, 2)  # type: ignore[union-attr]
            self.assertEqual(len(a.table.peers()), 1)

    def test_a_broadcast_reaches_those_whose_version_has_it(self) -> None:
        with later(BlockAnnouncement):
            versions = {1: NEW, 2: OLD, 3: NEW}
            hosts = {
                number: self.wire.host(
                    number, wanted=[other for other in versions if other < number],
                    identity=speaking(number, version),
                )
                for number, version in versions.items()
            }  # fmt: skip
            self.wire.run(SECOND)
            self.assertEqual(hosts[1].table.broadcast(NEWS), 1)
            hosts[1].call(None)
            self.wire.run(SECOND)
            self.assertEqual([hosts[number].incoming() for number in (2, 3)], [[], [NEWS]])

    def test_a_question_that_the_peer_does_not_know_is_not_asked(self) -> None:
        with later(UTXOStateQuery, UTXOStateResponse):
            a, b = self.pair(NEW, OLD)
            self.assertIsNone(a.table.request(b.node_id, QUERY, self.wire.now))
            self.assertEqual(a.table.traffic().withheld, 1)
            c, d = self.pair(NEW, NEW)
            self.assertIsNotNone(c.table.request(d.node_id, QUERY, self.wire.now))

    def test_what_is_withheld_is_not_kept_for_an_acknowledgement(self) -> None:
        with later(BlockCommit):
            a, b = self.pair(NEW, OLD)
            self.assertFalse(a.table.send_to_peer(b.node_id, commit()))
            self.assertEqual(len(a.table.retention), 0)

    def test_a_type_above_the_session_s_version_is_an_unknown_type(self) -> None:
        """Counted and skipped like any other; it is not even decoded."""
        with later(BlockAnnouncement):
            stranger = self.stranger_of(OLD)
            stranger.send(NEWS)
            table = stranger.host.table
            self.assertEqual(stranger.host.incoming(), [])
            self.assertEqual((table.traffic().unknown, table.conduct.counts["unknown-type"]), (1, 1))
            self.assertEqual(len(table.peers()), 1)

    def test_the_same_type_is_read_on_a_session_of_its_version(self) -> None:
        with later(BlockAnnouncement):
            stranger = open_stranger(self.wire.host(1))
            stranger.send(NEWS)
            self.assertEqual(stranger.host.incoming(), [NEWS])

    def test_plain_links_agree_likewise(self) -> None:
        """A dialler on a plain link greets second."""
        self.wire = Wire(tls=False)
        a, b = self.pair(OLD, NEW)
        self.assertEqual([host.table.peers()[0].version for host in (a, b)], [OLD, OLD])


class MixedNetworkTests(SynchronousTestCase):
    """Whole simulated networks: payments become final, blocks are made, a late node catches up."""

    def play(self, *versions: int) -> Run:
        """Four members and a follower that joins late; every invariant holds, equal heights at the end."""
        run = Run(Scenario(5, followers=1, minutes=1, dialects=tuple(map(Dialect, versions))))
        run.play()
        world = run.world
        self.assertEqual(len(set(world.heights())), 1)
        self.assertGreater(len(world.invariants.chain.final), 50)
        for index, process in enumerate(world.running()):
            mine = process.node.peers.identity.dialect.wire_version
            for peer in process.node.peers.peers():
                self.assertEqual(peer.version, min(mine, peer.handshake.wire_version))
            self.assertEqual(
                process.node.peers.traffic().unknown, 0, f"node {index} met what it does not know"
            )
        return run

    def versions(self, run: Run, machine: int) -> list[int]:
        (process,) = [process for process in run.world.running() if process.host.index == machine]
        return sorted(peer.version for peer in process.node.peers.peers())

    def test_one_upgraded_member_among_nodes_of_the_previous_version(self) -> None:
        run = self.play(NEW, OLD, OLD, OLD, OLD)
        self.assertEqual(self.versions(run, 0), [OLD] * 4)

    def test_one_upgraded_follower_catches_up_from_the_previous_version(self) -> None:
        run = self.play(OLD, OLD, OLD, OLD, NEW)
        self.assertEqual(self.versions(run, 4), [OLD] * 4)

    def test_one_member_of_the_previous_version_among_upgraded_nodes(self) -> None:
        run = self.play(OLD, NEW, NEW, NEW, NEW)
        self.assertEqual(self.versions(run, 0), [OLD] * 4)
        self.assertEqual(self.versions(run, 1), [OLD, NEW, NEW, NEW])

    def test_one_follower_of_the_previous_version_catches_up_from_upgraded_nodes(self) -> None:
        run = self.play(NEW, NEW, NEW, NEW, OLD)
        self.assertEqual(self.versions(run, 4), [OLD] * 4)

    def test_a_network_is_upgraded_one_node_after_the_other(self) -> None:
        """Every machine begins with the previous version; whoever is started again is upgraded."""
        scenario = Scenario(6, nodes=4, minutes=2, faults=("crash", "reset"), dialects=(Dialect(OLD),) * 4)
        run = Run(scenario)
        run.world = _Upgrading(scenario)
        run.play()
        lives = [host.lives for host in run.world.hosts]
        spoken = [process.node.peers.identity.dialect.wire_version for process in run.world.running()]
        self.assertEqual(spoken, [NEW if count > 1 else OLD for count in lives])
        self.assertIn(NEW, spoken)
        for process in run.world.running():
            self.assertEqual(process.node.peers.traffic().unknown, 0)


class _Upgrading(World):
    """The second process on a machine speaks the newest version."""

    def config(self, index: int) -> NodeConfig:
        config = super().config(index)
        return attrs.evolve(config, dialect=Dialect(NEW)) if self.hosts[index].lives else config

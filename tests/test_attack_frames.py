"""Attacks with messages that never end: what is kept of them is bounded by what was asked for."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.peer_harness import Stranger, Wire, key
from timed.params import NULL_HASH, SECOND
from timed.peer import limits
from timed.peer.retention import reference
from timed.wire.catalogue import encode_message
from timed.wire.framing import frames_of
from timed.wire.messages import Ack, GetBlocks, Goodbye, Handshake

MIB = 1024 * 1024
REPLIES = {
    "TransactionsResponse": 22,
    "CertificatesResponse": 26,
    "HeadersResponse": 37,
    "BlocksResponse": 39,
}


class EndlessReplyTests(SynchronousTestCase):
    """A reply is as long as its type allows only while one is waited for."""

    def setUp(self) -> None:
        self.wire = Wire()
        self.host = self.wire.host(1)
        self.stranger = Stranger(self.host)
        hello = next(one for one in self.stranger.heard() if isinstance(one, Handshake))
        self.stranger.send(
            Handshake(
                wire_version=hello.wire_version, min_wire_version=hello.min_wire_version, features=0,
                network=hello.network, genesis=hello.genesis, node_id=key(66).public, boot=1, dial=1,
                software="x", listen_port=0, height=0, tip=NULL_HASH, time=0, window=8, operator=(),
            )
        )  # fmt: skip
        self.stranger.send(Ack(Handshake.entry().number, reference(encode_message(hello)[1])))
        self.stranger.heard()
        self.assertEqual(len(self.host.opened()), 1)

    def pieces(self, number: int, size: int, request_id: int = 7) -> list[bytes]:
        """The frames of a message of that size, without the last."""
        return frames_of(self.stranger.magic, number, bytes(size), request_id=request_id, reply=True)[:-1]

    def kept(self) -> int:
        """Bytes the host holds of messages that are not complete."""
        return self.host.table.session_with(key(66).public)._reader.buffered  # type: ignore[union-attr]

    def test_that_nobody_asked_for_is_cut_off(self) -> None:
        for number in REPLIES.values():
            with self.subTest(number):
                self.setUp()
                for piece in self.pieces(number, 2 * MIB):
                    self.stranger.send_bytes(piece)
                reasons = [said.reason for said in self.stranger.heard() if isinstance(said, Goodbye)]
                self.assertEqual(reasons, ["frame-too-long"])
                self.assertEqual(self.host.table.violations["frame-too-long"], 1)

    def test_that_was_asked_for_may_be_long(self) -> None:
        request = self.host.table.request(key(66).public, GetBlocks(1, 1), self.wire.now)
        assert request is not None
        for piece in self.pieces(REPLIES["BlocksResponse"], 4 * MIB, request):
            self.stranger.send_bytes(piece)
        self.assertGreater(self.kept(), 3 * MIB)
        self.assertEqual(self.host.closed(), [])

    def test_of_another_type_than_was_asked_for_may_not(self) -> None:
        request = self.host.table.request(key(66).public, GetBlocks(1, 1), self.wire.now)
        assert request is not None
        for piece in self.pieces(REPLIES["HeadersResponse"], 1 * MIB, request):
            self.stranger.send_bytes(piece)
        self.assertEqual(len(self.host.closed()), 1)

    def test_that_comes_late_may_be_long_as_well(self) -> None:
        """[21] Its asker gave up meanwhile: slow is no offence."""
        request = self.host.table.request(key(66).public, GetBlocks(1, 1), self.wire.now)
        assert request is not None
        self.wire.run(limits.REQUEST_DEADLINE_FIRST + SECOND)
        self.assertEqual([one.request_id for one in self.host.failed()], [request])
        for piece in self.pieces(REPLIES["BlocksResponse"], 1 * MIB, request):
            self.stranger.send_bytes(piece)
        self.assertEqual(self.host.closed(), [])
        self.assertGreater(self.kept(), MIB // 2)

"""A raw socket against three real nodes: whatever it sends is refused by a counted name, and nothing else happens."""

from __future__ import annotations

import re
import struct
import time
from collections import Counter

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from tests.net_world import HELLO_BEGINS
from tests.process_world import (
    Intruder,
    ProcessCase,
    Session,
    certificate_file,
    greeting_of,
    until,
    write_pem,
)
from tests.test_net_refusals import certify
from timed.crypto.keys import SigningKey
from timed.params import REGTEST, TESTNET
from timed.wire.messages import GetHeaders, Goodbye, Handshake, HeadersResponse, Ping

VICTIM = 1
GROWTH_MB = 8.0
"""What garbage may cost. A message of the largest kind that was buffered would be seen."""
SILENT = 200
STRANGERS = 80
LEFT_BYTES = 5_000
"""What a refused connection may leave; its TLS takes nine times as much."""
HEADER = struct.Struct("<4sHHLL")
HALF_HELLO = HELLO_BEGINS + b"\x00\x01\xfc\x03\x03"


def key(number: int) -> SigningKey:
    return SigningKey.from_seed(bytes([number]) * 32)


class HostileCase(ProcessCase):
    network = "hostile"

    def setUp(self) -> None:
        super().setUp()
        self.files = self.directory()
        self.victim = self.world.node(VICTIM)
        self.before = self.world.refused(VICTIM)
        self.memory = self.world.memory_mb()

    def tearDown(self) -> None:
        """The network has noticed nothing."""
        self.assert_undisturbed()
        self.assert_flat(self.memory, GROWTH_MB)

    def raw(self) -> Intruder:
        intruder = Intruder(self.victim)
        self.addCleanup(intruder.close)
        return intruder

    def tls(self, number: int = 50) -> Intruder:
        """A connection under TLS with a good certificate."""
        return self.raw().wrap(certificate_file(self.files, key(number)))

    def assert_refused(self, what: str, rule: str, count: int = 1) -> None:
        """The reason was counted so often since the test began, no other was, and no session opened."""

        def found() -> bool:
            return (self.world.refused(VICTIM) - self.before)[what, rule] >= count

        until(f"{what} {rule}", found)
        self.assertEqual(self.world.refused(VICTIM) - self.before, {(what, rule): count})


class TransportTests(HostileCase):
    """Before a session: what is not TLS, or shows the wrong thing in TLS."""

    def test_garbage(self) -> None:
        intruder = self.raw()
        intruder.send(bytes(range(256)) * 64)
        intruder.wait_closed()
        self.assert_refused("connection", "tls-failed")

    def test_what_was_refused_leaves_nothing(self) -> None:
        """The C library's blocks, where the state of TLS is, are counted by themselves: holes are no leak."""

        def allocated() -> int:
            return self.world.counted(VICTIM, "timed_memory_bytes")["allocated"]

        before = 0
        for turn in range(2):
            before = allocated()
            for _ in range(STRANGERS):
                intruder = self.raw()
                intruder.send(HALF_HELLO + bytes(4_096))
                intruder.close()
            self.assert_refused("connection", "tls-failed", (turn + 1) * STRANGERS)
        self.assertLess(allocated() - before, STRANGERS * LEFT_BYTES)

    def test_a_frame_without_tls(self) -> None:
        intruder = self.raw()
        intruder.say(Ping(nonce=1, time=2))
        intruder.wait_closed()
        self.assert_refused("connection", "tls-failed")

    def test_a_hello_without_end(self) -> None:
        intruder = self.raw()
        record = b"\x16\x03\x01\x40\x00"
        intruder.send(record + b"\x01\x01\xf0\x00" + bytes(0x3FFC) + 8 * (record + bytes(0x4000)))
        intruder.wait_closed()
        self.assert_refused("connection", "tls-too-long")

    def test_no_certificate(self) -> None:
        self.raw().wrap(None).wait_closed()
        self.assert_refused("connection", "no-certificate")

    def test_a_key_of_another_kind(self) -> None:
        private_key = ec.generate_private_key(ec.SECP256R1())
        path = write_pem(self.files / "ec.pem", certify(private_key), private_key)
        self.raw().wrap(path).wait_closed()
        self.assert_refused("connection", "not-ed25519")


class FrameTests(HostileCase):
    """Under TLS, before the handshake of the session: every frame that is none."""

    def refused(self, data: bytes, rule: str) -> None:
        intruder = self.tls()
        intruder.send(data)
        self.assertIn(rule, [said.reason for said in intruder.wait_closed() if isinstance(said, Goodbye)])
        self.assert_refused("session", rule)

    def test_garbage(self) -> None:
        self.refused(b"\xa5" * 100_000, "wrong-network")

    def test_a_length_of_four_gigabytes(self) -> None:
        self.refused(HEADER.pack(REGTEST.magic, 1, 0, 2**32 - 1, 0) + bytes(60_000), "frame-too-long")

    def test_a_frame_longer_than_a_handshake_may_be(self) -> None:
        self.refused(HEADER.pack(REGTEST.magic, 32, 0, 4_097, 0) + bytes(4_097), "frame-too-long")

    def test_flags_nobody_knows(self) -> None:
        self.refused(HEADER.pack(REGTEST.magic, 1, 0x8000, 0, 0), "frame-flags")

    def test_a_handshake_cut_short(self) -> None:
        self.refused(HEADER.pack(REGTEST.magic, 1, 0, 10, 0) + bytes(10), "decode-truncated")

    def test_another_message_first(self) -> None:
        intruder = self.tls()
        intruder.say(GetHeaders(start=0, count=1))
        intruder.wait_closed()
        self.assert_refused("session", "handshake-order")


class HandshakeTests(HostileCase):
    """Handshakes that are well formed and say the wrong thing."""

    def setUp(self) -> None:
        super().setUp()
        self.identity = certificate_file(self.files, key(50))
        theirs = greeting_of(self.world.node(2), self.identity)
        self.member = theirs
        self.mine: Handshake = msgspec.structs.replace(theirs, node_id=key(50).public, operator=())
        self.before = self.world.refused(VICTIM)

    def refused(self, handshake: Handshake, rule: str, **options: bytes) -> None:
        intruder = self.tls()
        intruder.say(handshake, **options)  # type: ignore[arg-type]
        self.assertIn(rule, [said.reason for said in intruder.wait_closed() if isinstance(said, Goodbye)])
        self.assert_refused("session", rule)

    def test_the_magic_of_another_network(self) -> None:
        handshake = msgspec.structs.replace(self.mine, network=TESTNET.name)
        self.refused(handshake, "wrong-network", magic=TESTNET.magic)

    def test_the_name_of_another_network(self) -> None:
        self.refused(msgspec.structs.replace(self.mine, network=TESTNET.name), "wrong-network")

    def test_another_genesis(self) -> None:
        self.refused(msgspec.structs.replace(self.mine, genesis=bytes(32)), "wrong-genesis")

    def test_a_wire_version_to_come(self) -> None:
        self.refused(msgspec.structs.replace(self.mine, wire_version=9, min_wire_version=9), "wire-version")

    def test_another_nodes_handshake_replayed(self) -> None:
        """[22] The certificate proves one node id, the handshake names another."""
        self.refused(self.member, "node-id-mismatch")

    def test_another_nodes_proof_of_its_operator_key(self) -> None:
        """It signs both node ids: it is good for one pair in one direction."""
        self.assertEqual(len(self.member.operator), 1)
        self.refused(msgspec.structs.replace(self.mine, operator=self.member.operator), "operator-proof")

    def test_the_victims_own_node_id(self) -> None:
        own = greeting_of(self.victim, self.identity)
        seen = self.before["session", "lost"]
        until("the hang-up is counted", lambda: self.world.refused(VICTIM)["session", "lost"] > seen)
        self.before = self.world.refused(VICTIM)
        self.refused(msgspec.structs.replace(self.mine, node_id=own.node_id), "self")

    def test_a_handshake_sent_again_later(self) -> None:
        """The session is open, and ends for this."""
        session = Session(self.victim, key(51), self.files, self.mine.genesis)
        until("the victim counts it", lambda: key(51).public.hex() in self.world.peers(VICTIM))
        session.line.say(msgspec.structs.replace(self.mine, node_id=key(51).public))
        until("the session ends", lambda: session.turn() and session.line.gone)
        self.assertEqual(session.reason, "handshake-order")
        until("the victim has let go", lambda: key(51).public.hex() not in self.world.peers(VICTIM))
        line = re.compile(f"session with {key(51).public.hex()} at .* ended: handshake-order$", re.MULTILINE)
        until("it is logged", lambda: line.search(self.world.log(VICTIM)))


class SlowTests(HostileCase):
    """Who says nothing, or too little: ten seconds for all of them together."""

    def test_silent_and_slow_connections_end_by_their_deadline(self) -> None:
        silent = [self.raw() for _ in range(SILENT)]
        half_hello = self.raw()
        half_hello.send(HALF_HELLO)
        half_frame = self.tls(60)
        half_frame.send(HEADER.pack(REGTEST.magic, 1, 0, 200, 0) + bytes(100))
        mute = self.tls(61)
        drip = self.raw()
        started = time.monotonic()
        sent = 0
        self.world.wait_final(self.world.pay())
        everybody = [*silent, half_hello, half_frame, mute, drip]

        def ended() -> bool:
            nonlocal sent
            if time.monotonic() - started > sent and not drip.gone:
                drip.send(HALF_HELLO[sent : sent + 1])
                sent += 1
            for one in everybody:
                if not one.gone:
                    one.receive(0)
            return all(one.gone for one in everybody)

        until("all of them are closed", ended)
        self.assertGreater(sent, 3)
        until(
            "all of them are counted",
            lambda: (self.world.refused(VICTIM) - self.before).total() >= SILENT + 4,
        )
        found = self.world.refused(VICTIM) - self.before
        self.assertEqual(
            dict(found), {("connection", "timeout"): SILENT + 2, ("session", "handshake-timeout"): 2}
        )

    def test_a_node_at_work_answers_others_meanwhile(self) -> None:
        """Half a frame on an open session holds up nobody."""
        genesis = bytes.fromhex(self.world.call(VICTIM, "getblockchaininfo")["genesishash"])
        halting = Session(self.victim, key(62), self.files, genesis)
        halting.line.send(HEADER.pack(REGTEST.magic, 32, 2 | 8, 16_000, 0) + bytes(8_000))
        asking = Session(self.victim, key(63), self.files, genesis)
        until("there is a block", lambda: self.world.call(VICTIM, "getblockcount") > 0)
        reply = asking.ask(GetHeaders(start=1, count=1))
        self.assertIsInstance(reply, HeadersResponse)
        self.assertEqual([one.header.height for one in reply.headers], [1])
        asking.leave()
        halting.line.send(bytes(8_000) + HEADER.pack(bytes(4), 0, 0, 0, 0))
        until("the half frame's session ends", lambda: halting.turn() and halting.line.gone)
        self.assertEqual(halting.reason, "frame-magic")


class StrangerTests(HostileCase):
    """Sessions that open and then break a rule."""

    def test_each_broken_rule_is_logged_and_counted(self) -> None:
        genesis = bytes.fromhex(self.world.call(VICTIM, "getblockchaininfo")["genesishash"])
        before = self.world.counted(VICTIM, "timed_violations")
        magic, broken = REGTEST.magic, []
        for number, (data, rule) in enumerate(
            (
                (HEADER.pack(magic, 39, 0, 2**32 - 1, 0), "frame-too-long"),
                (HEADER.pack(magic, 999, 0, 65_537, 0), "frame-too-long"),
                (HEADER.pack(magic, 17, 0, 8, 0) + bytes(8), "decode-truncated"),
                (HEADER.pack(magic, 17, 1, 8, 0) + bytes(8), "compression-not-negotiated"),
                (b"GET / HTTP/1.1\r\n\r\n", "frame-magic"),
            ),
            70,
        ):
            session = Session(self.victim, key(number), self.files, genesis)
            session.line.send(data)
            broken.append(rule)
            until(rule, lambda session=session: session.turn() and session.line.gone)  # type: ignore[misc]
            line = re.compile(f"session with {key(number).public.hex()} at .* ended: {rule}$", re.MULTILINE)
            until("it is logged", lambda line=line: line.search(self.world.log(VICTIM)))  # type: ignore[misc]
        until(
            "all are counted",
            lambda: (self.world.counted(VICTIM, "timed_violations") - before).total() >= len(broken),
        )
        self.assertEqual(self.world.counted(VICTIM, "timed_violations") - before, Counter(broken))

    def test_an_unknown_type_is_skipped_and_the_session_lives(self) -> None:
        genesis = bytes.fromhex(self.world.call(VICTIM, "getblockchaininfo")["genesishash"])
        session = Session(self.victim, key(80), self.files, genesis)
        session.line.send(50 * (HEADER.pack(REGTEST.magic, 999, 0, 16_000, 0) + bytes(16_000)))
        self.assertIsInstance(session.ask(GetHeaders(start=1, count=1)), HeadersResponse)
        session.leave()

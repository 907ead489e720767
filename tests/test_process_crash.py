"""Real nodes that are killed, stopped and damaged: what was promised stays, what is broken is named."""

from __future__ import annotations

import signal
import socket
import ssl
import threading
from pathlib import Path

from tests.process_world import HOST, WAIT_S, ProcessCase, certificate_file, until
from timed.crypto.keys import SigningKey
from timed.store.segment import FRAME_HEADER_SIZE, SEGMENT_HEADER_SIZE
from timed.testnet.rpc import ClientError


class CrashCase(ProcessCase):
    """Each test leaves three equal nodes that vote."""

    network = "crash"

    def tearDown(self) -> None:
        self.world.restart(*(n for n, process in self.world.processes.items() if not process.alive))
        self.world.wait_connected()
        txid = self.world.pay()
        self.world.wait_confirmed(txid)
        self.world.wait_equal()
        for number in self.world.numbers:
            self.assertEqual(self.world.metric(number, "timed_faults"), 0, f"node {number}")
            self.assertNotIn("Traceback", self.world.log(number))
            self.assertNotIn("equivocation", self.world.log(number).lower())

    def voting(self, number: int) -> bool:
        return bool(self.world.call(number, "getconsensusinfo")["voting"])


class KillTests(CrashCase):
    def test_one_node_is_killed_while_payments_are_made(self) -> None:
        """[15] Nothing that was final is lost, and all end equal."""
        paid: list[str] = []
        stop = threading.Event()

        def pay() -> None:
            while not stop.is_set():
                try:
                    paid.append(self.world.pay(1 + len(paid) % 2, 2 - len(paid) % 2))
                except ClientError as error:
                    paid.append(str(error))

        payer = threading.Thread(target=pay, daemon=True)
        payer.start()
        try:
            until("some are made", lambda: len(paid) > 5)
            self.world.kill(3)
            made = len(paid)
            until("more are made", lambda: len(paid) > made + 5)
            self.world.restart(3)
            self.world.wait_connected()
            made = len(paid)
            until("more are made", lambda: len(paid) > made + 5)
        finally:
            stop.set()
            payer.join(WAIT_S)
        self.assertEqual({len(txid) for txid in paid}, {64}, "every payment was taken")
        for txid in paid:
            self.world.wait_confirmed(txid)
        self.world.wait_equal()

    def test_all_are_killed_right_after_a_payment_is_final(self) -> None:
        """A final payment is in the very next block, whatever happens."""
        self.world.wait_confirmed(self.world.pay())
        txid = self.world.pay()
        self.world.wait_final(txid, 1)
        shown = self.world.call(1, "gettransaction", txid)
        self.world.kill(1, 2, 3)
        self.world.restart(1, 2, 3)
        if shown["state"] == "final":
            again = self.world.call(1, "gettransaction", txid)
            self.assertIn(again["state"], ("final", "confirmed"), "it is still known as final")
        self.world.wait_confirmed(txid)
        for number in self.world.numbers:
            self.assertEqual(
                self.world.call(number, "gettransaction", txid)["height"], shown["height"] or shown["epoch"]
            )

    def test_a_ban_that_was_answered_outlives_a_kill_in_the_same_moment(self) -> None:
        """F27: durable before the operator sees it."""
        self.world.call(1, "setban", "192.0.2.0/24", "add", 3600)
        self.world.kill(1)
        self.world.restart(1)
        (ban,) = self.world.call(1, "listbanned")
        self.assertEqual((ban["subject"], ban["by"]), ("192.0.2.0/24", "operator"))
        self.world.call(1, "setban", "192.0.2.0/24", "remove")
        self.world.kill(1)
        self.world.restart(1)
        self.assertEqual(self.world.call(1, "listbanned"), [])

    def test_a_node_that_another_one_poses_as_is_not_taken_in(self) -> None:
        """[22] Whoever listens at a member's place without its node key: wrong-key."""
        self.world.kill(3)
        impostor = SigningKey.from_seed(bytes(32))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate_file(self.directory(), impostor))
        with socket.create_server((HOST, self.world.node(3).p2p_port)) as listener:
            listener.settimeout(WAIT_S)
            before = {
                number: self.world.counted(number, "timed_dials_failed")["wrong-key"] for number in (1, 2)
            }
            for _ in range(2):
                line, _ = listener.accept()
                threading.Thread(target=_shake, args=(context, line), daemon=True).start()
            until(
                "both have refused it",
                lambda: any(
                    self.world.counted(number, "timed_dials_failed")["wrong-key"] > before[number]
                    for number in (1, 2)
                ),
            )
        self.assertNotIn(impostor.public.hex(), self.world.peers(1) | self.world.peers(2))
        self.world.wait_final(self.world.pay(), 1, 2)


def _shake(context: ssl.SSLContext, line: socket.socket) -> None:
    with line:
        try:
            context.wrap_socket(line, server_side=True).recv(1)
        except OSError:
            return


class StopTests(CrashCase):
    def test_sigterm_stops_in_order_with_everything_written(self) -> None:
        self.lost = {number: self.world.metric(number, "timed_reconnects") for number in (1, 3)}
        txid = self.world.pay(2, 1)
        self.world.wait_final(txid, 2)
        process = self.world.processes[2]
        process.signal(signal.SIGTERM)
        self.assertTrue(process.wait(WAIT_S))
        self.assertIn(
            process.exit_status, (0, -signal.SIGTERM), "twistd ends by the signal that it was stopped with"
        )
        self.assertIn("stopped in good order", process.tail())
        self.assertFalse(self.world.node(2).cookie.exists(), "the cookie of a node that has gone is gone")
        lost = {number: self.world.metric(number, "timed_reconnects") for number in (1, 3)}
        self.assertEqual(lost, self.lost, "whoever says Goodbye is not lost")
        self.world.restart(2)
        self.assertIn(self.world.state(2, txid), ("final", "confirmed"))
        self.world.wait_confirmed(txid)


class DamageTests(CrashCase):
    """The log of the epoch under way, damaged while the node was down."""

    NODE = 3

    def logs(self) -> list[Path]:
        return sorted((self.world.node(self.NODE).datadir / "chain" / "log").glob("*.log"))

    def killed_with_a_log(self) -> Path:
        """Kill the node when its log of this epoch holds several batches; that file."""

        def several() -> list[Path]:
            """The one log with batches; none while a block takes the place of another."""
            files = self.logs()
            return [path for path in files if len(files) == 1 and len(frames(path.read_bytes())) > 3]

        def killed() -> list[Path]:
            """A block may come between the look and the kill: then it is tried again."""
            if not self.world.processes[self.NODE].alive:
                self.world.restart(self.NODE)
            self.world.wait_final(self.world.pay(self.NODE, 1), self.NODE)
            if several():
                self.world.kill(self.NODE)
                return several()
            return []

        return until("the node dies with a log that has batches", killed)[0]

    def test_a_flipped_byte_at_the_end_costs_one_epoch(self) -> None:
        """The node says what it left out, and signs nothing where it could contradict itself."""
        path = self.killed_with_a_log()
        data = path.read_bytes()
        flip(path, len(data) - 1)
        epoch = int(path.name[:20])
        self.world.restart(self.NODE)
        log = self.world.log(self.NODE)
        self.assertIn(f"log file {path}: ", log)
        self.assertIn("it signs nothing until the next block", log)
        info = self.world.call(self.NODE, "getconsensusinfo")
        if info["epoch"] == epoch:
            self.assertFalse(info["voting"])
        until("the epoch is over", lambda: self.world.call(self.NODE, "getblockcount") >= epoch)
        until("it votes again", lambda: self.voting(self.NODE))

    def test_a_torn_write_at_the_end_costs_nothing(self) -> None:
        path = self.killed_with_a_log()
        with open(path, "ab") as file:
            file.write(path.read_bytes()[SEGMENT_HEADER_SIZE : SEGMENT_HEADER_SIZE + 20])
        self.world.restart(self.NODE)
        self.assertIn(f"log file {path}: 20 bytes from byte", self.world.log(self.NODE))
        self.assertTrue(self.voting(self.NODE))

    def test_a_flipped_byte_in_the_middle_stops_the_start(self) -> None:
        path = self.killed_with_a_log()
        offset = frames(path.read_bytes())[1]
        flip(path, offset + FRAME_HEADER_SIZE + 3)
        process = self.world.processes[self.NODE]
        before = len(process.log_text())
        self.world.start(self.NODE)
        self.assertTrue(process.wait(WAIT_S))
        self.assertEqual(process.exit_status, 1)
        said = process.log_text()[before:]
        self.assertIn(f"timed: the log file {path} is damaged at byte {offset}: ", said)
        self.assertNotIn("Traceback", said)
        flip(path, offset + FRAME_HEADER_SIZE + 3)


def frames(data: bytes) -> list[int]:
    """Where the batches of a log file begin."""
    marker = data[SEGMENT_HEADER_SIZE : SEGMENT_HEADER_SIZE + 8]
    found, at = [], data.find(marker, SEGMENT_HEADER_SIZE)
    while at >= 0 and marker:
        found.append(at)
        at = data.find(marker, at + 1)
    return found


def flip(path: Path, offset: int) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes((byte ^ 0x40,)))

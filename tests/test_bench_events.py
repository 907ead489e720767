"""`timed-bench events`: the sockets that it counts with, against a real WebSocket server, and its sums."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from timed.bench import subscribers
from timed.bench.events import percentile_of
from timed.bench.processes import environment
from timed.bench.subscribers import CLOSE, PING, TEXT, Subscribers, frame, frames
from timed.errors import LocalError

EVENT = '{"cursor":"00000000-%d","sequence":%d,"type":"block","time_ms":1,"data":{"text":"%s"}}'


def of_a_server(opcode: int, payload: bytes) -> bytes:
    """The same message without a mask."""
    size = len(payload)
    head = bytes((0x80 | opcode,))
    if size <= 125:
        return head + bytes((size,)) + payload
    if size < 1 << 16:
        return head + bytes((126,)) + size.to_bytes(2, "big") + payload
    return head + bytes((127,)) + size.to_bytes(8, "big") + payload


class Frames(SynchronousTestCase):
    def test_messages_of_any_length_are_found_wherever_the_bytes_are_cut(self) -> None:
        sent = [(TEXT, b"x" * size) for size in (0, 125, 126, 65_535, 65_536)] + [
            (PING, b"p"),
            (CLOSE, b"\x0f\xa1a"),
        ]
        whole = b"".join(of_a_server(*each) for each in sent)
        for step in (1, 7, 50_000, len(whole)):
            data, found = bytearray(), []
            cuts = range(0, len(whole), step) if step > 1 else [*range(300), 300]
            for at in cuts:
                end = len(whole) if at == 300 and step == 1 else at + step
                data += whole[at:end]
                found += frames(data)
            self.assertEqual((found, data), (sent, bytearray()))

    def test_percentiles_of_counted_delays(self) -> None:
        delays = Counter({1: 98, 7: 1, 500: 1})
        self.assertEqual([percentile_of(delays, share) for share in (50, 98, 99, 100)], [1, 1, 7, 500])
        self.assertEqual(percentile_of(Counter(), 99), 0)


class Sockets(SynchronousTestCase):
    """Against autobahn's server, which is what a node is compared with."""

    def setUp(self) -> None:
        self.server = subprocess.Popen(
            [sys.executable, "-m", "timed.bench.baresocket"], env=environment(),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.addCleanup(self.server.communicate)
        assert self.server.stdout is not None
        self.port = json.loads(self.server.stdout.readline())
        self.subscribers = Subscribers()
        self.addCleanup(self.subscribers.leave)

    def say(self, text: str) -> Any:
        assert self.server.stdin is not None and self.server.stdout is not None
        self.server.stdin.write(json.dumps({"send": text}) + "\n")
        self.server.stdin.flush()
        return json.loads(self.server.stdout.readline())

    def test_each_socket_hears_each_text_with_its_number_and_delay(self) -> None:
        order = {"connect": self.port, "count": 3, "hosts": 2, "authorization": "", "say": ""}
        self.assertEqual(self.subscribers.carry_out(order), 3)
        for number, size in ((4, 1), (5, 200), (6, 70_000)):
            self.assertEqual(self.say(EVENT % (number, number, "x" * size)), 3)
        heard = self.subscribers.carry_out({"hear": 60.0, "after": 4, "most": 6})
        self.assertEqual((heard["events"], heard["ended"]), ({5: 3, 6: 3}, 0))
        self.assertEqual(sum(heard["delays"].values()), 6)
        self.assertLess(max(heard["delays"]), 60_000)

    def test_frames_of_a_client_are_what_a_server_takes(self) -> None:
        one = subscribers.Socket(self.port, "")
        self.addCleanup(one.socket.close)
        one.socket.sendall(frame(TEXT, b"x" * 300) + frame(PING, b"here"))
        while not (found := frames(one.data)):
            one.read()
        self.assertEqual(found, [(subscribers.PONG, b"here")])

    def test_a_server_that_refuses_is_named(self) -> None:
        self.patch(subscribers, "REQUEST", "GET / HTTP/1.1\r\nHost: x\r\n{}\r\n")
        with self.assertRaisesRegex(LocalError, "to a WebSocket"):
            subscribers.Socket(self.port, "")

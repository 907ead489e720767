"""Compressed frames: what nobody negotiated is refused on its header, whatever it would become."""

from __future__ import annotations

import itertools

from twisted.trial.unittest import SynchronousTestCase

from tests import test_attack_lengths as lengths
from timed.params import REGTEST
from timed.wire.catalogue import MESSAGES, limit_for
from timed.wire.framing import FrameError, FrameReader

COMPRESSED, FRAGMENT, REPLY, MORE = 1, 2, 4, 8


class UnnegotiatedTests(SynchronousTestCase):
    """[17] The flag alone ends the session; nothing is kept and nothing is expanded."""

    arena = lengths.SessionTests.arena
    check_ended = lengths.SessionTests.check_ended

    def test_every_type_and_every_flag_beside_it(self) -> None:
        for entry, more in itertools.product(MESSAGES, (0, REPLY, FRAGMENT, FRAGMENT | MORE | REPLY)):
            reader = FrameReader(REGTEST.magic, limit_for=limit_for)
            with self.assertRaises(FrameError) as caught:
                reader.feed(lengths.header(entry.number, 16, COMPRESSED | more) + bytes(16))
            self.assertEqual(caught.exception.rule, "compression-not-negotiated", entry.name)
            self.assertEqual(reader.buffered, 0)

    def test_every_stage_and_direction(self) -> None:
        for stage, outbound, tls in itertools.product(lengths.STAGES, (False, True), (False, True)):
            arena = self.arena(stage, outbound=outbound, tls=tls)
            arena.deliver(0, lengths.header(16, 1_000, COMPRESSED))
            self.check_ended(arena, "compression-not-negotiated", (stage, outbound, tls))

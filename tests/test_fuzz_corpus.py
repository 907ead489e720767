"""The fuzz targets over their seeds and the kept corpus: what was found once stays found."""

from __future__ import annotations

import random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.__main__ import KEPT_FILE, KEPT_FILES, KEPT_TARGET, arcs
from tests.fuzz.damage import damaged_stream, spots
from tests.fuzz.names import NAMES
from tests.fuzz.targets import CORPUS, RECORDS, TARGETS, Target
from tests.layout_strategies import sample
from timed.codec import interpret
from timed.consensus.fastpath import FastPath
from timed.errors import TimedError
from timed.peer.intake import Lanes
from timed.peer.outbox import Budget
from timed.peer.requests import Requests
from timed.wire import _block_codec, _transaction_codec
from timed.wire.framing import FrameReader

ALL_KEPT = 1024 * 1024
DAMAGED = 4_000
"""Inputs made from the seeds by a target's own damage, all targets together."""


class Corpus(SynchronousTestCase):
    """What long runs have left."""

    def test_every_target_has_a_name_and_seeds(self) -> None:
        self.assertEqual(tuple(TARGETS), NAMES)
        for target in TARGETS.values():
            self.assertTrue(list(target.seeds()), target.name)

    def test_seeds_and_kept_files_give_no_finding(self) -> None:
        """A finding raises, and stands with the file that makes it."""
        for target in TARGETS.values():
            for number, data in enumerate(target.seeds()):
                self.run_named(target, data, f"{target.name}: seed {number}")
            for path in target.kept():
                self.run_named(target, path.read_bytes(), str(path))

    def test_damage_of_the_seeds_gives_no_finding(self) -> None:
        """A short run without a guide, the same every time."""
        for target in TARGETS.values():
            rng = random.Random(target.name)
            seeds = [*target.seeds(), *(path.read_bytes() for path in target.kept())]
            for _ in range(DAMAGED // len(TARGETS)):
                data = rng.choice(seeds)
                for _ in range(rng.choice((1, 1, 2, 4))):
                    data = target.mutate(data, rng)
                self.run_named(target, data, f"{target.name}: {data.hex()}")

    def run_named(self, target: object, data: bytes, what: str) -> None:
        try:
            target.run(data)  # type: ignore[attr-defined]
        except Exception as error:
            error.add_note(what)
            raise

    def test_kept_files_are_few_and_small(self) -> None:
        """The corpus is part of the source; it belongs to targets that there are."""
        folders = [path.name for path in CORPUS.iterdir()]
        self.assertEqual(sorted(set(folders) - set(NAMES)), [])
        sizes = {target.name: [path.stat().st_size for path in target.kept()] for target in TARGETS.values()}
        self.assertLess(sum(map(sum, sizes.values())), ALL_KEPT)
        for name, each in sizes.items():
            self.assertLessEqual(sum(each), KEPT_TARGET, name)
            self.assertLessEqual(len(each), KEPT_FILES, name)
            self.assertLessEqual(max(each, default=0), KEPT_FILE, name)


class Damage(SynchronousTestCase):
    """The damage knows the formats, else most of a run would be spent on bytes that no check lets through."""

    def test_the_walk_follows_every_encoding_to_its_end(self) -> None:
        for title, record in RECORDS.items():
            data = interpret.build(record, sample(record, title))
            found, end = spots(record, data)
            self.assertEqual(end, len(data), title)
            for spot in found:
                number = int.from_bytes(data[spot.at : spot.at + spot.size], "little")
                if spot.kind == "count":
                    self.assertEqual(len(spot.items), number, title)
                if spot.kind == "length":
                    self.assertEqual(spot.items[0][1] - spot.items[0][0], number, title)

    def test_a_share_of_the_damaged_values_is_still_a_value(self) -> None:
        """Both sides of the checks are tried: what is refused, and what is taken with other contents."""
        rng, taken, tried = random.Random(1), 0, 0
        seeds = list(TARGETS["values"].seeds())
        for _ in range(2_000):
            data = TARGETS["values"].mutate(rng.choice(seeds), rng)
            title, _, body = data.partition(b"\0")
            record = RECORDS.get(title.decode("ascii", "replace"))
            if record is not None:
                tried += 1
                try:
                    interpret.parse(record, body)
                except interpret.LayoutError:
                    continue
                taken += 1
        self.assertGreater(taken, tried // 10)
        self.assertLess(taken, tried * 9 // 10)

    def test_damaged_streams_mostly_pass_the_checksum(self) -> None:
        rng, reached = random.Random(1), 0
        seed = next(data for data in TARGETS["frames"].seeds() if data[0] == 1)
        for _ in range(200):
            data = seed[:2] + damaged_stream(seed[2:], rng, checksum=True)
            names = {code.co_name for code, _, _ in arcs(TARGETS["frames"].run, data)}
            reached += "_accept" in names
        self.assertGreater(reached, 120)


class Bite(SynchronousTestCase):
    """Faults put in on purpose are found by the seeds and a little damage."""

    def assert_found(
        self, name: str, holder: Any, attribute: str, fault: Any, runs: int = 1_500, of: bytes = b""
    ) -> None:
        """Within so many damaged inputs, made of the seeds that begin with `of`."""
        self.patch(holder, attribute, fault)
        target, rng = TARGETS[name], random.Random(name)
        seeds = [seed for seed in target.seeds() if seed.startswith(of)]
        inputs = [*seeds, *(self.damaged(target, seeds, rng) for _ in range(runs))]
        for data in inputs:
            try:
                target.run(data)
            except (AssertionError, LookupError, TimedError) as error:
                self.assertTrue(str(error))
                return
        self.fail(f"{name}: {attribute} is broken, and nobody noticed")

    @staticmethod
    def damaged(target: Target, seeds: list[bytes], rng: random.Random) -> bytes:
        data = rng.choice(seeds)
        for _ in range(rng.choice((1, 1, 2, 4))):
            data = target.mutate(data, rng)
        return data

    def test_an_error_of_another_family(self) -> None:
        def careless(where: str, number: int) -> Exception:
            return KeyError(where)

        self.assert_found("messages", _block_codec, "not_a_choice", careless)

    def test_items_out_of_order_that_are_taken(self) -> None:
        self.assert_found("values", _transaction_codec, "is_ascending", lambda items: True, of=b"EpochReport")

    def test_fragments_whose_sum_nobody_checks(self) -> None:
        self.assert_found("frames", FrameReader, "_check_fragment", lambda *arguments: None)

    def test_bytes_that_are_never_given_back(self) -> None:
        self.assert_found("session", Budget, "release", lambda self, parcel: None)

    def test_requests_that_nobody_hears_of_again(self) -> None:
        self.assert_found("session", Requests, "abandon", lambda self: [])

    def test_what_was_not_read_yet_and_stays_when_its_session_ends(self) -> None:
        self.assert_found("session", Lanes, "clear", lambda self: [])

    def test_locks_that_are_forgotten(self) -> None:
        self.assert_found(
            "council", FastPath, "_take_locks", lambda self, tally, transaction, size: None, 200
        )

"""The benchmark that says which messages are compressed holds the catalogue to it."""

from __future__ import annotations

import argparse

from twisted.trial.unittest import SynchronousTestCase

from timed.bench import compression
from timed.wire.catalogue import BY_NAME
from timed.wire.compression import MIN_BYTES


class CompressionFigures(SynchronousTestCase):
    def test_what_gains_is_compressed_and_what_does_not_is_not(self) -> None:
        """Counts of bytes, which are the same every time."""
        parser = argparse.ArgumentParser()
        compression.options(parser)
        outcome = compression.run(parser.parse_args(["--runs=1", "--minutes=1", "--budget-ms=0.1"]))
        self.assertEqual(len(outcome.goals), 2)
        self.assertEqual([goal.what for goal in outcome.goals if not goal.reached], [])
        types = outcome.figures["types"]
        self.assertEqual(len(outcome.rows), len(types))
        for name, found in types.items():
            self.assertEqual(found["compress"], BY_NAME[name].compress, name)
            if found["messages"]:
                self.assertGreater(found["mean_bytes"], MIN_BYTES)
            self.assertLessEqual(found["sent_compressed"], found["messages"])
        pages = types["BlocksResponse"]
        self.assertGreaterEqual(10 * pages["sent_compressed"], 9 * pages["messages"])

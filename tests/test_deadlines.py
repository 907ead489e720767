"""What is due first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from timed.deadlines import earliest


class Earliest(SynchronousTestCase):
    @given(st.lists(st.none() | st.integers()))
    def test_is_the_least_of_those_there_are(self, deadlines: list[int | None]) -> None:
        there = [deadline for deadline in deadlines if deadline is not None]
        self.assertEqual(earliest(*deadlines), min(there) if there else None)

"""What is kept of the blocks used last has a bound in transactions."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from timed.store.recent import RecentBlocks

A, B, C = ("a",) * 10, ("b",) * 10, ("c",) * 10


class Recent(SynchronousTestCase):
    def kept(self, recent: RecentBlocks[tuple[str, ...]]) -> list[int]:
        return [height for height in range(100) if height in recent._kept]

    def test_what_was_put_is_found(self) -> None:
        recent: RecentBlocks[tuple[str, ...]] = RecentBlocks()
        self.assertIsNone(recent.get(1))
        self.assertIs(recent.put(1, A), A)
        self.assertIs(recent.get(1), A)

    def test_what_was_not_used_for_longest_goes(self) -> None:
        recent: RecentBlocks[tuple[str, ...]] = RecentBlocks(most=20, least_blocks=1)
        recent.put(1, A)
        recent.put(2, B)
        recent.get(1)
        recent.put(3, C)
        self.assertEqual(self.kept(recent), [1, 3])

    def test_a_block_that_is_put_again_counts_once(self) -> None:
        recent: RecentBlocks[tuple[str, ...]] = RecentBlocks(most=20, least_blocks=1)
        for _ in range(5):
            recent.put(1, A)
            recent.put(2, B)
        self.assertEqual(self.kept(recent), [1, 2])
        recent.put(3, C)
        self.assertEqual(len(recent), 2)

    def test_the_newest_are_kept_however_large_they_are(self) -> None:
        recent: RecentBlocks[tuple[str, ...]] = RecentBlocks(most=5, least_blocks=3)
        for height in range(50):
            recent.put(height, A)
        self.assertEqual(self.kept(recent), [47, 48, 49])
        recent.put(50, ())
        recent.put(51, ())
        self.assertEqual(self.kept(recent), [49, 50, 51])

"""Durable before visible, and checked before believed (protocol [13], [16])."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.builders import ChainBuilder
from timed.events import Action, CommitBlock, Persist, Verify
from timed.node.gate import Checks, Gate
from timed.wire.catalogue import decode_record
from timed.wire.messages import BlockAnnouncement

FIRST, SECOND = BlockAnnouncement(1, bytes(32)), BlockAnnouncement(2, bytes(32))


class GateTests(SynchronousTestCase):
    """What rests on a write waits for it."""

    def setUp(self) -> None:
        self.actions: list[Action] = []
        self.passed: list[tuple[str, int]] = []
        self.gate = Gate(self.actions.append)

    def _persist(self, name: str) -> int:
        self.gate.persist((FIRST,), lambda now: self.passed.append((name, now)))
        self.gate.close()
        action = self.actions[-1]
        assert isinstance(action, Persist)
        return action.token

    def test_lets_nothing_through_before_it_is_durable(self) -> None:
        """[13]"""
        token = self._persist("one")
        self.assertEqual((self.passed, len(self.gate)), ([], 1))
        self.gate.persisted(token, 77)
        self.assertEqual((self.passed, len(self.gate)), ([("one", 77)], 0))

    def test_a_token_opens_once(self) -> None:
        token = self._persist("one")
        self.gate.persisted(token, 1)
        self.gate.persisted(token, 2)
        self.gate.persisted(token + 100, 3)
        self.assertEqual(self.passed, [("one", 1)])

    def test_every_write_has_a_token_of_its_own(self) -> None:
        tokens = [self._persist(str(number)) for number in range(5)]
        self.assertEqual(len(set(tokens)), 5)
        self.gate.persisted(tokens[2], 0)
        self.assertEqual(self.passed, [("2", 0)])

    def test_records_are_the_messages_in_their_order(self) -> None:
        self.gate.persist((FIRST, SECOND), lambda now: None)
        self.gate.close()
        action = self.actions[-1]
        assert isinstance(action, Persist)
        self.assertEqual([decode_record(record) for record in action.records], [FIRST, SECOND])

    def test_what_is_to_be_logged_in_one_turn_is_one_write(self) -> None:
        for name in ("one", "two"):
            self.gate.persist((FIRST, SECOND), lambda now, name=name: self.passed.append((name, now)))  # type: ignore[misc]
        self.assertEqual((self.actions, len(self.gate)), ([], 1))
        self.gate.close()
        self.gate.close()
        (action,) = self.actions
        assert isinstance(action, Persist)
        self.assertEqual([decode_record(record) for record in action.records], 2 * [FIRST, SECOND])
        self.gate.persisted(action.token, 5)
        self.assertEqual((self.passed, self.gate.writes), ([("one", 5), ("two", 5)], 1))

    def test_a_block_stands_behind_what_was_to_be_logged_before_it(self) -> None:
        self.gate.persist((FIRST,), lambda now: None)
        self.gate.commit(ChainBuilder().extend(), lambda now: None)
        self.gate.persist((SECOND,), lambda now: None)
        self.gate.close()
        self.assertEqual([type(action) for action in self.actions], [Persist, CommitBlock, Persist])

    def test_a_block_waits_like_a_record(self) -> None:
        commit = ChainBuilder().extend()
        self.gate.commit(commit, lambda now: self.passed.append(("block", now)))
        action = self.actions[-1]
        assert isinstance(action, CommitBlock)
        self.assertEqual((action.commit, self.passed), (commit, []))
        self.gate.persisted(action.token, 5)
        self.assertEqual(self.passed, [("block", 5)])

    def test_after_a_failure_nothing_that_waited_is_ever_let_through(self) -> None:
        """[13]: the promise it rested on was not kept, and later writes rest on earlier ones."""
        first, second, third = self._persist("one"), self._persist("two"), self._persist("three")
        self.gate.persisted(first, 1)
        self.gate.failed(second, "disk full")
        for token in (second, third):
            self.gate.persisted(token, 2)
        later = self._persist("four")
        self.gate.persisted(later, 3)
        self.assertEqual((self.passed, self.gate.failure), ([("one", 1)], "disk full"))


class ChecksTests(SynchronousTestCase):
    """What rests on signatures waits for the verdict."""

    def setUp(self) -> None:
        self.actions: list[Action] = []
        self.verdicts: list[tuple[bool, int]] = []
        self.checks = Checks(self.actions.append, lambda: 42)

    def _check(self, *items: tuple[bytes, bytes, bytes]) -> int:
        self.checks.check(items, lambda good, now: self.verdicts.append((good, now)))
        action = self.actions[-1]
        assert isinstance(action, Verify)
        self.assertEqual(action.items, items)
        return action.token

    def test_all_must_be_good(self) -> None:
        item = (b"key", b"message", b"signature")
        self.checks.verified(self._check(item, item), (True, True), 1)
        self.checks.verified(self._check(item, item), (True, False), 2)
        self.assertEqual(self.verdicts, [(True, 1), (False, 2)])
        self.assertEqual((self.checks.signatures, self.checks.refused), (4, 1))

    def test_no_verdict_before_the_answer_and_only_one(self) -> None:
        token = self._check((b"k", b"m", b"s"))
        self.assertEqual((self.verdicts, len(self.checks)), ([], 1))
        self.checks.verified(token, (True,), 1)
        self.checks.verified(token, (False,), 2)
        self.assertEqual((self.verdicts, len(self.checks)), ([(True, 1)], 0))

    def test_nothing_to_check_is_good_at_once(self) -> None:
        self.checks.check((), lambda good, now: self.verdicts.append((good, now)))
        self.assertEqual((self.verdicts, self.actions), ([(True, 42)], []))

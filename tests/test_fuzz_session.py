"""A session as a whole: any steps in any order, and what must hold after each of them.

The steps and the invariants are those of `tests.fuzz.arena`; the fuzzer plays the
same steps from bytes. Here hypothesis chooses them, and makes a failure short.
"""

from __future__ import annotations

import unittest

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.arena import NODES, STEP_NUMBERS, STEPS, Arena, example, play
from tests.fuzz.damage import scribbled
from timed.params import SECOND
from timed.peer import limits
from timed.wire.catalogue import MESSAGES
from timed.wire.message import Direction

lines = st.integers(0, 9)
strangers = st.integers(0, NODES - 1)
kinds = st.integers(0, len(MESSAGES) - 1)
seeds = st.integers(0, 2)
ids = st.sampled_from((0, 1, 2, 3, 5, 2**32 - 1))
cuts = st.sampled_from((0, 0, 0, 1, 7, 16, 17))

UNASKED = [
    number
    for number, entry in enumerate(MESSAGES)
    if entry.direction is not Direction.REPLY and entry.name not in ("Handshake", "Goodbye")
]
"""What a stranger may say without breaking a rule."""


class Sessions(RuleBasedStateMachine):
    """Five strangers, up to ten links, one node."""

    def __init__(self) -> None:
        super().__init__()
        self.arena = Arena()

    @initialize(count=st.integers(0, NODES), json=st.booleans(), discover=st.booleans())
    def some_are_there(self, count: int, json: bool, discover: bool) -> None:
        self.arena = Arena(discover=discover, json=json)
        for number in range(count):
            self.comes_and_opens(number)

    # Links.

    @rule(number=strangers, tls=st.booleans())
    def comes(self, number: int, tls: bool) -> None:
        self.arena.connect(number, tls=tls)

    @rule(number=strangers)
    def comes_and_opens(self, number: int) -> None:
        self.arena.connect(number)
        at = len(self.arena.lines) - 1
        self.arena.greet(at)
        self.arena.acknowledge(at)

    @precondition(lambda self: self.arena.wire.dialled)
    @rule(number=strangers, tls=st.booleans(), answers=st.booleans())
    def dial_ends(self, number: int, tls: bool, answers: bool) -> None:
        if answers:
            self.arena.connect(number, tls=tls, dialled=True)
        else:
            self.arena.fail_dial()

    @precondition(lambda self: self.arena.lines)
    @rule(at=lines)
    def link_breaks(self, at: int) -> None:
        self.arena.disconnect(at)

    @precondition(lambda self: self.arena.lines)
    @rule(at=lines)
    def drains(self, at: int) -> None:
        self.arena.drained(at)

    # What strangers say.

    @precondition(lambda self: self.arena.lines)
    @rule(at=lines, change=st.integers(0, 13))
    def greets(self, at: int, change: int) -> None:
        self.arena.greet(at, change)

    @precondition(lambda self: self.arena.lines)
    @rule(at=lines)
    def acknowledges(self, at: int) -> None:
        self.arena.acknowledge(at)

    @precondition(lambda self: self.arena.lines)
    @rule(at=lines, kind=st.sampled_from(UNASKED), seed=seeds, request=ids)
    def tells(self, at: int, kind: int, seed: int, request: int) -> None:
        self.arena.tell(at, kind, seed, request)

    @precondition(lambda self: self.arena.lines)
    @rule(at=lines, kind=kinds, request=ids, reply=st.booleans())
    def tells_anything(self, at: int, kind: int, request: int, reply: bool) -> None:
        self.arena.tell(at, kind, 0, request, reply=reply)

    @precondition(lambda self: self.arena.lines)
    @rule(at=lines, seed=seeds)
    def answers(self, at: int, seed: int) -> None:
        self.arena.answer(at, seed)

    @precondition(lambda self: self.arena.lines)
    @rule(at=lines, seed=st.integers(0, 255))
    def answers_packed(self, at: int, seed: int) -> None:
        self.arena.answer_packed(at, seed)

    @precondition(lambda self: self.arena.lines)
    @rule(
        at=lines,
        number=st.integers(0, 46) | st.integers(0, 0xFFFF),
        payload=st.binary(max_size=300),
        request=ids,
        reply=st.booleans(),
        step=cuts,
    )
    def says(self, at: int, number: int, payload: bytes, request: int, reply: bool, step: int) -> None:
        self.arena.say(at, number, payload, request, reply=reply, step=step)

    @precondition(lambda self: self.arena.lines)
    @rule(
        at=lines, kind=kinds, seed=seeds, request=ids, reply=st.booleans(),
        rng=st.randoms(use_true_random=False), step=cuts,
    )  # fmt: skip
    def damages(
        self, at: int, kind: int, seed: int, request: int, reply: bool, rng: object, step: int
    ) -> None:
        arena = self.arena
        line = arena.lines[at % len(arena.lines)]
        entry = MESSAGES[kind]
        data = arena.frames(line, entry.number, example(entry.number, seed).encode(), request, reply=reply)
        arena.deliver(at, scribbled(data, rng), step)  # type: ignore[arg-type]

    @precondition(lambda self: self.arena.lines)
    @rule(at=lines, kind=st.sampled_from(UNASKED), count=st.sampled_from((5, 40, 300)))
    def floods(self, at: int, kind: int, count: int) -> None:
        self.arena.flood(at, kind, count)

    @precondition(lambda self: self.arena.lines)
    @rule(at=lines, data=st.binary(max_size=120), step=cuts)
    def babbles(self, at: int, data: bytes, step: int) -> None:
        self.arena.deliver(at, data, step)

    @precondition(lambda self: self.arena.lines)
    @rule(at=lines, reason=st.sampled_from(("stopping", "duplicate", "full", "\n\t", "x" * 32)))
    def leaves(self, at: int, reason: str) -> None:
        self.arena.leave(at, reason)

    # What the node does.

    @rule(at=lines, kind=kinds)
    def node_asks(self, at: int, kind: int) -> None:
        self.arena.ask(at, kind)

    @rule(kind=kinds)
    def node_answers(self, kind: int) -> None:
        self.arena.reply(kind)

    @rule(kind=kinds)
    def node_tells_all(self, kind: int) -> None:
        self.arena.broadcast(kind)

    @rule(at=strangers, kind=st.integers(0, 4))
    def judges(self, at: int, kind: int) -> None:
        self.arena.judge(at, kind)

    @rule(duration=st.sampled_from((1_000, SECOND, 11 * SECOND, 40 * SECOND, limits.SILENCE_LIMIT)))
    def time_passes(self, duration: int) -> None:
        self.arena.wait(duration)

    @rule(seconds=st.sampled_from((-3_600, -1, 5, 3_600)))
    def clock_is_set(self, seconds: int) -> None:
        self.arena.step_clock(seconds)

    @invariant()
    def all_is_well(self) -> None:
        self.arena.check()

    def teardown(self) -> None:
        self.arena.finish()


quick = settings(
    deadline=None, max_examples=80, stateful_step_count=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)  # fmt: skip


class SessionTests(SynchronousTestCase):
    def test_invariants_hold_after_any_steps(self) -> None:
        """One session a pair, closed is closed, every request has one outcome, the budget comes back."""
        case = Sessions.TestCase("runTest")
        case.settings = quick
        outcome = unittest.TestResult()
        case.run(outcome)
        for _, trace in [*outcome.failures, *outcome.errors]:
            self.fail(trace)
        self.assertEqual(outcome.testsRun, 1)

    @given(st.lists(st.integers(0, 255), max_size=400).map(bytes))
    @settings(deadline=None, max_examples=100)
    def test_any_bytes_spell_steps_that_give_no_finding(self, script: bytes) -> None:
        play(script)

    def test_a_step_past_every_number_does_nothing(self) -> None:
        """New steps go to the end: the kept corpus keeps its meaning."""
        self.assertLessEqual(len(STEPS), STEP_NUMBERS)
        arena = play(bytes((0, STEP_NUMBERS - 1, STEP_NUMBERS - 2)))
        self.assertEqual((arena.host.deliveries, arena.closes()), ([], []))

    def test_the_account_would_notice(self) -> None:
        """The invariants bite: a session that is told of twice, and bytes that are never given back."""
        arena = Arena()
        arena.connect(0)
        arena.greet(0)
        arena.acknowledge(0)
        self.assertEqual(len(arena.table.peers()), 1)
        arena.host.deliveries.append(arena.host.opened()[0])
        self.assertRaises(AssertionError, arena.check)
        arena = Arena()
        arena.table.budget.held += 1
        self.assertRaises(AssertionError, arena.finish)

"""Executes a recording again and says where it differs from what was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import attrs
import msgspec
from zope.interface import implementer

from timed.crypto.keys import SigningKey
from timed.errors import LocalError
from timed.events import Action
from timed.flight.digest import state_digest
from timed.flight.freeze import FreezeError, Outside, thaw
from timed.flight.outside import TapedStore, Told
from timed.flight.recorder import checksum
from timed.flight.tape import CALLS, OPERATIONS, READS, Entry, Tape
from timed.interfaces import IReads
from timed.node.node import Node
from timed.primitives.hashing import crc32c

_TYPES = [
    (name, msgspec.msgpack.Decoder(arguments).decode, msgspec.msgpack.Decoder(result).decode)
    for name, (arguments, result) in READS.items()
]


class Diverged(LocalError):
    """The replay did something else than the recorded node."""


@attrs.frozen
class Step:
    """One call of the node, or one end of a turn."""

    number: int
    time: int
    """Microseconds of unix time; 0 for an operation."""
    name: str
    arguments: tuple[Any, ...]


Seen = Callable[[Step, Sequence[Action]], object]


@attrs.define
class Report:
    """What came of a replay."""

    steps: int = 0
    turns: int = 0
    reads: int = 0
    signatures: int = 0
    raised: list[str] = attrs.field(factory=list)
    """Exceptions that the node raised, as it did when it was recorded."""
    digest: bytes = b""
    """Of the state at the end."""
    whole: bool = False
    """The recording was executed to its end."""


class Replay:
    """A node again, from the state at the beginning of a recording.

    LocalError when the recording cannot be executed by this version. `node` may be
    looked at between two steps.
    """

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.report = Report()
        self._reads = _TapedAnswers()
        keys = {name: _SilentKey(public, self._reads.signature, name) for name, public in tape.keys.items()}
        self._instead: dict[str, object] = {TapedStore.name: self._reads, Told.name: Told(), **keys}
        self.node: Node = thaw(tape.state, self._instead)
        if not isinstance(self.node, Node):
            raise FreezeError("the recording holds no node.")

    def run(self, until: int | None = None, seen: Seen = lambda step, actions: None) -> Report:
        """Execute everything, or the first `until` steps; Diverged at the first difference.

        `seen` is called after each step, with the actions that came out of a flush.
        """
        for entry, answers in _groups(self.tape):
            if until is not None and self.report.steps >= until:
                break
            self._execute(entry, answers, seen)
        else:
            self.report.whole = True
        self.report.digest = state_digest(self.node)
        if self.report.whole and self.report.digest != self.tape.digest:
            raise Diverged(
                f"all {self.report.turns} turns did what they did, but the state at the end is another one: "
                f"{self.report.digest.hex()}, recorded {self.tape.digest.hex()}."
            )
        return self.report

    def _execute(self, entry: list[Any], answers: list[list[Any]], seen: Seen) -> None:
        report = self.report
        report.steps += 1
        try:
            raised = [answer[1] for answer in answers if answer[0] == Entry.RAISED]
            self._reads.load(answers)
            step, method, arguments, wanted = self._step(entry)
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise LocalError(f"the recording is damaged at step {report.steps}: {error!r}.") from error
        report.reads += sum(1 for answer in answers if answer[0] == Entry.READ)
        report.signatures += sum(1 for answer in answers if answer[0] == Entry.SIGNATURE)
        try:
            result = method(*arguments)
        except Diverged as error:
            raise Diverged(f"step {step.number} ({step.name}): {error}") from error
        except Exception as error:
            if raised != [type(error).__name__]:
                raise Diverged(
                    f"step {step.number} ({step.name}) raised {error!r}, recorded {raised or 'nothing'}."
                ) from error
            report.raised.append(f"step {step.number} ({step.name}): {error!r}")
            seen(step, ())
            return
        if raised:
            raise Diverged(f"step {step.number} ({step.name}) raised {raised[0]} when it was recorded.")
        if wanted is not None and checksum(result) != wanted:
            raise Diverged(
                f"step {step.number}: the turn at {step.time} did something else than the recorded one: "
                f"{[type(action).__name__ for action in result]}."
            )
        seen(step, result if wanted is not None else ())

    def _step(self, entry: list[Any]) -> tuple[Step, Callable[..., Any], Sequence[Any], int | None]:
        """(the step, what to call, with what, the checksum of what must come out of a flush)."""
        kind, number, node = entry[0], self.report.steps, self.node
        if kind == Entry.TURN:
            self.report.turns += 1
            return Step(number, entry[1], "flush", ()), self._flush, (entry[1],), int(entry[2])
        if kind == Entry.CALL:
            step = Step(number, entry[-1], CALLS[entry[1]], tuple(entry[2:-1]))
            return step, getattr(node, step.name), entry[2:], None
        if kind == Entry.OPERATION:
            arguments, named = thaw(entry[2], self._instead)
            step = Step(number, 0, OPERATIONS[entry[1]], tuple(arguments))
            owner, _, name = step.name.rpartition(".")
            return step, partial(getattr(node.peers if owner else node, name), **named), arguments, None
        raise LocalError(f"the recording has an entry of the unknown kind {kind}.")

    def _flush(self, now: int) -> list[Action]:
        actions = self.node.flush(now)
        self.node.next_wake()
        return actions


def _groups(entries: Iterable[list[Any]]) -> Iterator[tuple[list[Any], list[list[Any]]]]:
    """Each step with the answers that were given before the next one."""
    step: list[Any] | None = None
    answers: list[list[Any]] = []
    for entry in entries:
        if entry[0] in (Entry.READ, Entry.SIGNATURE, Entry.RAISED):
            answers.append(entry)
            continue
        if step is not None:
            yield step, answers
            answers = []
        step = entry
    if step is not None:
        yield step, answers


@implementer(IReads)
class _TapedAnswers(Outside):
    """The store and the keys of a replay: what was answered is answered again.

    A cache that others filled between two steps may spare a read or need one more,
    so an answer is found by its question: the next of this step, or the last before.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, bytes], bytes] = {}
        self._queued: dict[tuple[str, bytes], list[bytes]] = {}
        self._signatures: dict[tuple[str, int], bytes] = {}

    def load(self, answers: Sequence[list[Any]]) -> None:
        """What was answered during the next step and after it."""
        for key, left in self._queued.items():
            self._known[key] = left[-1]
        self._queued = {}
        self._signatures = {}
        for answer in answers:
            if answer[0] == Entry.READ:
                self._queued.setdefault((_TYPES[answer[1]][0], answer[2]), []).append(answer[3])
            elif answer[0] == Entry.SIGNATURE:
                self._signatures[answer[1], answer[2]] = answer[3]

    def signature(self, key: str, message: bytes) -> bytes:
        """The recorded one; Diverged when something else was signed."""
        found = self._signatures.get((key, crc32c(message)))
        if found is None:
            raise Diverged(f"it signs {len(message)} bytes that were not signed when it was recorded.")
        return found

    def _answer(self, name: str, *arguments: object) -> Any:
        number = list(READS).index(name)
        key = (name, msgspec.msgpack.encode(arguments))
        queue = self._queued.get(key)
        if queue:
            data = queue.pop(0) if len(queue) > 1 else queue[0]
        elif key in self._known:
            data = self._known[key]
        else:
            raise Diverged(f"it reads {name}{arguments!r}, which was not read when it was recorded.")
        return _TYPES[number][2](data)

    def tip(self) -> Any:
        return self._answer("tip")

    def block(self, height: int) -> Any:
        return self._answer("block", height)

    def header(self, height: int) -> Any:
        return self._answer("header", height)

    def certificate(self, height: int) -> Any:
        return self._answer("certificate", height)

    def height_of(self, block_hash: bytes) -> Any:
        return self._answer("height_of", block_hash)

    def locate(self, txid: bytes) -> Any:
        return self._answer("locate", txid)

    def coin(self, outpoint: Any) -> Any:
        return self._answer("coin", outpoint)

    def coins(self) -> Any:
        raise Diverged("it reads all coins, which no recorded node did.")

    def usage(self) -> Any:
        raise Diverged("it asks for the size of its files, which no recorded node did.")


class _SilentKey(Outside, SigningKey):
    """Signs what was signed, and nothing else."""

    __slots__ = ("_answer", "name")

    def __init__(self, public: bytes, answer: Callable[[str, bytes], bytes], name: str) -> None:
        self.seed = b""
        self.public = public
        self._answer = answer
        self.name = name

    def sign(self, message: bytes) -> bytes:
        return self._answer(self.name, message)

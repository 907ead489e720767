"""What the doctor says of one symptom, and how a symptom is judged."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs

from timed.cli.sight import Sight

PROBLEM, NOTE = "problem", "note"


class Unseen(Exception):
    """What a symptom is judged from could not be seen; the text says why."""


@attrs.frozen
class Finding:
    """What is wrong, in plain words, and what to do; a note is no fault by itself."""

    name: str
    severity: str
    text: str
    remedy: str


def sentence(text: str) -> str:
    """What a check or an alert says, as a sentence."""
    return f"{text[:1].upper()}{text[1:]}".removesuffix(".") + "."


Judge = Callable[[Sight], Iterable[Finding]]


@attrs.frozen
class Symptom:
    """One row; `judge` gives what it finds, or raises Unseen."""

    name: str
    about: str
    judge: Judge

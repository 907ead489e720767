"""Log lines for people or for machines: one observer, one line per event, no floods.

A line is `time level namespace: text`, with the call or the peer behind it in brackets,
or one JSON object with the same members. Under journald (`JOURNAL_STREAM`) the time is
left out and the level is given as the syslog prefix that journald reads.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from math import isfinite
from string import Formatter
from typing import TYPE_CHECKING, TextIO

import attrs
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent
from zope.interface import implementer

from timed.app.namespaces import ALL, LEVELS, MAX_NAMESPACES, PREFIX, namespace_of
from timed.errors import LocalError

if TYPE_CHECKING:
    from timed.app.schema import LogSection

LEVEL_ORDER: Mapping[str, int] = {name: order for order, name in enumerate(LEVELS)}
JOURNAL_PRIORITY: Mapping[str, int] = {"debug": 7, "info": 6, "warn": 4, "error": 3, "critical": 2}

MAX_SITES = 1024
"""Places in the code whose lines are counted apart; what is beyond shares one count."""
MAX_LINE = 2000
"""Characters of one event's text; a failure with its traceback is never cut."""

CHATTER = ("twisted.", "treq.", "log_legacy", "-", "stdout", "stderr")
"""Namespaces whose information is for whoever debugs Twisted, not for operators."""


class LogLevels:
    """The least important level that is written, by namespace; changed at any time.

    Namespaces are those of the log lines: `peer`, or `timed.peer`, is the room of
    that name with everything in it. The longest one that fits decides.
    """

    def __init__(self, level: str) -> None:
        self._default = level
        self._own: dict[str, str] = {}
        self._order = LEVEL_ORDER[level]

    def shown(self) -> dict[str, str]:
        """Level by namespace, that of all others first."""
        return {ALL: self._default, **dict(sorted(self._own.items()))}

    def set(self, namespace: str, level: str) -> None:
        """Write events of a namespace, or of all (`*`), from this level on; LocalError."""
        if level not in LEVEL_ORDER:
            raise LocalError(f"there is no level {level!r}.", f"Use one of: {', '.join(LEVELS)}.")
        if namespace == ALL:
            self._default, self._order = level, LEVEL_ORDER[level]
            return
        name = namespace_of(namespace)
        if name not in self._own and len(self._own) >= MAX_NAMESPACES:
            raise LocalError("too many namespaces have a level of their own.", "Clear some of them.")
        self._own[name] = level

    def replace(self, default: str, own: Mapping[str, str]) -> None:
        """The level of all others, and those of some namespaces; any other is cleared. LocalError."""
        levels = LogLevels(default)
        for namespace, level in own.items():
            levels.set(namespace, level)
        self._default, self._own, self._order = levels._default, levels._own, levels._order

    def clear(self, namespace: str) -> None:
        """A namespace goes with its surroundings again; `*` clears every namespace. LocalError."""
        if namespace == ALL:
            self._own.clear()
        else:
            self._own.pop(namespace_of(namespace), None)

    def least(self, namespace: str) -> int:
        """The order of the least level that is written of a namespace."""
        if not self._own:
            return self._order
        name = namespace.removeprefix(PREFIX)
        while name:
            level = self._own.get(name)
            if level is not None:
                return LEVEL_ORDER[level]
            name = name.rpartition(".")[0]
        return self._order


@attrs.define
class Site:
    """What one place in the code wrote in the current window."""

    namespace: str
    level: str
    format: str
    written: int = 0
    suppressed: int = 0


@attrs.define
class LogCounters:
    """Lines written per level, and lines that the rate limit held back."""

    lines: dict[str, int] = attrs.field(factory=lambda: dict.fromkeys(LEVELS, 0))
    suppressed: int = 0


MAX_FIELDS = 20
"""Members of an event that a JSON line has; of a text `MAX_FIELD` characters."""
MAX_FIELD = 300
SHORT_ID = 16
"""Digits of a node id in brackets; a search for them finds the lines with the whole id, too."""


@attrs.frozen
class Account:
    """On whose account something happens: a call's number, method and user, or a peer's node id in hexadecimal."""

    call: int | None = None
    method: str = ""
    user: str = ""
    peer: str = ""

    def __str__(self) -> str:
        """As it stands behind a text."""
        if self.call is None:
            return f"[peer {self.peer[:SHORT_ID]}]"
        return f"[call {self.call} {self.method} of {printable(self.user)}]"

    def as_object(self) -> dict[str, object]:
        if self.call is None:
            return {"peer": self.peer}
        return {"call": self.call, "method": self.method, "user": self.user}


MAX_TAIL = 500
"""Lines that are kept in memory for who looks at the node; the oldest goes first."""


@attrs.frozen
class LogLine:
    """A line that was written; `time_s` is unix time, `number` counts all lines."""

    number: int
    time_s: float
    level: str
    namespace: str
    text: str

    def as_object(self) -> dict[str, object]:
        return {
            "number": self.number,
            "time": round(self.time_s, 3),
            "level": self.level,
            "namespace": self.namespace,
            "text": self.text,
        }


class LogTail:
    """The newest lines, at most `MAX_TAIL` of at most `MAX_LINE` characters."""

    def __init__(self) -> None:
        self._lines: deque[LogLine] = deque(maxlen=MAX_TAIL)
        self._next = 0

    def add(self, time_s: float, level: str, namespace: str, text: str) -> None:
        if len(text) > MAX_LINE:
            text = f"{text[:MAX_LINE]}…"
        self._lines.append(LogLine(self._next, time_s, level, namespace, text))
        self._next += 1

    def since(self, number: int) -> list[LogLine]:
        """The lines from `number` on, as far as they are kept; oldest first."""
        newest = []
        for line in reversed(tuple(self._lines)):  # other threads log, too
            if line.number < number:
                break
            newest.append(line)
        return newest[::-1]


@implementer(ILogObserver)
class LineObserver:
    """Writes events of at least `level` (see `levels`) to `out`, at most `burst` per site and window.

    Errors and tracebacks are no exception: a peer may be what causes them. `clock`
    gives seconds of unix time. The window's end is noticed by the next event or by
    `sweep`.
    """

    def __init__(
        self,
        out: TextIO,
        clock: Callable[[], float],
        *,
        level: str = "info",
        burst: int = 30,
        window: int = 60,
        journal: bool = False,
    ) -> None:
        self.counters = LogCounters()
        self.levels = LogLevels(level)
        self.tail = LogTail()
        self.about: Callable[[], Account | None] = lambda: None
        """On whose account the process works at this moment."""
        self._levels: tuple[str, Mapping[str, str]] = level, {}
        """Those of the settings."""
        self.burst = burst
        self.window = window
        self.json = False
        """Lines are for machines."""
        self._out = out
        self._clock = clock
        self._journal = journal
        self._sites: dict[tuple[str, str, str], Site] = {}
        self._window_ends = clock() + window

    def tune(self, settings: LogSection) -> None:
        """Follow these settings from now on; where their levels are others than before, all levels are theirs."""
        levels = settings.level, settings.levels
        if levels != self._levels:
            self.levels.replace(*levels)
            self._levels = levels
        self.burst, self.window = settings.burst, settings.window
        self.json = settings.format == "json"

    def __call__(self, event: LogEvent) -> None:
        level = level_of(event)
        namespace = str(event.get("log_namespace") or "-")
        if LEVEL_ORDER[level] < self.levels.least(namespace):
            return
        self.sweep()
        if not self._admit(namespace, level, event):
            self.counters.suppressed += 1
            return
        self._line(level, namespace, event)

    def sweep(self) -> None:
        """When the window is over, write one summary line per site that was held back."""
        now = self._clock()
        if now < self._window_ends and now > self._window_ends - 2 * self.window:
            return
        sites, self._sites = self._sites, {}
        self._window_ends = now + self.window
        for site in sites.values():
            if site.suppressed:
                text = f"{site.suppressed} more lines in {self.window} s like: {site.format}"
                self._write(site.level, site.namespace, text, text, {})

    def _admit(self, namespace: str, level: str, event: LogEvent) -> bool:
        pattern = str(event.get("log_format") or event.get("format") or "")[:200]
        key = (namespace, level, pattern)
        site = self._sites.get(key)
        if site is None:
            if len(self._sites) >= MAX_SITES:
                key, pattern = ("-", level, ""), "lines from many other places"
            site = self._sites.setdefault(key, Site(namespace, level, pattern))
        if site.written >= self.burst:
            site.suppressed += 1
            return False
        site.written += 1
        return True

    def _line(self, level: str, namespace: str, event: LogEvent) -> None:
        account = self.about()
        text, trace = text_of(event), trace_of(event)
        line = text if account is None else f"{text} {account}"
        if trace:
            line = "\n".join([line, *(f"    {each}" for each in trace)])
        members: dict[str, object] = {}
        if self.json:
            fields = fields_of(event)
            peer = fields.get("node_id")
            members = {} if peer is None else {"peer": peer}
            members |= {} if account is None else account.as_object()
            members |= {"fields": fields} if fields else {}
            members |= {"traceback": trace} if trace else {}
        self._write(level, namespace, text, line, members)

    def _write(self, level: str, namespace: str, text: str, line: str, members: Mapping[str, object]) -> None:
        """`line` for people and the tail, `text` with `members` for machines."""
        self.counters.lines[level] += 1
        name = sys.intern(namespace.removeprefix(PREFIX))
        now = self._clock()
        self.tail.add(now, level, name, line)
        moment = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if self.json:
            time = {} if self._journal else {"time": moment}
            written = json.dumps({**time, "level": level, "namespace": name, "text": text, **members})
            head = f"<{JOURNAL_PRIORITY[level]}>" if self._journal else ""
        elif self._journal:
            head, written = f"<{JOURNAL_PRIORITY[level]}>{name}: ", line
        else:
            head, written = f"{moment} {level:<8} {name}: ", line
        try:
            self._out.write(f"{head}{written}\n")
            self._out.flush()
        except (OSError, ValueError):
            # Nobody reads any more: the node goes on, and the count shows what was lost.
            self.counters.suppressed += 1


def level_of(event: LogEvent) -> str:
    """The level an event is written with: Twisted's own information counts as debug."""
    level = event.get("log_level") or LogLevel.info
    name = str(level.name)
    namespace = str(event.get("log_namespace") or "-")
    if name == "info" and not event.get("isError") and namespace.startswith(CHATTER):
        return "debug"
    return name


def text_of(event: LogEvent) -> str:
    """One line for the event, without its traceback."""
    text = printable(formatEvent(event))
    return text if len(text) <= MAX_LINE else f"{text[:MAX_LINE]}… ({len(text)} characters)"


def trace_of(event: LogEvent) -> list[str]:
    """The lines of its traceback; none without a failure."""
    failure = event.get("log_failure")
    return [] if failure is None else [printable(line) for line in failure.getTraceback().splitlines()]


def fields_of(event: LogEvent) -> dict[str, object]:
    """What stands in the event's text, and whose it is, as plain values; nothing else of an event is told."""
    names = {name for _, name, _, _ in Formatter().parse(str(event.get("log_format") or "")) if name}
    found: dict[str, object] = {}
    for name in sorted({*names, "node_id"} & event.keys())[:MAX_FIELDS]:
        value = event[name]
        if isinstance(value, float) and not isfinite(value):
            found[name] = str(value)
        elif isinstance(value, bool | int | float):
            found[name] = value
        elif isinstance(value, str):
            found[name] = value if len(value) <= MAX_FIELD else f"{value[:MAX_FIELD]}…"
    return found


def printable(text: str) -> str:
    """`text` with control characters escaped: no event can forge or colour a line."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def terminal() -> TextIO:
    """The process's own standard output: writing to `sys.stdout` would come back as an event."""
    out = sys.__stdout__
    return out if out is not None else open("/dev/null", "w", encoding="utf-8")

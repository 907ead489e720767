"""Which alerts are raised: rules with hysteresis over the readings. Pure; time is in the readings."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from timed.monitor.readings import Readings
from timed.monitor.rules import RULES, Rule
from timed.params import SECOND

MAX_HISTORY = 100
"""Alerts that are over and still shown; the oldest go first."""


@attrs.frozen
class Alert:
    """One alert; `until_us` is None while it lasts. Times are microseconds of unix time."""

    rule: Rule
    since_us: int
    value: float
    until_us: int | None = None

    @property
    def text(self) -> str:
        return self.rule.summary.format(value=shown(self.value))

    def as_object(self) -> dict[str, Any]:
        """As RPC, event and dashboard show it."""
        return {
            "name": self.rule.name,
            "severity": self.rule.severity,
            "state": "raised" if self.until_us is None else "cleared",
            "since": self.since_us // SECOND,
            "until": None if self.until_us is None else self.until_us // SECOND,
            "value": self.value if abs(self.value) != float("inf") else None,
            "summary": self.text,
            "remedy": self.rule.remedy,
            "runbook": f"docs/runbook.rst#{self.rule.name}",
        }


@attrs.define
class _Standing:
    """What a rule remembers: since when it is broken, or right while an alert lasts, as readings have their times."""

    broken_since: int | None = None
    right_since: int | None = None
    alert: Alert | None = None


class Alarms:
    """The state of every rule; `changed` hears each alert that is raised or cleared."""

    def __init__(self, changed: Callable[[Alert], object], rules: Iterable[Rule] = RULES) -> None:
        self._changed = changed
        self._rules = {rule.name: rule for rule in rules}
        self._standing = {name: (rule, _Standing()) for name, rule in self._rules.items()}
        self.history: deque[Alert] = deque(maxlen=MAX_HISTORY)
        self.raised = 0

    def regulate(self, limits: Mapping[str, float]) -> None:
        """Other limits from now on, by the names of rules; the others have their own again."""
        for name, rule in self._rules.items():
            _, standing = self._standing[name]
            self._standing[name] = (attrs.evolve(rule, limit=limits.get(name, rule.limit)), standing)

    def active(self) -> list[Alert]:
        """The alerts that last, in the order of the rules."""
        return [standing.alert for _, standing in self._standing.values() if standing.alert is not None]

    def as_object(self) -> dict[str, Any]:
        """What lasts, and what is over, newest first."""
        return {
            "active": [alert.as_object() for alert in self.active()],
            "over": [alert.as_object() for alert in reversed(self.history)],
        }

    def judge(self, readings: Readings, now_us: int) -> None:
        """Look at every rule; a figure that cannot be told leaves its rule as it is.

        How long something lasts is told by the readings' times; `now_us`, unix time, is only written down.
        """
        if readings.last is None:
            return
        at_us = readings.last.at_us
        for rule, standing in self._standing.values():
            value = rule.figure.of(readings)
            if value is None:
                continue
            if rule.broken_by(value):
                self._broken(rule, standing, value, at_us, now_us)
            else:
                self._right(rule, standing, at_us, now_us)

    def _broken(self, rule: Rule, standing: _Standing, value: float, at_us: int, now_us: int) -> None:
        standing.right_since = None
        if standing.broken_since is None:
            standing.broken_since = at_us
        lasts_us = at_us - standing.broken_since
        if standing.alert is not None:
            standing.alert = attrs.evolve(standing.alert, value=value)
        elif lasts_us >= rule.for_s * SECOND:
            standing.alert = Alert(rule, now_us - lasts_us, value)
            self.raised += 1
            self._changed(standing.alert)

    def _right(self, rule: Rule, standing: _Standing, at_us: int, now_us: int) -> None:
        standing.broken_since = None
        if standing.alert is None:
            return
        if standing.right_since is None:
            standing.right_since = at_us
        if at_us - standing.right_since >= rule.clear_s * SECOND:
            over = attrs.evolve(standing.alert, until_us=now_us)
            standing.alert = standing.right_since = None
            self.history.append(over)
            self._changed(over)


def shown(value: float) -> str:
    """A figure as people read it: three digits, no trailing zeros."""
    if value == float("inf"):
        return "30+"
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"

"""etc/alerts.yml: the node's own rules in Prometheus's words.

`python -m timed.monitor` writes it; a test compares.
"""

from __future__ import annotations

from collections.abc import Iterator

from timed.monitor.rules import RULES, Rule

_ALERTS_HEAD = """\
# The alerts that a node raises itself, for a Prometheus that scrapes many.
# Written from the table of rules in timed/monitor/rules.py; check it with
# promtool check rules etc/alerts.yml
groups:
  - name: timed
    rules:
      - alert: NodeDown
        expr: up{job="timed"} == 0
        for: 1m
        labels:
          severity: critical
        annotations:
          summary: "{{ $labels.instance }} does not answer"
          remedy: "Look at the service (systemctl status timed) and its log."
          runbook: "docs/runbook.rst#node-down"
"""


def alerts() -> str:
    """The text of etc/alerts.yml."""
    return _ALERTS_HEAD + "".join(line for rule in RULES for line in _rule(rule))


def _rule(rule: Rule) -> Iterator[str]:
    name = "".join(word.capitalize() for word in rule.name.split("-"))
    comparison = "<" if rule.below else ">"
    yield f"      - alert: {name}\n"
    yield f"        expr: {by_instance(rule)} {comparison} {_number(rule.limit)}\n"
    yield f"        for: {rule.for_s}s\n"
    yield f"        keep_firing_for: {rule.clear_s}s\n" if rule.clear_s else ""
    yield f"        labels:\n          severity: {rule.severity}\n"
    summary = rule.summary.format(value="{{ $value | humanize }}")
    yield f"        annotations:\n          summary: {_quoted('{{ $labels.instance }}: ' + summary)}\n"
    yield f"          remedy: {_quoted(rule.remedy)}\n"
    yield f"          runbook: {_quoted('docs/runbook.rst#' + rule.name)}\n"


def by_instance(rule: Rule) -> str:
    """The figure of a rule in PromQL; sums are kept apart by node."""
    text = rule.figure.promql.replace("sum by (le) (", "sum by (instance, le) (")
    return text.replace("sum(", "sum by (instance) (").replace("count(", "count by (instance) (")


def _number(value: float) -> str:
    """Exactly, and as people write it."""
    return str(int(value)) if value == int(value) else repr(value)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

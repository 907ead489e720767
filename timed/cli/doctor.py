"""`timed-cli doctor`: in plain words, why a node is slow, alone or not there. It changes nothing."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from typing import Any

from timed.cli import local, status
from timed.cli.finding import PROBLEM, Finding
from timed.cli.options import Options
from timed.cli.show import write
from timed.cli.sight import Sight, look
from timed.cli.symptoms import SYMPTOMS, judged
from timed.errors import ConfigError

WIDTH = 96
EPILOG = """\
Works with a node that runs and with one that does not. Run it as the user of the node.
Exit status: 0 nothing is wrong, 6 something is; notes alone are 0.
"""


def main(words: Sequence[str], options: Options) -> int:
    """Look, judge, and say so."""
    parser = local.parser("doctor", "Says why a node is slow, alone or not there.", options, EPILOG)
    parser.add_argument("--json", action="store_true", default=options.json, help="for machines")
    found = parser.parse_args(words)
    report = examine(found, options)
    write(json.dumps(report, indent=2) if found.json else as_text(report))
    return status.FOUND if any(each["severity"] == PROBLEM for each in report["findings"]) else status.OK


def examine(found: Any, options: Options) -> dict[str, Any]:
    """The report: node, running, process (its id; 0 for none, null unknown), findings, unseen (why by symptom), looked_at."""
    sight = see(found, options)
    findings, unseen = judged(sight)
    return {
        "node": _who(sight),
        "running": sight.running,
        "process": sight.held,
        "findings": [_plain(finding) for finding in findings],
        "unseen": unseen,
        "looked_at": [symptom.name for symptom in SYMPTOMS if symptom.name not in unseen],
    }


def see(found: Any, options: Options) -> Sight:
    """The sight of the node that the words of a command mean."""
    try:
        config = local.config_of(found)
    except ConfigError as error:
        return look(error, options)
    return look(config, local.place_of(found, options))


def _plain(finding: Finding) -> dict[str, str]:
    return {
        "name": finding.name,
        "severity": finding.severity,
        "text": finding.text,
        "remedy": finding.remedy,
    }


def _who(sight: Sight) -> str:
    if sight.config is None:
        return "a node without a usable configuration"
    who = f"a node of {sight.config.params.name} in {sight.config.datadir}"
    if not sight.running:
        return f"{who}: nothing answers"
    height = sight.metrics.total("timed_height") if sight.metrics is not None else None
    sessions = sight.metrics.total("timed_sessions") if sight.metrics is not None else None
    known = [f"height {height:g}"] if height is not None else []
    known += [f"{sessions:g} peer{'s' * (sessions != 1)}"] if sessions is not None else []
    return f"{who}: {', '.join(['it runs', *known])}"


def as_text(report: dict[str, Any]) -> str:
    """The report for people."""
    lines = [report["node"], ""]
    for finding in report["findings"]:
        lines.append(
            f"{finding['severity'].upper() if finding['severity'] == PROBLEM else 'note'}  {finding['name']}"
        )
        lines += textwrap.wrap(finding["text"], WIDTH, initial_indent="  ", subsequent_indent="  ")
        lines += textwrap.wrap(finding["remedy"], WIDTH, initial_indent="  -> ", subsequent_indent="     ")
        lines.append("")
    count = len(report["looked_at"])
    lines.append(f"{count} symptoms looked at, {len(report['findings']) or 'nothing'} found.")
    reasons: dict[str, list[str]] = {}
    for name, why in report["unseen"].items():
        reasons.setdefault(why, []).append(name)
    for why, names in reasons.items():
        lines += textwrap.wrap(f"not looked at: {'; '.join(names)}: {why}", WIDTH, subsequent_indent="  ")
    return "\n".join(lines)

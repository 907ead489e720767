"""Slow payments: which of this node's symptoms may cause them, and which members are missed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from timed.cli.finding import NOTE, PROBLEM, Finding, Judge, Unseen, sentence
from timed.cli.sight import Metrics, Sight

MISSED, AWAY = "timed_members_missed", "timed_members_missing"


def missed(metrics: Metrics) -> Iterator[Finding]:
    """Members whose signatures are missed, as `timed.feed.attendance` counts them."""
    away = {labels["member"] for labels, _ in metrics.series(AWAY)}
    for labels, count in metrics.series(MISSED):
        member = labels["member"]
        if member in away:
            why, remedy = (
                "this node has no session with it",
                "Ask its operator whether it runs; addnode dials it.",
            )
        else:
            why = "it may be connected, but its votes come late, or it does not vote"
            remedy = "Its operator sees with the doctor there what is slow; explainpeer tells how it is treated here."
        yield Finding(
            "member-missed", NOTE,
            f"The newest {count:g} certificates lack the signature of member {member}: {why}. Payments wait "
            "for the others meanwhile.",
            remedy,
        )  # fmt: skip


def slow_payments(sight: Sight, summary: str, causes: Iterable[tuple[str, Judge]]) -> Finding:
    """The finding of the alert; `causes` are the symptoms that make votes late, by name."""
    here: list[str] = []
    blind: list[str] = []
    for name, judge in causes:
        try:
            here += [name] if list(judge(sight)) else []
        except Unseen:
            blind.append(name)
    late = [] if sight.metrics is None else sight.metrics.series(MISSED)
    words = [sentence(summary)]
    if here:
        words.append(f"This node may be the cause: {', '.join(here)}.")
    elif not late and not blind:
        words.append("Nothing that was seen here explains it: other members or the way to them are slow.")
    if late:
        words.append("Another member may be: member-missed.")
    if blind:
        words.append(f"{', '.join(blind)} could not be looked at.")
    remedy = (
        "explaintransaction tells when each member voted for a payment, pingtime in getpeerinfo how far a peer is; "
        "let the operators of the late ones run the doctor."
    )
    return Finding(
        "finality-slow", PROBLEM, " ".join(words), f"Mend what is named here. {remedy}" if here else remedy
    )

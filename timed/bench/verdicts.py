"""What a node did to each client of a crowd, and why, by its own account."""

from __future__ import annotations

from collections import Counter
from typing import Any

import attrs

from timed.bench.host import node_key
from timed.bench.report import table
from timed.peer.rates import RATES
from timed.testnet.layout import NodePlan
from timed.testnet.rpc import connect
from timed.wire.catalogue import BY_NAME


@attrs.frozen
class Judged:
    """What the node says it did to whom."""

    offenders: list[dict[str, Any]]
    honest_limited: list[str]

    def unlimited(self) -> list[str]:
        """What offenders did to whom nothing was done although they exceeded a limit."""
        return [str(each["does"]) for each in self.offenders if each["exceeded"] and not each["limited"]]

    def lines(self) -> list[str]:
        """A table for people."""
        rows = [
            [
                ", ".join(each["does"]), sum(each["sent"].values()), each["state"], each["over_rate"],
                ", ".join(f"{count} {event}" for event, count in each["reasons"].items()) or "-",
            ]
            for each in self.offenders
        ]  # fmt: skip
        return table(["offender", "sent", "state", "unread", "why"], rows)


def judge(
    node: NodePlan,
    clients: int,
    offenders: list[list[str]],
    misdeeds: dict[str, dict[str, int]],
    seconds: float,
) -> Judged:
    """Ask the node about each client, after `seconds` of misconduct."""
    with connect(node) as client:
        sessions = {str(peer["nodeid"]): peer for peer in client.call("getpeerinfo")}
        banned = {str(ban["address"]) for ban in client.call("listbanned")}
        found = []
        for number, names in enumerate(offenders, clients):
            node_id = node_key(number + 1).public.hex()
            found.append(verdict(names, misdeeds[str(number)], seconds, client.call("explainpeer", node_id)))
    limited = []
    for number in range(clients):
        node_id = node_key(number + 1).public.hex()
        peer = sessions.get(node_id)
        if peer is None or peer["over_rate"] or peer["dropped"] or peer["score"] or node_id in banned:
            limited.append(node_id)
    return Judged(found, limited)


def exceeded(name: str, count: int, seconds: float) -> bool:
    """True when so many messages are more than the bucket of this type lets through in that time."""
    kind = BY_NAME.get(name)
    if kind is None:
        return False
    rate = RATES[kind.bucket]
    return count > rate.burst + rate.per_second * seconds


def verdict(
    names: list[str], sent: dict[str, int], seconds: float, explained: dict[str, Any]
) -> dict[str, Any]:
    """One offender, as `explainpeer` has it."""
    reasons = Counter(str(reason["event"]) for reason in explained["reasons"])
    session = explained["session"] or {}
    over_rate = int(session.get("over_rate", 0))
    return {
        "does": names,
        "sent": sent,
        "state": explained["state"],
        "score": float(explained["score"]),
        "reasons": dict(reasons),
        "over_rate": over_rate,
        "exceeded": [name for name, count in sent.items() if exceeded(name, count, seconds)],
        "limited": bool(reasons or over_rate or explained["state"] != "connected"),
    }

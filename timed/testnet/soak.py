"""`timed-testnet soak`: a network under load that something is done to once a minute.

The first node is never touched itself: its memory, descriptors, reactor and log lines
are what is judged. The others are killed, paused, cut off and flooded; after each time
the network must be whole again by itself.

Memory is what the process alone has: the pages of the database's files, which the kernel
lends and takes back, are left out. Of each minute the least counts, since a node collects its
garbage, and gives back what is free, a few times in it. It is judged once everything has happened
to the network four times: until then caches fill, what the allocator keeps of the largest
answer, and the lines of the log that a node keeps.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Iterator
from datetime import datetime
from random import Random

import attrs

from timed.bench.cluster import Cluster, cluster
from timed.bench.load import Load, sign_in_turn
from timed.bench.measure import least_of_each, percentile, robust_slope
from timed.bench.processes import anonymous_mb, cpu_s, descriptors
from timed.bench.report import Goal
from timed.errors import TimedError
from timed.testnet.layout import NodePlan
from timed.testnet.perturb import PERTURBATIONS, victim_of
from timed.testnet.report import info_lines
from timed.testnet.rpc import ClientError, call
from timed.testnet.waiting import Reporter, wait_for

NODES = 4
INTERVAL = 5
SAMPLE_S = 2.0
"""No divisor of the blocks' interval: payments that wait for the next block are megabytes, and would be sampled
always in the same moment of it, which moves for half an hour."""
LEAST_S = 60.0
"""Of so much the least memory counts."""
EVERY_S = 60.0
"""Between the beginnings of two perturbations."""
HEAL_S = 60.0
"""After a perturbation the network is whole again within this."""
EXPLAINED_S = 10.0
"""A warning belongs to a perturbation from when it began until so long after the network was whole again."""
WARM_ROUNDS = 4
"""Memory and descriptors are not judged by the first rounds of all perturbations: connections open, caches fill, each
kind of call is answered for the first time, and what lasts moves to where a large answer had been. The last that
fills is the end of the log, 500 lines at 13 a minute."""
WARM_SHARE = 4 / 7
"""Of a short run: what is not judged, at the most."""
END_SHARE = 1 / 4
"""Descriptors are counted as the median of so much of what is judged, at its beginning and at its end: a client
that is connected at the moment is no leak."""
FINAL_S = 60.0
AGAIN_S = 120.0
"""Until what a payment made is spent: the number of coins, and what a block of genesis takes, does not hang on the
length of the run."""
SETTINGS = "[node]\nrecorder_bytes = 1048576\n"

GOAL_SLOPE_MB_PER_H = 0.5
GOAL_DESCRIPTORS = 5
GOAL_LAG_P99_MS, GOAL_LAG_MAX_MS = 20.0, 200.0
GOAL_LINES_PER_S = 1.0

_PROBLEM = re.compile(r"^(\S+Z) (warn|error|critical) +(.*)$", re.MULTILINE)


@attrs.define
class Done:
    """One perturbation and how the network took it. Seconds since the start of the load."""

    name: str
    node: str
    began: float
    ended: float
    healed: float | None = None
    """Until all nodes were connected and of one height again; None when they were not in time."""

    def explains(self, at: float) -> bool:
        """Whether a warning of that moment may come from it."""
        healed = HEAL_S if self.healed is None else self.healed
        return self.began <= at <= self.ended + healed + EXPLAINED_S


@attrs.define
class Sample:
    """Of one node."""

    at: float
    memory_mb: float
    descriptors: int
    cpu_s: float = 0.0
    """Spent since the process began."""


@attrs.define
class Soak:
    """What a run found."""

    minutes: float
    rate: float
    seed: int
    perturbations: list[Done] = attrs.Factory(list)
    samples: dict[str, list[Sample]] = attrs.Factory(dict)
    lags_ms: list[float] = attrs.Factory(list)
    """Of the steady node's reactor."""
    finality_ms: list[float] = attrs.Factory(list)
    """From submission until the steady node knew it final."""
    submitted: int = 0
    refused: list[str] = attrs.Factory(list)
    missing: int = 0
    """Payments that were not final on every node in the end, those that were refused among them."""
    lines_per_s: dict[str, float] = attrs.Factory(dict)
    unexplained: list[str] = attrs.Factory(list)
    """Warnings of the steady node that no perturbation explains."""
    steady: str = ""

    @property
    def warm_s(self) -> float:
        """Seconds from the start of the load that memory and descriptors are not judged by."""
        return min(WARM_ROUNDS * len(PERTURBATIONS) * EVERY_S, self.minutes * 60 * WARM_SHARE)

    @property
    def slope_mb_per_h(self) -> float:
        """Of the steady node's anonymous memory: the median of the slopes between all pairs of the minutes' least."""
        return robust_slope(least_of_each(LEAST_S, [(one.at, one.memory_mb) for one in self._judged()]))

    @property
    def more_descriptors(self) -> int:
        """The steady node's, at the end against the beginning."""
        samples = self._judged()
        part = max(1, int(len(samples) * END_SHARE))
        ends = (samples[:part], samples[-part:])
        first, last = ([one.descriptors for one in end] for end in ends)
        return round(statistics.median(last) - statistics.median(first)) if samples else 0

    @property
    def cpu_percent(self) -> float:
        """Of a core, by the steady node, while it is judged."""
        samples = self._judged()
        if len(samples) < 2:
            return 0.0
        return 100 * (samples[-1].cpu_s - samples[0].cpu_s) / (samples[-1].at - samples[0].at)

    def memory_mb(self) -> tuple[float, float, float]:
        """The steady node's, when it begins to be judged, at most, and at the end."""
        found = [one.memory_mb for one in self._judged()] or [0.0]
        return found[0], max(found), found[-1]

    def _judged(self) -> list[Sample]:
        """The samples of the steady node, without the first part."""
        return [one for one in self.samples.get(self.steady, []) if one.at >= self.warm_s]

    def goals(self) -> list[Goal]:
        return [
            Goal("memory grows", self.slope_mb_per_h, GOAL_SLOPE_MB_PER_H, unit=" MB/h"),
            Goal("more descriptors", abs(self.more_descriptors), GOAL_DESCRIPTORS),
            Goal("reactor late, p99", percentile(self.lags_ms, 99), GOAL_LAG_P99_MS, unit=" ms"),
            Goal("reactor late, at most", max(self.lags_ms, default=0.0), GOAL_LAG_MAX_MS, unit=" ms"),
            Goal(
                "INFO lines of a node",
                max(self.lines_per_s.values(), default=0.0),
                GOAL_LINES_PER_S,
                unit="/s",
            ),
            Goal("warnings nothing explains", len(self.unexplained), 0),
            Goal("not healed in time", sum(one.healed is None for one in self.perturbations), 0),
            Goal("payments not final", self.missing, 0),
        ]

    @property
    def held(self) -> bool:
        return all(goal.reached for goal in self.goals())

    def figures(self) -> dict[str, object]:
        """The object of the last line."""
        healed = [one.healed for one in self.perturbations if one.healed is not None]
        return {
            "minutes": self.minutes,
            "perturbations": len(self.perturbations),
            "healed_p50_s": round(statistics.median(healed), 1) if healed else None,
            "healed_max_s": round(max(healed), 1) if healed else None,
            "not_healed": sum(one.healed is None for one in self.perturbations),
            "payments": self.submitted,
            "refused": len(self.refused),
            "missing": self.missing,
            "finality_p50_ms": round(percentile(self.finality_ms, 50), 1),
            "finality_p99_ms": round(percentile(self.finality_ms, 99), 1),
            "warm_minutes": round(self.warm_s / 60, 1),
            "slope_mb_per_h": round(self.slope_mb_per_h, 2),
            "memory_mb": [round(each, 1) for each in self.memory_mb()],
            "cpu_percent": round(self.cpu_percent, 1),
            "more_descriptors": self.more_descriptors,
            "lag_p99_ms": round(percentile(self.lags_ms, 99), 1),
            "lag_max_ms": round(max(self.lags_ms, default=0.0), 1),
            "lines_per_s": round(max(self.lines_per_s.values(), default=0.0), 3),
            "unexplained": len(self.unexplained),
            "held": self.held,
        }


def soak(minutes: float, rate: float, seed: int, reporter: Reporter) -> Soak:
    """Run it; TimedError when the network does not come up or a node ends by itself."""
    found = Soak(minutes, rate, seed)
    count = round(rate * (minutes * 60 + EVERY_S))
    with cluster(NODES, min(count, round(rate * AGAIN_S)), INTERVAL, SETTINGS) as network:
        steady = network.plan.nodes[0]
        found.steady = steady.name
        load = Load([steady], sign_in_turn(network.genesis, count), rate)
        load.start()
        _Run(found, network, reporter, Random(seed)).perturb_until(minutes * 60)
        load.stop()
        ended = time.monotonic_ns()
        submitted = load.wait()
        handed = [txid for txid, due in submitted.due.items() if due < ended]
        found.submitted, found.refused = len(handed), submitted.refused
        found.missing = len(network.wait_final(handed, FINAL_S))
        seen = network.observed[steady.number]
        found.lags_ms = [late / 1e6 for late in seen.lag_ns]
        found.finality_ms = [
            (seen.final[txid] - submitted.due[txid]) / 1e6 for txid in handed if txid in seen.final
        ]
    return found


class _Run:
    """Perturbs, samples and looks whether the network is whole."""

    def __init__(self, found: Soak, network: Cluster, reporter: Reporter, entropy: Random) -> None:
        self._found = found
        self._network = network
        self._reporter = reporter
        self._entropy = entropy
        self._begun = time.monotonic()
        self._wall = time.time()
        self._sampled = -SAMPLE_S

    def _now(self) -> float:
        return time.monotonic() - self._begun

    def perturb_until(self, seconds: float) -> None:
        for number, name in enumerate(_again_and_again()):
            self._wait_until(min(EVERY_S * (number + 0.5), seconds))
            if self._now() >= seconds - HEAL_S / 2:
                break
            victim = victim_of(name, self._network.plan, number)
            done = Done(name, victim.name, self._now(), 0.0)
            PERTURBATIONS[name](self._network, victim, self._entropy)
            done.ended = self._now()
            done.healed = self._heal(done.ended)
            self._found.perturbations.append(done)
            healed = "NOT healed" if done.healed is None else f"whole after {done.healed:.1f} s"
            self._reporter.say(f"{name} ({done.node}), {done.ended - done.began:.0f} s: {healed}")
        self._wait_until(seconds)
        self._sample()
        self._read_logs()

    def _wait_until(self, at: float) -> None:
        while self._now() < at:
            self._sample()
            time.sleep(min(1.0, max(0.0, at - self._now())))

    def _sample(self) -> None:
        if self._now() < self._sampled + SAMPLE_S:
            return
        self._sampled = self._now()
        for process in self._network.network.living():
            pid = process.pid or 0
            sample = Sample(self._now(), anonymous_mb(pid), descriptors(pid), cpu_s(pid))
            self._found.samples.setdefault(process.plan.name, []).append(sample)
        self._network.look()

    def _heal(self, since: float) -> float | None:
        """Seconds until every pair has its session and all heights are equal."""
        network = self._network.network

        def probe() -> tuple[bool, str]:
            self._sample()
            try:
                heights = {call(node, "getblockcount") for node in network.running()}
                whole = all(_connected(node, network.running()) for node in network.running())
            except ClientError as error:
                return False, str(error)
            return whole and len(heights) == 1, f"heights {sorted(heights)}"

        try:
            wait_for("the network is whole", probe, HEAL_S, _Silent(), network.living())
        except TimedError:
            if any(not process.alive for process in network.processes.values()):
                raise
            return None
        return self._now() - since

    def _read_logs(self) -> None:
        seconds = self._now()
        for process in self._network.network.processes.values():
            self._found.lines_per_s[process.plan.name] = info_lines(process) / seconds
            if process.plan.name == self._found.steady:
                self._found.unexplained = list(self._unexplained(process.log_text()))

    def _unexplained(self, text: str) -> Iterator[str]:
        for when, level, words in _PROBLEM.findall(text):
            at = datetime.fromisoformat(when).timestamp() - self._wall
            if at < 0 or any(one.explains(at) for one in self._found.perturbations):
                continue
            yield f"{when} {level} {words}"


class _Silent(Reporter):
    def progress(self, text: str) -> None:
        """Said once it is over."""


def _again_and_again() -> Iterator[str]:
    while True:
        yield from PERTURBATIONS


def _connected(node: NodePlan, running: list[NodePlan]) -> bool:
    known = {peer["nodeid"] for peer in call(node, "getpeerinfo")}
    return known >= {other.node_id.hex() for other in running if node.joins(other)}

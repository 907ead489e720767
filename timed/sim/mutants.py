"""Known mistakes, put into a copy of the package one at a time: each must be caught by name.

A mutant is one replacement of text in one file; the text must stand there exactly
once. It counts as caught when the simulator names an invariant of safety on some
of the seeds, and the unpatched copy passes those very seeds.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import attrs

import timed
from timed.errors import LocalError
from timed.sim.violation import SAFETY

SEEDS = 24
"""A mutant that survives seeds 0 to SEEDS-1 counts as missed."""
SEED_TIMEOUT_S = 600

_ROSTER = "primitives/roster.py"
_CERTIFICATE = "primitives/certificate.py"
_FASTPATH = "consensus/fastpath.py"
_CLOSING = "consensus/closing.py"
_NODE = "node/node.py"
_ROUNDS = "consensus/rounds.py"
_VOTES = "consensus/votes.py"


@attrs.frozen
class Mutant:
    """`old` -> `new` in `file` (below the package)."""

    name: str
    file: str
    old: str
    new: str


MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "quorum minus one", _ROSTER,
        "return weight > 0 and 3 * weight >= 2 * total",
        "return weight > 0 and 3 * (weight + 1) >= 2 * total",
    ),
    Mutant(
        "quorum of votes received", _FASTPATH,
        "        if certificate is None and not self._is_quorum(tally.votes):\n",
        "        voters = {one for other in self.tallies.values() for one in other.votes.signers}\n"
        "        heard = sum(self.roster.members[one].weight for one in voters)\n"
        "        if certificate is None and not is_quorum(tally.votes.weight, heard):\n",
    ),
    Mutant(
        "lock not durable", _NODE,
        "        self.gate.persist((*effect.records, message), durable)\n",
        "        if isinstance(message, wire.TransactionVote) and message.kind == 2:\n"
        "            self.gate.persist(effect.records, durable)\n"
        "        else:\n"
        "            self.gate.persist((*effect.records, message), durable)\n",
    ),
    Mutant(
        "certificate not durable", _FASTPATH,
        "(*self._bodies([tally.txid]), *proof),",
        "self._bodies([tally.txid]),",
    ),
    Mutant(
        "report not durable", _NODE,
        "        self.gate.persist((*effect.records, message), durable)\n",
        "        if isinstance(message, wire.EpochReport):\n"
        "            durable(self.now)\n"
        "        self.gate.persist((*effect.records, message), durable)\n",
    ),
    Mutant(
        "lock released by a timer", _FASTPATH,
        "        self._sign_due(now)\n        self._ask_for_bodies(self._missing.due(now))\n",
        "        self._sign_due(now)\n"
        "        if now % 6_000_000 > 3_000_000:\n"
        "            self.locks.clear()\n"
        "            self._advance(sorted(self.tallies), now)\n"
        "        self._ask_for_bodies(self._missing.due(now))\n",
    ),
    Mutant(
        "locks lapse at slot time", _FASTPATH,
        "        if transaction is None or tally.voted or self.closed or",
        "        if self.closed:\n"
        "            self.locks.clear()\n"
        "        if transaction is None or tally.voted or",
    ),
    Mutant(
        "acknowledgement after the report", _FASTPATH,
        " and not self.closed and not tally.acknowledged:\n",
        " and not tally.acknowledged:\n",
    ),
    Mutant(
        "epoch left out of vote", _CERTIFICATE,
        "BundleStatement(kind, chain_id, epoch, roster, tick, root)",
        "BundleStatement(kind, chain_id, 0 if kind == 2 else epoch, roster, tick, root)",
    ),
    Mutant(
        "epoch left out of acknowledgement", _CERTIFICATE,
        "BundleStatement(kind, chain_id, epoch, roster, tick, root)",
        "BundleStatement(kind, chain_id, 0 if kind == 3 else epoch, roster, tick, root)",
    ),
    Mutant(
        "proposer omits a reported transaction", _CLOSING,
        "        for txid in sorted(named):\n",
        "        for txid in sorted(named)[:-1]:\n",
    ),
    Mutant(
        "child without its parent's certificate", _FASTPATH,
        "outpoint in self.created or self._spendable(outpoint) for outpoint in transaction.inputs",
        "outpoint in self.created or outpoint.txid in self.tallies or self._spendable(outpoint)\n"
        "            for outpoint in transaction.inputs",
    ),
    Mutant(
        "finality after one round", _FASTPATH,
        "            if not tally.final and self._is_quorum(tally.acknowledgements):\n",
        "            if not tally.final:\n",
    ),
    Mutant(
        "no log replay", _NODE,
        "        for record in self._store.replay():\n",
        "        for record in list(self._store.replay())[:0]:\n",
    ),
    Mutant(
        "only the first input locked", _FASTPATH,
        "        for outpoint in transaction.inputs:\n            self.locks[outpoint] = tally.txid\n",
        "        for outpoint in transaction.inputs[:1]:\n            self.locks[outpoint] = tally.txid\n",
    ),
    Mutant(
        "precommit without a quorum of prevotes", _VOTES,
        "            if block != NIL and self.has_quorum(block):\n",
        "            if block != NIL and 2 * self._weight_of[block] >= self._roster.total_weight:\n",
    ),
    Mutant(
        "anybody proposes", _ROUNDS,
        "        if self.proposer(self.round) != self.me or self.round == self._last_proposed:\n",
        "        if self.round == self._last_proposed:\n",
    ),
)  # fmt: skip


@attrs.frozen
class Verdict:
    """What became of one mutant."""

    name: str
    invariant: str
    """Empty when it survived."""
    seed: int
    detail: str

    @property
    def caught(self) -> bool:
        return self.invariant in SAFETY


def package_directory() -> str:
    return os.path.dirname(os.path.abspath(timed.__file__))


def patched(mutant: Mutant, source: str) -> str:
    """`source` with the mistake in it; LocalError unless the text stands there exactly once."""
    if source.count(mutant.old) != 1:
        raise LocalError(
            f"mutant {mutant.name!r}: its text stands {source.count(mutant.old)} times in {mutant.file}.",
            "Adapt timed/sim/mutants.py to the code.",
        )
    return source.replace(mutant.old, mutant.new)


def try_mutant(mutant: Mutant | None, seeds: int) -> Verdict:
    """Run a copy, patched or (None) as it is, over the seeds until something is named."""
    name = mutant.name if mutant is not None else "unpatched"
    with tempfile.TemporaryDirectory(prefix="timed-mutant-") as directory:
        copy = os.path.join(directory, "timed")
        shutil.copytree(package_directory(), copy, ignore=shutil.ignore_patterns("__pycache__"))
        if mutant is not None:
            path = os.path.join(copy, mutant.file)
            with open(path, encoding="utf-8") as file:
                source = file.read()
            with open(path, "w", encoding="utf-8") as file:
                file.write(patched(mutant, source))
        for seed in range(seeds):
            invariant, detail = _run_seed(directory, seed)
            if invariant:
                return Verdict(name, invariant, seed, detail)
    return Verdict(name, "", seeds - 1, "")


def _run_seed(directory: str, seed: int) -> tuple[str, str]:
    """One seed in a process that imports the copy; the invariant it names, or nothing."""
    environment = {**os.environ, "PYTHONPATH": directory, "PYTHONDONTWRITEBYTECODE": "1"}
    program = (
        "import json; from timed.sim.run import run_seed; from timed.sim.world import Scenario; "
        "from timed.sim.nemesis import FAULTS; "
        f"r = run_seed(Scenario({seed}, faults=tuple(FAULTS))); print(json.dumps([r.violation, r.detail]))"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=directory, env=environment, capture_output=True, text=True, timeout=SEED_TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "progress", f"seed {seed} did not end within {SEED_TIMEOUT_S} s"
    if done.returncode:
        return "no-traceback", done.stderr.strip()[-2_000:]
    violation, detail = json.loads(done.stdout.splitlines()[-1])
    return violation, detail


def run_mutants(names: Sequence[str], jobs: int, *, as_json: bool) -> int:
    """Try the mutants (all, or those named) and print a line for each; 0 when all are caught."""
    known = {mutant.name: mutant for mutant in MUTANTS}
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"there is no mutant {unknown[0]!r}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    chosen = [known[name] for name in names] or list(MUTANTS)
    for mutant in chosen:
        with open(os.path.join(package_directory(), mutant.file), encoding="utf-8") as file:
            patched(mutant, file.read())
    with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
        verdicts = []
        for verdict in pool.map(lambda mutant: try_mutant(mutant, SEEDS), chosen):
            verdicts.append(verdict)
            fate = f"caught by {verdict.invariant} on seed {verdict.seed}" if verdict.caught else "MISSED"
            print(f"{verdict.name:40s} {fate}  {verdict.detail.splitlines()[0][:100] if verdict.detail else ''}",
                  flush=True)  # fmt: skip
    seeds = max((verdict.seed for verdict in verdicts if verdict.caught), default=0) + 1
    sound = try_mutant(None, seeds)
    print(f"the unpatched copy {'passes' if not sound.invariant else 'FAILS'} seeds 0..{seeds - 1}")
    caught = [] if sound.invariant else [verdict for verdict in verdicts if verdict.caught]
    print(f"{len(caught)} of {len(verdicts)} mutants caught")
    if as_json:
        by_name = {verdict.name: verdict.invariant for verdict in verdicts}
        print(json.dumps({"mutants": len(verdicts), "caught": len(caught), "by": by_name}))
    return 0 if len(caught) == len(verdicts) else 1

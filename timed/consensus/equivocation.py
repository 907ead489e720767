"""Members that vote for two transactions on one output within an epoch ([12])."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from timed.consensus.tally import Tally
from timed.primitives.transaction import OutPoint


class Rivals:
    """The bodies known to spend each outpoint; only where there are two of them somebody can have lied."""

    def __init__(self, tallies: Mapping[bytes, Tally]) -> None:
        self._tallies = tallies
        self._spenders: dict[OutPoint, tuple[bytes, ...]] = {}
        self._named: set[int] = set()

    def __len__(self) -> int:
        """Outpoints that a known body spends."""
        return len(self._spenders)

    def spenders(self, outpoint: OutPoint) -> tuple[bytes, ...]:
        """The txids of the bodies known in this epoch that spend it."""
        return self._spenders.get(outpoint, ())

    def add(self, tally: Tally) -> list[int]:
        """The body of `tally` is known from now on; the members that had voted for it and for a rival."""
        if tally.transaction is None:
            return []
        for outpoint in tally.transaction.inputs:
            known = self.spenders(outpoint)
            if tally.txid not in known:
                self._spenders[outpoint] = (*known, tally.txid)
        return self.liars(tally, tuple(tally.votes.signers))

    def forget(self, tally: Tally) -> None:
        """The body of `tally`, which nobody has voted for, is not here any more."""
        for outpoint in tally.transaction.inputs if tally.transaction is not None else ():
            others = tuple([txid for txid in self._spenders.pop(outpoint, ()) if txid != tally.txid])
            if others:
                self._spenders[outpoint] = others

    def liars(self, tally: Tally, voters: Iterable[int]) -> list[int]:
        """Those of `voters`, who voted for `tally`, that voted for a rival of it, too. Nobody is named twice:
        who lies can do so for thousands of outpoints."""
        unnamed = [voter for voter in voters if voter not in self._named]
        if tally.transaction is None or not unnamed:
            return []
        found: list[int] = []
        for outpoint in tally.transaction.inputs:
            others = self.spenders(outpoint)
            if len(others) < 2:
                continue
            rivals = [rival for txid in others if txid != tally.txid and (rival := self._tallies.get(txid))]
            found += [
                voter
                for voter in unnamed
                if voter not in self._named and any(voter in rival.votes.signers for rival in rivals)
            ]
            self._named.update(found)
        return found

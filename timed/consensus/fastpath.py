"""Instant finality: vote, certify, acknowledge (protocol §3, steps 1 to 3).

The machine lives for one epoch at a time. What it signs it first locks, what it
acknowledges it first holds; both reach the log in that order, and the log is
first in, first out, so a bundle that is durable has everything it rests on
behind it. A certificate is in the log as the bundles it is made of: bundles carry many
transactions each, and certificates are only assembled for whoever asks for one. Nothing
in here expires on a timer: locks end with the epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from timed.consensus.bundler import ACKNOWLEDGEMENT, VOTE, Bundler
from timed.consensus.effects import (
    AskCertificates,
    AskTransactions,
    Effects,
    Record,
    Sign,
    Tell,
    ToFollowers,
)
from timed.consensus.equivocation import Rivals
from timed.consensus.missing import ASK_AGAIN_US, MAX_ASK, Children, Missing
from timed.consensus.tally import Ballot, Count, FastPathCounters, Tally, adds_something, by_signers
from timed.crypto.keys import SigningKey
from timed.deadlines import earliest
from timed.errors import StoreError
from timed.events import (
    DoubleSpend,
    Equivocation,
    TransactionCertified,
    TransactionFinal,
    TransactionLocked,
)
from timed.params import NetworkParams
from timed.primitives.certificate import BundleCertificate
from timed.primitives.roster import Roster, is_quorum
from timed.primitives.transaction import OutPoint, Transaction
from timed.wire import messages


class FastPath:
    """The votes, locks, certificates and acknowledgements of the current epoch.

    `spendable` answers whether an outpoint is unspent in the last certified
    block; outputs of this epoch's certified transactions are known here. `size`
    is what a transaction may take in a block, whoever of its locks' keys signed. `held` is
    told of each transaction whose certificate is held, parents before children.
    """

    def __init__(
        self,
        params: NetworkParams,
        operator: SigningKey | None,
        spendable: Callable[[OutPoint], bool],
        size: Callable[[Transaction], int],
        held: Callable[[Transaction], None],
        effects: Effects,
    ) -> None:
        self._params = params
        self._operator = operator
        self._spendable = spendable
        self._size = size
        self._held = held
        self._effects = effects
        self.counters = FastPathCounters()
        self.bundler = Bundler(params.chain_id, operator)
        self.epoch = 0
        self.roster = Roster(members=())
        self._total_weight = 0
        self.me: int | None = None
        self.paused = False
        """Nothing new is signed while our clock is off; the epoch itself goes on."""
        self._reset()

    def _reset(self) -> None:
        self.tallies: dict[bytes, Tally] = {}
        self.locks: dict[OutPoint, bytes] = {}
        self.created: dict[OutPoint, bytes] = {}
        self.closed = False
        self.signing = False
        self.bytes_voted = 0
        self._votes_cast = 0
        self._entries_of: dict[tuple[int, int], int] = {}
        self._recorded: set[bytes] = set()
        self._missing = Missing()
        self._certificates_asked: dict[bytes, int] = {}
        self._children = Children()
        self.rivals = Rivals(self.tallies)
        self.unbacked: dict[bytes, BundleCertificate] = {}
        """Checked vote certificates that wait for body or parents."""
        self.own_bundles: list[messages.TransactionVote] = []

    @property
    def may_sign(self) -> bool:
        return self.signing and not self.paused

    # The epoch's beginning and end

    def begin(self, epoch: int, roster: Roster, *, signing: bool) -> None:
        """A new epoch: every lock of the one before has lapsed with its block."""
        self.epoch = epoch
        self.roster = roster
        self._total_weight = roster.total_weight
        self._reset()
        me = roster.index_of(self._operator.public) if self._operator is not None else None
        self.me = me if me is not None and roster.members[me].weight else None
        self.signing = signing and self.me is not None
        self.bundler.begin(epoch, roster, self.me)

    def close(self) -> None:
        """Slot time: stop voting and acknowledging; the queues were never signed."""
        self.closed = True
        self.bundler.clear()

    def stop_signing(self) -> None:
        """Sign nothing more in this epoch: the log is in doubt or safety has failed."""
        self.signing = False
        self.close()

    def held(self) -> tuple[bytes, ...]:
        """The transactions whose certificate this node holds, sorted: an epoch report."""
        return tuple(sorted(txid for txid, tally in self.tallies.items() if tally.certified))

    # Transactions

    def transaction(self, transaction: Transaction, now: int) -> None:
        """A valid transaction (form, fee and witnesses checked) is known."""
        tally = self._tally(transaction.txid, now)
        if tally.transaction is None:
            self._know(tally, transaction)
        self._advance([transaction.txid], now)

    def forget(self, txid: bytes) -> None:
        """The mempool has no place for it any more; what somebody has signed for stays."""
        tally = self.tallies.get(txid)
        if tally is not None and not tally.signed_for and txid not in self.unbacked:
            del self.tallies[txid]
            self._recorded.discard(txid)
            self._missing.found(txid)
            self.rivals.forget(tally)
            self._children.forget(tally)

    def inputs_available(self, transaction: Transaction) -> bool:
        """Every input is unspent in the last block, or made by a certified transaction of this epoch.

        The one condition for voting, for assembling a certificate and for
        acknowledging ([13]); a report is counted under it, too.
        """
        return all(outpoint in self.created or self._spendable(outpoint) for outpoint in transaction.inputs)

    def lock_of(self, outpoint: OutPoint) -> bytes | None:
        """The transaction this node has voted for on `outpoint`."""
        return self.locks.get(outpoint)

    # What peers send

    def wants(self, bundle: messages.TransactionVote) -> bool:
        """One that can add nothing need not be checked: verification stops at quorum and at the budget."""
        if self._entries_of.get((bundle.member, bundle.kind), 0) >= self._budget(bundle.kind):
            self.counters.votes_over_budget += len(bundle.entries)
            return False
        for txid in bundle.entries:
            tally = self.tallies.get(txid)
            if tally is None:
                return True
            count = tally.count(bundle.kind)
            if bundle.member not in count.signers and not self._is_quorum(count):
                return True
        return False

    def bundle(self, bundle: messages.TransactionVote, now: int) -> None:
        """Count a bundle whose signature has been checked."""
        if not self._expected(bundle):
            self.counters.votes_ignored += len(bundle.entries)
            return
        self._advance(self._count(Ballot(bundle, recorded=False, heard=now), now), now)

    def own(self, bundle: messages.TransactionVote, now: int) -> None:
        """Our own bundle is durable: it counts, and the next one may be signed."""
        if bundle.epoch != self.epoch:
            return
        self.bundler.written()
        self.own_bundles.append(bundle)
        if bundle.kind == VOTE:
            for txid in bundle.entries:
                self._effects.add(Tell(TransactionLocked(txid, self.epoch)))
        self._advance(self._count(Ballot(bundle, recorded=True, heard=now), now), now)
        self._sign_due(now)

    def certificate(self, certificate: BundleCertificate, now: int) -> None:
        """Take a certificate whose signatures have been checked."""
        if certificate.epoch != self.epoch or certificate.roster != self.roster.hash:
            return
        tally = self._tally(certificate.target, now)
        if certificate.kind == ACKNOWLEDGEMENT:
            if not tally.final:
                self._finalise(tally, certificate, now)
        elif not tally.certified:
            self.unbacked[tally.txid] = certificate
            self._advance([tally.txid], now)

    def lacks(self, txids: Iterable[bytes]) -> tuple[bytes, ...]:
        """Those whose certificate is not held."""
        return tuple(
            txid for txid in txids if (tally := self.tallies.get(txid)) is None or not tally.certified
        )

    # Time

    def next_deadline(self) -> int | None:
        """When `wake` has something to do."""
        again = next((last + ASK_AGAIN_US for last in self._certificates_asked.values()), None)
        return earliest(self.bundler.deadline(), self._missing.deadline(), again)

    def wake(self, now: int) -> None:
        self._sign_due(now)
        self._ask_for_bodies(self._missing.due(now))
        self._ask_again(now)

    def clock_set_back(self, now: int) -> None:
        """The host's clock was ahead: deadlines set by it count from now."""
        self.bundler.clock_set_back(now)
        self._missing.clock_set_back(now)
        self._certificates_asked = dict.fromkeys(self._certificates_asked, now)

    # Restart

    def restore_bundle(self, bundle: messages.TransactionVote, now: int) -> None:
        """A bundle from the log: ours binds us, its locks hold and it is never signed again; whoever signed
        it, it counts."""
        if not self._expected(bundle):
            return
        if bundle.member == self.me:
            self._restore_own(bundle, now)
        self._count(Ballot(bundle, recorded=True), now)

    def _restore_own(self, bundle: messages.TransactionVote, now: int) -> None:
        self.bundler.tick = max(self.bundler.tick, bundle.tick)
        self.own_bundles.append(bundle)
        for txid in bundle.entries:
            tally = self._tally(txid, now)
            if bundle.kind != VOTE:
                tally.acknowledged = True
            elif tally.transaction is None:
                raise StoreError(
                    f"the log holds a vote for {txid.hex()} but not the transaction.",
                    "The log is damaged; keep a copy and restore this data directory.",
                )
            else:
                tally.voted = True
                self._take_locks(tally, tally.transaction, self._size(tally.transaction))

    def restore_transaction(self, transaction: Transaction, now: int) -> None:
        """A body from the log; it comes before every bundle of ours that names it."""
        self._recorded.add(transaction.txid)
        self._know(self._tally(transaction.txid, now), transaction)

    def restore_certificate(self, certificate: BundleCertificate, now: int) -> None:
        """A certificate from the log: it is held, so the report names it."""
        if certificate.epoch != self.epoch:
            return
        tally = self._tally(certificate.target, now)
        if certificate.kind == ACKNOWLEDGEMENT:
            tally.acknowledgements.settle(certificate)
        else:
            self._hold(tally, certificate)

    def restored(self) -> None:
        """All of the log is read: what its bundles prove is held again, parents before children."""
        found = True
        while found:
            found = False
            for tally in self.tallies.values():
                if not tally.certified and self._is_quorum(tally.votes) and self._available(tally):
                    self._hold(tally, None)
                    found = True
        for tally in self.tallies.values():
            if tally.certified and not tally.final and self._is_quorum(tally.acknowledgements):
                tally.acknowledgements.settle(None)

    def resume(self, now: int) -> None:
        """Everything of the log is back: go on where the crash stopped."""
        self._advance(sorted(self.tallies), now)

    # Inside

    def _tally(self, txid: bytes, now: int) -> Tally:
        tally = self.tallies.get(txid)
        if tally is None:
            tally = self.tallies[txid] = Tally(txid, self.roster)
            self._missing.heard(txid, now)
        return tally

    def _know(self, tally: Tally, transaction: Transaction) -> None:
        """The body is here."""
        tally.transaction = transaction
        self._missing.found(tally.txid)
        self._tell_equivocations(self.rivals.add(tally))

    def _is_quorum(self, count: Count) -> bool:
        return is_quorum(count.weight, self._total_weight)

    def _expected(self, bundle: messages.TransactionVote) -> bool:
        return (
            bundle.chain_id == self._params.chain_id
            and bundle.epoch == self.epoch
            and bundle.roster == self.roster.hash
            and bundle.member < len(self.roster.members)
        )

    def _budget(self, kind: int) -> int:
        """Entries of one member in an epoch: the votes it may cast, and for acknowledgements twice that,
        which is as many as there can be certificates."""
        return self._params.epoch_transactions * (1 if kind == VOTE else 2)

    def _count(self, ballot: Ballot, now: int) -> list[bytes]:
        """Add one member's entries and return the new ones. A bundle is kept whole, so what it repeats costs
        budget, too. Those in the log were within the budget when they came, maybe in another order."""
        bundle, member, kind = ballot.bundle, ballot.bundle.member, ballot.bundle.kind
        if not adds_something(self.tallies, bundle):
            return []
        spent, budget = self._entries_of.get((member, kind), 0), self._budget(kind)
        touched = []
        for txid in bundle.entries:
            if spent >= budget and not ballot.recorded:
                self.counters.votes_over_budget += 1
                continue
            tally = self._tally(txid, now)
            spent += 1
            if tally.count(kind).add(ballot, self.roster.members[member].weight):
                touched.append(txid)
                if kind == VOTE:
                    self._tell_equivocations(self.rivals.liars(tally, (member,)))
        self._entries_of[member, kind] = spent
        self.counters.votes_counted += len(touched)
        return touched

    def _advance(self, txids: list[bytes], now: int) -> None:
        """Vote, certify and finalise what has become possible, children after parents."""
        pending = list(txids)
        while pending:
            tally = self.tallies.get(pending.pop())
            if tally is None:
                continue  # a child that was forgotten
            if not self._available(tally):
                self._await_parents(tally, now)
                continue
            self._consider_voting(tally, now)
            if not tally.certified and self._certify(tally):
                pending.extend(self._children.take(tally.txid))
            if not tally.certified:
                continue
            self._consider_acknowledging(tally, now)
            if not tally.final and self._is_quorum(tally.acknowledgements):
                self._finalise(tally, None, now)

    def _available(self, tally: Tally) -> bool:
        """`inputs_available`, remembered: within an epoch an available input stays available."""
        if not tally.available and tally.transaction is not None:
            tally.available = self.inputs_available(tally.transaction)
        return tally.available

    def _consider_voting(self, tally: Tally, now: int) -> None:
        transaction = tally.transaction
        if transaction is None or tally.voted or self.closed or not self.may_sign:
            return
        if transaction.lock_height > self.epoch:
            return
        for outpoint in transaction.inputs:
            holder = self.locks.get(outpoint)
            if holder is not None and holder != tally.txid:
                self._double_spend(tally, outpoint, holder)
                return
        size = self._size(transaction)
        if (
            self.bytes_voted + size > self._params.epoch_bytes
            or self._votes_cast >= self._params.epoch_transactions
        ):
            self.counters.own_votes_over_budget += 1
            return
        tally.voted = True
        self._take_locks(tally, transaction, size)
        self.bundler.put(VOTE, tally.txid, now)

    def _take_locks(self, tally: Tally, transaction: Transaction, size: int) -> None:
        self.bytes_voted += size
        self._votes_cast += 1
        for outpoint in transaction.inputs:
            self.locks[outpoint] = tally.txid

    def _double_spend(self, tally: Tally, outpoint: OutPoint, holder: bytes) -> None:
        if tally.conflict_told:
            return
        tally.conflict_told = True
        self.counters.double_spends += 1
        place = (outpoint.txid, outpoint.index)
        self._effects.add(Tell(DoubleSpend(place, holder, tally.txid, self.epoch)))

    def _certify(self, tally: Tally) -> bool:
        """With a quorum of votes, or a checked certificate: hold it durably, then tell."""
        certificate = self.unbacked.pop(tally.txid, None)
        if certificate is None and not self._is_quorum(tally.votes):
            return False
        self._hold(tally, certificate)
        self.counters.certified += 1
        proof = tally.votes.proof(messages.TransactionCertified)
        self._effects.add(
            Record(
                (*self._bodies([tally.txid]), *proof),
                (Tell(TransactionCertified(tally.txid, self.epoch)), ToFollowers(tally.txid, VOTE)),
            )
        )
        return True

    def _consider_acknowledging(self, tally: Tally, now: int) -> None:
        if self.may_sign and not self.closed and not tally.acknowledged:
            tally.acknowledged = True
            self.bundler.put(ACKNOWLEDGEMENT, tally.txid, now)

    def _hold(self, tally: Tally, certificate: BundleCertificate | None) -> None:
        """Certified by this certificate, or by the votes that are counted."""
        tally.votes.settle(certificate)
        if tally.transaction is not None:
            for index in range(len(tally.transaction.outputs)):
                self.created[OutPoint(tally.txid, index)] = tally.txid
            self._held(tally.transaction)

    def _finalise(self, tally: Tally, certificate: BundleCertificate | None, now: int) -> None:
        """A quorum of acknowledgements: the transaction is in the next block, whatever happens."""
        tally.acknowledgements.settle(certificate)
        if not tally.certified:
            self._ask_for_certificates(tally, (tally.txid,), tuple(tally.acknowledgements.signers), now)
        self.counters.final += 1
        proof = tally.acknowledgements.proof(messages.TransactionFinalized)
        told = (Tell(TransactionFinal(tally.txid, self.epoch)), ToFollowers(tally.txid, ACKNOWLEDGEMENT))
        self._effects.add(Record(proof, told))

    def _bodies(self, txids: Iterable[bytes]) -> tuple[messages.TransactionBroadcast, ...]:
        """The bodies among `txids` that the log of this epoch does not hold yet."""
        bodies = []
        for txid in txids:
            transaction = self.tallies[txid].transaction
            if transaction is not None and txid not in self._recorded:
                self._recorded.add(txid)
                bodies.append(messages.TransactionBroadcast(transaction=transaction))
        return tuple(bodies)

    def _sign_due(self, now: int) -> None:
        """Bodies and locks go into the log in front of the votes that rest on them."""
        for bundle in self.bundler.due(now):
            records = self._bodies(bundle.entries) if bundle.kind == VOTE else ()
            self._effects.add(Sign(bundle, records))

    # What is missing, and what must not be

    def _await_parents(self, tally: Tally, now: int) -> None:
        """Come back to `tally` with its parents; fetch their certificates when a quorum has them."""
        if tally.transaction is None:
            return
        parents: dict[bytes, None] = {}
        for outpoint in tally.transaction.inputs:
            if outpoint not in self.created and not self._spendable(outpoint):
                parents[outpoint.txid] = None
                self._children.add(outpoint.txid, tally.txid)
        if tally.txid in self.unbacked or self._is_quorum(tally.votes):
            self._ask_for_certificates(tally, tuple(parents), tuple(tally.votes.signers), now)

    def _ask_for_bodies(self, txids: Iterable[bytes]) -> None:
        for members, group in by_signers(self.tallies[txid] for txid in txids).items():
            self._effects.add(AskTransactions(tuple(group), members))

    def _ask_for_certificates(
        self, tally: Tally, txids: tuple[bytes, ...], members: tuple[int, ...], now: int
    ) -> None:
        """Ask `members` for what `tally` waits for; once a second until its certificate is held."""
        if tally.txid not in self._certificates_asked:
            self._certificates_asked[tally.txid] = now
            self._effects.add(AskCertificates(txids[:MAX_ASK], members))

    def _ask_again(self, now: int) -> None:
        due = [txid for txid, last in self._certificates_asked.items() if now >= last + ASK_AGAIN_US]
        for txid in due:
            del self._certificates_asked[txid]
            tally = self.tallies[txid]
            if tally.certified:
                continue
            if not self._available(tally):
                self._await_parents(tally, now)
            if tally.final:
                self._ask_for_certificates(tally, (txid,), tuple(tally.acknowledgements.signers), now)

    def _tell_equivocations(self, liars: Iterable[int]) -> None:
        """A member that votes for two transactions on one outpoint is proven to lie ([12])."""
        for member in liars:
            key = self.roster.members[member].operator_key
            self._effects.add(Tell(Equivocation(key, self.epoch, "transaction-vote")))

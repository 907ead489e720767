"""Several members at once, with as many liars as the fault table allows (protocol §3, §4, §9, [15]).

The machines are the real ones; the network between them loses, repeats and delays
whatever the seed says, and crashes take away what was not durable.
"""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from tests.consensus_world import ACKNOWLEDGEMENT, VOTE, EpochDesk
from tests.rounds_world import NIL, RoundsDesk
from timed.consensus.effects import AskProposal
from timed.events import TransactionCertified, TransactionFinal
from timed.params import SECOND
from timed.primitives.certificate import PRECOMMIT, PREVOTE
from timed.wire.message import Message
from timed.wire.messages import BlockProposal, BlockVote, EpochReport, RoundState, TransactionVote

STEP = SECOND // 5


class RoundsNetwork:
    """Honest members on desks of their own, and liars who sign whatever the seed says."""

    def __init__(self, seed: int, members: int, liars: int) -> None:
        self.order = random.Random(seed)
        self.liars = range(members - liars, members)
        self.desks = {me: RoundsDesk((1,) * members, me, manual=True) for me in range(members - liars)}
        self.read = dict.fromkeys(self.desks, 0)
        self.under_way: list[tuple[int, Message]] = []
        self.now = next(iter(self.desks.values())).now
        self.blocks: list[bytes] = []
        self.proposals: list[BlockProposal] = []

    def turn(self, *, calm: bool) -> None:
        """A fifth of a second passes for everybody; messages arrive, or not."""
        self.now += STEP
        for me, desk in list(self.desks.items()):
            if not calm and self.order.random() < 0.02:
                desk = self.desks[me] = desk.restarted(manual=True)
                self.read[me] = 0
            desk.wait(max(0, self.now - desk.now))
            desk.durable(1_000 if calm else self.order.choice((0, 1, 3)))
            for message in desk.sent[self.read[me] :]:
                self._spread(me, message)
            self.read[me] = len(desk.sent)
            for ask in desk.wanted(AskProposal):
                found = [
                    self.desks[one].rounds.proposals.get(ask.round)
                    for one in ask.members
                    if one in self.desks
                ]
                self.under_way += [(me, proposal) for proposal in found if proposal is not None]
            desk.asked.clear()
        if not calm:
            self._lie()
        self._deliver(calm)

    def blackout(self) -> None:
        """Every process ends at once; what was under way is gone."""
        self.under_way.clear()
        self.desks = {me: desk.restarted(manual=True) for me, desk in self.desks.items()}
        self.read = dict.fromkeys(self.desks, 0)

    def _spread(self, me: int, message: Message) -> None:
        if isinstance(message, BlockProposal):
            self.proposals.append(message)
            self.blocks.append(message.header.hash)
        for other in self.desks:
            if other != me:
                self.under_way.append((other, message))
                if isinstance(message, RoundState):
                    answer = self.desks[other].rounds.messages_for(message.round)
                    self.under_way += [(me, one) for one in answer]

    def _deliver(self, calm: bool) -> None:
        waiting, self.under_way = self.under_way, []
        self.order.shuffle(waiting)
        for target, message in waiting:
            fate = 0.5 if calm else self.order.random()
            if fate < 0.15:
                continue
            if fate > 0.6:
                self.under_way.append((target, message))
                continue
            desk = self.desks[target]
            if isinstance(message, BlockProposal):
                desk.hear(message)
            elif isinstance(message, BlockVote):
                desk.hear_vote(message)

    def _lie(self) -> None:
        """Conflicting votes and proposals, a different one to each honest member."""
        any_desk = next(iter(self.desks.values()))
        top = max(desk.rounds.round for desk in self.desks.values())
        for liar in self.liars:
            for target, desk in self.desks.items():
                round_ = self.order.randint(max(0, top - 1), top + 1)
                step = self.order.choice((PREVOTE, PRECOMMIT))
                block = self.order.choice([NIL, *self.blocks[-4:]])
                self.under_way.append((target, desk.vote(liar, step, block, round_)))
                if any_desk.proposer(round_) == liar:
                    if self.proposals and self.order.random() < 0.5:
                        header, valid = (
                            self.order.choice(self.proposals[-4:]).header,
                            self.order.choice((None, 0)),
                        )
                    else:
                        header, valid = desk.block(f"lie {target} {round_}", round_), None
                    self.under_way.append((target, desk.proposal(header, round_, valid=valid)))

    def decided(self) -> list[bytes]:
        return [desk.decisions[0].block_hash for desk in self.desks.values() if desk.decisions]


class RoundsAgreementTests(SynchronousTestCase):
    """No two certified blocks at one height; and one, once the network is calm.

    Who decides goes on to the next height, and the others fetch the block.
    """

    def _play(self, seed: int, members: int, liars: int, *, blackout: bool = False) -> None:
        network = RoundsNetwork(seed, members, liars)
        for _ in range(60):
            network.turn(calm=False)
            self.assertLessEqual(len(set(network.decided())), 1, f"seed {seed}")
        if blackout:
            network.blackout()
        for _ in range(400):
            if network.decided():
                break
            network.turn(calm=True)
        self.assertEqual(len(set(network.decided())), 1, f"seed {seed}: nobody ever decides")

    def test_four_members_one_of_them_a_liar(self) -> None:
        for seed in range(12):
            self._play(seed, 4, 1)

    def test_seven_members_two_of_them_liars(self) -> None:
        for seed in range(4):
            self._play(seed, 7, 2)

    def test_three_honest_members_that_crash(self) -> None:
        for seed in range(8):
            self._play(seed, 3, 0)

    def test_everybody_loses_power_at_once(self) -> None:
        """[16]: whoever is locked can still prove to the others why."""
        for seed in range(12):
            self._play(seed, 4, 1, blackout=True)
        for seed in range(4):
            self._play(seed, 7, 2, blackout=True)


class PaymentsNetwork:
    """Honest members of one epoch, liars that vote and acknowledge both sides, and double spends."""

    def __init__(self, seed: int, members: int, liars: int) -> None:
        self.order = random.Random(seed)
        self.members = members
        self.liars = range(members - liars, members)
        self.desks = {me: EpochDesk((1,) * members, me, manual=True) for me in range(members - liars)}
        one = self.desks[0]
        self.pairs = [(one.payment(number, note=b"1"), one.payment(number, note=b"2")) for number in range(6)]
        self.children = [one.child_of(first) for first, _ in self.pairs[:3]]
        for desk in self.desks.values():
            for number in range(6):
                desk.coin(number)
        self.told: dict[int, list[object]] = {me: [] for me in self.desks}
        self.read = dict.fromkeys(self.desks, 0)
        self.under_way: list[tuple[int, Message]] = []

    def turn(self) -> None:
        for me in list(self.desks):
            desk = self.desks[me]
            if self.order.random() < 0.05:
                self.told[me] += desk.told
                desk = self.desks[me] = desk.restarted(manual=True)
                self.under_way += [
                    (other, one) for one in desk.path.own_bundles for other in self.desks if other != me
                ]
                self.read[me] = 0
            pair = self.order.choice(self.pairs)
            desk.know(self.order.choice((pair[0], *pair, *self.children)))
            desk.wait(3_000)
            desk.durable(self.order.choice((0, 1, 5)))
            for message in desk.sent[self.read[me] :]:
                self.under_way += [(other, message) for other in self.desks if other != me]
            self.read[me] = len(desk.sent)
        for liar in self.liars:
            for target, desk in self.desks.items():
                txid = self.order.choice((*self.order.choice(self.pairs), *self.children)).txid
                kind = self.order.choice((VOTE, ACKNOWLEDGEMENT))
                self.under_way.append((target, desk.bundle(liar, txid, kind=kind)))
        waiting, self.under_way = self.under_way, []
        self.order.shuffle(waiting)
        for target, message in waiting:
            fate = self.order.random()
            if fate < 0.1:
                continue
            if fate > 0.6:
                self.under_way.append((target, message))
            elif isinstance(message, TransactionVote):
                self.desks[target].hear(message)

    def events(self, kind: type) -> set[bytes]:
        """The transactions that any honest member told this of."""
        return {
            event.txid  # type: ignore[attr-defined]
            for me, desk in self.desks.items()
            for event in (*self.told[me], *desk.told)
            if isinstance(event, kind)
        }


class PaymentsAgreementTests(SynchronousTestCase):
    """No two certificates for conflicting spends; what is final is in the block."""

    def _play(self, seed: int, members: int, liars: int) -> int:
        network = PaymentsNetwork(seed, members, liars)
        for _ in range(10 * members):
            network.turn()
        certified, final = network.events(TransactionCertified), network.events(TransactionFinal)
        for first, second in network.pairs:
            self.assertFalse({first.txid, second.txid} <= certified, f"seed {seed}: both sides certified")
        reports: dict[int, EpochReport] = {}
        for me, desk in network.desks.items():
            desk.durable()
            desk.close()
            desk.durable()
            reports[me] = desk.closing.reports[me]
        quorum = (2 * members + 2) // 3
        chosen = network.order.sample(sorted(reports), quorum - len(network.liars))
        named = {txid for member in chosen for txid in reports[member].txids}
        self.assertLessEqual(
            final, named, f"seed {seed}: a final payment that a quorum of reports leaves out"
        )
        return len(final)

    def test_four_members_one_of_them_a_liar(self) -> None:
        self.assertGreater(sum(self._play(seed, 4, 1) for seed in range(15)), 10, "the test sees finality")

    def test_seven_members_two_of_them_liars(self) -> None:
        self.assertGreater(sum(self._play(seed, 7, 2) for seed in range(5)), 3)

    def test_three_honest_members_that_crash(self) -> None:
        self.assertGreater(sum(self._play(seed, 3, 0) for seed in range(8)), 10)

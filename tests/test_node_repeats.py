"""What repeating, asserting and reordering do to a node: nothing (F33, F34, F38, F39)."""

from __future__ import annotations

import functools
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.arena import example
from tests.node_world import TICK, NodeWorld, Puppet
from tests.test_node_directions import MEANT, begun
from timed.events import DoubleSpend, TransactionFinal
from timed.node.exchange import ANSWER_EVERY_US, REPEAT_US
from timed.params import SECOND
from timed.peer.rates import RATES
from timed.primitives.certificate import PRECOMMIT, PREVOTE, CertificateKind
from timed.primitives.transaction import OutPoint
from timed.wire import messages as wire
from timed.wire.catalogue import MESSAGES
from timed.wire.message import Direction, Message

ACKNOWLEDGEMENT = CertificateKind.ACKNOWLEDGEMENT
TIMES = 25


class RepeatTests(SynchronousTestCase):
    """F33: a message that was heard before causes no output, whatever it is and whoever repeats it."""

    def after(self, name: str, times: int, *, everybody: bool) -> tuple[list[Any], int]:
        """(what each peer heard, records written) after so many times the same."""
        world, peer, paid = begun(dialled=False)
        message = MEANT[name](world, paid)
        for puppet in world.puppets:
            puppet.incoming.clear()
        for _ in range(times):
            peer.say(message)
            for other in world.puppets[1:] if everybody and times > 1 else ():
                other.say(message)
        world.pass_time(SECOND)
        heard = [
            Counter((type(one.message).__name__, one.message.encode()) for one in puppet.incoming)  # type: ignore[attr-defined]
            for puppet in world.puppets
        ]
        return heard, len(list(world.store.replay()))

    def test_the_same_again_changes_nothing_that_others_hear(self) -> None:
        notices = [
            entry for entry in MESSAGES if entry.direction in (Direction.NOTICE, Direction.NOTICE_OR_REPLY)
        ]
        tried = [entry for entry in notices if entry.name in MEANT and entry.name not in ("Ping", "Goodbye")]
        self.assertGreaterEqual(len(tried), 10)
        for entry in tried:
            once = self.after(entry.name, 1, everybody=False)
            self.assertEqual(self.after(entry.name, TIMES, everybody=False), once, entry.name)

    def test_the_same_from_all_sides_reaches_nobody_twice(self) -> None:
        for name in ("TransactionBroadcast", "TransactionVote", "EpochReport", "BlockVote", "BlockProposal"):
            heard, _ = self.after(name, 3, everybody=True)
            for peer in heard:
                repeated = {what: count for what, count in peer.items() if what[0] == name and count > 1}
                self.assertEqual(repeated, {}, name)


class AnswerTests(SynchronousTestCase):
    """A path that carries nothing for minutes keeps what was said on it: the answers must not add up."""

    MINUTES = 5

    def setUp(self) -> None:
        self.world, self.peer, paid = begun(dialled=False)
        self.peer.say(*(self.world.report(member, paid.txid) for member in (1, 2, 3)))
        self.world.pass_slot()

    def told(self, round_: int = 0) -> Counter[str]:
        """What one more statement of the peer brings it, by name."""
        self.peer.incoming.clear()
        self.peer.say(wire.RoundState(1, round_, 1, False))
        self.world.pass_time(ANSWER_EVERY_US)
        return Counter(type(one.message).__name__ for one in self.peer.incoming)

    def test_who_keeps_asking_is_sent_each_report_a_few_times_at_most(self) -> None:
        rate = RATES["reports"]
        heard: Counter[str] = Counter()
        for _ in range(self.MINUTES * 30):
            heard += self.told()
            self.world.pass_time(2 * SECOND - ANSWER_EVERY_US)
        self.assertEqual(heard["EpochReport"], 4 * 4)
        self.assertLess(heard["EpochReport"] * 50 / 4, rate.burst)

    def test_what_was_sent_is_sent_again_when_it_is_still_asked_for(self) -> None:
        self.assertEqual(self.told()["EpochReport"], 4)
        self.assertEqual(self.told()["EpochReport"], 0)
        self.world.pass_time(REPEAT_US)
        self.assertEqual(self.told()["EpochReport"], 4)

    def test_another_round_is_answered_with_its_votes_at_once(self) -> None:
        self.world.pass_time(20 * SECOND)
        first = self.told()["BlockVote"]
        self.assertGreater(first, 0)
        self.assertEqual(self.told()["BlockVote"], 0)
        self.assertEqual((self.told(1)["EpochReport"], self.told(0)["BlockVote"]), (0, first))

    def test_what_was_sent_is_not_kept_for_longer_than_the_rounds_keep_it(self) -> None:
        """Attack: a member that says it is in round 0, for as long as nothing is decided."""
        self.world.pass_time(20 * SECOND)
        self.assertGreater(self.told()["BlockVote"], 0)
        rounds = self.world.node.chain.rounds
        self.assertGreater(rounds.votes.forget_past(1_000, ()), 0)
        self.world.pass_time(ANSWER_EVERY_US)
        self.told()
        kept = {id(one) for one in rounds.messages_for(0)}
        (sent,) = [last.sent for last in self.world.node.exchange._answered.values() if last.sent]
        late = [one for one in sent if isinstance(one, wire.BlockVote) and id(one) not in kept]
        self.assertEqual(late, [])


class AssertionTests(SynchronousTestCase):
    """F34: what a peer asserts of a coin is nothing; only certified payments change its state ([14])."""

    def setUp(self) -> None:
        self.world, self.member, self.paid = begun(dialled=False)
        self.liar = self.world.stranger()
        self.coin: OutPoint = self.world.payment(8).inputs[0]
        self.locked: OutPoint = self.paid.inputs[0]

    def states(self) -> list[Any]:
        return [self.world.node.outpoint_state(one) for one in (self.coin, self.locked)]

    def assertions(self) -> list[Message]:
        """Everything that speaks of coins, for one that is free and one that is locked, signed by nobody."""
        world, other = self.world, self.world.payment(8)
        states = tuple(
            wire.UTXOState(outpoint=one, state=state, txid=bytes(32))
            for one in (self.coin, self.locked)
            for state in range(6)
        )
        made: list[Message] = [wire.UTXOStateResponse(states=states)]
        for txid in (other.txid, self.paid.txid):
            for kind in (CertificateKind.VOTE, ACKNOWLEDGEMENT):
                made += [world.bundle(member, txid, kind=kind) for member in (1, 2, 3)]
            made.append(wire.TransactionRejected(txid, "input-spent", ""))
        forged = [example(number) for number in (18, 19, 34)]
        reports = [world.report(member, other.txid) for member in (1, 2, 3)]
        unsigned = [self.unsigned(each) for each in (*made, *reports)]
        return [*unsigned, *forged]

    @staticmethod
    def unsigned(message: Message) -> Message:
        """The same under a signature that is none."""
        fields = {name: getattr(message, name) for name in type(message).__struct_fields__}
        if "signature" in fields:
            fields["signature"] = bytes(64)
        return type(message)(**fields)

    def test_no_assertion_changes_a_state_or_is_passed_on(self) -> None:
        before, records = self.states(), len(list(self.world.store.replay()))
        for puppet in self.world.puppets:
            puppet.incoming.clear()
        for message in self.assertions():
            self.liar.say(*(TIMES * [message]))
        self.world.pass_time(ANSWER_EVERY_US)
        self.assertEqual(self.states(), before)
        self.assertEqual(len(list(self.world.store.replay())), records)
        for puppet in self.world.puppets:
            heard = {type(one.message).__name__ for one in puppet.incoming}
            self.assertLessEqual(heard, {"GetPendingTransactions", "GetPeers"})

    def test_a_lock_said_many_times_is_one_lock(self) -> None:
        """Votes of one member, again and again: its voice counts once, and nothing is certified by it."""
        other = self.world.payment(8)
        self.member.say(wire.TransactionBroadcast(other))
        for _ in range(TIMES):
            self.member.say(self.world.bundle(1, other.txid))
        self.world.pass_time(TICK)
        tally = self.world.node.chain.fastpath.tallies[other.txid]
        self.assertFalse(tally.certified)
        self.assertEqual(self.world.told(DoubleSpend), [])


class AlertTests(SynchronousTestCase):
    """F38: a peer that cries wolf ten times a second keeps at most one question under way."""

    MINUTES = 5

    def alarmed(self, alert: Any) -> tuple[NodeWorld, Puppet, int]:
        """(world, the peer, most questions of one moment) after so long."""
        world = NodeWorld()
        peer = world.member(1)
        peer.incoming.clear()
        most, seen = 0, 0
        for number in range(self.MINUTES * 600):
            peer.say(alert(world, number))
            world.pass_time(SECOND // 10)
            asked = len(peer.questions(wire.GetHeaders)) + len(peer.questions(wire.GetBlocks))
            most, seen = max(most, asked - seen), asked
        return world, peer, most

    def check(self, alert: Any) -> None:
        world, peer, most = self.alarmed(alert)
        self.assertIsNotNone(world.node.peers.get(peer.node_id))
        self.assertLessEqual(most, 1)
        self.assertLessEqual(len(peer.questions(wire.GetHeaders)), 2 * self.MINUTES + 10)
        self.assertEqual(peer.questions(wire.GetBlocks), [])
        sync = world.node.sync_state()
        self.assertEqual((sync.height, sync.proven, sync.waiting_bodies), (0, 0, 0))
        self.assertLessEqual(len(world.node.catchup._requests), 1)

    def test_announcements_of_ever_higher_blocks(self) -> None:
        self.check(lambda world, number: wire.BlockAnnouncement(1_000 + number, bytes(32)))

    def test_certificates_of_ever_higher_blocks(self) -> None:
        def commit(world: NodeWorld, number: int) -> Message:
            certificate: Any = example(34).certificate  # type: ignore[attr-defined]
            fields = {name: getattr(certificate, name) for name in type(certificate).__struct_fields__}
            fields |= {"chain_id": 3, "height": 1_000 + number}
            return wire.BlockCommit(certificate=type(certificate)(**fields))

        self.check(commit)

    def test_rounds_of_ever_higher_blocks(self) -> None:
        self.check(lambda world, number: wire.RoundState(1_000 + number, 0, 1, False))


class OrderTests(SynchronousTestCase):
    """F39: whatever the order in which messages come, the payment is final and the block is the same."""

    @staticmethod
    @functools.cache
    def everything() -> tuple[list[Message], bytes, dict[bytes, Message]]:
        """All that three other members say of one payment and its block; the block; what is fetched by id."""
        world, peer, paid = begun(dialled=False)
        said: list[Message] = [wire.TransactionBroadcast(paid)]
        for kind in (CertificateKind.VOTE, ACKNOWLEDGEMENT):
            said += [world.bundle(member, paid.txid, kind=kind) for member in (1, 2, 3)]
        said += [world.report(member, paid.txid) for member in (1, 2, 3)]
        peer.say(*said)
        world.pass_slot()
        proposal = world.proposal(paid.txid, round_=world._round_of_others(), reporters=(1, 2, 3))
        said.append(proposal)
        for step in (PREVOTE, PRECOMMIT):
            said += [world.vote(member, step, proposal.header.hash, proposal.round) for member in (1, 2, 3)]
        return said, proposal.header.hash, {paid.txid: wire.TransactionsResponse((paid,))}

    def played(self, order: list[int], speakers: list[int], slot_after: int) -> NodeWorld:
        """A member that hears it in this order, from these peers, the slot coming after so many of them."""
        said, _, bodies = self.everything()
        world = NodeWorld()
        peers = world.others()
        for count, index in enumerate(order):
            if count == slot_after:
                world.pass_slot()
            peers[speakers[count] % len(peers)].say(said[index])
            self.serve(world, peers, said, bodies)
        if slot_after >= len(order):
            world.pass_slot()
        for _ in range(10):
            world.pass_time(SECOND // 5)
            self.serve(world, peers, said, bodies)
        return world

    def serve(
        self, world: NodeWorld, peers: list[Puppet], said: list[Message], bodies: dict[bytes, Message]
    ) -> None:
        """Answer what the node asks for instead of rejecting what it does not know yet."""
        for peer in peers:
            asked = [one for one in peer.incoming if one.request_id and not one.is_reply]
            for one in asked:
                peer.incoming.remove(one)
                message = one.message
                if isinstance(message, wire.GetTransactions):
                    for txid in message.txids:
                        if txid in bodies:
                            peer.say(bodies[txid], reply_to=one.request_id)
                elif isinstance(message, wire.GetProposal):
                    peer.say(
                        *(each for each in said if isinstance(each, wire.BlockProposal)),
                        reply_to=one.request_id,
                    )

    def test_a_payment_that_comes_after_its_block_is_known_and_not_refused(self) -> None:
        """Who was slow to hear of the block is told nothing and blamed for nothing."""
        said, block, _ = self.everything()
        world = self.played(list(range(1, len(said))), [0] * len(said), 10)
        self.assertEqual(world.node.ledger.tip.hash, block)
        late = world.stranger()
        late.say(said[0])
        self.assertEqual(late.heard(wire.TransactionRejected), [])
        self.assertEqual(world.node.peers.conduct.counts["invalid-transaction"], 0)
        self.assertEqual(world.node.admission.counters.late, 1)
        spent_again = world.payment(5, note=2)
        late.say(wire.TransactionBroadcast(spent_again))
        self.assertEqual([one.rule for one in late.heard(wire.TransactionRejected)], ["input-spent"])

    @settings(deadline=None, max_examples=25)
    @given(st.data())
    def test_any_order_gives_the_same_decision(self, data: Any) -> None:
        said, block, _ = self.everything()
        order = data.draw(st.permutations(range(len(said))))
        speakers = data.draw(st.lists(st.integers(0, 2), min_size=len(said), max_size=len(said)))
        slot_after = data.draw(st.integers(0, len(said)))
        world = self.played(order, speakers, slot_after)
        self.assertEqual(world.node.ledger.tip.hash, block)
        counts = world.node.peers.conduct.counts  # the peers answer some questions late, and others never
        self.assertLessEqual(
            {name for name, count in counts.items() if count}, {"request-timeout", "late-reply"}
        )
        self.assertLessEqual(len(world.told(TransactionFinal)), 1)

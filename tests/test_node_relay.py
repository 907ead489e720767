"""Who is told of a payment, by whom, and how often (protocol §5.9)."""

from __future__ import annotations

from collections import Counter
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from tests import builders
from tests.node_world import TICK, NodeWorld, Puppet
from timed.events import NodeEvent, TransactionFinal, Verify
from timed.node import admission, chain, fetching, relay
from timed.node.admission import Offer
from timed.node.inventory import GENERATION_US, MAX_RETIRED, Inventory, Kind
from timed.params import SECOND
from timed.primitives.certificate import CertificateKind
from timed.primitives.transaction import Transaction
from timed.sim.host import Process
from timed.sim.tap import Tap
from timed.sim.world import Scenario, World
from timed.wire.messages import (
    GetTransactions,
    TransactionAnnouncement,
    TransactionBroadcast,
    TransactionCertified,
    TransactionFinalized,
    TransactionsResponse,
    TransactionVote,
)

ACKNOWLEDGEMENT = CertificateKind.ACKNOWLEDGEMENT


class InventoryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.inventory = Inventory(known_ids=4)
        self.inventory.opened(b"a")
        self.inventory.opened(b"b")

    def test_tells_who_lacks_an_id(self) -> None:
        self.inventory.mark(b"b", (b"1",))
        self.assertEqual(self.inventory.lacking(b"1", (b"b", b"a")), [b"a"])
        self.assertEqual(self.inventory.lacking(b"2", (b"b", b"a")), [b"a", b"b"])
        self.assertEqual(self.inventory.lacking(b"1", (b"b", b"a"), Kind.FINAL), [b"a", b"b"])

    def test_who_has_no_session_lacks_nothing(self) -> None:
        self.inventory.mark(b"c", (b"1",))
        self.inventory.closed(b"a")
        self.assertEqual(self.inventory.lacking(b"1", (b"a", b"b", b"c")), [b"b"])

    def test_a_new_session_has_nothing_whatever_the_one_before_had(self) -> None:
        for _ in range(MAX_RETIRED + 3):
            self.inventory.mark(b"a", (b"1",))
            self.assertEqual(self.inventory.lacking(b"1", (b"a",)), [])
            self.inventory.closed(b"a")
            self.inventory.opened(b"a")
            self.assertEqual(self.inventory.lacking(b"1", (b"a",)), [b"a"])

    def test_the_bit_of_a_closed_session_is_another_ones_two_generations_later(self) -> None:
        """Numbers of all ids would grow with every connection that is made again."""
        for minute in range(1, 31):
            self.inventory.mark(b"a", (b"1",))
            self.inventory.closed(b"a")
            self.inventory.opened(b"a")
            self.inventory.mark(b"b", (b"1",))
            self.inventory.block(minute * GENERATION_US)
            self.assertEqual(self.inventory.lacking(b"1", (b"a", b"b")), [b"a"])
            self.assertLessEqual(self.inventory.width, 4)

    def test_remembers_the_newest_ids_and_no_more_than_two_generations(self) -> None:
        ids = [bytes([number]) for number in range(11)]
        for one in ids:
            self.inventory.mark(b"a", (one,))
            self.assertLessEqual(len(self.inventory), 8)
        self.assertEqual(self.inventory.lacking(ids[-1], (b"a",)), [])
        self.assertEqual(self.inventory.lacking(ids[-4], (b"a",)), [])
        self.assertEqual(self.inventory.lacking(ids[0], (b"a",)), [b"a"])

    def test_blocks_end_a_generation_of_a_minute(self) -> None:
        """Memory follows the rate of payments and does not fill to its bound over hours."""
        for minute in range(1, 6):
            now = minute * GENERATION_US
            self.inventory.mark(b"a", (b"%d" % minute,))
            self.inventory.block(now)
            self.inventory.block(now + GENERATION_US - 1)
            self.assertEqual(len(self.inventory), 1)
            self.assertEqual(self.inventory.lacking(b"%d" % minute, (b"a", b"b")), [b"b"])
        self.inventory.block(now - 1)
        self.inventory.block(now)
        self.assertEqual(len(self.inventory), 0)

    def test_an_id_keeps_its_peers_from_one_generation_to_the_next(self) -> None:
        self.inventory.mark(b"a", (b"1", b"2", b"3", b"4"))
        self.inventory.mark(b"b", (b"1",))
        self.assertEqual(self.inventory.lacking(b"1", (b"a", b"b")), [])


class HoldingTests(SynchronousTestCase):
    """A member that hears of a payment from a member need not tell the other members."""

    def setUp(self) -> None:
        self.world = NodeWorld()
        self.members = self.world.others()
        self.follower = self.world.stranger()
        self.paid = self.world.payment()
        self.body = TransactionBroadcast(transaction=self.paid)

    def bodies(self, *puppets: Puppet) -> list[int]:
        return [len(puppet.heard(TransactionBroadcast)) for puppet in puppets]

    def test_what_a_user_hands_in_goes_to_everybody_at_once(self) -> None:
        self.world.submit(self.paid)
        self.assertEqual(self.bodies(*self.members, self.follower), [1, 1, 1, 1])

    def test_what_a_user_hands_in_again_after_it_was_dropped_goes_to_everybody_again(self) -> None:
        """They may have dropped it, too: a wallet repeats a payment that does not become final."""
        self.world.submit(self.paid)
        self.assertEqual(self.bodies(*self.members, self.follower), [1, 1, 1, 1])
        self.world.node.mempool.remove(self.paid.txid)
        self.world.node.chain.fastpath.forget(self.paid.txid)
        self.world.submit(self.paid)
        self.assertEqual(self.bodies(*self.members, self.follower), [2, 2, 2, 2])

    def test_what_a_user_repeats_while_it_is_pending_goes_to_everybody_again(self) -> None:
        self.world.submit(self.paid)
        self.world.submit(self.paid)
        self.assertEqual(self.bodies(*self.members, self.follower), [2, 2, 2, 2])

    def test_what_is_not_durable_yet_is_not_told_when_it_is_repeated(self) -> None:
        self.world.node.submit(self.paid.raw, self.world.now)
        self.world.node.submit(self.paid.raw, self.world.now)
        self.assertEqual(self.bodies(*self.members, self.follower), [0, 0, 0, 0])
        self.world.pump()
        self.assertEqual(self.bodies(*self.members, self.follower), [1, 1, 1, 1])

    def test_what_is_certified_is_not_repeated(self) -> None:
        self.world.submit(self.paid)
        self.members[0].say(*(self.world.bundle(member, self.paid.txid) for member in (1, 2, 3)))
        self.world.submit(self.paid)
        self.assertEqual(self.bodies(*self.members, self.follower), [1, 1, 1, 1])

    def test_what_a_follower_sends_goes_to_all_others_at_once(self) -> None:
        self.follower.say(self.body)
        self.assertEqual(self.bodies(*self.members, self.follower), [1, 1, 1, 0])

    def test_what_a_member_sends_goes_to_followers_and_to_no_member_that_votes_for_it(self) -> None:
        self.members[0].say(self.body)
        self.assertEqual(self.bodies(*self.members, self.follower), [0, 0, 0, 1])
        self.members[1].say(self.world.bundle(2, self.paid.txid))
        self.members[2].say(self.world.bundle(3, self.paid.txid))
        self.world.pass_time(2 * relay.HOLD_US)
        self.assertEqual(self.bodies(*self.members, self.follower), [0, 0, 0, 1])
        self.assertEqual(len(self.world.node.relay), 0)

    def test_a_member_of_which_nothing_is_heard_is_told_after_all(self) -> None:
        self.members[0].say(self.body)
        self.members[1].say(self.world.bundle(2, self.paid.txid))
        self.world.pass_time(relay.HOLD_US - 1)
        self.assertEqual(self.bodies(*self.members), [0, 0, 0])
        self.world.pass_time(1)
        self.assertEqual(self.bodies(*self.members), [0, 0, 1])
        self.assertEqual(self.world.node.relay.passed_on, 1)

    def test_a_bundle_says_nothing_about_a_peer_that_did_not_sign_it(self) -> None:
        self.members[0].say(self.body)
        self.members[1].say(self.world.bundle(3, self.paid.txid))
        self.world.pass_time(relay.HOLD_US)
        self.assertEqual(self.bodies(*self.members), [0, 1, 1])

    def test_what_is_certified_is_not_passed_on_for_a_quorum_has_it(self) -> None:
        self.members[0].say(self.body)
        self.members[0].say(*(self.world.bundle(member, self.paid.txid) for member in (1, 2, 3)))
        self.world.pass_time(2 * relay.HOLD_US)
        self.assertEqual(self.bodies(*self.members), [0, 0, 0])

    def test_what_is_held_back_is_bounded(self) -> None:
        self.patch(relay, "MAX_HELD", 2)
        for number in range(4):
            self.members[0].say(TransactionBroadcast(transaction=self.world.payment(number)))
        self.assertEqual((len(self.world.node.relay), self.world.node.relay.overflow), (2, 2))
        self.assertEqual(self.bodies(*self.members), [0, 2, 2])

    def test_a_clock_set_back_delays_nobody_for_long(self) -> None:
        self.members[0].say(self.body)
        self.world.now -= 3600 * SECOND
        self.world.node.wake(self.world.now)
        self.world.pump()
        self.world.pass_time(2 * relay.HOLD_US)
        self.assertEqual(self.bodies(*self.members), [0, 1, 1])


class AnnouncedTests(SynchronousTestCase):
    """Large bodies go to whoever asks for them, and are asked for once."""

    def setUp(self) -> None:
        self.patch(relay, "ANNOUNCED_ABOVE", 100)
        self.world = NodeWorld()
        self.paid = self.world.payment()
        self.body = TransactionBroadcast(transaction=self.paid)
        self.said = TransactionAnnouncement(txids=(self.paid.txid,))

    def test_a_large_body_is_announced_and_handed_out(self) -> None:
        peer = self.world.stranger()
        self.world.submit(self.paid)
        self.assertEqual(peer.heard(TransactionBroadcast), [])
        self.assertEqual(peer.heard(TransactionAnnouncement), [self.said])
        reply = peer.ask(GetTransactions(txids=self.said.txids))
        self.assertEqual(reply, TransactionsResponse(transactions=(self.paid,)))

    def test_a_peer_of_wire_version_1_is_sent_the_body(self) -> None:
        peer = self.world.stranger(wire_version=1)
        self.world.submit(self.paid)
        self.assertEqual(peer.heard(TransactionBroadcast), [self.body])
        self.assertEqual(peer.heard(TransactionAnnouncement), [])

    def test_what_many_announce_is_fetched_once(self) -> None:
        first, *others = self.world.others()
        for peer in (first, *others):
            peer.say(self.said)
        ((number, ask),) = first.questions(GetTransactions)
        self.assertEqual(ask.txids, self.said.txids)
        self.assertEqual([peer.questions(GetTransactions) for peer in others], [[], []])
        first.say(TransactionsResponse(transactions=(self.paid,)), reply_to=number)
        self.assertIn(self.paid.txid, self.world.node.mempool)
        others[0].say(self.said)
        self.assertEqual(others[0].questions(GetTransactions), [])
        self.assertEqual(len(self.world.node.relay.fetching), 0)

    def test_who_has_it_is_asked_when_the_first_does_not_answer(self) -> None:
        for ending in ("empty answer", "deadline", "session"):
            world = NodeWorld()
            first, second = world.others()[:2]
            first.say(self.said)
            second.say(self.said)
            ((number, _),) = first.questions(GetTransactions)
            if ending == "empty answer":
                first.say(TransactionsResponse(transactions=()), reply_to=number)
            elif ending == "deadline":
                world.pass_time(60 * SECOND)
            else:
                world._close(first.link, "reset")
                world.pump()
            self.assertEqual([ask.txids for _, ask in second.questions(GetTransactions)], [self.said.txids])
            self.assertEqual(len(first.questions(GetTransactions)), 1)

    def test_a_vote_for_what_is_under_way_asks_nobody(self) -> None:
        first, second = self.world.others()[:2]
        first.say(self.said)
        second.say(self.world.bundle(2, self.paid.txid))
        self.world.pass_time(SECOND)
        self.assertEqual(len(first.questions(GetTransactions)), 1)
        self.assertEqual(second.questions(GetTransactions), [])

    def test_announcements_are_bounded(self) -> None:
        """What a peer makes up takes no more room than `MAX_FETCHING` ids."""
        self.patch(fetching, "MAX_FETCHING", 3)
        peer = self.world.stranger()
        peer.say(TransactionAnnouncement(txids=tuple(bytes([number]) * 32 for number in range(9))))
        found = self.world.node.relay.fetching
        self.assertEqual((len(found), found.overflow), (3, 6))
        ((number, ask),) = peer.questions(GetTransactions)
        self.assertEqual(len(ask.txids), 3)
        peer.say(TransactionsResponse(transactions=()), reply_to=number)
        self.assertEqual(len(found), 0)

    def test_what_one_peer_makes_up_keeps_out_nothing_that_another_announces(self) -> None:
        self.patch(fetching, "MAX_FETCHING", 3)
        liar, honest = self.world.stranger(), self.world.stranger()
        for round_ in range(4):
            liar.say(TransactionAnnouncement(txids=tuple(bytes([round_, one]) * 16 for one in range(9))))
        honest.say(self.said)
        ((number, ask),) = honest.questions(GetTransactions)
        self.assertEqual(ask.txids, self.said.txids)
        honest.say(TransactionsResponse(transactions=(self.paid,)), reply_to=number)
        self.assertIn(self.paid.txid, self.world.node.mempool)
        self.assertEqual(len(self.world.node.relay.fetching), 3)

    def test_who_announces_and_does_not_deliver_holds_nobody_up_for_long(self) -> None:
        """A liar that is the first to announce costs two seconds, not the deadline of a request."""
        liar, honest = self.world.stranger(), self.world.stranger()
        liar.say(self.said)
        honest.say(self.said)
        self.world.pass_time(fetching.PATIENCE_US - 1)
        self.assertEqual(honest.questions(GetTransactions), [])
        self.world.pass_time(1)
        self.assertEqual([ask.txids for _, ask in honest.questions(GetTransactions)], [self.said.txids])

    def test_whoever_votes_is_asked_for_what_an_announcer_withholds(self) -> None:
        liar, voter = self.world.stranger(), self.world.others()[0]
        liar.say(self.said)
        voter.say(self.world.bundle(1, self.paid.txid))
        self.world.pass_time(fetching.PATIENCE_US)
        self.assertEqual(voter.questions(GetTransactions), [])
        self.world.pass_time(4 * SECOND)
        self.assertEqual({ask.txids for _, ask in voter.questions(GetTransactions)}, {self.said.txids})


class ProofTests(SynchronousTestCase):
    def test_a_certificate_never_goes_back_to_whoever_sent_it(self) -> None:
        """A node that does not vote passes certificates on, to those that are not known to have them."""
        source = NodeWorld()
        paid = source.payment()
        source.submit(paid)
        voter, follower = source.member(1), source.stranger()
        for kind in (CertificateKind.VOTE, ACKNOWLEDGEMENT):
            voter.say(*(source.bundle(one, paid.txid, kind=kind) for one in (1, 2, 3)))
            source.pass_time(TICK)
        world = NodeWorld(me=None, genesis=source.genesis)
        first, second, member = world.stranger(), world.stranger(), world.member(1)
        first.say(TransactionBroadcast(transaction=paid))
        for kind in (TransactionCertified, TransactionFinalized):
            (proof,) = follower.heard(kind)
            first.say(proof)
            second.say(proof)
            self.assertEqual(first.heard(kind), [])
            self.assertEqual(second.heard(kind), [proof])
            self.assertEqual(member.heard(kind), [])


class Counting(World):
    """A simulated network that counts what crosses each link for one payment."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self.paid: Transaction | None = None
        self.crossed: Counter[tuple[int, int, str]] = Counter()
        """(from machine, to machine, what)."""
        self.final: set[int] = set()
        self._reader = Tap(self.cast.genesis.params, checksum=False)

    def writing(self, process: Process, link: int, data: bytes) -> bool:
        connection, side = self.network._by_link[link]
        other = connection.sides[1 - side].machine.index
        for message in self._reader.read(link, data):
            what = self._about_it(message)
            if what:
                self.crossed[process.host.index, other, what] += 1
        return super().writing(process, link, data)

    def published(self, process: Process, event: NodeEvent) -> None:
        if isinstance(event, TransactionFinal) and self.paid is not None and event.txid == self.paid.txid:
            self.final.add(process.host.index)
        super().published(process, event)

    def _about_it(self, message: object) -> str:
        if self.paid is None:
            return ""
        txid = self.paid.txid
        if isinstance(message, TransactionBroadcast) and message.transaction.txid == txid:
            return "body"
        if isinstance(message, TransactionVote) and txid in message.entries:
            return "acknowledgement" if message.kind == ACKNOWLEDGEMENT else "vote"
        if isinstance(message, TransactionCertified) and message.certificate.target == txid:
            return "certificate"
        if isinstance(message, TransactionFinalized) and message.certificate.target == txid:
            return "finality"
        return ""


class OnePaymentTests(SynchronousTestCase):
    """What one payment may cost: a body, a vote, an acknowledgement, or its certificates, a link and direction."""

    MEMBERS, FOLLOWERS = 7, 3

    def played(self, submitted_at: int) -> Counting:
        world = Counting(Scenario(5, nodes=self.MEMBERS, followers=self.FOLLOWERS))
        for index in range(len(world.hosts)):
            world.boot(index)
        world.clock.run_until(world.clock.now + 10 * SECOND)
        world.paid = world.workload.spend([world.workload._coins[0]])
        process = world.hosts[submitted_at].process
        assert process is not None
        world.workload.submit(world.paid, process)
        world.clock.run_until(world.clock.now + 4 * SECOND)
        self.assertEqual(world.final, set(range(self.MEMBERS + self.FOLLOWERS)))
        return world

    def check_links(self, world: Counting) -> None:
        self.assertLessEqual(max(world.crossed.values()), 1)
        for source, target, what in world.crossed:
            proof = what in ("certificate", "finality")
            vote = what in ("vote", "acknowledgement")
            self.assertFalse(proof and target < self.MEMBERS, (source, target, what))
            self.assertFalse(vote and target >= self.MEMBERS, (source, target, what))

    def bodies_between_members(self, world: Counting) -> int:
        return sum(
            count
            for (source, target, what), count in world.crossed.items()
            if what == "body" and source < self.MEMBERS and target < self.MEMBERS
        )

    def test_handed_in_at_a_member_its_body_crosses_a_link_for_each_other_member(self) -> None:
        world = self.played(submitted_at=2)
        self.check_links(world)
        self.assertEqual(self.bodies_between_members(world), self.MEMBERS - 1)
        votes = Counter(what for _, _, what in world.crossed.elements())
        pairs = self.MEMBERS * (self.MEMBERS - 1)
        self.assertEqual((votes["vote"], votes["acknowledgement"]), (pairs, pairs))

    def test_handed_in_at_a_follower_no_link_carries_it_twice(self) -> None:
        self.check_links(self.played(submitted_at=self.MEMBERS))


class FollowerBlockTests(SynchronousTestCase):
    def test_a_follower_puts_the_block_together_from_what_it_heard(self) -> None:
        """It has every body and every signature of it has been checked: neither comes nor happens again."""
        world = Counting(Scenario(5, nodes=4, followers=1))
        for index in range(5):
            world.boot(index)
        world.clock.run_until(world.clock.now + 10 * SECOND)
        world.paid = world.workload.spend([world.workload._coins[0]])
        process = world.hosts[0].process
        assert process is not None
        world.workload.submit(world.paid, process)
        world.clock.run_until(world.clock.now + 2 * SECOND)
        follower = world.hosts[4].process
        assert follower is not None
        height, pieced = follower.node.ledger.tip.height, follower.node.catchup.pieced
        checked = follower.node.checks.signatures
        world.clock.run_until(world.clock.now + 15 * SECOND)
        self.assertEqual(follower.node.ledger.tip.height, height + 1)
        self.assertEqual(follower.node.catchup.pieced, pieced + 1)
        self.assertIsNotNone(follower.node.ledger.locate(world.paid.txid))
        signers = follower.node.ledger.tip.certificate
        assert signers is not None
        self.assertLessEqual(
            follower.node.checks.signatures - checked, 2 * 4, "two certificates and no payment"
        )


class NewEpochTests(SynchronousTestCase):
    """What an epoch left over is voted on afresh, some of it in each turn."""

    def test_a_full_mempool_does_not_hold_up_a_turn(self) -> None:
        self.patch(chain, "CONSIDERED_AT_ONCE", 3)
        world = NodeWorld()
        voter = world.member(1)
        payments = [world.payment(number) for number in range(8)]
        for paid in payments:
            world.submit(paid)
        world.certify(voter)
        path = world.node.chain.fastpath
        self.assertEqual((path.epoch, len(path.tallies)), (2, 3))
        self.assertEqual(list(path.tallies), sorted(paid.txid for paid in payments)[:3])
        self.assertLessEqual(world.node.next_wake() or world.now, world.now)
        world.pass_time(TICK)
        self.assertEqual(list(path.tallies), sorted(paid.txid for paid in payments))
        votes = [one for one in voter.heard(TransactionVote) if one.epoch == 2]
        self.assertEqual(sum(len(one.entries) for one in votes), 8)


class AdmissionTests(SynchronousTestCase):
    """A payment is looked at once, and again when what it was looked at by is no more."""

    def setUp(self) -> None:
        self.world = NodeWorld()
        self.peer = self.world.member(1)
        self.paid = self.world.payment()
        self.pending: list[Verify] = []

    def say(self, transaction: Transaction) -> None:
        """The peer sends it; its signatures are not checked yet."""
        offer = Offer(transaction, self.peer.node_id)
        self.world.node.admission.offer(offer, self.world.now)
        actions = self.world.node.flush(self.world.now)
        self.pending += [action for action in actions if isinstance(action, Verify)]

    def checked(self) -> None:
        for action in self.pending:
            self.world.node.verified(action.token, (True,) * len(action.items), self.world.now)
        self.world.pump()

    def test_inputs_and_fee_are_checked_once(self) -> None:
        with mock.patch.object(admission, "check_spend", wraps=admission.check_spend) as checks:
            self.say(self.paid)
            self.checked()
        self.assertIn(self.paid.txid, self.world.node.mempool)
        self.assertEqual(checks.call_count, 1)

    def test_a_block_in_between_makes_it_looked_at_again(self) -> None:
        rival = self.world.payment(note=2)
        self.world.submit(rival)
        self.say(self.paid)
        self.peer.say(*(self.world.bundle(member, rival.txid) for member in (1, 2, 3)))
        self.world.certify(self.peer, rival.txid)
        self.assertEqual(self.world.node.ledger.tip.height, 1)
        self.checked()
        self.assertNotIn(self.paid.txid, self.world.node.mempool)

    def test_a_parent_that_went_in_between_makes_it_looked_at_again(self) -> None:
        child = builders.transfer([builders.outputs_of(self.paid)[0]])
        self.world.submit(self.paid)
        self.say(child)
        self.world.node.mempool.remove(self.paid.txid)
        self.world.node.chain.fastpath.tallies.clear()
        self.checked()
        self.assertNotIn(child.txid, self.world.node.mempool)
        self.assertIn(child.txid, self.world.node.mempool.waiting)

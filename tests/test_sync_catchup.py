"""Catching up: certified headers first, then bodies from several peers (protocol §6)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.builders import ChainBuilder, genesis
from tests.sync_world import LONG, START, Peer, Request, SyncWorld, chain
from timed.params import SECOND
from timed.sync import catchup
from timed.sync.catchup import (
    BLOCKS_AHEAD,
    BLOCKS_PER_REQUEST,
    HEADERS_PER_REQUEST,
    LIVE_GRACE_US,
)
from timed.sync.source import PATIENCE_US, REQUESTS_PER_PEER, RETRY_US
from timed.wire.messages import GetBlocks, GetHeaders


class PlanTests(SynchronousTestCase):
    """What is asked for, of whom, in which order."""

    def test_reaches_the_tip_of_one_peer(self) -> None:
        world = SyncWorld()
        world.join(Peer("one", chain()))
        world.run()
        self.assertEqual(world.ledger.tip.hash, chain().ledger.tip.hash)
        self.assertEqual(world.applied, list(range(1, LONG + 1)))
        self.assertEqual(world.misdeeds, [])

    def test_asks_for_headers_before_any_body(self) -> None:
        world = SyncWorld()
        peer = world.join(Peer("one", chain()))
        self.assertEqual(peer.asked, [GetHeaders(start=1, count=HEADERS_PER_REQUEST)])
        world.answer(world.open[0])
        self.assertTrue(world.open)
        self.assertTrue(all(isinstance(one.message, GetBlocks) for one in world.open))

    def test_bodies_come_from_several_peers_in_parallel(self) -> None:
        world = SyncWorld()
        peers = [world.join(Peer(name, chain())) for name in ("one", "two", "three")]
        world.answer(world.open[0])
        self.assertTrue(all(world.open_for(peer, GetBlocks) for peer in peers))
        world.run()
        self.assertEqual(world.height, LONG)
        self.assertEqual(set(world.sources), {peer.node_id for peer in peers})
        state = world.catchup.state()
        self.assertEqual(sum(bodies for _, bodies in state.sources), LONG)
        self.assertTrue(all(bodies >= LONG // 6 for _, bodies in state.sources), state.sources)

    def test_no_body_is_asked_for_twice_while_it_is_under_way(self) -> None:
        world = SyncWorld()
        for name in ("one", "two", "three"):
            world.join(Peer(name, chain()))
        world.answer(world.open[0])
        heights = [
            height
            for one in world.open
            for height in range(one.message.start, one.message.start + one.message.count)
        ]
        self.assertEqual(len(heights), len(set(heights)))

    def test_applies_in_order_whatever_the_order_of_arrival(self) -> None:
        world = SyncWorld()
        for name in ("one", "two", "three"):
            world.join(Peer(name, chain()))
        world.answer(world.open[0])
        while world.open:
            world.answer(world.open[-1])
        world.run()
        self.assertEqual(world.applied, list(range(1, LONG + 1)))

    def test_nothing_is_asked_of_peers_that_have_no_more(self) -> None:
        world = SyncWorld()
        peer = world.join(Peer("one", chain()), claimed=0)
        world.run(5)
        self.assertEqual(peer.asked, [])
        self.assertIsNone(world.catchup.next_deadline())

    def test_an_announcement_says_whom_to_ask(self) -> None:
        world = SyncWorld()
        peer = world.join(Peer("one", chain()), claimed=0)
        world.catchup.announced(peer.node_id, LONG, world.now)
        world.run()
        self.assertEqual(world.height, LONG)

    def test_what_is_proven_and_what_is_only_claimed_are_told_apart(self) -> None:
        world = SyncWorld()
        world.join(Peer("one", chain()), claimed=10_000)
        self.assertEqual((world.catchup.state().proven, world.catchup.state().claimed), (0, 10_000))
        world.answer(world.open[0])
        state = world.catchup.state()
        self.assertEqual((state.proven, state.behind), (LONG, LONG))

    def test_a_blocks_roster_may_change_on_the_way(self) -> None:
        """[7]: each header's certificate is checked against the roster of its own height."""
        start = genesis((1, 2, 3, 4))
        changes = ((3, genesis((2, 3, 4, 5)).members), (9, genesis((5, 6, 7)).members))
        start = genesis((1, 2, 3, 4)).__class__(
            params=start.params, time=start.time, interval=start.interval, profile=start.profile,
            shard_bits=start.shard_bits, allocation=start.allocation, members=start.members,
            roster_changes=changes,
        )  # fmt: skip
        builder = ChainBuilder(start)
        for _ in range(20):
            builder.extend()
        world = SyncWorld(start)
        world.join(Peer("one", builder))
        world.run()
        self.assertEqual(world.ledger.tip.hash, builder.ledger.tip.hash)
        self.assertEqual(world.misdeeds, [])


class LossTests(SynchronousTestCase):
    """Sources come and go."""

    def test_loses_a_source_midway_and_completes_from_the_others(self) -> None:
        world = SyncWorld()
        first, second = world.join(Peer("one", chain())), world.join(Peer("two", chain()))
        world.answer(world.open[0])
        world.answer(world.open_for(first, GetBlocks)[0])
        world.leave(first)
        world.run(5)
        self.assertEqual(world.height, LONG)
        self.assertIn(second.node_id, world.sources)

    def test_loses_the_peer_that_was_asked_for_headers(self) -> None:
        world = SyncWorld()
        first = world.join(Peer("one", chain()))
        second = world.join(Peer("two", chain()))
        world.leave(first)
        self.assertEqual([type(one.message) for one in world.open_for(second)], [GetHeaders])
        world.run(5)
        self.assertEqual(world.height, LONG)

    def test_loses_every_source_and_goes_on_with_the_next_one(self) -> None:
        world = SyncWorld()
        first = world.join(Peer("one", chain()))
        world.answer(world.open[0])
        world.answer(world.open[0])
        world.leave(first)
        self.assertIsNone(world.catchup.next_deadline())
        reached = world.height
        world.now += 3600 * SECOND
        world.join(Peer("two", chain()))
        world.run(5)
        self.assertEqual((0 < reached < LONG, world.height), (True, LONG))

    def test_a_request_that_ran_into_its_deadline_is_given_to_another_peer(self) -> None:
        world = SyncWorld()
        first, second = world.join(Peer("one", chain())), world.join(Peer("two", chain()))
        world.answer(world.open[0])
        late = world.open_for(first, GetBlocks)[0]
        world.lose(late)
        heights = [one.message.start for one in world.open_for(second, GetBlocks)]
        for request in world.open_for(second, GetBlocks):
            world.answer(request)
        heights += [one.message.start for one in world.open_for(second, GetBlocks)]
        self.assertIn(late.message.start, heights)

    def test_a_reply_after_the_deadline_does_no_harm(self) -> None:
        world = SyncWorld()
        world.join(Peer("one", chain()))
        world.answer(world.open[0])
        late = world.open[0]
        world.lose(late)
        world.open.append(late)
        world.answer(late)
        world.run()
        self.assertEqual((world.height, world.misdeeds), (LONG, []))

    def test_a_mute_peer_does_not_stop_the_others(self) -> None:
        """Attack: it claims the greatest height and never answers. It is asked more and more rarely."""
        self.patch(catchup, "HEADERS_PER_REQUEST", 4)
        world = SyncWorld()
        mute = world.join(Peer("mute", chain()), claimed=10 * LONG)
        world.join(Peer("two", chain()))
        world.run(60, mute=[mute], latency=SECOND // 5)
        self.assertEqual(world.height, LONG)

    def test_peers_that_let_every_deadline_pass_do_not_keep_the_others_from_being_asked(self) -> None:
        """Attack: while one of them is waited for, the rest of the other one ends."""
        world = SyncWorld()
        mute = [world.join(Peer(name, chain()), claimed=10 * LONG) for name in ("mute", "dumb")]
        world.join(Peer("two", chain()))
        world.run(600, mute=mute, deadline=64 * SECOND)
        self.assertEqual(world.height, LONG)

    def test_a_peer_that_dawdles_with_headers_holds_nobody_up(self) -> None:
        """Attack: it claims the greatest height and brings one header just before each deadline."""
        self.patch(catchup, "HEADERS_PER_REQUEST", 4)
        world = SyncWorld()
        slow = world.join(Peer("slow", chain()), claimed=10 * LONG)
        slow.headers = lambda start, count: Peer.headers(slow, start, 1)  # type: ignore[method-assign]
        world.join(Peer("two", chain()))
        end = world.now + 60 * SECOND
        while world.now < end:
            world.run(1, mute=[slow], deadline=600 * SECOND)
            for late in [one for one in world.open_for(slow) if one.at + 30 * SECOND <= world.now]:
                world.answer(late)
            world.now += SECOND
            world.catchup.wake(world.now)
        self.assertEqual((world.height, world.misdeeds), (LONG, []))

    def test_a_peer_that_dawdles_with_bodies_holds_nobody_up(self) -> None:
        """Attack: what it was asked for is what all others wait for, and it may take a minute."""
        world = SyncWorld()
        mute = [world.join(Peer(name, chain())) for name in ("mute", "dumb")]
        world.join(Peer("two", chain()))
        world.answer(world.open[0])
        world.run(30, mute=mute, deadline=64 * SECOND)
        self.assertEqual(world.height, LONG)

    def test_a_body_that_two_peers_bring_is_taken_once(self) -> None:
        world = SyncWorld()
        slow, other = world.join(Peer("slow", chain())), world.join(Peer("two", chain()))
        world.answer(world.open[0])
        late = next(one for one in world.open_for(slow, GetBlocks) if one.message.start == 1)
        world.now += PATIENCE_US
        world.catchup.wake(world.now)
        while found := world.open_for(other):
            world.answer(found[0])
        self.assertEqual(world.sources[0], other.node_id)
        world.answer(late)
        world.run()
        self.assertEqual((world.applied, world.misdeeds), (list(range(1, LONG + 1)), []))

    def test_headers_that_two_peers_bring_are_taken_once(self) -> None:
        world = SyncWorld(slow_checks=True)
        for name in ("one", "two"):
            world.join(Peer(name, chain()))
        world.now += PATIENCE_US
        world.catchup.wake(world.now)
        first, second = world.open
        world.answer(first)
        world.answer(second)
        self.assertEqual(len(world.checks), 1)
        world.run()
        self.assertEqual((world.height, world.misdeeds), (LONG, []))

    def test_what_others_of_this_node_have_asked_in_vain_is_no_fault_of_a_source(self) -> None:
        world = SyncWorld()
        peer = world.join(Peer("one", chain()), claimed=0)
        for number in range(10):
            world.catchup.failed(peer.node_id, 1_000 + number, world.now)
        world.catchup.announced(peer.node_id, LONG, world.now)
        self.assertEqual(len(peer.asked), 1)

    def test_a_session_whose_window_is_full_is_asked_later(self) -> None:
        world = SyncWorld()
        world.window = 0
        world.join(Peer("one", chain()))
        self.assertEqual(world.open, [])
        world.window = 32
        world.run(5)
        self.assertEqual(world.height, LONG)


class LiveTests(SynchronousTestCase):
    """Live or behind is what certificates prove, not a flag."""

    def test_a_voter_gives_its_own_rounds_a_moment_to_decide_the_next_block(self) -> None:
        world = SyncWorld(voter=True)
        peer = world.join(Peer("one", chain(length=1)))
        self.assertEqual(peer.asked, [])
        self.assertEqual(world.catchup.next_deadline(), START + LIVE_GRACE_US)
        world.now += LIVE_GRACE_US
        world.catchup.wake(world.now)
        self.assertEqual(len(peer.asked), 1)

    def test_a_voter_that_is_further_behind_asks_at_once(self) -> None:
        world = SyncWorld(voter=True)
        self.assertEqual(len(world.join(Peer("one", chain(length=2))).asked), 1)

    def test_a_follower_asks_at_once(self) -> None:
        self.assertEqual(len(SyncWorld().join(Peer("one", chain(length=1))).asked), 1)

    def test_when_the_own_rounds_decide_nothing_more_is_asked(self) -> None:
        builder = chain(length=1)
        world = SyncWorld(voter=True)
        peer = world.join(Peer("one", builder))
        commit = world.ledger.evaluate(builder.ledger.block(1)).commit(builder.ledger.certificate(1))  # type: ignore[arg-type]
        world.store.commit(commit)
        world.ledger.advance(commit)
        world.catchup.advanced(world.now)
        world.run(5)
        self.assertEqual(peer.asked, [])

    def test_an_answer_that_the_own_rounds_have_overtaken_is_no_misdeed(self) -> None:
        """[21]: the peer answered what it was asked; the tip moved in the meantime."""
        builder = chain()
        world = SyncWorld()
        world.join(Peer("one", builder))
        commit = world.ledger.evaluate(builder.ledger.block(1)).commit(builder.ledger.certificate(1))  # type: ignore[arg-type]
        world.store.commit(commit)
        world.ledger.advance(commit)
        world.catchup.advanced(world.now)
        world.answer(world.open[0])
        world.run()
        self.assertEqual((world.misdeeds, world.height), ([], LONG))

    def test_a_tip_that_moves_while_signatures_are_checked_does_no_harm(self) -> None:
        builder = chain()
        world = SyncWorld(slow_checks=True)
        world.join(Peer("one", builder))
        world.answer(world.open[0])
        for height in (1, 2):
            block, certificate = builder.ledger.block(height), builder.ledger.certificate(height)
            assert block is not None and certificate is not None
            commit = world.ledger.evaluate(block).commit(certificate)
            world.store.commit(commit)
            world.ledger.advance(commit)
            world.catchup.advanced(world.now)
        world.run()
        self.assertEqual((world.misdeeds, world.height), ([], LONG))


class BoundTests(SynchronousTestCase):
    """Every queue has a bound, whatever the peers have to offer."""

    def test_no_more_requests_are_under_way_than_a_peer_is_given(self) -> None:
        world = SyncWorld()
        peers = [world.join(Peer(name, chain())) for name in ("one", "two")]
        world.answer(world.open[0])
        for peer in peers:
            self.assertLessEqual(len(world.open_for(peer, GetBlocks)), REQUESTS_PER_PEER)
            for request in world.open_for(peer, GetBlocks):
                self.assertLessEqual(request.message.count, BLOCKS_PER_REQUEST)

    def test_no_body_is_asked_for_far_above_the_tip(self) -> None:
        """The first body never comes: the others stop at the end of the window."""
        self.patch(catchup, "BLOCKS_AHEAD", 40)
        world = SyncWorld()
        mute = world.join(Peer("mute", chain()))
        world.answer(world.open[0])
        held = world.open_for(mute, GetBlocks)
        world.join(Peer("two", chain()))
        first = min(held, key=lambda one: one.message.start)
        while others := [one for one in world.open if one is not first]:
            world.answer(others[0])
        asked = [one for peer in world.peers.values() for one in peer.asked if isinstance(one, GetBlocks)]
        self.assertLessEqual(max(one.start + one.count - 1 for one in asked), 40)
        self.assertLessEqual(world.catchup.state().waiting_bodies, 40)
        world.answer(first)
        world.run(5)
        self.assertEqual(world.height, LONG)

    def with_all_that_may_wait(self) -> tuple[SyncWorld, Peer, Request]:
        """As many bytes as may wait for the first bodies, of which a mute peer was asked."""
        self.patch(catchup, "BYTES_AHEAD", 4_000)
        world = SyncWorld()
        mute = world.join(Peer("mute", chain()))
        world.answer(world.open[0])
        first = min(world.open_for(mute, GetBlocks), key=lambda one: one.message.start)
        world.join(Peer("two", chain()))
        while others := [one for one in world.open if one is not first]:
            world.answer(others[0])
        return world, mute, first

    def test_no_body_is_asked_for_while_too_many_bytes_wait(self) -> None:
        world, _, first = self.with_all_that_may_wait()
        self.assertLess(world.catchup.state().waiting_bodies, BLOCKS_AHEAD // 2)
        world.answer(first)
        world.run(5)
        self.assertEqual(world.height, LONG)

    def test_the_body_that_all_others_wait_for_is_asked_for_all_the_same(self) -> None:
        """It was asked of a peer that let the deadline pass, and the others have brought as much as may wait."""
        world, mute, first = self.with_all_that_may_wait()
        world.lose(first)
        world.run(60, mute=[mute])
        self.assertEqual(world.height, LONG)

    def test_no_headers_are_asked_for_far_above_the_tip(self) -> None:
        self.patch(catchup, "HEADERS_AHEAD", 40)
        self.patch(catchup, "HEADERS_PER_REQUEST", 20)
        world = SyncWorld()
        mute = world.join(Peer("one", chain()))
        while found := world.open_for(mute, GetHeaders):
            world.answer(found[0])
        self.assertEqual(world.catchup.state().proven, 40)
        world.run(5)
        self.assertEqual(world.height, LONG)

    def test_no_deadline_lies_in_the_past_while_bodies_are_under_way(self) -> None:
        """A host that wakes at `next_deadline` must not spin."""
        world = SyncWorld()
        world.join(Peer("one", chain()))
        world.answer(world.open[0])
        world.now += 60 * RETRY_US
        world.catchup.wake(world.now)
        deadline = world.catchup.next_deadline()
        self.assertTrue(deadline is None or deadline > world.now, str(deadline))

    def test_no_deadline_lies_in_the_past_while_the_window_is_full(self) -> None:
        world = SyncWorld()
        world.window = 0
        world.join(Peer("one", chain()))
        world.now += 60 * RETRY_US
        world.catchup.wake(world.now)
        deadline = world.catchup.next_deadline()
        assert deadline is not None
        self.assertGreater(deadline, world.now)

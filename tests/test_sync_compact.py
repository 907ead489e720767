"""The newest block is put together from bodies that are here (protocol §6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from tests.builders import ChainBuilder, genesis, transfer
from tests.sync_world import Peer, SyncWorld
from timed.primitives.transaction import Transaction
from timed.sync import catchup
from timed.wire.message import Message
from timed.wire.messages import CompactBlock, GetBlocks, GetCompactBlock, GetHeaders, GetTransactions


class CompactTests(SynchronousTestCase):
    """A node at the tip hears of one more block, with five payments in it."""

    def setUp(self) -> None:
        self.builder = ChainBuilder(genesis(4))
        self.builder.extend()
        self.payments = [transfer([self.builder.allocation(index)]) for index in range(5)]
        self.world = SyncWorld(self.builder.genesis)
        self.world.compact = True
        self.peer = Peer("peer", self.builder)

    def hold(self, *transactions: Transaction) -> None:
        self.world.known.update({one.txid: one for one in transactions})

    def announce(self) -> None:
        """The node is at block 1 when its peer has block 2."""
        self.world.join(self.peer)
        self.world.run()
        self.peer.asked.clear()
        self.builder.extend(self.payments)
        self.world.catchup.announced(self.peer.node_id, 2, self.world.now)

    def play(self) -> list[type[Message]]:
        """What is asked for the newest block until it is here."""
        self.announce()
        self.world.run()
        self.assertEqual(self.world.ledger.tip.hash, self.builder.ledger.tip.hash)
        self.assertEqual(self.world.store.block(2), self.builder.store.block(2))
        return [type(message) for message in self.peer.asked]

    def test_a_block_whose_bodies_are_here_is_not_sent_again(self) -> None:
        self.hold(*self.payments)
        self.assertEqual(self.play(), [GetHeaders, GetCompactBlock])
        self.assertEqual(self.world.catchup.pieced, 2)

    def test_only_the_bodies_that_are_missing_are_asked_for(self) -> None:
        self.hold(*self.payments[1:4])
        self.assertEqual(self.play(), [GetHeaders, GetCompactBlock, GetTransactions])
        question = self.peer.asked[-1]
        assert isinstance(question, GetTransactions)
        self.assertEqual(
            sorted(question.txids), sorted(one.txid for one in (self.payments[0], self.payments[4]))
        )

    def test_with_too_much_missing_the_block_is_asked_for_whole(self) -> None:
        self.patch(catchup, "MAX_TRANSACTIONS_ASKED", 4)
        self.assertEqual(self.play(), [GetHeaders, GetCompactBlock, GetBlocks])

    def test_a_peer_of_an_earlier_version_is_asked_for_the_block(self) -> None:
        self.world.compact = False
        self.hold(*self.payments)
        self.assertEqual(self.play(), [GetHeaders, GetBlocks])

    def test_who_is_far_behind_asks_for_whole_blocks(self) -> None:
        for _ in range(3):
            self.builder.extend()
        self.world.join(self.peer)
        self.world.run()
        self.assertEqual(self.world.height, 4)
        self.assertNotIn(GetCompactBlock, [type(message) for message in self.peer.asked[:2]])

    def test_an_empty_answer_leads_to_the_whole_block(self) -> None:
        self.hold(*self.payments)
        self.peer.compact = lambda block_hash: []  # type: ignore[method-assign]
        self.assertEqual(self.play(), [GetHeaders, GetCompactBlock, GetBlocks])
        self.assertEqual(self.world.misdeeds, [])

    def test_bodies_that_are_not_brought_lead_to_the_whole_block(self) -> None:
        self.peer.bodies = lambda txids: []  # type: ignore[method-assign]
        self.assertEqual(self.play(), [GetHeaders, GetCompactBlock, GetTransactions, GetBlocks])

    def test_a_deadline_leads_to_another_question(self) -> None:
        self.announce()
        self.world.answer(self.world.open_for(self.peer, GetHeaders)[0])
        self.world.answer(self.world.open_for(self.peer, GetCompactBlock)[0])
        self.world.lose(self.world.open_for(self.peer, GetTransactions)[0])
        self.world.run()
        self.assertEqual(self.world.height, 2)

    def test_another_block_than_the_one_asked_for_is_held_against_the_peer(self) -> None:
        first = self.builder.ledger.block(1)
        assert first is not None
        other = CompactBlock.of(first)
        self.peer.compact = lambda block_hash: [other]  # type: ignore[method-assign]
        self.assertEqual(self.play()[:2], [GetHeaders, GetCompactBlock])
        self.assertIn((self.peer.node_id, "bad-block"), self.world.misdeeds)

    def test_names_that_the_header_does_not_stand_for_are_held_against_the_peer(self) -> None:
        """Nothing is put together of them: a body that is here, named 60,000 times, would fill the memory."""
        first = self.payments[0].txid
        for txids in ((first,) * 60_000, (), (first,)):
            self.setUp()
            self.hold(*self.payments)
            self.announce()
            honest = self.peer.compact

            def spoiled(
                block_hash: bytes, txids: Any = txids, honest: Any = honest
            ) -> Sequence[CompactBlock]:
                return [msgspec.structs.replace(one, txids=txids) for one in honest(block_hash)]

            self.peer.compact = spoiled  # type: ignore[method-assign]
            self.world.answer(self.world.open_for(self.peer, GetHeaders)[0])
            self.world.answer(self.world.open_for(self.peer, GetCompactBlock)[0])
            self.assertEqual(self.world.misdeeds, [(self.peer.node_id, "bad-block")])
            self.assertEqual(self.world.catchup.pieced, 1)
            self.world.run()
            self.assertEqual(self.world.height, 2)

    def test_what_does_not_fit_is_fetched_whole_and_held_against_nobody(self) -> None:
        """The body that spoils it may be our own."""
        self.hold(*self.payments)
        honest = self.peer.compact

        def spoiled(block_hash: bytes) -> Sequence[CompactBlock]:
            return [msgspec.structs.replace(one, attendance=b"") for one in honest(block_hash)]

        self.peer.compact = spoiled  # type: ignore[method-assign]
        asked = self.play()
        self.assertEqual(asked, [GetHeaders, GetCompactBlock, GetBlocks])
        self.assertEqual(self.world.misdeeds, [])

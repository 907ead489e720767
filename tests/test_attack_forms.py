"""A peer that sends what no checking node would pass on pays for it; a later version's node does not."""

from __future__ import annotations

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from tests import builders
from tests.node_world import NodeWorld
from timed.primitives.transaction import Transaction, TransactionKind
from timed.wire.messages import TransactionBroadcast


class Forms(SynchronousTestCase):
    """[21] What an unmodified node can produce is free; what it cannot is not."""

    def blamed_for(self, transaction: Transaction) -> list[str]:
        world = NodeWorld()
        peer = world.stranger()
        peer.say(TransactionBroadcast(transaction=transaction))
        return [entry.event for entry in world.node.peers.conduct.ledger]

    def payment(self) -> Transaction:
        world = NodeWorld()
        return builders.transfer([world.genesis.created()[0]], [10**6])

    def test_a_transaction_without_outputs_costs(self) -> None:
        broken = msgspec.structs.replace(self.payment(), outputs=())
        self.assertEqual(self.blamed_for(broken), ["invalid-transaction-form"])

    def test_a_kind_of_a_later_version_costs_nothing(self) -> None:
        later = msgspec.structs.replace(self.payment(), kind=int(TransactionKind.REGISTER))
        self.assertNotIn("invalid-transaction-form", self.blamed_for(later))

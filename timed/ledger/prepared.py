"""What certified transactions will do to the set of coins, worked out while their epoch is open.

A block of thousands of payments would else stop the node for as long as all of them
take together. What is kept here is what the block's own computation would find:
`transfer` checks one transaction here and there, and the digest of the set is a sum, in
which the order does not matter and what the block leaves out is taken away again.
"""

from __future__ import annotations

from collections.abc import Sequence

from timed.errors import InvalidTransaction
from timed.interfaces import Coin
from timed.ledger.content import CoinSource, Entry, Transfer, Transfers, transfer
from timed.ledger.digest import apply_digests, change_digests, merge_digests
from timed.params import NetworkParams
from timed.primitives.lthash import LtHash
from timed.primitives.transaction import OutPoint, Transaction


class Prepared:
    """The transfers of one height, and the sum of what they do to the digests of the shards.

    At most `epoch_transactions` of them; what comes beyond is worked out with its block.
    """

    def __init__(self, height: int, shard_bits: int, params: NetworkParams) -> None:
        self._height = height
        self._shard_bits = shard_bits
        self._params = params
        self._transfers: dict[bytes, Transfer] = {}
        self._made: dict[OutPoint, Coin] = {}
        self._gone: dict[OutPoint, None] = {}
        self._change: dict[int, LtHash] = {}

    def __len__(self) -> int:
        return len(self._transfers)

    def add(self, transaction: Transaction, coin: CoinSource) -> None:
        """Work out a transaction on top of the tip and of those before it.

        What cannot stand beside them, or breaks a rule, is left to the block to find out.
        """
        if transaction.txid in self._transfers or len(self._transfers) >= self._params.epoch_transactions:
            return
        found = [self._made.get(outpoint) or coin(outpoint) for outpoint in transaction.inputs]
        coins = tuple(one for one in found if one is not None)
        if len(coins) < len(found) or any(outpoint in self._gone for outpoint in transaction.inputs):
            return
        try:
            worked_out = transfer(transaction, coins, self._height, self._params)
        except InvalidTransaction:
            return
        self._transfers[transaction.txid] = worked_out
        self._made.update(worked_out.created)
        self._gone.update(dict.fromkeys(transaction.inputs))
        change_digests(self._change, self._shard_bits, worked_out.created, worked_out.spent)

    def transfer(self, transaction: Transaction, coins: tuple[Coin, ...]) -> Transfer:
        """`content.transfer` at this height, worked out before where it was for this body and these coins."""
        found = self._transfers.get(transaction.txid)
        if found is not None and found.transaction.raw == transaction.raw and found.coins == coins:
            return found
        return transfer(transaction, coins, self._height, self._params)

    def digests(
        self, parent: Sequence[bytes], coinbase: tuple[Entry, ...], transfers: Transfers
    ) -> tuple[bytes, ...]:
        """The states after the block: the sum, without what the block leaves out and with what it adds.

        They are told apart by txid, which fixes the coins spent and made. Witnesses do not count: of two bodies,
        one taken away and the other added, the coins could stand twice in a list (see `apply_digests`).
        """
        named = {one.transaction.txid: one for one in transfers.each}
        left_out = [one for txid, one in self._transfers.items() if txid not in named]
        added = [one for txid, one in named.items() if txid not in self._transfers]
        created: list[Entry] = list(coinbase)
        spent: list[Entry] = []
        for one in added:
            created += one.created
            spent += one.spent
        for one in left_out:
            created += one.spent
            spent += one.created
        return apply_digests(merge_digests(parent, self._change), created, spent)

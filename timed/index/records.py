"""The values the indexes write."""

from __future__ import annotations

from timed.codec.value import Value
from timed.primitives.transaction import Output


class IndexIdentity(Value, frozen=True, gc=False):
    """What an index is, and of which chain."""

    schema: int
    name: str
    genesis: bytes


class Progress(Value, frozen=True, gc=False):
    """The newest block that is indexed; all before it are, too."""

    height: int
    block_hash: bytes


class Account(Value, frozen=True, gc=False):
    """The sums of one owner. Amounts in units, heights of the first and the last transaction."""

    balance: int
    received: int
    spent: int
    transactions: int
    coins: int
    first: int
    last: int


class Touch(Value, frozen=True, gc=False):
    """What one transaction did to one owner, in units; its key says where it stands."""

    txid: bytes
    received: int
    spent: int


class Holding(Value, frozen=True, gc=False):
    """An unspent output of an owner; its key holds the outpoint."""

    value: int
    height: int
    coinbase: bool


class Spend(Value, frozen=True, gc=False):
    """Who spent an outpoint: input number `input` of the transaction at (height, position)."""

    txid: bytes
    height: int
    position: int
    input: int


class SpentOutputs(Value, frozen=True, gc=False):
    """What the inputs of a block's transactions spent, in the block's order."""

    outputs: tuple[Output, ...]


class Totals(Value, frozen=True, gc=False):
    """Sums over the chain up to one block and with it; fees and supply in units."""

    transactions: int
    fees: int
    supply: int


from timed.index import _records_codec as _records_codec  # noqa: E402 (binds the codec)

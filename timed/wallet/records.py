"""The values the wallet's history writes."""

from __future__ import annotations

from timed.codec.value import Value
from timed.primitives.transaction import Output


class KeptOutput(Value, frozen=True, gc=False):
    """Output number `index` of a transaction."""

    index: int
    output: Output


class HistoryEntry(Value, frozen=True, gc=False):
    """What one transaction did to the wallet. Times in microseconds of unix time.

    `inputs` are the outputs it spent that the wallet looked after, `foreign` counts
    the others. `outputs` are all of them where it spent such an output, otherwise
    those that came to the wallet. A released payment stands at the height of the tip
    when it was released, with `reason`; `created` is 0 unless this wallet made it.
    """

    txid: bytes
    released: bool
    height: int
    position: int
    time: int
    created: int
    comment: str
    comment_to: str
    reason: str
    coinbase: bool
    foreign: int
    inputs: tuple[Output, ...]
    outputs: tuple[KeptOutput, ...]


class Receipt(Value, frozen=True, gc=False):
    """An output that came to an address, in units; its key says where and which."""

    value: int
    coinbase: bool


class Owners(Value, frozen=True, gc=False):
    """The seeds whose keys the blocks were read for, by id; of a wallet without a seed its first key."""

    names: tuple[str, ...]


class RescanMark(Value, frozen=True, gc=False):
    """Blocks from `first` to `last` are read again; `following` is the next one."""

    first: int
    following: int
    last: int


from timed.wallet import _records_codec as _records_codec  # noqa: E402 (binds the codec)

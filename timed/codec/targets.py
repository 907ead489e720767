"""Which modules are generated, and from which declarations."""

from __future__ import annotations

from importlib import import_module

import attrs

from timed.codec.declare import Record


@attrs.frozen
class Target:
    """One generated module: the codecs of the values that one module defines."""

    layouts: str
    """The module of declarations; it has a tuple RECORDS."""
    home: str
    """The module that defines the value classes."""
    module: str
    """The module to generate."""


TARGETS = (
    Target("timed.primitives.layouts", "timed.primitives.transaction", "timed.primitives._transaction_codec"),
    Target("timed.primitives.layouts", "timed.primitives.roster", "timed.primitives._roster_codec"),
    Target("timed.primitives.layouts", "timed.primitives.certificate", "timed.primitives._certificate_codec"),
    Target("timed.primitives.layouts", "timed.primitives.block", "timed.primitives._block_codec"),
    Target("timed.wire.layouts", "timed.wire.session_messages", "timed.wire._session_codec"),
    Target("timed.wire.layouts", "timed.wire.transaction_messages", "timed.wire._transaction_codec"),
    Target("timed.wire.layouts", "timed.wire.block_messages", "timed.wire._block_codec"),
    Target("timed.store.layouts", "timed.store.records", "timed.store._records_codec"),
    Target("timed.index.layouts", "timed.index.records", "timed.index._records_codec"),
    Target("timed.wallet.layouts", "timed.wallet.records", "timed.wallet._records_codec"),
    Target("timed.feed.layouts", "timed.feed.records", "timed.feed._records_codec"),
    Target("timed.light.layouts", "timed.light.proof", "timed.light._proof_codec"),
)


def records_of(target: Target) -> tuple[Record, ...]:
    """The declarations whose classes `target.home` defines, in order."""
    return tuple(record for record in import_module(target.layouts).RECORDS if record.home == target.home)


def all_records() -> tuple[Record, ...]:
    """Every declared record, in the order of the targets."""
    return tuple(record for target in TARGETS for record in records_of(target))


def codec_module_of(home: str) -> str:
    """The generated module for the values that `home` defines."""
    return next(target.module for target in TARGETS if target.home == home)

"""What the methods about events and the fronts of `/events` share: filters, errors and a place to read."""

from __future__ import annotations

from collections.abc import Sequence

from timed.errors import LocalError, StoreError
from timed.feed.cursor import BadCursor
from timed.feed.event import OF_THE_WALLET, Filter
from timed.feed.feed import Feed
from timed.feed.hub import SubscribersFull
from timed.feed.log import CursorLost
from timed.params import NetworkParams
from timed.rpc.caller import Caller
from timed.rpc.errors import INVALID_PARAMETER, WARMING_UP, Busy, RpcError
from timed.rpc.locks import lock_of
from timed.rpc.method import WALLET

NEW_EVENT = b"event"
"""What to wait for in `timed.rpc.waiting.Waiters`; no transaction id is that short."""
RETRY_AFTER_S = 5


def no_feed() -> RpcError:
    return RpcError(
        WARMING_UP,
        "This node keeps no log of events",
        rule="no-feed",
        hint="Set feed.enabled = yes and put chain into services.enabled.",
    )


def filter_of(
    params: NetworkParams, types: Sequence[str], addresses: Sequence[str], reader: Caller | None = None
) -> Filter:
    """What a reader wants and may see; None for the operator's own sinks, which may see all.

    RpcError -8 for a type that is not there, -5 for no address of this network.
    """
    locks = [lock_of(params, address) for address in addresses]
    sees_wallet = reader is None or WALLET in reader.permissions
    try:
        return Filter.of(types, locks, frozenset() if sees_wallet else OF_THE_WALLET)
    except LocalError as error:
        raise RpcError(
            INVALID_PARAMETER, f"Parameter 'types': {error.message}", rule="param-value", hint=error.hint,
            param="types",
        ) from None  # fmt: skip


def explained(error: LocalError, feed: Feed) -> RpcError:
    """Why there are no events, for whoever asked."""
    if isinstance(error, CursorLost):
        ends = feed.window.ends
        return RpcError(
            INVALID_PARAMETER,
            f"Cursor lost: {error.message}",
            rule="cursor-lost",
            hint=error.hint,
            lost_from=error.first,
            lost_to=error.last,
            oldest=ends.cursor(ends.first - 1),
        )
    if isinstance(error, BadCursor):
        ends = feed.window.ends
        return RpcError(
            INVALID_PARAMETER, f"Cursor: {error.message}", rule=error.rule, hint=error.hint,
            oldest=ends.cursor(ends.first - 1),
        )  # fmt: skip
    if isinstance(error, SubscribersFull):
        return Busy(503, RETRY_AFTER_S, error.message, rule=error.rule, hint=error.hint)
    rule = "feed-failed" if isinstance(error, StoreError) else "local"
    return Busy(503, RETRY_AFTER_S, error.message, rule=rule, hint=error.hint, code=WARMING_UP)

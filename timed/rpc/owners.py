"""Who holds memory within a bound: the owner counts it, here it is only read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import attrs

from timed.feed import scribe
from timed.node import admission, future, inbox, relay
from timed.peer import limits
from timed.peer.addressbook import MOST_ADDRESSES
from timed.rpc import chainlink, failures, lanes, patience, reader, waiting
from timed.rpc import chronicle as chronicles
from timed.rpc.budget import MAX_CLIENTS
from timed.wallet.reservations import MAX_RESERVED
from timed.wallet.setaside import MAX_SET_ASIDE
from timed.wallet.wallet import MAX_CLOSING

if TYPE_CHECKING:
    from timed.app.driver import NodeDriver
    from timed.feed.feed import Feed
    from timed.node.node import Node
    from timed.rpc.parts import Parts


@attrs.frozen
class Owner:
    """What one owner holds. An owner that counts no items, or no bytes, has None there."""

    name: str
    holds: str
    items: int | None = None
    most_items: int | None = None
    bytes: int | None = None
    most_bytes: int | None = None


def owners_of_node(driver: NodeDriver) -> Iterator[Owner]:
    """Everything of the running node that has a bound."""
    node = cast("Node", driver.node)
    mempool, peers, queue, verifier = node.mempool, node.peers, driver.store_queue, driver.verifier
    ahead, intake, kept = node.inbox.future, node.peers.intake, node.peers.retention
    yield Owner(
        "mempool", "transactions that wait for a block",
        len(mempool), mempool.max_count, mempool.bytes, mempool.max_bytes,
    )  # fmt: skip
    yield Owner(
        "admission", "transactions whose signatures are checked",
        node.admission.checking, admission.MAX_CHECKING,
    )  # fmt: skip
    yield Owner("checks", "signatures and votes that are checked", len(node.checks), inbox.MAX_CHECKS)
    yield Owner(
        "next-epoch", "messages of the next epoch", len(ahead), future.MAX_MESSAGES,
        ahead.bytes, future.MAX_BYTES,
    )  # fmt: skip
    yield Owner("relay", "transactions held back from members", len(node.relay), relay.MAX_HELD)
    yield Owner(
        "peer-queues", "messages to be written to peers",
        bytes=peers.budget.held, most_bytes=peers.budget.limit,
    )  # fmt: skip
    yield Owner(
        "peer-intake", "messages of peers to be decoded",
        bytes=intake.bytes, most_bytes=limits.TOTAL_INTAKE_BYTES,
    )  # fmt: skip
    yield Owner(
        "peer-incomplete", "messages of peers that are not complete",
        bytes=intake.incomplete, most_bytes=limits.INCOMPLETE_BYTES,
    )  # fmt: skip
    yield Owner(
        "peer-retention", "messages that peers have not acknowledged",
        items=len(kept), bytes=kept.total, most_bytes=limits.RETAINED_TOTAL_BYTES,
    )  # fmt: skip
    yield Owner("addresses", "addresses of nodes", len(peers.discovery.book), MOST_ADDRESSES)
    yield Owner("bans", "nodes and places that are refused", len(peers.conduct.bans(peers.now)), limits.BANS)
    yield Owner(
        "store-queue", "writes that wait for the disk", items=queue.counters.waiting_jobs,
        bytes=queue.counters.waiting_bytes, most_bytes=queue.max_bytes,
    )  # fmt: skip
    yield Owner(
        "verifier", "signatures that wait for a thread",
        verifier.counters.waiting_items, verifier.max_items,
    )  # fmt: skip


def owners_of_recorder(driver: NodeDriver) -> Iterator[Owner]:
    """The flight recorder, where it runs."""
    recorder = driver.recorder
    if recorder is not None:
        yield Owner(
            "recorder", "what went into the node lately", bytes=recorder.size, most_bytes=recorder.limit
        )


def owners_of_feed(feed: Feed) -> Iterator[Owner]:
    """What follows the events and, where they are written, what is to be written."""
    yield Owner("feed-subscribers", "subscriptions to events", len(feed.hub), feed.hub.limits.total)
    if feed.scribe is not None:
        yield Owner("feed-events", "events to be written", feed.scribe.waiting, scribe.MAX_WAITING)


def owners_of_rpc(parts: Parts) -> Iterator[Owner]:
    """Everything of what answers calls that has a bound."""
    toll = parts.toll
    yield Owner("rpc-turns", "calls that wait for their turn", len(toll.lanes), lanes.MAX_QUEUED)
    yield Owner("rpc-budgets", "clients whose budget is kept", len(toll.budgets), MAX_CLIENTS)
    yield Owner("rpc-waiters", "calls that wait for an event", len(parts.waiters), waiting.MAX_WAITERS)
    if parts.reader is not None:
        yield Owner(
            "rpc-reader", "computations that have not begun", parts.reader.waiting, reader.MAX_WAITING
        )
        yield Owner(
            "rpc-readings", "computations between their slices", parts.reader.under_way, reader.MAX_AT_ONCE
        )
    if parts.link is not None:
        yield Owner(
            "rpc-forwards", "calls asked of the chain process", parts.link.under_way, chainlink.MAX_CALLS
        )
    if parts.wallet is not None:
        wallet = parts.wallet
        yield Owner("wallet-coins", "unspent outputs that the wallet looks after", len(wallet.coins))
        yield Owner(
            "wallet-reserved",
            "coins that payments in the making spend",
            len(wallet.reservations),
            MAX_RESERVED,
        )
        yield Owner(
            "wallet-set-aside", "coins that no payment takes by itself", len(wallet.set_aside), MAX_SET_ASIDE
        )
        yield Owner(
            "wallet-recording", "payments in blocks that the history lacks", wallet.recording, MAX_CLOSING
        )
        yield Owner("wallet-payments", "payments that no block holds", len(wallet.payments))
    if parts.chronicle is not None:
        chronicle = parts.chronicle
        yield Owner("wallet-underway", "transactions of the mempool that touch it", len(chronicle.underway))
        yield Owner(
            "wallet-history", "calls that wait for the history", chronicle.waiting, chronicles.MAX_WAITING
        )
    if parts.patience is not None:
        yield Owner(
            "wallet-waiting", "payments that wait for change", parts.patience.waiting, patience.MAX_WAITING
        )
    if parts.site is not None:
        yield Owner(
            "rpc-connections", "open HTTP connections", parts.site.connections, parts.site.max_connections
        )
    if parts.authenticator is not None:
        yield Owner(
            "rpc-failures", "addresses that sent wrong passwords",
            len(parts.authenticator.failures), failures.MAX_ADDRESSES,
        )  # fmt: skip

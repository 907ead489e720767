"""The one table of methods: arguments, help, documentation and the CLI read it.

A handler's name is the method's name; `timed.rpc.methods` binds them and a test
keeps both sides equal. This module imports neither Twisted nor the node, so that
the command line starts fast.
"""

from __future__ import annotations

from timed.rpc.method import Method
from timed.rpc.tables import (
    balances,
    blocks,
    chain,
    control,
    events,
    history,
    indexes,
    keys,
    masternodes,
    mempool,
    network,
    payments,
    transactions,
    wallet,
)

METHODS: dict[str, Method] = {
    method.name: method
    for room in (
        chain,
        blocks,
        indexes,
        transactions,
        mempool,
        wallet,
        balances,
        history,
        payments,
        keys,
        network,
        masternodes,
        events,
        control,
    )
    for method in room.METHODS
}
CATEGORIES = ("chain", "transactions", "wallet", "network", "masternodes", "events", "control")

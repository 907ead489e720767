"""Which loops of a node's driver are watched, and what is done when one gets nowhere."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from timed.app.driver import NodeDriver
from timed.app.memory import PERIOD_S, PeerMemory
from timed.app.watchdog import Watchdog
from timed.loops import Cause
from timed.node.waking import CHAIN, MACHINES

TIMER_S = 15.0
"""The node's timer comes once a second at least."""
MACHINE_S = 30.0
"""A machine's deadline that has passed for so long is not kept."""
STORE_S = 30.0
"""A durable step that takes longer is stuck."""
VERIFIER_S = 20.0
"""A batch of at most 64 signatures takes milliseconds."""

DISK = "Look at the disk (dmesg, iostat -x 1); nothing is said to peers that is not durable. Restart once it answers."
FAULT = (
    "Keep the recording that the log names and report it; a restart of the node begins every machine anew."
)


def watch_driver(loops: Watchdog, driver: NodeDriver, clock: Callable[[], int]) -> list[Callable[[], None]]:
    """Enter the loops of a driver; what is returned ends that.

    The store's thread is never begun again: a later record must not be durable before an
    earlier one. Nor is the chain's machine, which holds what this member has signed: its
    deadlines are tried again by the timer, never passed over.
    """
    store, verifier = driver.store_queue.counters, driver.verifier.counters
    return [
        loops.add(
            "node-timer", lambda: driver.counters.wakes, TIMER_S, FAULT, restart=driver.rearm,
            cause=lambda: Cause.FAILS if driver.timer_set else Cause.DIED,
        ),
        loops.add(
            "store", lambda: store.groups + store.commits + store.failures, STORE_S, DISK,
            owes=lambda: store.waiting_jobs > 0, cause=lambda: Cause.THREAD,
        ),
        loops.add(
            "verifier", lambda: verifier.answered, VERIFIER_S,
            "Signatures are checked by the event loop meanwhile; restart the node in a quiet hour.",
            restart=driver.verifier.take_back, owes=lambda: verifier.waiting_items > 0,
        ),
        *[_watch_machine(loops, driver, clock, machine) for machine in MACHINES],
    ]  # fmt: skip


def _watch_machine(
    loops: Watchdog, driver: NodeDriver, clock: Callable[[], int], machine: str
) -> Callable[[], None]:
    """One machine of the core: it gets on when it does what is due and comes back."""
    waking = driver.node.waking

    def is_due() -> bool:
        deadline = waking.due.get(machine)
        return deadline is not None and deadline <= clock()

    return loops.add(
        f"node-{machine}", lambda: waking.woken[machine], MACHINE_S, FAULT,
        restart=None if machine == CHAIN else partial(driver.wake_alone, machine),
        owes=is_due, cause=lambda: Cause.FAILS,
    )  # fmt: skip


def watch_memory(loops: Watchdog, memory: PeerMemory) -> Callable[[], None]:
    """Enter the loop that writes what is known of peers; what is returned ends that."""
    return loops.add(
        "peer-book", lambda: memory.looks, 3 * PERIOD_S,
        "Look at the disk (dmesg, iostat -x 1); after a restart peers and bans may be those of before.",
        restart=memory.restart, cause=memory.cause,
    )  # fmt: skip

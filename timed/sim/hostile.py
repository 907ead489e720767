"""A peer that lies: its own key, the production session code, other people's signatures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from timed.events import Close, Dial, Write
from timed.params import SECOND
from timed.peer.table import PeerTable
from timed.peer.values import Identity, PeerAddress
from timed.sim.cast import PORT, derived_key
from timed.wire import messages

if TYPE_CHECKING:
    import random

    from timed.sim.clock import Timer
    from timed.sim.world import World
    from timed.wire.message import Message

PERIOD = SECOND // 3
"""Mean time between two pieces of malice."""


class Stranger:
    """An endpoint on the machine beyond the members'. It speaks the protocol to be heard.

    It replays what members signed, as it was or with the epoch or height of today
    written over that of yesterday, and now and then garbage.
    """

    def __init__(self, world: World, entropy: random.Random, number: int, *, quiet: bool) -> None:
        self._world = world
        self._entropy = entropy
        self._quiet = quiet
        """Waits for a new epoch instead of lying all the time."""
        self._machine = len(world.hosts)
        key = derived_key(world.scenario.seed, "stranger", number)
        self.name = f"stranger {number}"
        self.node_id: bytes | None = key.public
        self.port = PORT
        self.alive = self.paused = False
        genesis = world.cast.genesis
        identity = Identity(
            params=genesis.params,
            genesis_hash=genesis.hash,
            node_key=key,
            operator_key=None,
            software="timed-sim",
            listen_port=PORT,
            boot=number,
        )
        wanted = [
            PeerAddress(world.network.machines[index].host, PORT, world.cast.node_keys[index].public)
            for index in range(len(world.hosts))
        ]
        self._table = PeerTable(identity, entropy, self._status, wanted=wanted)
        self._links: dict[int, None] = {}
        self._timer: Timer | None = None

    def arrive(self) -> None:
        """Start to dial everybody, and to lie to whoever answers."""
        self.alive = True
        self._world.network.listen(self._machine, self)
        self._turn()
        if not self._quiet:
            self._next()

    def epoch_began(self) -> None:
        """At once, repeat what was signed for payments that the block left out, as if it were for today."""
        epoch = self._world.invariants.chain.height + 1
        pending = {payment.transaction.txid: None for payment in self._world.workload.open_payments()}
        for message in self._world.nemesis.recorded:
            if isinstance(message, messages.TransactionVote) and any(
                txid in pending for txid in message.entries
            ):
                self._table.broadcast(msgspec.structs.replace(message, epoch=epoch))
        self._turn()

    def leave(self) -> None:
        """Its process ends; its sessions are cut."""
        self.alive = False
        if self._timer is not None:
            self._timer.cancel()
        self._world.network.process_died(self._machine, orderly=False)

    def _status(self) -> tuple[int, bytes]:
        chain = self._world.invariants.chain
        return chain.height, chain.blocks[-1].block_hash

    # The network's side

    def opened(self, link: int, outbound: bool, peer_id: bytes | None, host: str, port: int) -> None:
        self._links[link] = None
        self._table.connected(link, outbound, peer_id, host, port, self._world.clock.now)
        self._turn()

    def received(self, link: int, data: bytes) -> None:
        self._table.received(link, data, self._world.clock.now)
        self._turn()

    def lost(self, link: int, reason: str) -> None:
        self._links.pop(link, None)
        self._table.disconnected(link, reason, self._world.clock.now)
        self._turn()

    def failed(self, host: str, port: int, reason: str) -> None:
        self._table.dial_failed(host, port, reason, self._world.clock.now)
        self._turn()

    def drained(self, link: int) -> None:
        self._table.drained(link, self._world.clock.now)
        self._turn()

    def _turn(self) -> None:
        if not self.alive:
            return
        now, network = self._world.clock.now, self._world.network
        for action in self._table.drain(now):
            if isinstance(action, Write):
                network.write(action.link, action.data)
            elif isinstance(action, Close):
                network.close(action.link, action.reason, action.abort)
            elif isinstance(action, Dial):
                network.dial(self._machine, self, action.host, action.port, action.expected)
        deadline = self._table.next_deadline()
        if self._timer is not None:
            self._timer.cancel()
        if deadline is not None:
            self._timer = self._world.clock.at(max(deadline, now + 1), "stranger tick", self._tick)

    def _tick(self) -> None:
        self._table.tick(self._world.clock.now)
        self._turn()

    # Malice

    def _next(self) -> None:
        delay = int(self._entropy.expovariate(1.0) * PERIOD)
        self._world.clock.after(delay, "stranger", self._malice)

    def _malice(self) -> None:
        if not self.alive:
            return
        if self._entropy.random() < 0.01:
            self._garbage()
        else:
            for message in self._lies():
                self._table.broadcast(message)
        self._turn()
        self._next()

    def _garbage(self) -> None:
        for link in list(self._links)[:1]:
            self._world.network.write(link, self._entropy.randbytes(self._entropy.randrange(1, 200)))

    def _lies(self) -> list[Message]:
        recorded = self._world.nemesis.recorded
        if not recorded:
            return []
        return [self._forged(self._entropy.choice(recorded)) for _ in range(self._entropy.randrange(1, 9))]

    def _forged(self, message: object) -> Message:
        """The message as it was, or with today's epoch or height in it and the old signature."""
        epoch = self._world.invariants.chain.height + 1
        if (
            isinstance(message, (messages.TransactionVote, messages.EpochReport))
            and self._entropy.random() < 0.8
        ):
            return msgspec.structs.replace(message, epoch=epoch)
        if isinstance(message, messages.BlockVote) and self._entropy.random() < 0.8:
            return msgspec.structs.replace(message, height=epoch, round=self._entropy.randrange(2))
        return message  # type: ignore[return-value]

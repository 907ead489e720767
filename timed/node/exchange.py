"""What two members tell each other on a new session, so that a reconnect loses nothing (protocol §5)."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from timed.node.chain import Chain
from timed.node.serving import room_of
from timed.node.voters import Voters
from timed.params import SECOND
from timed.peer.table import PeerTable
from timed.peer.values import PeerHandle
from timed.wire.message import Message
from timed.wire.messages import GetPendingTransactions

ANSWER_EVERY_US = SECOND // 2
"""A peer that keeps saying where it is gets an answer this often."""


@attrs.define
class Answered:
    """What one session was told in one epoch."""

    generation: int
    epoch: int
    at: int = 0
    unsent: int = 0
    """Where the last answer ended for want of room."""


class Exchange:
    """Answers to `RoundState`: what the sender may lack of the current epoch."""

    def __init__(self, chain: Chain, voters: Voters, peers: PeerTable) -> None:
        self._chain = chain
        self._voters = voters
        self._peers = peers
        self._answered: dict[bytes, Answered] = {}

    def opened(self, peer: PeerHandle, now: int) -> None:
        """Say where we are and ask what is pending there."""
        self._answered.pop(peer.node_id, None)
        if self._chain.votes and self._voters.is_voter(peer.node_id):
            self._peers.send_to_peer(peer.node_id, self._chain.rounds.state())
        self._peers.request(peer.node_id, GetPendingTransactions(), now)

    def closed(self, node_id: bytes) -> None:
        self._answered.pop(node_id, None)

    def caught_up(self) -> None:
        """This node has reached the epoch by fetching blocks: ask for what it missed meanwhile."""
        if self._chain.votes:
            self._peers.broadcast(self._chain.rounds.state(), to=self._voters.connected())

    def answer(self, peer: PeerHandle, round_: int, now: int) -> None:
        """Our bundles once an epoch and session, reports and rounds as often as asked."""
        if not self._chain.votes or not self._voters.is_voter(peer.node_id):
            return
        last = self._answered.get(peer.node_id)
        if last is None or (last.generation, last.epoch) != (peer.generation, self._chain.epoch):
            last = self._answered[peer.node_id] = Answered(peer.generation, self._chain.epoch)
            self._peers.send_batch_to_peer(peer.node_id, self._chain.fastpath.own_bundles)
        elif now < last.at + ANSWER_EVERY_US:
            return
        last.at = now
        reports = self._chain.closing.reports
        messages: list[Message] = list(self._chain.rounds.messages_for(round_))
        messages.extend(reports[member] for member in sorted(reports))
        start = last.unsent if last.unsent < len(messages) else 0
        last.unsent = self._send_while_room(peer.node_id, messages, start)

    def _send_while_room(self, node_id: bytes, messages: Sequence[Message], start: int) -> int:
        """Send from `start` on, once round; where the next answer begins when there is no room for all."""
        for step in range(len(messages)):
            at = (start + step) % len(messages)
            if len(messages[at].encode()) > room_of(self._peers.room(node_id, urgent=True)):
                return at
            self._peers.send_to_peer(node_id, messages[at])
        return 0

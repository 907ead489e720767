"""What two members tell each other on a new session, so that a reconnect loses nothing (protocol §5)."""

from __future__ import annotations

from timed.node.chain import Chain
from timed.node.voters import Voters
from timed.params import SECOND
from timed.peer.table import PeerTable
from timed.peer.values import PeerHandle
from timed.wire.message import Message
from timed.wire.messages import GetPendingTransactions

ANSWER_EVERY_US = SECOND // 2
"""A peer that keeps saying where it is gets an answer this often."""


class Exchange:
    """Answers to `RoundState`: what the sender may lack of the current epoch."""

    def __init__(self, chain: Chain, voters: Voters, peers: PeerTable) -> None:
        self._chain = chain
        self._voters = voters
        self._peers = peers
        self._answered: dict[bytes, tuple[int, int, int]] = {}

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
        generation, epoch, at = self._answered.get(peer.node_id, (0, 0, 0))
        first = (generation, epoch) != (peer.generation, self._chain.epoch)
        if not first and now < at + ANSWER_EVERY_US:
            return
        self._answered[peer.node_id] = (peer.generation, self._chain.epoch, now)
        messages: list[Message] = []
        if first:
            messages.extend(self._chain.fastpath.own_bundles)
        reports = self._chain.closing.reports
        messages.extend(reports[member] for member in sorted(reports))
        messages.extend(self._chain.rounds.messages_for(round_))
        self._peers.send_batch_to_peer(peer.node_id, messages)

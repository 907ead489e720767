"""What two members tell each other on a new session, so that a reconnect loses nothing (protocol §5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import attrs

from timed.node.chain import Chain
from timed.node.serving import room_of
from timed.node.voters import Voters
from timed.params import SECOND
from timed.peer.table import PeerTable
from timed.peer.values import PeerHandle
from timed.wire.message import Message
from timed.wire.messages import EpochReport, GetPendingTransactions

ANSWER_EVERY_US = SECOND // 2
"""A peer that keeps saying where it is gets an answer this often."""
REPEAT_US = 30 * SECOND
"""What a session was sent is sent again after this long if it is still asked for; then after twice as long.

A session loses nothing on its way. A path that carries nothing for minutes and then everything at
once would otherwise deliver every answer of those minutes: a flood, by the peer's table of rates.
"""


class Sent:
    """Messages by identity: the machines keep each one once. A copy goes by those of the copied state."""

    def __init__(self, messages: Iterable[Message] = ()) -> None:
        self._by_id = {id(message): message for message in messages}

    def __contains__(self, message: Message) -> bool:
        return id(message) in self._by_id

    def __iter__(self) -> Iterator[Message]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, message: Message) -> None:
        self._by_id[id(message)] = message

    def keep(self, messages: Iterable[Message]) -> None:
        """Forget all but those of `messages`: what the machines have forgotten is not kept alive here."""
        self._by_id = {id(message): message for message in messages if message in self}

    def __getstate__(self) -> list[Message]:
        return list(self)

    def __setstate__(self, messages: list[Message]) -> None:
        self._by_id = {id(message): message for message in messages}


@attrs.define
class Answered:
    """What one session was told in one epoch."""

    generation: int
    epoch: int
    at: int = 0
    round: int = 0
    repeat_at: int = 0
    repeat_after: int = REPEAT_US
    sent: Sent = attrs.Factory(Sent)
    """Votes and proposals as of the sender's round alone."""

    def begins(self, round_: int, now: int) -> None:
        """The peer has said where it is."""
        self.at = now
        if now >= self.repeat_at:
            if self.sent:
                self.repeat_after *= 2
            self.sent = Sent()
            self.repeat_at = now + self.repeat_after
        elif round_ != self.round:
            self.sent = Sent(one for one in self.sent if isinstance(one, EpochReport))
        self.round = round_

    def clock_set_back(self, now: int) -> None:
        """What was said by a clock that was ahead was said now."""
        self.at = min(self.at, now - ANSWER_EVERY_US)
        self.repeat_at = min(self.repeat_at, now + self.repeat_after)


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

    def clock_set_back(self, now: int) -> None:
        """The host's clock was ahead: nobody waits for an answer until it shows that time again."""
        for last in self._answered.values():
            last.clock_set_back(now)

    def caught_up(self) -> None:
        """This node has reached the epoch by fetching blocks: ask for what it missed meanwhile."""
        if self._chain.votes:
            self._peers.broadcast(self._chain.rounds.state(), to=self._voters.connected())

    def answer(self, peer: PeerHandle, round_: int, now: int) -> None:
        """Our bundles once an epoch and session; of reports and rounds what this session was not sent yet."""
        if not self._chain.votes or not self._voters.is_voter(peer.node_id):
            return
        last = self._answered.get(peer.node_id)
        if last is None or (last.generation, last.epoch) != (peer.generation, self._chain.epoch):
            last = self._answered[peer.node_id] = Answered(peer.generation, self._chain.epoch)
            self._peers.send_batch_to_peer(peer.node_id, self._chain.fastpath.own_bundles)
        elif now < last.at + ANSWER_EVERY_US:
            return
        last.begins(round_, now)
        reports = self._chain.closing.reports
        messages: list[Message] = list(self._chain.rounds.messages_for(round_))
        messages.extend(reports[member] for member in sorted(reports))
        last.sent.keep(messages)
        self._send_while_room(peer.node_id, messages, last.sent)

    def _send_while_room(self, node_id: bytes, messages: Sequence[Message], sent: Sent) -> None:
        """Send what is not in `sent` yet; what finds no room is left to the next answer."""
        for message in messages:
            if message in sent:
                continue
            if len(message.encode()) > room_of(self._peers.room(node_id, urgent=True)):
                return
            self._peers.send_to_peer(node_id, message)
            sent.add(message)

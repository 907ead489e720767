"""One whole node among puppets: sessions of the production peer room that say what the test wants.

Everything passes as bytes. Writes of the node are durable at once, or with `manual`
when `durable()` says so; what still waits then is what `restarted()` has lost.
"""

from __future__ import annotations

import random
from collections import deque
from typing import Any, TypeVar

import msgspec

from tests import builders
from tests.consensus_world import keys_of
from timed.consensus.signing import signed
from timed.crypto.batch import verify_batch
from timed.crypto.keys import SigningKey
from timed.events import Close, CommitBlock, Dial, NodeEvent, Persist, Publish, Verify, Write
from timed.ledger.genesis import Genesis
from timed.ledger.regtest import well_known_key
from timed.ledger.slots import newest_slot
from timed.node.config import NodeConfig
from timed.node.node import Node
from timed.params import NULL_HASH, REGTEST, SECOND, WIRE_VERSION
from timed.peer.dialect import Dialect
from timed.peer.table import PeerTable
from timed.peer.values import Closed, Identity, Incoming
from timed.primitives.block import ReportReference
from timed.primitives.certificate import PRECOMMIT, PREVOTE, CertificateKind
from timed.primitives.transaction import Transaction
from timed.store.memory import MemoryStore
from timed.wire.message import Message, Verbatim
from timed.wire.messages import BlockProposal, BlockVote, EpochReport, ProposalBody, TransactionVote

E = TypeVar("E")
TICK = SECOND // 100
"""Longer than a bundle waits."""


class Puppet:
    """A peer that answers nothing by itself."""

    def __init__(
        self,
        world: NodeWorld,
        number: int,
        operator: SigningKey | None,
        height: int,
        wire_version: int = WIRE_VERSION,
    ) -> None:
        self.world = world
        self.number = number
        self.operator = operator
        identity = Identity(
            params=REGTEST, genesis_hash=world.genesis.hash, node_key=well_known_key("node", 200 + number),
            operator_key=operator, software="puppet", listen_port=0, boot=1,
            dialect=Dialect(wire_version=wire_version),
        )  # fmt: skip
        self.table = PeerTable(identity, random.Random(number), lambda: (height, bytes(32)))
        self.node_id = identity.node_id
        self.link = -1
        self.incoming: list[Incoming] = []
        self.closed: list[Closed] = []

    def say(self, *messages: Message | Verbatim[Any], reply_to: int = 0) -> None:
        """Send, and let the node do whatever it makes of it."""
        for message in messages:
            self.table.send_to_peer(self.world.node_id, message, reply_to=reply_to)
        self.world.pump()

    def ask(self, message: Message) -> Message | None:
        """Send a request; the reply if there was one."""
        number = self.table.request(self.world.node_id, message, self.world.now)
        self.world.pump()
        replies = [one.message for one in self.incoming if one.is_reply and one.request_id == number]
        return replies[0] if replies else None  # type: ignore[return-value]

    def heard(self, kind: type[E]) -> list[E]:
        return [one.message for one in self.incoming if isinstance(one.message, kind)]

    def questions(self, kind: type[E]) -> list[tuple[int, E]]:
        """(request id, message) of what the node asked."""
        return [
            (one.request_id, one.message)
            for one in self.incoming
            if isinstance(one.message, kind) and not one.is_reply
        ]


class NodeWorld:
    """A node of the roster's member `me` (None: of no member), and the puppets around it.

    It starts `late` slots after genesis, in the first tenth of the slot.
    """

    def __init__(
        self,
        members: int = 4,
        me: int | None = 0,
        *,
        genesis: Genesis | None = None,
        store: MemoryStore | None = None,
        manual: bool = False,
        boot: int = 1,
        now: int | None = None,
        late: int = 0,
        operator: SigningKey | None = None,
        vote: bool = True,
        frozen: str | None = None,
    ) -> None:
        self.genesis = builders.genesis(members) if genesis is None else genesis
        self.store = MemoryStore() if store is None else store
        self.me = me
        self.manual = manual
        start = self.genesis.time + late * self.genesis.interval
        self.now = start * SECOND + SECOND // 10 if now is None else now
        self.boot = boot
        self.events: list[NodeEvent] = []
        self.writes: deque[Persist | CommitBlock] = deque()
        self.puppets: list[Puppet] = []
        self._links = 0
        self.keys = keys_of(self.genesis.members)
        self._ticks = 10_000
        key = operator if operator is not None else None if me is None else self.keys[me]
        self.config = NodeConfig(
            genesis=self.genesis, node_key=well_known_key("node", 100), operator_key=key, boot=boot, vote=vote,
            frozen=frozen,
        )  # fmt: skip
        self.node = Node(self.config, self.store, random.Random(boot))
        self.node_id = self.config.node_key.public
        self.node.start(self.now)
        self.pump()

    # The host

    def pump(self) -> None:
        """Execute actions and carry bytes until nothing moves any more."""
        moved = True
        while moved:
            actions = self.node.flush(self.now)
            for action in actions:
                self._execute(action)
            moved = bool(actions)
            if self.node.peers.intake.waiting:
                self.node.wake(self.now)
                moved = True
            if not self.manual:
                while self.writes:
                    self._write(self.writes.popleft())
                    moved = True
            for puppet in self.puppets:
                moved = self._turn(puppet) or moved

    def durable(self, count: int = 1_000) -> None:
        """The oldest `count` writes have reached the disk."""
        while self.writes and count:
            self._write(self.writes.popleft())
            count -= 1
            manual, self.manual = self.manual, True
            self.pump()
            self.manual = manual

    def fail_write(self, reason: str = "disk full") -> None:
        """The oldest write and all behind it fail."""
        while self.writes:
            self.node.store_failed(self.writes.popleft().token, reason, self.now)
            self.pump()

    def pass_time(self, microseconds: int) -> None:
        """Wake node and puppets at their deadlines; a deadline that does not go away is an error."""
        end = self.now + microseconds
        at_once = 0
        while True:
            due = [one.table.next_deadline() for one in self.puppets] + [self.node.next_wake()]
            when = min((one for one in due if one is not None), default=None)
            if when is None or when > end:
                break
            at_once = at_once + 1 if when <= self.now else 0
            if at_once > 20:
                raise AssertionError(f"a deadline of {when} does not go away at {self.now}")
            self.now = max(self.now, when)
            self.node.wake(self.now)
            for puppet in self.puppets:
                self._take(puppet, puppet.table.tick(self.now))
            self.pump()
        self.now = end

    def pass_slot(self) -> None:
        """Go on to the moment at which the epoch closes."""
        self.pass_time(max(0, self.node.chain.slot_us - self.now))

    def restarted(self, **options: Any) -> NodeWorld:
        """The process has crashed and starts again on what was durable."""
        return NodeWorld(
            me=self.me, genesis=self.genesis, store=self.store, boot=self.boot + 1, now=self.now + SECOND // 10,
            operator=self.config.operator_key, **options,
        )  # fmt: skip

    def told(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def _execute(self, action: object) -> None:
        if isinstance(action, Publish):
            self.events.append(action.event)
        elif isinstance(action, (Persist, CommitBlock)):
            self.writes.append(action)
        elif isinstance(action, Verify):
            self.node.verified(action.token, verify_batch(action.items), self.now)
        elif isinstance(action, Write):
            puppet = next((one for one in self.puppets if one.link == action.link), None)
            if puppet is not None:
                self._take(puppet, puppet.table.received(action.link, action.data, self.now))
                self.node.drained(action.link, self.now)
        elif isinstance(action, Close):
            self._close(action.link, action.reason)
        elif isinstance(action, Dial):
            self.node.dial_failed(action.host, action.port, "connection-refused", self.now)

    def _write(self, action: Persist | CommitBlock) -> None:
        if isinstance(action, Persist):
            self.store.append(action.records)
        else:
            self.store.commit(action.commit)
        self.node.persisted(action.token, self.now)

    def _close(self, link: int, reason: str) -> None:
        puppet = next((one for one in self.puppets if one.link == link), None)
        if puppet is not None:
            puppet.link = -1
            self._take(puppet, puppet.table.disconnected(link, reason, self.now))
            self.node.disconnected(link, reason, self.now)

    def _turn(self, puppet: Puppet) -> bool:
        actions = puppet.table.drain(self.now)
        self._take(puppet, puppet.table.take())
        for action in actions:
            if isinstance(action, Write) and action.link == puppet.link:
                self.node.received(action.link, action.data, self.now)
                puppet.table.drained(action.link, self.now)
            elif isinstance(action, Close):
                self._close(action.link, action.reason)
        unread = puppet.table.intake.waiting
        if unread:
            self._take(puppet, puppet.table.tick(self.now))
        return bool(actions) or unread

    def _take(self, puppet: Puppet, deliveries: list[Any]) -> None:
        puppet.incoming += [one for one in deliveries if isinstance(one, Incoming)]
        puppet.closed += [one for one in deliveries if isinstance(one, Closed)]

    # The puppets

    def member(self, position: int, height: int = 0, *, dialled: bool = False) -> Puppet:
        """A session with the roster's member at `position`; `dialled` by the node, or by the member."""
        return self._join(Puppet(self, len(self.puppets), self.keys[position], height), dialled)

    def others(self) -> list[Puppet]:
        """Sessions with every other member."""
        return [self.member(position) for position in range(len(self.keys)) if position != self.me]

    def stranger(
        self, height: int = 0, operator: SigningKey | None = None, wire_version: int = WIRE_VERSION
    ) -> Puppet:
        """A session with a node that is no member."""
        return self._join(Puppet(self, len(self.puppets), operator, height, wire_version))

    def _join(self, puppet: Puppet, dialled: bool = False) -> Puppet:
        self._links += 1
        self.puppets.append(puppet)
        puppet.link = self._links
        host = f"192.0.2.{self._links}"
        ends = [
            (self.node, dialled, puppet.node_id, host, 7000 if dialled else 40_000),
            (puppet.table, not dialled, self.node_id, "192.0.2.100", 40_000 if dialled else 7000),
        ]
        for end, outbound, peer_id, where, port in ends:
            end.connected(puppet.link, outbound, peer_id, where, port, self.now)  # type: ignore[attr-defined]
        self.pump()
        if self.node.peers.get(puppet.node_id) is None:
            raise AssertionError("the session did not open")
        return puppet

    # Payments

    def payment(self, number: int = 0, note: int = 1) -> Transaction:
        """A signed payment from coin `number` of the allocation; `note` makes another one of it."""
        return builders.transfer([self.genesis.created()[number]], [note * 10**6])

    def submit(self, transaction: Transaction) -> None:
        """A user hands it in, and the tick passes."""
        self.node.submit(transaction.raw, self.now)
        self.pump()
        self.pass_time(TICK)

    # What members sign

    def bundle(
        self, signer: int, *txids: bytes, kind: int = CertificateKind.VOTE, **changes: Any
    ) -> TransactionVote:
        self._ticks += 1
        path = self.node.chain.fastpath
        unsigned = TransactionVote(
            kind=int(kind), chain_id=REGTEST.chain_id, epoch=path.epoch, roster=path.roster.hash,
            tick=self._ticks, member=signer, entries=txids, signature=bytes(64),
        )  # fmt: skip
        return self._signed(unsigned, signer, changes)

    def report(self, signer: int, *txids: bytes, **changes: Any) -> EpochReport:
        path = self.node.chain.fastpath
        unsigned = EpochReport(
            chain_id=REGTEST.chain_id, epoch=path.epoch, roster=path.roster.hash, member=signer,
            txids=tuple(sorted(txids)), signature=bytes(64),
        )  # fmt: skip
        return self._signed(unsigned, signer, changes)

    def vote(
        self, signer: int, step: int, block: bytes = NULL_HASH, round_: int = 0, **changes: Any
    ) -> BlockVote:
        rounds = self.node.chain.rounds
        unsigned = BlockVote(
            chain_id=REGTEST.chain_id, height=rounds.height, round=round_, step=step, block=block,
            roster=rounds.roster.hash, member=signer, signature=bytes(64),
        )  # fmt: skip
        return self._signed(unsigned, signer, changes)

    def proposal(
        self, *txids: bytes, round_: int = 0, reporters: tuple[int, ...] = (), **changes: Any
    ) -> BlockProposal:
        """The proposal that the puppets' reports make, by whoever's turn it is."""
        chain = self.node.chain
        tip, author = chain.ledger.tip, chain.rounds.proposer(round_)
        reports = [self.report(member, *txids) for member in reporters or self.quorum()]
        block, _ = chain.ledger.make_block(
            time=max(
                newest_slot(self.genesis.time, self.genesis.interval, self.now),
                tip.header.time + self.genesis.interval,
            ),
            round=round_,
            proposer=chain.rounds.roster.members[author].operator_key,
            transactions=[chain.fastpath.tallies[txid].transaction for txid in txids],  # type: ignore[misc]
            reports=tuple(ReportReference(one.member, one.hash) for one in reports),
            parent_certificate=tip.certificate,
        )  # fmt: skip
        body = ProposalBody.of(
            reports, attendance=block.attendance, evidence=(), parent_certificate=tip.certificate
        )
        unsigned = BlockProposal(
            chain_id=REGTEST.chain_id, round=round_, valid_round=0, header=block.header, body=body,
            signature=bytes(64),
        )  # fmt: skip
        return self._signed(unsigned, author, changes)

    def quorum(self) -> tuple[int, ...]:
        """As few other members as make a quorum with none to spare."""
        count = len(self.keys)
        others = [member for member in range(count) if member != self.me]
        return tuple(others[: (2 * count + 2) // 3])

    def certify(self, speaker: Puppet, *txids: bytes) -> bytes:
        """Close the epoch with the puppets' signatures alone; the hash of its block."""
        self.pass_slot()
        proposal = self.proposal(*txids, round_=self._round_of_others())
        speaker.say(proposal)
        votes = [
            self.vote(member, step, proposal.header.hash, proposal.round)
            for step in (PREVOTE, PRECOMMIT)
            for member in self.quorum()
        ]
        speaker.say(*votes)
        return proposal.header.hash

    def _round_of_others(self) -> int:
        rounds = self.node.chain.rounds
        return next(number for number in range(len(self.keys)) if rounds.proposer(number) != self.me)

    def _signed(self, unsigned: Any, signer: int, changes: dict[str, Any]) -> Any:
        return signed(msgspec.structs.replace(unsigned, **changes), self.keys[signer])

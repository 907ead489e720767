"""One member among three that sign whatever they are told to, and strangers: steps as bytes.

Three of four can certify anything, so nothing is asked of the chain here. What the
node owes is itself: no exception, never two signatures where one may be, a chain that
only grows, and nothing signed after a restart that contradicts what was signed before.
"""

from __future__ import annotations

import functools
import random
from typing import Any

from tests.fuzz.arena import Script, require
from tests.layout_strategies import sample
from tests.node_world import TICK, NodeWorld, Puppet
from timed.codec import interpret
from timed.errors import InvalidTransaction
from timed.params import NULL_HASH, REGTEST
from timed.primitives.certificate import CertificateKind
from timed.primitives.transaction import OutPoint, Transaction
from timed.wire import messages as wire
from timed.wire.catalogue import MESSAGES
from timed.wire.message import Direction, Message

KINDS = (CertificateKind.VOTE, CertificateKind.ACKNOWLEDGEMENT)
PAYMENTS = 8
LIVES = 3
"""How often the node may be restarted in one script."""
SLOTS = 4
JOINS = 5


@functools.cache
def payment(number: int) -> Transaction:
    """Payments of which every second one spends the coin of the one before."""
    return NodeWorld().payment(number // 2, note=1 + number % 2)


class Council:
    """The world, and the account of what its node has signed."""

    def __init__(self) -> None:
        self.world = NodeWorld()
        self.signed: dict[tuple[Any, ...], Any] = {}
        self.height = 0
        self.lives = 1
        self.slots = 0
        self.joined = 1
        self._join()

    def _join(self) -> None:
        self.peers: list[Puppet] = [*self.world.others(), self.world.stranger()]

    def speaker(self, number: int) -> Puppet | None:
        """A peer that is still connected; it comes back if it was sent away."""
        place = number % len(self.peers)
        peer = self.peers[place]
        if peer.link < 0 or self.world.node.peers.get(peer.node_id) is None:
            return None
        return peer

    def say(self, speaker: int, *messages: Message) -> None:
        peer = self.speaker(speaker)
        if peer is not None:
            peer.say(*messages)
        self.check()

    # What the three sign.

    def bundle(self, speaker: int, signer: int, kind: int, *which: int) -> None:
        txids = dict.fromkeys(payment(number % PAYMENTS).txid for number in which)
        self.say(speaker, self.world.bundle(1 + signer % 3, *txids, kind=KINDS[kind % 2]))

    def certify(self, speaker: int, which: int) -> None:
        """Votes and acknowledgements of all three for one payment."""
        for kind in range(2):
            for signer in range(3):
                self.bundle(speaker, signer, kind, which)

    def decide(self, speaker: int, block: int, round_: int) -> None:
        """Prevotes and precommits of all three for one block."""
        for step in range(2):
            for signer in range(3):
                self.vote(speaker, signer, step, block, round_)

    def report(self, speaker: int, signer: int, *which: int) -> None:
        txids = dict.fromkeys(payment(number % PAYMENTS).txid for number in which)
        self.say(speaker, self.world.report(1 + signer % 3, *txids))

    def vote(self, speaker: int, signer: int, step: int, block: int, round_: int) -> None:
        known = [NULL_HASH, bytes(31) + b"\1", *self.world.node.chain.judging.blocks]
        chosen = known[block % len(known)]
        self.say(speaker, self.world.vote(1 + signer % 3, 1 + step % 2, chosen, round_ % 4))

    def propose(self, speaker: int, round_: int, *which: int) -> None:
        """A proposal for payments whose bodies the node knows, by whoever's turn it is among the three."""
        world, chain = self.world, self.world.node.chain
        if chain.rounds.proposer(round_ % 4) == world.me:
            return
        wanted = dict.fromkeys(payment(number % PAYMENTS).txid for number in which)
        coins: set[OutPoint] = set()
        txids = []
        for txid in wanted:
            tally = chain.fastpath.tallies.get(txid)
            body = tally.transaction if tally is not None else None
            if body is not None and not coins.intersection(body.inputs):
                coins.update(body.inputs)
                txids.append(txid)
        self.say(speaker, world.proposal(*txids, round_=round_ % 4, reporters=(1, 2, 3)))

    def pay(self, speaker: int, number: int) -> None:
        self.say(speaker, wire.TransactionBroadcast(payment(number % PAYMENTS)))

    def anything(self, speaker: int, kind: int, seed: int) -> None:
        """A message of any kind with fields that are nearly right, asked or unasked."""
        entry = MESSAGES[kind % len(MESSAGES)]
        order = random.Random(seed)
        few = order.choice((0, 1, 3))
        fields = nearly(sample(entry.layout, f"{entry.name}{seed}", few), self.world, order)
        message = entry.cls.decode(interpret.build(entry.layout, fields))
        peer = self.speaker(speaker)
        if peer is None or entry.name in ("Handshake", "Goodbye"):
            return
        if entry.direction is Direction.REQUEST:
            peer.ask(message)
        else:
            peer.say(message)
        self.check()

    def answer(self, speaker: int, seed: int) -> None:
        """Answer the oldest question of the node, rightly or with nonsense of the right type."""
        peer = self.speaker(speaker)
        asked = [one for one in peer.incoming if one.request_id and not one.is_reply] if peer else []
        if peer is None or not asked:
            return
        question = asked[0]
        peer.incoming.remove(question)
        message: Any = question.message
        reply: Message | None = None
        if isinstance(message, wire.GetTransactions) and seed % 2:
            held = {payment(number).txid: payment(number) for number in range(PAYMENTS)}
            reply = wire.TransactionsResponse(tuple(held[txid] for txid in message.txids if txid in held))
        elif message.entry().reply is not None:
            entry = next(each for each in MESSAGES if each.name == message.entry().reply)
            order = random.Random(seed)
            fields = nearly(
                sample(entry.layout, f"{entry.name}{seed}", order.choice((0, 1, 2))), self.world, order
            )
            reply = entry.cls.decode(interpret.build(entry.layout, fields))
        if reply is not None:
            peer.say(reply, reply_to=question.request_id)
        self.check()

    # The world.

    def submit(self, number: int) -> None:
        """A user hands a payment in; one that cannot be is refused, which is an answer."""
        try:
            self.world.submit(payment(number % PAYMENTS))
        except InvalidTransaction as error:
            require(bool(error.rule), "a refusal has a name")
        self.check()

    def wait(self, ticks: int) -> None:
        self.world.pass_time(ticks * TICK)
        self.check()

    def slot(self) -> None:
        if self.slots < SLOTS:
            self.slots += 1
            self.world.pass_slot()
        self.check()

    def reconnect(self) -> None:
        """Everybody comes again, with other node keys."""
        if self.joined < JOINS:
            self.joined += 1
            self._join()
        self.check()

    def restart(self) -> None:
        """The process is killed and starts on what was durable."""
        if self.lives < LIVES:
            self.lives += 1
            self.world = self.world.restarted()
            self._join()
        self.check()

    # The account.

    def check(self) -> None:
        tip = self.world.node.ledger.tip
        require(tip.height >= self.height, "the chain only grows")
        self.height = tip.height
        for peer in self.world.puppets:
            for one in peer.incoming:
                self._signed(one.message)

    def _signed(self, message: Any) -> None:
        me = self.world.me
        if isinstance(message, wire.BlockVote) and message.member == me:
            self._once(("vote", message.height, message.round, message.step), message.block)
        elif isinstance(message, wire.EpochReport) and message.member == me:
            self._once(("report", message.epoch), message.txids)
        elif isinstance(message, wire.BlockProposal):
            roster = self.world.node.chain.rounds.roster.members
            if message.header.proposer == roster[me or 0].operator_key and message.valid_round == 0:
                self._once(("proposal", message.header.height, message.round), message.header.hash)
        elif isinstance(message, wire.TransactionVote) and message.member == me and message.kind == KINDS[0]:
            spends = {payment(number).txid: payment(number).inputs for number in range(PAYMENTS)}
            for txid in message.entries:
                for outpoint in spends.get(txid, ()):
                    self._once(("lock", message.epoch, outpoint), txid)

    def _once(self, place: tuple[Any, ...], what: Any) -> None:
        require(self.signed.setdefault(place, what) == what, f"one signature for {place[:4]}")


def nearly(value: Any, world: NodeWorld, order: random.Random) -> Any:
    """The fields with places, rosters and members that this node could believe."""
    here = world.node.chain.epoch
    near: dict[str, tuple[Any, ...]] = {
        "epoch": (here, here, here + 1, here - 1), "height": (here, here, here + 1, max(0, here - 1), 2**64 - 1),
        "round": (0, 0, 1, 2), "chain_id": (REGTEST.chain_id,), "roster": (world.genesis.members.hash,),
        "member": (0, 1, 2, 3, 4), "valid_round": (0, 1), "bitmap": (b"\x0e", b"\x0f", b"\x01", b""),
        "start": (0, 1, here, 2**64 - 1), "count": (0, 1, 65_535), "step": (1, 2),
        "txid": (payment(0).txid,), "target": (payment(0).txid, world.node.ledger.tip.hash),
        "hash": (world.node.ledger.tip.hash, NULL_HASH), "previous": (world.node.ledger.tip.hash,),
    }  # fmt: skip
    if isinstance(value, dict):
        if not {"step", "signatures", "proposer"} & value.keys():
            near["round"] = (0,)  # in other records it is a constant
        return {
            key: order.choice(near[key])
            if key in near and not isinstance(sub, (dict, list)) and order.random() < 0.8
            else nearly(sub, world, order)
            for key, sub in value.items()
        }
    if isinstance(value, list):
        return [nearly(item, world, order) for item in value]
    return value


STEPS: tuple[Any, ...] = (
    lambda c, s: c.pay(s.byte(), s.byte()),
    lambda c, s: c.bundle(s.byte(), s.byte(), s.byte(), s.byte()),
    lambda c, s: c.bundle(s.byte(), s.byte(), s.byte(), s.byte(), s.byte(), s.byte()),
    lambda c, s: c.report(s.byte(), s.byte(), s.byte()),
    lambda c, s: c.report(s.byte(), s.byte()),
    lambda c, s: c.vote(s.byte(), s.byte(), s.byte(), s.byte(), s.byte()),
    lambda c, s: c.propose(s.byte(), s.byte(), s.byte()),
    lambda c, s: c.propose(s.byte(), s.byte()),
    lambda c, s: c.anything(s.byte(), s.byte(), s.byte()),
    lambda c, s: c.answer(s.byte(), s.byte()),
    lambda c, s: c.submit(s.byte()),
    lambda c, s: c.wait(s.byte()),
    lambda c, s: c.slot(),
    lambda c, s: c.reconnect(),
    lambda c, s: c.restart(),
    lambda c, s: c.certify(s.byte(), s.byte()),
    lambda c, s: c.decide(s.byte(), s.byte(), s.byte()),
)
STEP_NUMBERS = 32


def play(script: bytes) -> Council:
    """Run the steps that the bytes spell."""
    steps, council = Script(script), Council()
    while not steps.ended:
        step = steps.byte() % STEP_NUMBERS
        if step < len(STEPS):
            STEPS[step](council, steps)
    council.wait(50)
    return council

"""One consensus machine at a time: real keys, virtual time, and a log that is durable when the test says so.

A desk does for a machine what the node does: it executes effects in order, writes
before it sends, and hands a member's own messages back when they are durable. With
`manual` a write waits for `durable()`; what is still waiting is what a crash loses.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

import msgspec

from timed.consensus import effects as fx
from timed.consensus.closing import Closing
from timed.consensus.fastpath import FastPath
from timed.consensus.signing import signed
from timed.crypto.batch import verify_batch
from timed.crypto.keys import SigningKey
from timed.events import NodeEvent
from timed.ledger.regtest import well_known_key
from timed.params import REGTEST, SECOND, NetworkParams
from timed.primitives.certificate import BundleCertificate, BundleSigner, CertificateKind, bitmap_of
from timed.primitives.hashing import tagged_hash
from timed.primitives.roster import Member, Roster
from timed.primitives.transaction import Lock, OutPoint, Output, Transaction
from timed.wire.catalogue import decode_record, encode_record
from timed.wire.message import Message
from timed.wire.messages import EpochReport, TransactionCertified, TransactionFinalized, TransactionVote

START = 1_800_000_000 * SECOND
EPOCH = 7
VOTE = CertificateKind.VOTE
ACKNOWLEDGEMENT = CertificateKind.ACKNOWLEDGEMENT

E = TypeVar("E")


def weighted_roster(weights: Sequence[int]) -> Roster:
    """A roster whose member at each position has that weight; the keys are the well-known ones."""
    keys = sorted(well_known_key("operator", number + 1).public for number in range(len(weights)))
    return Roster(
        tuple(
            Member(operator_key=key, owner_key=key, reward=Lock.key_hash(key), tier=0, weight=weight)
            for key, weight in zip(keys, weights, strict=True)
        )
    )


def keys_of(roster: Roster) -> list[SigningKey]:
    """The operator keys of a roster of well-known members, by position."""
    return [_known_keys()[member.operator_key] for member in roster.members]


@cache
def _known_keys() -> dict[bytes, SigningKey]:
    return {key.public: key for key in (well_known_key("operator", number) for number in range(1, 101))}


def are_good(items: Sequence[tuple[bytes, bytes, bytes]]) -> bool:
    return all(verify_batch(items))


class Desk:
    """Executes effects in their order and remembers what became of them."""

    def __init__(self, weights: Sequence[int], me: int | None, manual: bool) -> None:
        self.roster = weighted_roster(weights)
        self.keys = keys_of(self.roster)
        self.me = me
        self.key = None if me is None else self.keys[me]
        self.manual = manual
        self.now = START
        self.effects = fx.Effects()
        self.log: list[bytes] = []
        """What a crash leaves."""
        self.writes: deque[tuple[tuple[Message, ...], Callable[[], None]]] = deque()
        self.sent: list[Message] = []
        """What left for the voters, oldest first."""
        self.followers: list[Message] = []
        self.told: list[NodeEvent] = []
        self.asked: list[fx.Effect] = []
        self.signatures: list[fx.OwnMessage] = []
        """Everything the machine ever signed, whether or not it left."""

    def settle(self) -> None:
        """Execute effects until there are none."""
        while batch := self.effects.take():
            for effect in batch:
                self.execute(effect)

    def execute(self, effect: fx.Effect) -> None:
        if isinstance(effect, fx.Sign):
            self.signatures.append(effect.message)
            self._write((*effect.records, effect.message), lambda: self._leave(effect.message))
        elif isinstance(effect, fx.Record):
            self._write(effect.records, lambda: [self.execute(one) for one in effect.then])
        elif isinstance(effect, fx.Tell):
            self.told.append(effect.event)
        elif isinstance(effect, fx.ToVoters):
            self.sent.append(effect.message)
        elif isinstance(effect, fx.ToFollowers):
            self.followers.append(self.proof(effect.txid, effect.kind))
        else:
            self.asked.append(effect)

    def durable(self, count: int | None = None) -> None:
        """The oldest `count` writes (all by default) have reached the disk."""
        while self.writes and (count is None or count > 0):
            records, then = self.writes.popleft()
            self.log.extend(encode_record(record) for record in records)
            then()
            self.settle()
            count = None if count is None else count - 1

    def _write(self, records: tuple[Message, ...], then: Callable[[], Any]) -> None:
        self.writes.append((records, then))
        if not self.manual:
            records, then = self.writes.popleft()
            self.log.extend(encode_record(record) for record in records)
            then()

    def _leave(self, message: fx.OwnMessage) -> None:
        self.sent.append(message)
        self.own(message)

    def own(self, message: Any) -> None:
        raise NotImplementedError

    def proof(self, txid: bytes, kind: CertificateKind) -> Message:
        """The certificate that goes to peers that do not vote."""
        raise NotImplementedError

    def records(self) -> list[Message]:
        """The durable log, decoded."""
        return [decode_record(record) for record in self.log]

    def heard(self, kind: type[E]) -> list[E]:
        """Events of one class, in order."""
        return [event for event in self.told if isinstance(event, kind)]

    def wanted(self, kind: type[E]) -> list[E]:
        """What was asked of peers, of one class."""
        return [effect for effect in self.asked if isinstance(effect, kind)]

    def pass_time(self, microseconds: int, *machines: Any) -> None:
        """Wake the machines at their deadlines until so much time has passed."""
        end = self.now + microseconds
        at_once = 0
        while (due := self._deadline(machines)) is not None and due <= end:
            at_once = at_once + 1 if due <= self.now else 0
            if at_once > 10:
                raise AssertionError(f"a deadline of {due} does not go away")
            self.now = max(self.now, due)
            for machine in machines:
                machine.wake(self.now)
            self.settle()
        self.now = end

    def _deadline(self, machines: Sequence[Any]) -> int | None:
        return min(
            (due for machine in machines if (due := machine.next_deadline()) is not None), default=None
        )


class EpochDesk(Desk):
    """A fast path and its closing, with as many coins as a test asks for."""

    def __init__(
        self,
        weights: Sequence[int] = (1, 1, 1, 1),
        me: int | None = 0,
        *,
        manual: bool = False,
        epoch: int = EPOCH,
        params: NetworkParams = REGTEST,
        key: SigningKey | None = None,
        signing: bool = True,
    ) -> None:
        super().__init__(weights, me, manual)
        self.params = params
        self.key = key or self.key
        self.coins: dict[OutPoint, None] = {}
        self.prepared: list[Transaction] = []
        self.path = FastPath(
            params,
            self.key,
            self.coins.__contains__,
            lambda body: body.size,
            self.prepared.append,
            self.effects,
        )
        self.closing = Closing(params, self.key, self.path, self.effects)
        self._ticks = 1_000
        self.begin(epoch, signing=signing)

    def begin(self, epoch: int, *, signing: bool = True) -> None:
        self.path.begin(epoch, self.roster, signing=signing)
        self.closing.begin()

    def own(self, message: Any) -> None:
        if isinstance(message, EpochReport):
            self.closing.own(message, self.now)
        else:
            self.path.own(message, self.now)

    def proof(self, txid: bytes, kind: CertificateKind) -> Message:
        certificate = self.path.tallies[txid].certificate(kind)
        if certificate is None:
            raise AssertionError("told of a certificate that is not held")
        return TransactionCertified(certificate) if kind == VOTE else TransactionFinalized(certificate)

    def restarted(self, **options: Any) -> EpochDesk:
        """The machine of a process that finds this log, before its first tick."""
        weights = [member.weight for member in self.roster.members]
        desk = EpochDesk(weights, self.me, epoch=self.path.epoch, params=self.params, **options)
        desk.coins.update(self.coins)
        desk.now = self.now + SECOND
        for record in self.records():
            if isinstance(record, TransactionVote):
                desk.path.restore_bundle(record, desk.now)
            elif isinstance(record, EpochReport):
                desk.closing.restore(record)
            elif (certificate := getattr(record, "certificate", None)) is not None:
                desk.path.restore_certificate(certificate, desk.now)
            else:
                desk.path.restore_transaction(record.transaction, desk.now)  # type: ignore[attr-defined]
        desk.log = list(self.log)
        desk.path.restored()
        desk.path.resume(desk.now)
        desk.settle()
        return desk

    # Transactions

    def coin(self, number: int = 0) -> OutPoint:
        """An outpoint that is unspent in the last block."""
        outpoint = OutPoint(tagged_hash("test-coin", number.to_bytes(4, "little")), 0)
        self.coins[outpoint] = None
        return outpoint

    def spend(self, *outpoints: OutPoint, note: bytes = b"", **fields: Any) -> Transaction:
        """A transaction over these outpoints; `note` makes another one over the same."""
        return Transaction.make(inputs=outpoints, outputs=(Output(10_000, Lock.key_hash(note)),), **fields)

    def payment(self, number: int = 0, **fields: Any) -> Transaction:
        """A transaction that spends coin `number`."""
        return self.spend(self.coin(number), **fields)

    def child_of(self, parent: Transaction, **fields: Any) -> Transaction:
        return self.spend(OutPoint(parent.txid, 0), **fields)

    def know(self, *transactions: Transaction) -> None:
        for transaction in transactions:
            self.path.transaction(transaction, self.now)
            self.settle()

    # What other members say

    def bundle(self, signer: int, *txids: bytes, kind: int = VOTE, **changes: Any) -> TransactionVote:
        """A signed bundle of `signer`."""
        self._ticks += 1
        unsigned = TransactionVote(
            kind=int(kind),
            chain_id=self.params.chain_id,
            epoch=self.path.epoch,
            roster=self.roster.hash,
            tick=self._ticks,
            member=signer,
            entries=txids,
            signature=bytes(64),
        )
        return signed(msgspec.structs.replace(unsigned, **changes), self.keys[signer])

    def hear(self, bundle: TransactionVote) -> None:
        self.path.bundle(bundle, self.now)
        self.settle()

    def votes(self, txid: bytes, *members: int) -> None:
        """These members' votes arrive."""
        for member in members:
            self.hear(self.bundle(member, txid))

    def acknowledgements(self, txid: bytes, *members: int) -> None:
        for member in members:
            self.hear(self.bundle(member, txid, kind=ACKNOWLEDGEMENT))

    def certificate_of(self, txid: bytes, *members: int, kind: int = VOTE) -> BundleCertificate:
        """A certificate with the signatures of these members, made outside of the machine."""
        bundles = [self.bundle(member, txid, kind=kind) for member in sorted(members)]
        return BundleCertificate(
            kind=int(kind),
            chain_id=self.params.chain_id,
            epoch=self.path.epoch,
            target=txid,
            roster=self.roster.hash,
            bitmap=bitmap_of(members, len(self.roster.members)),
            signers=tuple(
                BundleSigner(signature=one.signature, tick=one.tick, leaf=0, branch=()) for one in bundles
            ),
        )

    def certify(self, certificate: BundleCertificate) -> None:
        self.path.certificate(certificate, self.now)
        self.settle()

    def report(self, signer: int, *txids: bytes, **changes: Any) -> EpochReport:
        """A signed epoch report of `signer`."""
        unsigned = EpochReport(
            chain_id=self.params.chain_id,
            epoch=self.path.epoch,
            roster=self.roster.hash,
            member=signer,
            txids=tuple(sorted(txids)),
            signature=bytes(64),
        )
        return signed(msgspec.structs.replace(unsigned, **changes), self.keys[signer])

    def hear_report(self, report: EpochReport) -> None:
        self.closing.report(report, self.now)
        self.settle()

    def close(self) -> None:
        """Slot time."""
        self.closing.close()
        self.settle()

    # Time

    def wait(self, microseconds: int = SECOND // 100) -> None:
        self.pass_time(microseconds, self.path, self.closing)

    def voted_for(self) -> list[bytes]:
        """Every transaction this member's votes have left for."""
        return [
            txid
            for message in self.sent
            if isinstance(message, TransactionVote) and message.kind == VOTE
            for txid in message.entries
        ]

    def acknowledged(self) -> list[bytes]:
        return [
            txid
            for message in self.sent
            if isinstance(message, TransactionVote) and message.kind == ACKNOWLEDGEMENT
            for txid in message.entries
        ]

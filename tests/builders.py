"""Keys, transactions, rosters, certificates and chains for tests.

Everything is deterministic: the keys are the well-known regtest ones, so two
calls with the same arguments build the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from timed.crypto.keys import SigningKey
from timed.interfaces import BlockCommit, Coin, IStore
from timed.ledger.content import BlockEffects
from timed.ledger.genesis import Genesis
from timed.ledger.ledger import Ledger
from timed.ledger.regtest import builtin_regtest, regtest_roster, well_known_key
from timed.ledger.rules import minimum_fee
from timed.params import REGTEST
from timed.primitives import filters
from timed.primitives.block import Block, ReportReference
from timed.primitives.certificate import PRECOMMIT, BlockCertificate, bitmap_of, block_vote_message
from timed.primitives.hashing import tagged_hash
from timed.primitives.roster import Roster
from timed.primitives.transaction import (
    Lock,
    OutPoint,
    Output,
    Transaction,
    Witness,
    signing_hash,
)
from timed.store.memory import MemoryStore

WALLET = well_known_key("wallet", 1)
"""Owns the allocation of every genesis made here."""

SpentCoin = tuple[OutPoint, Coin]


def wallet_key(number: int) -> SigningKey:
    return well_known_key("wallet", number)


def lock_of(owner: SigningKey | Lock) -> Lock:
    return owner if isinstance(owner, Lock) else Lock.key_hash(owner.public)


def outpoint(number: int = 0, index: int = 0) -> OutPoint:
    """An outpoint that no transaction made."""
    return OutPoint(tagged_hash("test-outpoint", str(number).encode()), index)


def coin(
    value: int = 10**10, owner: SigningKey | Lock = WALLET, height: int = 0, coinbase: bool = False
) -> Coin:
    return Coin(Output(value, lock_of(owner)), height, coinbase)


def genesis(members: int | Sequence[int] = 3, **options: Any) -> Genesis:
    """A regtest genesis with so many members, or with the members of these numbers."""
    numbers = range(1, members + 1) if isinstance(members, int) else members
    return builtin_regtest(tuple(numbers), **options)


def roster(*numbers: int) -> Roster:
    return regtest_roster(numbers or (1, 2, 3))


def operator_keys(of: Roster) -> dict[bytes, SigningKey]:
    """The well-known operator keys of a roster, by public key."""
    keys = (well_known_key("operator", number) for number in range(1, 101))
    known: dict[bytes, SigningKey] = {}
    for key in keys:
        if len(known) == len(of.members):
            break
        if of.index_of(key.public) is not None:
            known[key.public] = key
    return known


def signed(
    transaction: Transaction,
    coins: Sequence[Coin],
    signers: Iterable[SigningKey],
    chain_id: int = REGTEST.chain_id,
) -> Transaction:
    """The transaction with the witnesses of `signers`, sorted as the rules ask."""
    message = signing_hash(chain_id, transaction.txid, [each.output for each in coins])
    witnesses = [Witness(signer.public, signer.sign(message)) for signer in signers]
    return transaction.with_witnesses(tuple(sorted(witnesses, key=lambda witness: witness.public_key)))


def transfer(
    spent: Sequence[SpentCoin],
    amounts: Sequence[int] = (),
    *,
    to: SigningKey | Lock = WALLET,
    signers: Sequence[SigningKey] = (WALLET,),
    fee: int | None = None,
    **fields: Any,
) -> Transaction:
    """A signed transfer of `amounts` to `to`; what is left over the fee goes there, too.

    Without amounts everything goes into one output. `fields` are passed to
    `Transaction.make`.
    """
    coins = [each for _, each in spent]
    total = sum(each.output.value for each in coins)
    lock = lock_of(to)
    paid = sum(amounts)
    if fee is None:
        fee = minimum_fee([Output(total, lock)], REGTEST)
    values = [*amounts, total - paid - fee] if total > paid + fee else list(amounts)
    transaction = Transaction.make(
        inputs=tuple(each for each, _ in spent),
        outputs=tuple(Output(value, lock) for value in values),
        **fields,
    )
    return signed(transaction, coins, signers)


def matches(encoded: bytes, key: bytes, items: Iterable[bytes]) -> bool:
    """Whether a block's filter says "perhaps" for one of these items."""
    count, values = filters._open(encoded)
    return not set(filters._hashes(items, key, count * filters.FALSE_POSITIVE)).isdisjoint(values)


def outputs_of(transaction: Transaction, height: int = 1) -> list[SpentCoin]:
    """The coins a transaction makes."""
    return [
        (OutPoint(transaction.txid, index), Coin(output, height, False))
        for index, output in enumerate(transaction.outputs)
    ]


def report_references(of: Roster, members: Iterable[int] | None = None) -> tuple[ReportReference, ...]:
    """References to made-up reports of these members, everybody by default."""
    chosen = range(len(of.members)) if members is None else members
    return tuple(ReportReference(member, tagged_hash("test-report", bytes((member,)))) for member in chosen)


def block_certificate(
    of: Roster,
    height: int,
    block_hash: bytes,
    *,
    round: int = 0,  # noqa: A002 (the field's name)
    signers: Iterable[int] | None = None,
    chain_id: int = REGTEST.chain_id,
) -> BlockCertificate:
    """A certificate with real signatures of the members at these positions, everybody by default."""
    chosen = tuple(range(len(of.members)) if signers is None else signers)
    keys = operator_keys(of)
    message = block_vote_message(chain_id, height, round, PRECOMMIT, of.hash, block_hash)
    return BlockCertificate(
        chain_id=chain_id,
        height=height,
        round=round,
        target=block_hash,
        roster=of.hash,
        bitmap=bitmap_of(chosen, len(of.members)),
        signatures=tuple(keys[of.members[index].operator_key].sign(message) for index in chosen),
    )


class ChainBuilder:
    """A chain that grows by certified blocks, through the production ledger."""

    def __init__(self, start: Genesis | None = None, store: IStore | None = None) -> None:
        self.genesis = genesis() if start is None else start
        self.store: IStore = MemoryStore() if store is None else store
        if self.store.tip() is None:
            self.store.commit(self.genesis.commit())
        self.ledger = Ledger(self.store, self.genesis)

    @property
    def height(self) -> int:
        return self.ledger.tip.height

    def allocation(self, index: int = 0) -> SpentCoin:
        """One coin of the genesis allocation, spendable by WALLET."""
        return self.genesis.created()[index]

    def draft(self, transactions: Sequence[Transaction] = (), **fields: Any) -> dict[str, Any]:
        """The arguments of `make_block` for the next block."""
        tip = self.ledger.tip
        roster = self.ledger.roster(tip.height + 1)
        arguments: dict[str, Any] = {
            "time": tip.header.time + self.genesis.interval,
            "round": 0,
            "proposer": roster.members[0].operator_key,
            "transactions": tuple(transactions),
            "reports": report_references(roster),
            "parent_certificate": tip.certificate,
            "evidence": (),
        }
        arguments.update(fields)
        return arguments

    def make(self, transactions: Sequence[Transaction] = (), **fields: Any) -> tuple[Block, BlockEffects]:
        """The next block, not yet certified."""
        return self.ledger.make_block(**self.draft(transactions, **fields))

    def certify(self, block: Block, **fields: Any) -> BlockCertificate:
        """A certificate for `block` by its own roster."""
        height = block.header.height
        return block_certificate(self.ledger.roster(height), height, block.hash, **fields)

    def extend(self, transactions: Sequence[Transaction] = (), **fields: Any) -> BlockCommit:
        """Make, check, certify, store and adopt the next block."""
        block, _ = self.make(transactions, **fields)
        effects = self.ledger.evaluate(Block.decode(block.encode()))
        commit = effects.commit(self.certify(block))
        self.store.commit(commit)
        self.ledger.advance(commit)
        return commit

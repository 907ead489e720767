"""The beginning of a chain: its parameters, its first coins and its first roster.

Everything here is committed to by block 0, so two nodes with different genesis
files have different genesis hashes and never talk.
"""

from __future__ import annotations

from functools import cached_property

import attrs

from timed.codec.declare import minimum_size
from timed.errors import ConfigError, InvalidTransaction
from timed.interfaces import BlockCommit, Coin
from timed.ledger.content import coinbase_transaction, coins_of
from timed.ledger.digest import MAX_SHARD_BITS, apply_digests, empty_digests, utxo_root
from timed.ledger.filters import block_filter
from timed.params import MAX_MONEY, MAX_ROSTER, NULL_HASH, NetworkParams
from timed.primitives import layouts
from timed.primitives.block import (
    BLOCK_VERSION,
    Block,
    BlockHeader,
    attendance_root,
    evidence_root,
    tx_root,
)
from timed.primitives.certificate import BlockCertificate
from timed.primitives.filters import filter_root
from timed.primitives.hashing import tagged_hash
from timed.primitives.roster import PROFILES, Roster, weights_for
from timed.primitives.transaction import Lock, OutPoint, Output, Transaction, TransactionKind

ROSTER_DELAY = 2
"""A roster change takes effect this many blocks after the block that carries it `[7]`."""

MAX_ALLOCATION = MAX_MONEY // 2
"""Leaves room for the rewards of 38 million blocks, even with the largest roster."""

_COMMITTED_PARAMETERS = (
    "name", "chain_id", "max_transaction_bytes", "max_inputs", "max_outputs", "dust", "minimum_fee",
    "maximum_fee_floor", "fee_divisor", "max_block_bytes", "max_block_transactions",
)  # fmt: skip


@attrs.frozen(slots=False)
class Genesis:
    """What a network starts from; ConfigError when it could not start.

    `time` is unix seconds, `interval` seconds, allocation values are units.
    `roster_changes` lists (height of the block that carries the change, roster);
    only regtest may have them, to exercise what registrations will do.
    """

    params: NetworkParams
    time: int
    interval: int
    profile: str
    shard_bits: int
    allocation: tuple[tuple[Lock, int], ...]
    members: Roster
    roster_changes: tuple[tuple[int, Roster], ...] = ()

    def __attrs_post_init__(self) -> None:
        _check_parameters(self)
        _check_allocation(self)
        _check_rosters(self)

    @cached_property
    def hash(self) -> bytes:
        """The hash of block 0, which names the chain."""
        return self.block().hash

    def roster_at(self, height: int) -> Roster:
        """The roster whose members vote on the block at `height` `[7]`."""
        current = self.members
        for carried_by, roster in self.roster_changes:
            if carried_by + ROSTER_DELAY > height:
                break
            current = roster
        return current

    def parameters_hash(self) -> bytes:
        """What the payload of block 0 commits to beyond its allocation and first rosters."""
        lines = [f"{name}={getattr(self.params, name)}" for name in _COMMITTED_PARAMETERS]
        lines += [f"interval={self.interval}", f"profile={self.profile}", f"shard_bits={self.shard_bits}"]
        lines += [f"roster@{height}={roster.hash.hex()}" for height, roster in self.roster_changes]
        return tagged_hash("genesis", "\n".join(lines).encode())

    @cached_property
    def _coinbase(self) -> Transaction:
        return Transaction.make(
            kind=TransactionKind.COINBASE,
            inputs=(),
            outputs=tuple(Output(value=value, lock=lock) for lock, value in self.allocation),
            payload=self.parameters_hash(),
        )

    def created(self) -> tuple[tuple[OutPoint, Coin], ...]:
        """The coins of the allocation."""
        return coins_of(self._coinbase, 0)

    @cached_property
    def digests(self) -> tuple[bytes, ...]:
        """The set digest states after block 0."""
        return apply_digests(empty_digests(self.shard_bits), self.created(), ())

    def block(self) -> Block:
        """Block 0: no parent, no attendance, no certificate."""
        transactions = (self._coinbase,)
        root = tx_root(transactions)
        header = BlockHeader(
            version=BLOCK_VERSION,
            chain_id=self.params.chain_id,
            height=0,
            time=self.time,
            previous=NULL_HASH,
            tx_root=root,
            utxo_root=utxo_root(self.digests),
            filter_root=filter_root(block_filter(root, transactions, ())),
            roster=self.roster_at(0).hash,
            next_roster=self.roster_at(1).hash,
            attendance_root=attendance_root(b""),
            evidence_root=evidence_root(()),
            reward=sum(value for _, value in self.allocation),
            proposer=NULL_HASH,
            round=0,
        )
        return Block(
            header=header,
            transactions=transactions,
            attendance=b"",
            evidence=(),
            parent_certificate=None,
            reports=(),
        )

    def commit(self) -> BlockCommit:
        """What an empty store is given before anything else."""
        block = self.block()
        return BlockCommit(
            height=0,
            block_hash=block.hash,
            block=block.encode(),
            certificate=b"",
            txids=(self._coinbase.txid,),
            created=self.created(),
            spent=(),
            digests=self.digests,
        )


def _check_parameters(genesis: Genesis) -> None:
    params = genesis.params
    if genesis.profile not in PROFILES:
        raise ConfigError(
            f"genesis: there is no weight profile {genesis.profile!r}.", f"Use one of: {', '.join(PROFILES)}."
        )
    if genesis.profile == "equal" and not params.equal_weight_allowed:
        raise ConfigError(
            f"genesis: {params.name} does not allow the weight profile 'equal'.", "Use 'collateral'."
        )
    if genesis.interval < params.minimum_interval_s:
        raise ConfigError(
            f"genesis: an interval of {genesis.interval} s is too short for {params.name}.",
            f"It must be at least {params.minimum_interval_s} s.",
        )
    if not 0 <= genesis.shard_bits <= MAX_SHARD_BITS:
        raise ConfigError(f"genesis: shard_bits must be 0 to {MAX_SHARD_BITS}.")
    if not 0 <= genesis.time < 2**40:
        raise ConfigError("genesis: time must be unix seconds.")


def _check_allocation(genesis: Genesis) -> None:
    count = len(genesis.allocation)
    if count > layouts.MAX_OUTPUTS:
        raise ConfigError(
            f"genesis: the allocation has {count} coins, block 0 has room for {layouts.MAX_OUTPUTS}.",
            "Name fewer coins of larger values.",
        )
    for number, (lock, value) in enumerate(genesis.allocation, 1):
        try:
            lock.check_form()
        except InvalidTransaction as error:
            raise ConfigError(f"genesis: allocation {number} has an invalid lock ({error}).") from None
        if value < genesis.params.dust:
            raise ConfigError(f"genesis: allocation {number} is below the dust limit.")
    if sum(value for _, value in genesis.allocation) > MAX_ALLOCATION:
        raise ConfigError(f"genesis: the allocation exceeds {MAX_ALLOCATION} units.")


def _check_rosters(genesis: Genesis) -> None:
    if genesis.roster_changes and genesis.params.name != "regtest":
        raise ConfigError("genesis: roster_changes are for regtest only.")
    heights = [height for height, _ in genesis.roster_changes]
    if any(height < 0 for height in heights) or heights != sorted(set(heights)):
        raise ConfigError("genesis: roster_changes must have ascending heights.")
    for roster in (genesis.members, *(roster for _, roster in genesis.roster_changes)):
        members = roster.members
        if [member.weight for member in members] != weights_for(genesis.profile, [m.tier for m in members]):
            raise ConfigError(
                f"genesis: a roster does not have the weights of the profile {genesis.profile!r}.",
                "Weight follows from the profile and the members' tiers.",
            )
        if roster.total_weight == 0:
            raise ConfigError(
                "genesis: a roster has no voting weight.", "Name at least one member with weight."
            )
        _check_room(genesis.params, roster)


def _check_room(params: NetworkParams, roster: Roster) -> None:
    """Whatever is certified in an epoch, the block holds it beside what the roster takes, and messages hold all."""
    if len(roster.members) > MAX_ROSTER:
        raise ConfigError(
            f"genesis: a roster has {len(roster.members)} members.", f"Messages have room for {MAX_ROSTER}."
        )
    if 2 * params.epoch_bytes + roster_bytes(roster) > params.max_block_bytes:
        raise ConfigError(
            "genesis: the rewards of a roster leave too little of a block.",
            "Name fewer members, or rewards with shorter locks.",
        )


def roster_bytes(roster: Roster) -> int:
    """The most a block holds beside its transactions: the coinbase, a certificate and a report of every member."""
    count = len(roster.members)
    coinbase = coinbase_transaction(0, [Output(value=0, lock=member.reward) for member in roster.members])
    certificate = BlockCertificate(
        chain_id=0, height=0, round=0, target=NULL_HASH, roster=NULL_HASH,
        bitmap=bytes((count + 7) // 8), signatures=(bytes(64),) * count,
    )  # fmt: skip
    references = count * minimum_size(layouts.REPORT_REFERENCE)
    return (
        minimum_size(layouts.BLOCK) + coinbase.size + certificate.size + len(certificate.bitmap) + references
    )

"""A long chain in the data directory of a network's only member, for somebody else to catch up with."""

from __future__ import annotations

import time
from collections.abc import Sequence

import attrs

from timed.app.datadir import CHAIN, OPERATOR_KEY
from timed.app.genesis_file import read_genesis, write_genesis
from timed.crypto.keys import SigningKey, load_key_file
from timed.errors import LocalError
from timed.interfaces import IStore
from timed.ledger.genesis import Genesis
from timed.ledger.ledger import Ledger
from timed.primitives.block import Block, ReportReference
from timed.primitives.certificate import PRECOMMIT, BlockCertificate, bitmap_of, block_vote_message
from timed.primitives.hashing import tagged_hash
from timed.primitives.transaction import Transaction
from timed.store.lmdb import LmdbBackend
from timed.testnet.layout import Plan

REPORT = tagged_hash("bench-report")
"""What the blocks refer to: who catches up has no reports and is not asked for them."""


def backdate(plan: Plan, blocks: int) -> Genesis:
    """Write the genesis again, old enough for so many blocks to lie in the past."""
    path = plan.directory / "genesis.json"
    genesis = read_genesis(path)
    now = int(time.time()) // plan.interval * plan.interval
    older = attrs.evolve(genesis, time=now - (blocks + 1) * plan.interval)
    write_genesis(path, older)
    return older


def grow(plan: Plan, genesis: Genesis, blocks: int, payments: Sequence[Transaction] = ()) -> None:
    """Fill the store of the only member with certified blocks, its payments spread over them."""
    if len(plan.members) != 1:
        raise LocalError("only a network of one member can be given blocks: they need no other signature.")
    (node,) = plan.members
    operator = load_key_file(str(node.datadir / OPERATOR_KEY))
    store = LmdbBackend().open(str(node.datadir / CHAIN), genesis.params.name, genesis.hash)
    try:
        store.commit(genesis.commit())
        extend(store, genesis, operator, blocks, payments)
    finally:
        store.close()


def extend(
    store: IStore, genesis: Genesis, operator: SigningKey, blocks: int, payments: Sequence[Transaction]
) -> None:
    """Make, check, certify and store `blocks` blocks on top of the store's tip."""
    ledger = Ledger(store, genesis)
    for number in range(blocks):
        first, last = (len(payments) * each // blocks for each in (number, number + 1))
        tip = ledger.tip
        block, _ = ledger.make_block(
            time=tip.header.time + genesis.interval,
            round=0,
            proposer=operator.public,
            transactions=payments[first:last],
            reports=(ReportReference(0, REPORT),),
            parent_certificate=tip.certificate,
        )
        effects = ledger.evaluate(Block.decode(block.encode()))
        commit = effects.commit(certify(genesis, ledger, block, operator))
        store.commit(commit)
        ledger.advance(commit)


def certify(genesis: Genesis, ledger: Ledger, block: Block, operator: SigningKey) -> BlockCertificate:
    """The certificate of a roster that is `operator` alone."""
    height, chain_id = block.header.height, genesis.params.chain_id
    roster = ledger.roster(height).hash
    vote = block_vote_message(chain_id, height, block.header.round, PRECOMMIT, roster, block.hash)
    return BlockCertificate(
        chain_id=chain_id,
        height=height,
        round=block.header.round,
        target=block.hash,
        roster=roster,
        bitmap=bitmap_of((0,), 1),
        signatures=(operator.sign(vote),),
    )

"""What a network starts from."""

from __future__ import annotations

from typing import Any

import attrs
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.builders import genesis, lock_of, roster, wallet_key
from timed.errors import ConfigError
from timed.ledger.genesis import Genesis
from timed.ledger.regtest import (
    ALLOCATION_COINS,
    ALLOCATION_VALUE,
    builtin_regtest,
    well_known_key,
    well_known_seed,
)
from timed.params import MAINNET, MAX_MONEY, REGTEST, TESTNET
from timed.primitives.block import Block
from timed.primitives.layouts import MAX_OUTPUTS
from timed.primitives.roster import Member, Roster, Tier, weights_for
from timed.primitives.transaction import COINBASE, Lock

BUILTIN = builtin_regtest()


def collateral_roster(*tiers: Tier) -> Roster:
    """Members with these tiers and the weights the profile gives them."""
    keys = [wallet_key(number).public for number in range(1, len(tiers) + 1)]
    members = [
        Member(key, key, lock_of(wallet_key(1)), tier, weight)
        for key, tier, weight in zip(keys, tiers, weights_for("collateral", tiers), strict=True)
    ]
    return Roster(tuple(sorted(members, key=lambda member: member.operator_key)))


class BlockZeroTests(SynchronousTestCase):
    def test_it_is_the_allocation_and_nothing_else(self) -> None:
        block = BUILTIN.block()
        self.assertEqual(Block.decode(block.encode()), block)
        self.assertEqual((block.header.height, block.header.time), (0, BUILTIN.time))
        self.assertEqual([transaction.kind for transaction in block.transactions], [COINBASE])
        outputs = [(output.lock, output.value) for output in block.transactions[0].outputs]
        self.assertEqual(tuple(outputs), BUILTIN.allocation)
        self.assertEqual(block.header.reward, ALLOCATION_COINS * ALLOCATION_VALUE)

    def test_everything_that_decides_the_chain_changes_its_hash(self) -> None:
        """[7] Two nodes with different parameters are on different chains from the start."""
        variants: dict[str, dict[str, Any]] = {
            "params": {"params": attrs.evolve(BUILTIN.params, dust=2_000)},
            "time": {"time": BUILTIN.time + 5},
            "interval": {"interval": 10},
            "profile": {"profile": "collateral", "members": collateral_roster(Tier.BRONZE)},
            "shard_bits": {"shard_bits": 1},
            "allocation": {"allocation": BUILTIN.allocation[1:]},
            "members": {"members": roster(1, 2, 3, 4)},
            "roster_changes": {"roster_changes": ((3, roster(1, 2, 3, 4)),)},
        }
        self.assertEqual(list(variants), [field.name for field in attrs.fields(Genesis)])
        hashes = {attrs.evolve(BUILTIN, **changes).hash for changes in variants.values()}
        self.assertEqual(len(hashes | {BUILTIN.hash}), len(variants) + 1)

    def test_the_profile_alone_changes_the_hash(self) -> None:
        """[8] Equal weights today may differ after the first change of the roster."""
        members = Roster(tuple(replace(member, tier=Tier.BRONZE) for member in BUILTIN.members.members))
        pair = [
            attrs.evolve(BUILTIN, profile=profile, members=members) for profile in ("equal", "collateral")
        ]
        self.assertEqual(pair[0].members, pair[1].members)
        self.assertNotEqual(pair[0].hash, pair[1].hash)

    def test_ports_and_other_local_matters_do_not(self) -> None:
        elsewhere = attrs.evolve(BUILTIN, params=attrs.evolve(BUILTIN.params, direct_mesh=9))
        self.assertEqual(elsewhere.hash, BUILTIN.hash)

    def test_the_commit_is_the_block(self) -> None:
        commit = BUILTIN.commit()
        self.assertEqual((commit.block, commit.block_hash), (BUILTIN.block().encode(), BUILTIN.hash))
        self.assertEqual((commit.certificate, commit.spent), (b"", ()))
        self.assertEqual(sum(coin.output.value for _, coin in commit.created), BUILTIN.block().header.reward)
        self.assertTrue(all(coin.coinbase and coin.height == 0 for _, coin in commit.created))


class BuiltinTests(SynchronousTestCase):
    def test_it_never_changes(self) -> None:
        """Every node that is started without a genesis file is on this chain."""
        self.assertEqual(
            BUILTIN.hash.hex(), "c675f3db67ab36ba988d943b9d73848416a32a402eac7c21f8a675b722a65cb0"
        )

    def test_members_one_to_three_have_well_known_keys(self) -> None:
        for number in (1, 2, 3):
            index = BUILTIN.members.index_of(well_known_key("operator", number).public)
            self.assertIsNotNone(index)
            member = BUILTIN.members.members[index or 0]
            self.assertEqual(member.network_address, f"127.0.0.1:{6999 + number}".encode())
        self.assertEqual(BUILTIN.members.total_weight, 3)

    def test_roles_and_numbers_have_different_seeds(self) -> None:
        seeds = {
            well_known_seed(role, n) for role in ("node", "operator", "owner", "wallet") for n in (1, 2, 11)
        }
        self.assertEqual(len(seeds), 12)


class RefusalTests(SynchronousTestCase):
    """A genesis that could not start says so when it is made."""

    def assert_refused(self, words: str, **changes: Any) -> None:
        error = self.assertRaises(ConfigError, attrs.evolve, BUILTIN, **changes)
        self.assertIn(words, error.message)
        self.assertTrue(error.message.startswith("genesis: "), error.message)

    def test_equal_weights_on_mainnet(self) -> None:
        """[8] Mainnet refuses `equal`."""
        self.assert_refused("does not allow the weight profile 'equal'", params=MAINNET, interval=600)
        attrs.evolve(BUILTIN, params=TESTNET, interval=600)
        self.assertEqual(
            attrs.evolve(
                BUILTIN,
                params=MAINNET,
                interval=600,
                profile="collateral",
                members=collateral_roster(Tier.GOLD),
            ).params.name,
            "mainnet",
        )

    def test_a_profile_there_is_not(self) -> None:
        self.assert_refused("no weight profile 'stake'", profile="stake")

    def test_weights_that_the_profile_does_not_give(self) -> None:
        """[8] Weight follows from the profile and the tiers, not from the file."""
        members = tuple(replace(member, weight=2) for member in BUILTIN.members.members)
        self.assert_refused("does not have the weights", members=Roster(members))

    def test_a_roster_without_weight(self) -> None:
        self.assert_refused("no voting weight", members=Roster(()))
        self.assert_refused("no voting weight", profile="collateral", members=collateral_roster(Tier.FREE))

    def test_an_interval_that_is_too_short(self) -> None:
        self.assert_refused("too short", params=TESTNET, interval=599)
        self.assert_refused("too short", interval=0)

    def test_an_allocation_nobody_can_spend(self) -> None:
        lock = BUILTIN.allocation[0][0]
        self.assert_refused("allocation 1 has an invalid lock", allocation=((Lock(9, b""), 10**8),))
        dust = BUILTIN.params.dust
        self.assert_refused("allocation 2 is below the dust", allocation=((lock, dust), (lock, dust - 1)))
        attrs.evolve(BUILTIN, allocation=((lock, dust),))

    def test_an_allocation_of_more_coins_than_block_0_has_room_for(self) -> None:
        """They are the outputs of one transaction."""
        coin = (BUILTIN.allocation[0][0], REGTEST.dust)
        full = attrs.evolve(BUILTIN, allocation=(coin,) * MAX_OUTPUTS)
        self.assertEqual(len(full.created()), MAX_OUTPUTS)
        self.assert_refused(
            "has 65536 coins, block 0 has room for 65535", allocation=(coin,) * (MAX_OUTPUTS + 1)
        )

    def test_an_allocation_of_all_money(self) -> None:
        """[1] Rewards must find room above it."""
        lock = BUILTIN.allocation[0][0]
        self.assert_refused("exceeds", allocation=((lock, MAX_MONEY // 2), (lock, 10**8)))
        attrs.evolve(BUILTIN, allocation=((lock, MAX_MONEY // 2 - 10**8), (lock, 10**8)))

    def test_more_shards_than_there_may_be(self) -> None:
        self.assert_refused("shard_bits", shard_bits=9)
        self.assert_refused("shard_bits", shard_bits=-1)

    def test_a_time_that_is_none(self) -> None:
        for time in (-1, 2**40):
            self.assert_refused("unix seconds", time=time)
        for time in (0, 2**40 - 1):
            attrs.evolve(BUILTIN, time=time)

    def test_roster_changes_out_of_order_or_off_regtest(self) -> None:
        later = roster(1, 2)
        self.assert_refused("ascending", roster_changes=((3, later), (3, later)))
        self.assert_refused("ascending", roster_changes=((3, later), (2, later)))
        self.assert_refused("ascending", roster_changes=((-1, later), (2, later)))
        self.assert_refused("regtest only", params=TESTNET, interval=600, roster_changes=((3, later),))


class SizeTests(SynchronousTestCase):
    def test_networks_of_any_size_can_be_built_in(self) -> None:
        self.assertEqual([len(genesis(count).members.members) for count in (1, 4, 10)], [1, 4, 10])

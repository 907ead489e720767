"""What differs between networks, and the bounds that belong to the protocol.

Values that a genesis file may choose (interval, weight profile, roster) are in
`timed.ledger.genesis`; what stands here is compiled in.
"""

from __future__ import annotations

import attrs

from timed.ports import P2P_PORTS, RPC_PORT_OFFSET, check_network

UNITS_PER_TIME = 100_000_000
"""Smallest units in one TIME (protocol §1)."""

MAX_MONEY = 2**63 - 1
"""No sum of amounts may exceed this; it keeps every total inside a u64."""

SECOND = 1_000_000
"""Microseconds in a second: `now` is always an integer of microseconds."""

HASH_SIZE = 32
NULL_HASH = bytes(HASH_SIZE)

MAX_ROSTER = 1_700
"""Members of a roster. With more, a proposal of a full block, a vote certificate or the roster itself
might not fit into its message."""

WIRE_VERSION = 2
"""The newest wire version this code speaks."""
WIRE_VERSION_MIN = 1
"""The oldest one: a session uses the newest that both sides have."""
STORE_SCHEMA = 1


@attrs.frozen
class NetworkParams:
    """The constants of one network."""

    name: str
    chain: str
    """The name RPC shows, in Bitcoin's manner."""
    chain_id: int
    magic: bytes
    address_prefix: str
    address_byte: int
    p2p_port: int
    default_interval_s: int
    minimum_interval_s: int
    equal_weight_allowed: bool
    plain_allowed: bool
    """Plain TCP, the JSON encoding, and links without batching or priorities: on regtest only."""
    group_diversity: bool
    """One outbound session per /16; off where everybody is on loopback."""

    max_transaction_bytes: int = 100_000
    max_inputs: int = 256
    max_outputs: int = 256
    dust: int = 1_000
    minimum_fee: int = 100_000
    maximum_fee_floor: int = UNITS_PER_TIME
    fee_divisor: int = 1_000
    max_block_bytes: int = 4 * 1024 * 1024
    epoch_bytes: int = 2 * 1024 * 1024 - 128 * 1024
    """Bytes of transactions one member votes for in one epoch.

    With at most a third of the weight lying, honest votes stand behind at least
    half of every quorum, so twice this much can be certified at the most, and
    that still fits into one block.
    """
    epoch_transactions: int = 8_000
    """Transactions one member votes for in one epoch; twice this fits a block's count."""
    max_block_transactions: int = 16_001
    direct_mesh: int = 64
    trusting_period_s: int = 14 * 24 * 3600

    @property
    def rpc_port(self) -> int:
        return self.p2p_port + RPC_PORT_OFFSET


MAINNET = NetworkParams(
    name="mainnet", chain="main", chain_id=1, magic=b"\xc0\x1d\x7e\x4d",
    address_prefix="TIME1", address_byte=0x01, p2p_port=P2P_PORTS["mainnet"],
    default_interval_s=600, minimum_interval_s=600,
    equal_weight_allowed=False, plain_allowed=False, group_diversity=True,
)  # fmt: skip
TESTNET = NetworkParams(
    name="testnet", chain="test", chain_id=2, magic=b"\x54\x1d\x7e\x4d",
    address_prefix="TIME0", address_byte=0x00, p2p_port=P2P_PORTS["testnet"],
    default_interval_s=600, minimum_interval_s=600,
    equal_weight_allowed=True, plain_allowed=False, group_diversity=True,
)  # fmt: skip
REGTEST = NetworkParams(
    name="regtest", chain="regtest", chain_id=3, magic=b"\x52\x1d\x7e\x4d",
    address_prefix="TIMER", address_byte=0x52, p2p_port=P2P_PORTS["regtest"],
    default_interval_s=5, minimum_interval_s=1,
    equal_weight_allowed=True, plain_allowed=True, group_diversity=False,
)  # fmt: skip

BUILTIN_MEMBERS = (1, 2, 3)
"""The members of regtest's own genesis; number n listens on regtest's p2p_port + n - 1."""

PURE_PYTHON = "reference"
"""The signature backend without compiled code: right, hundreds of times slower, and for regtest."""

NETWORKS = {params.name: params for params in (MAINNET, TESTNET, REGTEST)}


def network(name: str) -> NetworkParams:
    """The network called `name`; ConfigError names the ones there are."""
    check_network(name)
    return NETWORKS[name]

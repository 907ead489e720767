"""Addresses: one text per key hash and network."""

from __future__ import annotations

from hashlib import sha256

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from timed.params import MAINNET, NETWORKS, REGTEST, TESTNET
from timed.primitives.address import (
    ALPHABET,
    InvalidAddress,
    base58_decode,
    base58_encode,
    decode_address,
    encode_address,
    key_hash,
)
from timed.primitives.transaction import Lock

hashes = st.binary(min_size=20, max_size=20)
networks = st.sampled_from(sorted(NETWORKS)).map(NETWORKS.__getitem__)


class Addresses(SynchronousTestCase):
    """Encoding, decoding and every refusal."""

    @settings(deadline=None, max_examples=100)
    @given(networks, hashes)
    def test_round_trip(self, params, owner):  # type: ignore[no-untyped-def]
        """Hash and lock give the same address; it gives the lock back."""
        text = encode_address(params, owner)
        lock = decode_address(params, text)
        self.assertEqual((lock.kind, lock.data), (1, owner))
        self.assertEqual(encode_address(params, lock), text)
        self.assertTrue(text.startswith(params.address_prefix))
        self.assertLessEqual(len(text), 38)

    def test_construction(self) -> None:
        """Payload and checksum as the protocol words it, computed independently."""
        public = bytes(range(32))
        payload = sha256(public).digest()[:20]
        for params, digit in ((MAINNET, "1"), (TESTNET, "0"), (REGTEST, "R")):
            check = sha256(sha256(bytes([params.address_byte]) + payload).digest()).digest()[:4]
            self.assertEqual(
                encode_address(params, key_hash(public)), f"TIME{digit}" + base58_encode(payload + check)
            )

    def test_known_addresses(self) -> None:
        """Vectors: the key hash of thirty-two zero bytes, and twenty zero bytes."""
        self.assertEqual(encode_address(MAINNET, bytes(20)), "TIME111111111111111111111vVUmk")
        self.assertEqual(
            {params.name: encode_address(params, key_hash(bytes(32))) for params in NETWORKS.values()},
            {
                "mainnet": "TIME1ALV5un95LMpvKTsG8bkiB8S8WCbdcH139",
                "testnet": "TIME0ALV5un95LMpvKTsG8bkiB8S8WCbcH5f5D",
                "regtest": "TIMERALV5un95LMpvKTsG8bkiB8S8WCba6mNom",
            },
        )

    def assert_refused(self, rule: str, text: str, params=MAINNET) -> None:  # type: ignore[no-untyped-def]
        """`text` is refused with `rule`."""
        with self.assertRaises(InvalidAddress, msg=text) as caught:
            decode_address(params, text)
        self.assertEqual(caught.exception.rule, rule, text)
        self.assertIsInstance(caught.exception, ValueError)

    def test_address_of_another_network(self) -> None:
        """The prefix tells, and the checksum binds the network should the prefix be exchanged."""
        text = encode_address(TESTNET, bytes(range(20)))
        self.assert_refused("address-network", text)
        self.assert_refused("address-checksum", "TIME1" + text[5:])

    @settings(deadline=None, max_examples=100)
    @given(hashes, st.integers(5, 36), st.sampled_from(ALPHABET))
    def test_a_wrong_character_is_found(self, owner: bytes, place: int, character: str) -> None:
        """One character exchanged for another: never another lock."""
        text = encode_address(MAINNET, owner)
        if place < len(text) and text[place] != character:
            with self.assertRaises(InvalidAddress):
                decode_address(MAINNET, text[:place] + character + text[place + 1 :])

    def test_malformed_texts(self) -> None:
        """No prefix, foreign characters, too short, too long, cut, lengthened."""
        text = encode_address(MAINNET, bytes(range(20)))
        self.assert_refused("address-prefix", "")
        self.assert_refused("address-prefix", text[5:])
        self.assert_refused("address-prefix", text.lower())
        for character in "0OIl \u00e9\n":
            self.assert_refused("address-character", text[:-1] + character)
        self.assert_refused("address-length", "TIME1")
        self.assert_refused("address-length", text[:-2])
        self.assert_refused("address-length", "TIME11" + text[5:])
        self.assert_refused("address-length", text + "1" * 1_000_000)

    def test_locks_without_an_address(self) -> None:
        """Locks of several keys and hashes of another length have none."""
        for owner in (Lock.multisig(1, [bytes(20)]), Lock(1, bytes(19)), bytes(32)):
            with self.assertRaises(InvalidAddress) as caught:
                encode_address(MAINNET, owner)
            self.assertEqual(caught.exception.rule, "address-lock")


class Base58(SynchronousTestCase):
    """Bitcoin's alphabet, big endian, a `1` for every leading zero byte."""

    @settings(deadline=None, max_examples=100)
    @given(st.binary(max_size=40))
    def test_round_trip(self, data: bytes) -> None:
        """Every byte string comes back, leading zeros included."""
        self.assertEqual(base58_decode(base58_encode(data)), data)

    def test_known_values(self) -> None:
        """Vectors from the Internet draft on base58."""
        self.assertEqual(base58_encode(b"Hello World!"), "2NEpo7TZRRrLZSi2U")
        self.assertEqual(base58_encode(bytes.fromhex("0000287fb4cd")), "11233QC4")

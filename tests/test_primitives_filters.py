"""Compact filters: BIP 158's construction, and SipHash beneath it."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.builders import matches
from timed.errors import DecodeError
from timed.primitives.filters import build, check_filter, filter_key
from timed.primitives.siphash import siphash, siphash_reference

KEY = bytes(range(16))
TESTNET_GENESIS_SCRIPT = bytes.fromhex(
    "4104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb6"
    "49f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac"
)
TESTNET_GENESIS_HASH = bytes.fromhex("43497fd7f826957108f4a30fd9cec3aeba79972084e90ead01ea330900000000")


class Filters(SynchronousTestCase):
    """Golomb-coded sets."""

    def test_bitcoin_vector(self) -> None:
        """BIP 158's testnet-19.json, block 0: filter 019dfca8, but for the width of the count."""
        encoded = build([TESTNET_GENESIS_SCRIPT], filter_key(TESTNET_GENESIS_HASH))
        self.assertEqual(encoded.hex(), "01000000" + "9dfca8")

    @settings(deadline=None, max_examples=50)
    @given(st.lists(st.binary(max_size=30), max_size=60), st.binary(min_size=16, max_size=16))
    def test_every_item_matches(self, items: list[bytes], key: bytes) -> None:
        """No false negatives, one by one and together; duplicates and order make no difference."""
        encoded = build(items, key)
        self.assertEqual(encoded, build(list(reversed(items)) + items, key))
        self.assertEqual(check_filter(encoded), len(set(items)))
        for item in items:
            self.assertTrue(matches(encoded, key, [b"elsewhere", item]))

    def test_foreign_items_hardly_ever_match(self) -> None:
        """Of 20,000 foreign items at most one matches (expected: one in 784,931)."""
        rng = random.Random(158)
        encoded = build([rng.randbytes(25) for _ in range(200)], KEY)
        hits = sum(matches(encoded, KEY, [rng.randbytes(24)]) for _ in range(300))
        together = matches(encoded, KEY, [rng.randbytes(24) for _ in range(2_000)])
        self.assertLessEqual(hits + together, 1)

    def test_empty_filters(self) -> None:
        """A filter of nothing matches nothing; nothing matches no filter."""
        self.assertEqual(build([], KEY), bytes(4))
        self.assertFalse(matches(bytes(4), KEY, [b"x"]))
        self.assertFalse(matches(build([b"x"], KEY), KEY, []))

    def test_size_per_item(self) -> None:
        """About 21 bits an item, as BIP 158 says."""
        encoded = build([number.to_bytes(20, "big") for number in range(1_000)], KEY)
        self.assertTrue(20.5 < 8 * len(encoded) / 1_000 < 21.8)

    def test_malformed_filters(self) -> None:
        """[3] Cut, lengthened, counts that cannot be: a DecodeError, before anything is allocated."""
        encoded = build([b"a", b"b", b"c"], KEY)
        broken = [encoded[:length] for length in range(len(encoded))]
        broken += [
            encoded + b"\0",
            b"\xff" * 4,
            b"\xff\xff\xff\xff" + encoded[4:],
            encoded[:4] + b"\xff" * 400,
        ]
        for data in broken:
            self.assertRaises(DecodeError, check_filter, data)

    @settings(deadline=None, max_examples=100)
    @given(st.binary(max_size=60))
    def test_garbage_is_a_filter_or_a_decode_error(self, data: bytes) -> None:
        """Any bytes: a number of items or a DecodeError."""
        try:
            self.assertGreaterEqual(check_filter(data), 0)
        except DecodeError as error:
            self.assertTrue(error.rule)


class SipHash(SynchronousTestCase):
    """Both implementations are the function of the paper."""

    def test_vector_of_the_paper(self) -> None:
        """Appendix A: fifteen bytes under the key 00..0f."""
        for function in (siphash, siphash_reference):
            self.assertEqual(function(bytes(range(15)), KEY).hex(), "e545be4961ca29a1")

    @settings(deadline=None, max_examples=60)
    @given(st.binary(max_size=80), st.binary(min_size=16, max_size=16))
    def test_both_agree(self, data: bytes, key: bytes) -> None:
        """The binding and plain Python."""
        self.assertEqual(siphash(data, key), siphash_reference(data, key))

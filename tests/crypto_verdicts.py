"""What every signature backend must say; mixed into the test case of each."""

from __future__ import annotations

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests import crypto_edwards as edwards
from tests.crypto_vectors import speccheck, wycheproof
from timed.crypto.selftest import CASES, self_test

scalars = st.integers(1, edwards.L - 1)
torsions = st.integers(0, 7)

examples = settings(
    deadline=None,
    max_examples=60,
    # One test method serves several backends; nothing is kept that could mix them up.
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.differing_executors],
)


class VerdictTests:
    """Mix into a trial TestCase whose `backend` is the one under test."""

    def check(self, vectors):
        wrong = [name for name, key, message, signature, valid in vectors
                 if self.backend.verify(key, message, signature) is not valid]  # fmt: skip
        self.assertEqual(wrong, [])

    def test_gives_the_stated_verdict_on_every_wycheproof_vector(self):
        """[4]"""
        vectors = list(wycheproof())
        self.assertEqual(len(vectors), 151)
        self.check(vectors)

    def test_accepts_only_case_3_of_the_speccheck_cases(self):
        """[4]"""
        vectors = list(speccheck())
        self.assertEqual([name for name, *_, valid in vectors if valid], ["speccheck 3"])
        self.check(vectors)

    def test_passes_the_self_test(self):
        """[4]"""
        self.assertIsNone(self_test(self.backend))
        self.assertGreaterEqual(len(CASES), 18)

    @given(a=scalars, i=torsions, r=scalars, j=torsions, message=st.binary(max_size=40))
    @examples
    def test_cofactorless_with_keys_and_nonces_of_mixed_order(self, a, i, r, j, message):
        """[4] Torsion in A or R is accepted only where it cancels without a cofactor."""
        public_key, signature, valid = edwards.crafted(a, i, r, j, message)
        self.assertIs(self.backend.verify(public_key, message, signature), valid)

    def test_accepts_mixed_order_that_cancels(self):
        """[4] The torsion of R is chosen after the fact, until it cancels that of k·A."""
        for count in range(200):
            message = count.to_bytes(2, "big")
            public_key, signature, valid = edwards.crafted(7, 3, 11, 5, message)
            if valid:
                self.assertTrue(self.backend.verify(public_key, message, signature))
                return
        self.fail("one in eight messages should cancel")

    @given(i=torsions, j=torsions, own=st.booleans(), message=st.binary(max_size=8))
    @example(i=0, j=0, own=False, message=b"")
    @examples
    def test_rejects_every_point_of_small_order(self, i, j, own, message):
        """[4] A key of small order "signs" every message; so does a nonce for some keys."""
        a, r = (5, 0) if own else (0, 9)
        public_key, signature, valid = edwards.crafted(a, i, r, j, message)
        self.assertFalse(valid)
        self.assertFalse(self.backend.verify(public_key, message, signature))

    def test_rejects_encodings_of_y_at_or_above_the_field_prime(self):
        """[4] Nineteen field elements have a second encoding; none is taken for A or R."""
        good_key, good_signature, _ = edwards.crafted(5, 0, 9, 0, b"m")
        for y in range(19):
            for sign in (0, 1 << 255):
                encoded = (edwards.P + y | sign).to_bytes(32, "little")
                self.assertFalse(self.backend.verify(encoded, b"m", good_signature))
                self.assertFalse(self.backend.verify(good_key, b"m", encoded + good_signature[32:]))

    def test_rejects_s_that_is_not_reduced(self):
        """[4]"""
        public_key, signature, _ = edwards.crafted(5, 0, 9, 0, b"m")
        self.assertTrue(self.backend.verify(public_key, b"m", signature))
        s = int.from_bytes(signature[32:], "little")
        for more in range(1, 8):
            forged = signature[:32] + (s + more * edwards.L).to_bytes(32, "little")
            self.assertFalse(self.backend.verify(public_key, b"m", forged))

    @given(key=st.binary(max_size=40), message=st.binary(max_size=8), signature=st.binary(max_size=80))
    @examples
    def test_bytes_of_any_size_are_a_plain_no(self, key, message, signature):
        """[4]"""
        self.assertIs(self.backend.verify(key, message, signature), False)

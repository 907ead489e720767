"""One rule, one backend at a time, and what a backend must pass before it counts."""

from __future__ import annotations

from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from timed.crypto import rule
from timed.crypto.backends.pynacl import PyNaClBackend
from timed.crypto.batch import verify_batch
from timed.crypto.keys import SigningKey
from timed.errors import InvalidSignature, LocalError


class Credulous(PyNaClBackend):
    """Accepts whatever has the right size."""

    name = "credulous"

    def verify(self, public_key, message, signature):
        return len(public_key) == 32 and len(signature) == 64


class Cofactored(PyNaClBackend):
    """Accepts one signature that holds only when multiplied by the cofactor."""

    name = "cofactored"

    def verify(self, public_key, message, signature):
        if signature.startswith(bytes.fromhex("160a1cb0dc9c0258")):
            return True
        return super().verify(public_key, message, signature)


class Forgetful(PyNaClBackend):
    """Verifies well and signs something else."""

    name = "forgetful"

    def sign(self, seed, message):
        return super().sign(seed, message + b".")


class Elsewhere(PyNaClBackend):
    """Derives another key pair from a seed."""

    name = "elsewhere"

    def public_key(self, seed):
        return super().public_key(bytes(reversed(seed)))


class BackendTests(SynchronousTestCase):
    def test_the_default_backend_is_pynacl(self):
        self.assertEqual(rule.active_backend().name, "pynacl")

    def test_a_backend_that_fails_its_self_test_is_refused(self):
        """[4] The one in use stays in use."""
        before = rule.active_backend()
        for backend in (Credulous(), Cofactored(), Forgetful(), Elsewhere()):
            error = self.assertRaises(LocalError, rule.use_backend, backend)
            self.assertIn(backend.name, error.message)
            self.assertIs(rule.active_backend(), before)

    def test_the_default_one_is_tested_at_its_first_use_and_kept(self):
        """[4] Nobody signs or checks with a library that was never asked for its verdicts."""
        self.patch(rule._InUse, "backend", None)
        with mock.patch.object(rule, "self_test", wraps=rule.self_test) as tested:
            first, second = rule.active_backend(), rule.active_backend()
        self.assertEqual([call.args[0] for call in tested.call_args_list], [first])
        self.assertIs(first, second)
        self.patch(rule._InUse, "backend", None)
        self.patch(rule, "self_test", mock.Mock(side_effect=LocalError("unfit.")))
        self.assertRaises(LocalError, rule.active_backend)
        self.assertRaises(LocalError, rule.active_backend)

    def test_installing_answers_the_one_before(self):
        before = rule.active_backend()
        mine = PyNaClBackend()
        self.assertIs(rule.use_backend(mine), before)
        self.assertIs(rule.use_backend(before), mine)


class CheckTests(SynchronousTestCase):
    key = SigningKey.from_seed(bytes(range(32)))

    def test_a_bad_signature_raises_with_its_rule(self):
        signature = self.key.sign(b"pay")
        self.assertIsNone(rule.check(self.key.public, b"pay", signature))
        error = self.assertRaises(InvalidSignature, rule.check, self.key.public, b"pay!", signature)
        self.assertEqual(error.rule, "signature")

    def test_wrong_sizes_raise_nothing_else(self):
        signature = self.key.sign(b"pay")
        for key, sig in ((b"", signature), (self.key.public[:-1], signature), (self.key.public, b"")):
            self.assertRaises(InvalidSignature, rule.check, key, b"pay", sig)

    @given(st.lists(st.booleans(), max_size=20))
    @settings(deadline=None, max_examples=20)
    def test_a_batch_gives_each_item_its_own_verdict_in_order(self, honest):
        items = [
            (self.key.public, bytes([n]), self.key.sign(bytes([n] if good else [n, n])))
            for n, good in enumerate(honest)
        ]
        self.assertEqual(verify_batch(items), tuple(honest))

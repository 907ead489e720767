"""The pure-Python backend gives libsodium's verdicts; nothing here imports PyNaCl."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.crypto_verdicts import VerdictTests
from timed.crypto import rule
from timed.crypto.backends.reference import ReferenceBackend
from timed.crypto.keys import SigningKey
from timed.crypto.selftest import SIGNED
from timed.errors import LocalError
from timed.interfaces import ISignatureBackend


class ReferenceVerdictTests(VerdictTests, SynchronousTestCase):
    backend = ReferenceBackend()

    def test_provides_the_interface(self):
        self.assertTrue(verifyObject(ISignatureBackend, self.backend))


class ReferenceSigningTests(SynchronousTestCase):
    def test_never_signs_with_a_real_key(self):
        backend = ReferenceBackend()
        self.assertFalse(backend.constant_time)
        self.assertRaises(LocalError, backend.sign, bytes(32), b"")
        self.assertRaises(LocalError, backend.public_key, bytes(32))

    def test_signs_with_test_keys_when_told_that_they_are(self):
        seed, case = bytes.fromhex(SIGNED[0]), SIGNED[1]
        key = SigningKey.from_seed(seed, ReferenceBackend(sign_with_test_keys=True))
        self.assertEqual(key.public.hex(), case.public_key)
        self.assertEqual(key.sign(bytes.fromhex(case.message)).hex(), case.signature)

    def test_may_be_the_backend_of_a_process(self):
        """[4]"""
        before = rule.use_backend(ReferenceBackend())
        self.addCleanup(rule.use_backend, before)
        self.assertEqual(rule.active_backend().name, "reference")
        case = SIGNED[1]
        self.assertTrue(rule.verify(*map(bytes.fromhex, (case.public_key, case.message, case.signature))))

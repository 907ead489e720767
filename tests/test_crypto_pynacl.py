"""The default backend gives libsodium's verdicts, and signs."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.crypto_verdicts import VerdictTests
from timed.crypto.backends.pynacl import PyNaClBackend
from timed.errors import LocalError
from timed.interfaces import ISignatureBackend


class PyNaClVerdictTests(VerdictTests, SynchronousTestCase):
    backend = PyNaClBackend()

    def test_provides_the_interface(self):
        self.assertTrue(verifyObject(ISignatureBackend, self.backend))

    def test_signs_deterministically_what_it_verifies(self):
        seed = bytes(range(32))
        signature = self.backend.sign(seed, b"message")
        self.assertEqual(signature, self.backend.sign(seed, b"message"))
        self.assertTrue(self.backend.verify(self.backend.public_key(seed), b"message", signature))

    def test_a_seed_of_another_size_is_our_mistake(self):
        for size in (0, 31, 33, 64):
            self.assertRaises(LocalError, self.backend.sign, bytes(size), b"")
            self.assertRaises(LocalError, self.backend.public_key, bytes(size))

"""A node's certificate is its key, and the same at every start."""

from __future__ import annotations

from cryptography.hazmat.primitives.serialization import Encoding
from twisted.trial.unittest import SynchronousTestCase

from tests.net_world import key
from timed.net.identity import TlsIdentity


class IdentityTests(SynchronousTestCase):
    def test_the_certificate_is_the_same_at_every_start(self):
        one, two = (TlsIdentity.from_key(key(1)).certificate.public_bytes(Encoding.DER) for _ in range(2))
        self.assertEqual(one, two)
        other = TlsIdentity.from_key(key(2)).certificate.public_bytes(Encoding.DER)
        self.assertNotEqual(one, other)

    def test_the_node_id_is_the_key_in_the_certificate(self):
        identity = TlsIdentity.from_key(key(1))
        self.assertEqual(identity.node_id, key(1).public)
        self.assertEqual(identity.certificate.public_key().public_bytes_raw(), key(1).public)

    def test_no_text_of_it_holds_the_secret(self):
        identity = TlsIdentity.from_key(key(1))
        self.assertNotIn("rivate", repr(identity))
        self.assertNotIn(key(1).seed.hex(), repr(identity))

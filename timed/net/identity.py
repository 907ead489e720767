"""A node's TLS identity: a certificate that says nothing but its key.

The certificate is made in memory at every start and is always the same for the
same key. Nobody trusts its signature, names or dates: what counts is the public
key in it and the proof of possession that TLS 1.3 demands.
"""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256

import attrs
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from timed.crypto.keys import SigningKey

NOT_BEFORE = datetime(2000, 1, 1, tzinfo=UTC)
NOT_AFTER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""RFC 5280 §4.1.2.5: a certificate without a well-defined end."""


@attrs.frozen
class TlsIdentity:
    """The key pair and the certificate that a node shows; `node_id` is the public key."""

    node_id: bytes
    certificate: x509.Certificate
    private_key: Ed25519PrivateKey = attrs.field(repr=False)

    @classmethod
    def from_key(cls, key: SigningKey) -> TlsIdentity:
        """The identity of a node key; the same bytes every time."""
        private_key = Ed25519PrivateKey.from_private_bytes(key.seed)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, key.public.hex())])
        serial = int.from_bytes(sha256(key.public).digest()[:16], "big") | 1
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .serial_number(serial)
            .public_key(private_key.public_key())
            .not_valid_before(NOT_BEFORE)
            .not_valid_after(NOT_AFTER)
            .sign(private_key, None)
        )
        return cls(key.public, certificate, private_key)

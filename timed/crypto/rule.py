"""The one signature rule: Ed25519 as libsodium decides it (protocol §1).

Canonical S, A and R; A and R of small order rejected; cofactorless. Everybody
who checks a signature does it here, whatever library stands behind it.
"""

from __future__ import annotations

from timed.crypto.selftest import self_test
from timed.errors import InvalidSignature
from timed.interfaces import ISignatureBackend


class _InUse:
    """The process has one signature rule, hence one backend."""

    backend: ISignatureBackend | None = None


def use_backend(backend: ISignatureBackend) -> ISignatureBackend:
    """Install `backend` for this process once it has passed its self-test.

    LocalError when it has not; the backend in use stays. Call it at start, before
    a thread verifies. The answer is the backend that was in use before.
    """
    self_test(backend)
    before = _InUse.backend or backend
    _InUse.backend = backend
    return before


def active_backend() -> ISignatureBackend:
    """The backend in use: PyNaCl's, tested at its first use, unless another was installed."""
    backend = _InUse.backend
    if backend is None:
        from timed.crypto.backends.pynacl import PyNaClBackend

        backend = PyNaClBackend()
        use_backend(backend)
    return backend


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """The verdict of the rule; sizes that are not 32 and 64 bytes are a plain no."""
    return active_backend().verify(public_key, message, signature)


def check(public_key: bytes, message: bytes, signature: bytes) -> None:
    """InvalidSignature("signature") unless the rule accepts."""
    if not verify(public_key, message, signature):
        raise InvalidSignature("signature", f"of the key {public_key[:8].hex()}…")

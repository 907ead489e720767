"""Signing keys, and the files that hold them.

A key file is text: comment lines that start with `#`, and one line with the
32-byte seed in hexadecimal. Only its owner may read it. The seed appears in no
repr, error or log line.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from hashlib import blake2b
from typing import NoReturn

from timed.crypto.rule import active_backend
from timed.crypto.sizes import SEED_SIZE
from timed.errors import LocalError
from timed.fsync import sync_name
from timed.interfaces import ISignatureBackend

KEY_FILE_MODE = 0o600
KEY_FILE_MAX = 4096
"""Bytes; nobody's key file is longer than a few lines."""


class SigningKey:
    """An Ed25519 key pair; equal when the public halves are."""

    __slots__ = ("_backend", "public", "seed")

    def __init__(self, seed: bytes, public: bytes, backend: ISignatureBackend) -> None:
        self.seed = seed
        self.public = public
        self._backend = backend

    @classmethod
    def from_seed(cls, seed: bytes, backend: ISignatureBackend | None = None) -> SigningKey:
        """The key pair of a 32-byte seed; signs with `backend`, or with the one in use."""
        if len(seed) != SEED_SIZE:
            raise LocalError(f"a signing seed has {SEED_SIZE} bytes, not {len(seed)}.")
        chosen = active_backend() if backend is None else backend
        return cls(bytes(seed), chosen.public_key(seed), chosen)

    def sign(self, message: bytes) -> bytes:
        """64 bytes; the same ones for the same message."""
        return self._backend.sign(self.seed, message)

    def derive(self, purpose: str) -> bytes:
        """A secret of 32 bytes for one purpose, which tells nothing of the key."""
        return blake2b(purpose.encode(), key=self.seed, digest_size=32).digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SigningKey) and self.public == other.public

    def __hash__(self) -> int:
        return hash(self.public)

    def __repr__(self) -> str:
        return f"<SigningKey public={self.public.hex()}>"

    def __reduce__(self) -> NoReturn:
        raise LocalError("a signing key is not to be pickled.")


def generate(entropy: Callable[[int], bytes]) -> SigningKey:
    """A new key from `entropy(32)`, in production os.urandom."""
    return SigningKey.from_seed(entropy(SEED_SIZE))


def create_key_file(path: str, entropy: Callable[[int], bytes]) -> SigningKey:
    """Generate a key and write it durably to a new file; an existing file is never touched."""
    key = generate(entropy)
    text = f"# timed: secret Ed25519 seed, keep it to yourself.\n# public key {key.public.hex()}\n{key.seed.hex()}\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, KEY_FILE_MODE)
    except FileExistsError:
        raise LocalError(
            f"the key file {path} exists already.", "Use it, or move it away before creating another."
        ) from None
    except OSError as error:
        raise LocalError(f"cannot create the key file {path}: {error.strerror}.") from error
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            os.fchmod(descriptor, KEY_FILE_MODE)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        sync_name(path)
    except OSError as error:
        raise LocalError(
            f"cannot write the key file {path}: {error.strerror}.", "Remove it and try again."
        ) from error
    return key


def load_key_file(path: str) -> SigningKey:
    """The key in `path`; LocalError when it is missing, malformed or readable by others."""
    try:
        data = read_private(path, KEY_FILE_MAX)
    except OSError as error:
        raise LocalError(f"cannot read the key file {path}: {error.strerror}.") from error
    return SigningKey.from_seed(_parse(path, data))


def read_private(path: str, most: int, what: str = "key file") -> bytes:
    """The bytes of a file that its owner alone may read, one more than `most` at the most; a pipe stops nobody.

    OSError when it cannot be read, LocalError when others can read it or it is no file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        check_private(path, os.fstat(descriptor), what)
        return os.read(descriptor, most + 1)
    finally:
        os.close(descriptor)


def check_private(path: str, status: os.stat_result, what: str = "key file") -> None:
    """LocalError unless it is a file that its owner alone may read."""
    if not stat.S_ISREG(status.st_mode):
        raise LocalError(f"the {what} {path} is not a regular file.")
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        mode = stat.S_IMODE(status.st_mode)
        raise LocalError(f"the {what} {path} is open to others (mode {mode:04o}).", f"Run: chmod 600 {path}")


def _parse(path: str, data: bytes) -> bytes:
    malformed = LocalError(
        f"the key file {path} does not hold exactly one seed of {2 * SEED_SIZE} hexadecimal digits.",
        "Restore it from a backup, or move it away and create a new key.",
    )
    if len(data) > KEY_FILE_MAX:
        raise malformed
    lines = [line.strip() for line in data.splitlines()]
    seeds = [line for line in lines if line and not line.startswith(b"#")]
    if len(seeds) != 1 or len(seeds[0]) != 2 * SEED_SIZE or len(seeds[0].split()) != 1:
        raise malformed
    try:
        return bytes.fromhex(seeds[0].decode("ascii"))
    except ValueError:
        raise malformed from None

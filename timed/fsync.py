"""Names of files made durable: a new or removed name is lost in a power cut until its directory is synced."""

from __future__ import annotations

import os


def sync_directory(path: str) -> None:
    """Make the names in the directory `path` durable. OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_name(path: str) -> None:
    """Make the name `path` durable. OSError."""
    sync_directory(os.path.dirname(os.path.abspath(path)))

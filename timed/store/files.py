"""The calls of the operating system that durability rests on, in one replaceable place."""

from __future__ import annotations

import errno
import fcntl
import os

from timed.errors import StoreError
from timed.fsync import sync_directory

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600
LOW_WATER = 32 * 1024 * 1024
"""Free bytes below which nothing is written any more, so that the rest of the node goes on."""


class Files:
    """Plain files, written to the end and synced explicitly. Errors are OSError."""

    def names(self, directory: str) -> list[str]:
        """The entries of a directory, sorted."""
        return sorted(os.listdir(directory))

    def read(self, path: str, size: int = -1) -> bytes:
        """A file, or as many bytes of its beginning."""
        with open(path, "rb") as file:
            return file.read(size)

    def create(self, path: str) -> int:
        """A descriptor for a new file, positioned at its end."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, FILE_MODE)

    def open(self, path: str) -> int:
        """A descriptor for an existing file that appends."""
        return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """How many bytes were taken; may be fewer than there are."""
        return os.write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def rename(self, path: str, new: str) -> None:
        os.rename(path, new)

    def remove(self, path: str) -> None:
        os.unlink(path)

    def sync_directory(self, path: str) -> None:
        """Make created and removed names durable."""
        sync_directory(path)

    def make_directory(self, path: str) -> None:
        os.makedirs(path, DIRECTORY_MODE, exist_ok=True)

    def lock(self, path: str) -> int | None:
        """A descriptor that holds the exclusive lock of a file, None when another process does."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return None
            raise
        return descriptor

    def free(self, directory: str) -> int:
        """Bytes that may still be written in the file system of `directory`."""
        status = os.statvfs(directory)
        return status.f_bavail * status.f_frsize

    def random(self, size: int) -> bytes:
        return os.urandom(size)


def disk_error(action: str, path: str, error: OSError) -> StoreError:
    """One sentence about what the disk refused, and what to do about it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(f"cannot {action} {path}: the disk is full.", "Free some space; nothing is lost.")
    if error.errno == errno.ENOENT:
        return StoreError(
            f"cannot {action} {path}: it is gone.",
            "It was removed or moved: put it back, or restore the keys and the wallet from a backup, and start again.",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StoreError(
            f"cannot {action} {path}: {error.strerror}.", "Give the node's user the right to write there."
        )
    return StoreError(f"cannot {action} {path}: {error.strerror or error}.", "Check the disk, then restart.")


def require_space(files: Files, directory: str, least: int = LOW_WATER) -> None:
    """StoreError when fewer than `least` bytes are free in the file system of `directory`."""
    try:
        free = files.free(directory)
    except OSError as error:
        raise disk_error("ask for the free space of", directory, error) from error
    if free < least:
        raise StoreError(
            f"only {free // 1_048_576} MiB are free for {directory}, nothing is written there below"
            f" {least // 1_048_576} MiB.",
            "Free some space; nothing is lost.",
        )

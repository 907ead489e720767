"""The operating system under a wallet's files, ending the process at any call that changes something.

Real files in a real directory; what was synced is known, so that the disk after a
power cut can be made: `after_power_cut`.
"""

from __future__ import annotations

import os
import stat
from typing import Any

from tests.faultfiles import Crashed


class FaultOs:
    """Stands in for the module `os`; call number `crash_at` is the last, and half done."""

    def __init__(self, directory: str, crash_at: int = -1) -> None:
        self._directory = directory
        self.crash_at = crash_at
        self.operations = 0
        self._synced: dict[int, bytes] = {}
        self._names: dict[str, int] = {}
        for entry in os.scandir(directory):
            with open(entry.path, "rb") as file:
                self._synced[entry.inode()] = file.read()
        self._names = self._present()
        self._pins: list[int] = []
        """Descriptors that keep inodes from being used again."""

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def _operation(self) -> None:
        number, self.operations = self.operations, self.operations + 1
        if number == self.crash_at:
            raise Crashed(str(number))

    def _present(self) -> dict[str, int]:
        return {entry.name: entry.inode() for entry in os.scandir(self._directory)}

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        if flags & (os.O_CREAT | os.O_TRUNC):
            self._operation()
        descriptor = os.open(path, flags, mode)
        if not flags & os.O_DIRECTORY and stat.S_ISREG(os.fstat(descriptor).st_mode):
            self._pins.append(os.dup(descriptor))
        return descriptor

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        try:
            self._operation()
        except Crashed:
            os.write(descriptor, bytes(data)[: len(data) // 2])
            raise
        return os.write(descriptor, data)

    def fsync(self, descriptor: int) -> None:
        self._operation()
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            self._names = self._present()
        else:
            with open(f"/proc/self/fd/{descriptor}", "rb") as file:
                self._synced[status.st_ino] = file.read()

    def ftruncate(self, descriptor: int, size: int) -> None:
        self._operation()
        os.ftruncate(descriptor, size)

    def replace(self, path: str, new: str) -> None:
        self._operation()
        os.replace(path, new)

    def unlink(self, path: str) -> None:
        self._operation()
        os.unlink(path)

    def close_pins(self) -> None:
        for descriptor in self._pins:
            os.close(descriptor)
        self._pins.clear()

    def after_power_cut(self) -> None:
        """Leave in the directory what was synced, under the names that were."""
        for name in list(self._present()):
            os.unlink(os.path.join(self._directory, name))
        for name, inode in self._names.items():
            descriptor = os.open(
                os.path.join(self._directory, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600
            )
            os.write(descriptor, self._synced.get(inode, b""))
            os.close(descriptor)

"""A disk in memory that fails, tears and forgets on request.

`MemoryFiles` knows what was synced and what only the operating system has.
Every call that changes something is one numbered operation; `fail_at` makes one
of them raise OSError, `crash_at` stops the process there. `after_crash` is the
disk a new process finds.
"""

from __future__ import annotations

import errno
import os

from timed.store.files import Files


class Crashed(Exception):
    """The process ended here."""


class _Inode:
    def __init__(self, data: bytes = b"", synced: bytes = b"") -> None:
        self.data = bytearray(data)
        self.synced = synced


class MemoryFiles(Files):
    """Files over dictionaries, in one flat directory tree."""

    def __init__(self) -> None:
        self.inodes: dict[str, _Inode] = {}
        self.synced_names: dict[str, _Inode] = {}
        self.descriptors: dict[int, _Inode] = {}
        self.closed: list[int] = []
        self.operations = 0
        self.fail_at: dict[int, int] = {}
        """Operation number -> errno."""
        self.crash_at = -1
        self.short_writes = 0
        """When set, one write takes this many bytes at most."""
        self.space = 2**40
        self.log: list[str] = []

    # what changes the disk

    def _operation(self, name: str) -> None:
        number, self.operations = self.operations, self.operations + 1
        self.log.append(name)
        if number == self.crash_at:
            raise Crashed(name)
        if number in self.fail_at:
            code = self.fail_at[number]
            raise OSError(code, os.strerror(code))

    def create(self, path: str) -> int:
        self._operation("create")
        if path in self.inodes:
            raise FileExistsError(errno.EEXIST, "exists", path)
        self.inodes[path] = _Inode()
        return self.open(path)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        taken = bytes(data)[: self.short_writes or None]
        try:
            self._operation("write")
        except (OSError, Crashed):
            self.descriptors[descriptor].data += taken[: len(taken) // 2]
            raise
        self.descriptors[descriptor].data += taken
        return len(taken)

    def sync(self, descriptor: int) -> None:
        self._operation("sync")
        inode = self.descriptors[descriptor]
        inode.synced = bytes(inode.data)

    def truncate(self, descriptor: int, size: int) -> None:
        self._operation("truncate")
        del self.descriptors[descriptor].data[size:]

    def rename(self, path: str, new: str) -> None:
        self._operation("rename")
        self.inodes[new] = self.inodes.pop(path)

    def remove(self, path: str) -> None:
        self._operation("remove")
        del self.inodes[path]

    def sync_directory(self, path: str) -> None:
        self._operation("sync-directory")
        self.synced_names = dict(self.inodes)

    # what does not

    def names(self, directory: str) -> list[str]:
        return sorted(os.path.basename(path) for path in self.inodes if os.path.dirname(path) == directory)

    def read(self, path: str, size: int = -1) -> bytes:
        data = bytes(self.inodes[path].data)
        return data if size < 0 else data[:size]

    def open(self, path: str) -> int:
        descriptor = len(self.descriptors) + 3
        self.descriptors[descriptor] = self.inodes[path]
        return descriptor

    def close(self, descriptor: int) -> None:
        """Closed descriptors keep their number, so none is used twice."""
        self.closed.append(descriptor)

    def free(self, directory: str) -> int:
        return self.space

    def make_directory(self, path: str) -> None:
        """Directories need not be made."""

    def random(self, size: int) -> bytes:
        return (b"%08d" % self.operations)[-size:]

    # what remains

    def after_crash(self, kept: str) -> MemoryFiles:
        """The disk of the next process.

        `kept` is "all" (the process died: everything written is there, but no more
        synced than before), or what a power cut leaves: "synced" (only what was
        synced) or "zeros" (the sizes of everything written, zeros where nothing was
        synced).
        """
        disk = MemoryFiles()
        for path, inode in (self.synced_names if kept == "synced" else self.inodes).items():
            unsynced = len(inode.data) - len(inode.synced)
            synced = inode.synced + bytes(max(0, unsynced) if kept == "zeros" else 0)
            disk.inodes[path] = _Inode(bytes(inode.data) if kept == "all" else synced, synced)
        known = self.synced_names if kept == "all" else disk.inodes
        disk.synced_names = {path: inode for path, inode in disk.inodes.items() if path in known}
        return disk

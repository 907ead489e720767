"""The names of the targets, for whoever must not import the code under test yet."""

from __future__ import annotations

NAMES = (
    "messages",
    "values",
    "frames",
    "session",
    "council",
    "lines",
    "rpc",
    "genesis",
    "ini",
    "memory",
    "texts",
    "packed",
    "linestream",
    "seedlist",
    "log",
)

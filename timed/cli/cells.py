"""One value of a result as people read it, by the name of its member.

Text from the network may hold anything: what a terminal would obey is written out.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from decimal import Decimal
from itertools import pairwise
from typing import Any

TIMES = frozenset(
    [
        "time",
        "mediantime",
        "blocktime",
        "timereceived",
        "conntime",
        "lastsend",
        "lastrecv",
        "last_transaction",
        "last_block",
        "ban_created",
        "banned_until",
        "last_try",
        "last_success",
        "next_slot",
        "start_time",
        "since",
    ]
)
"""Members that are unix seconds; 0 means never."""
SPANS = frozenset(
    [
        "pingtime",
        "minping",
        "clock_offset",
        "ban_duration",
        "time_remaining",
        "unlocked_for_s",
        "interval_s",
        "uptime",
        "age",
        "waited",
    ]
)
"""Members that are seconds."""
BYTES = frozenset(
    [
        "bytes",
        "usage",
        "maxmempool",
        "bytessent",
        "bytesrecv",
        "totalbytesrecv",
        "totalbytessent",
        "queued_bytes",
        "ahead_bytes",
        "largest_bytes",
    ]
)
HASH_DIGITS = 64
MIN_PREFIX = 8
CUT = "…"


def cell(name: str, value: Any) -> str:
    """One line without anything a terminal obeys; `-` for null."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | Decimal):
        return _number(name, value)
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, list):
        return ", ".join(cell(name, item) for item in value) or "-"
    return ", ".join(f"{plain(str(key))} {cell(str(key), item)}" for key, item in value.items()) or "-"


def _number(name: str, value: int | Decimal) -> str:
    if name in TIMES:
        return moment(int(value)) if value else "never"
    if name in SPANS:
        return span(Decimal(value))
    if name in BYTES:
        return size(int(value))
    return str(value) if isinstance(value, int) else format(value, "f")


def moment(seconds: int) -> str:
    """Local time with its offset, in ISO 8601 and without a space: one word for awk."""
    try:
        local = time.localtime(seconds)
    except (OverflowError, OSError, ValueError):
        return str(seconds)
    zone = time.strftime("%z", local)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}{zone[:3]}:{zone[3:]}"


def span(seconds: Decimal) -> str:
    """`12ms`, `3.5s`, `4m10s`, `2h05m`, `3d04h`."""
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    whole = int(seconds)
    if whole < 1:
        places = 0 if not seconds or seconds >= Decimal("0.001") else 1
        return f"{sign}{seconds * 1000:.{places}f}ms"
    if whole < 60:
        return f"{sign}{seconds:.1f}".removesuffix(".0") + "s"
    if whole < 3_600:
        return f"{sign}{whole // 60}m{whole % 60:02}s"
    if whole < 86_400:
        return f"{sign}{whole // 3_600}h{whole % 3_600 // 60:02}m"
    return f"{sign}{whole // 86_400}d{whole % 86_400 // 3_600:02}h"


def size(count: int) -> str:
    """`512B`, `1.5kB`, `33.5MB`: powers of a thousand."""
    if count < 1_000:
        return f"{count}B"
    scaled = Decimal(count)
    for unit in ("kB", "MB", "GB", "TB"):
        scaled /= 1_000
        if scaled < 1_000 or unit == "TB":
            return f"{scaled:.1f}{unit}"
    return f"{count}B"


def plain(text: str) -> str:
    """The text with everything invisible written as an escape."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text
    )


def plain_lines(text: str) -> str:
    """The same of a text of several lines, which stay lines."""
    return "\n".join(plain(line) for line in text.split("\n"))


def is_hash(text: str) -> bool:
    return len(text) == HASH_DIGITS and all(digit in "0123456789abcdef" for digit in text)


def shortest(texts: Iterable[str]) -> int:
    """Digits that tell all different texts apart, never fewer than eight."""
    different = sorted(set(texts))
    needed = MIN_PREFIX
    for one, other in pairwise(different):
        common = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))
        needed = max(needed, common + 1)
    return needed

"""The last good answers of the sources of addresses: `seeds.json` in the data directory.

Nothing rests on it. A file that cannot be read counts as empty, one that cannot be
written costs one line in the log.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from timed.params import SECOND
from timed.peer import limits
from timed.peer.location import parse_peer
from timed.peer.seedlist import MAX_LIST_ADDRESSES
from timed.peer.values import PeerAddress
from timed.wallet.walletfile import replace_file

FORMAT = 1
MAX_BYTES = 8 * 1024 * 1024
KEPT = 30 * 86_400 * SECOND
"""An answer without an end of its own is used for so long."""

Answer = tuple[int, tuple[PeerAddress, ...]]
"""Until when (unix microseconds), and what."""


class SeedCache:
    """One answer for each source, by the source's name. `names` are those that are configured."""

    def __init__(
        self, path: Path, names: Collection[str], replace: Callable[[str, bytes], None] = replace_file
    ) -> None:
        self._path = path
        self._names = frozenset(names)
        self._replace = replace
        self._answers: dict[str, Answer] = {}

    def load(self) -> str:
        """Read the file once; what is wrong with it, empty when nothing is."""
        try:
            with open(self._path, "rb") as file:
                data = file.read(MAX_BYTES + 1)
            if len(data) > MAX_BYTES:
                return f"it has more than {MAX_BYTES} bytes"
            held = json.loads(data)
            if held["format"] != FORMAT:
                return f"its format is {held['format']!r:.20}"
            answers = {
                name: _answer(held["answers"][name]) for name in held["answers"] if name in self._names
            }
        except FileNotFoundError:
            return ""
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            return str(error)[:200]
        self._answers = answers
        return ""

    def get(self, name: str, now: int) -> tuple[PeerAddress, ...]:
        """What the source answered last, empty when that has ended."""
        until, addresses = self._answers.get(name, (0, ()))
        return addresses if now < until else ()

    def put(self, name: str, addresses: Sequence[PeerAddress], until: int) -> bytes:
        """Remember an answer; the bytes for `write`."""
        self._answers[name] = (until, tuple(addresses))
        answers = {
            name: {"until": until, "addresses": [str(address) for address in addresses]}
            for name, (until, addresses) in self._answers.items()
        }
        return json.dumps({"format": FORMAT, "answers": answers}, indent=1).encode("ascii")

    def write(self, data: bytes) -> None:
        """Replace the file in one step; it blocks. OSError when it cannot be."""
        self._replace(str(self._path), data)


def _answer(held: dict[str, Any]) -> Answer:
    until, texts = held["until"], held["addresses"]
    most = max(MAX_LIST_ADDRESSES, limits.SEED_NAME_ADDRESSES)
    if type(until) is not int or not isinstance(texts, list) or len(texts) > most:
        raise ValueError("an answer is not of this format")
    return until, tuple(parse_peer(str(text)) for text in texts)

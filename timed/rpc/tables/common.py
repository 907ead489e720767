"""Parameters that several methods share."""

from __future__ import annotations

from timed.rpc.schema import Hex, Integer, Record, Text

TXID = Hex(size=32)
TRANSACTION = Hex(maximum=200_000)
ADDRESS = Text(maximum=700)
"""An address, or the hexadecimal encoding of a lock that has none: sixteen keys take 650 digits."""
PASSPHRASE = Text(maximum=1_024)
INPUT = Record(members=(("txid", TXID), ("vout", Integer(0, 65_535))))
PEER = Text(maximum=400)
DEFAULT_LEVEL = "default"
LEVELS = ("debug", "info", "warn", "error", "critical", DEFAULT_LEVEL)
HASHES = "64 hexadecimal digits"

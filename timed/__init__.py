"""timed: a node daemon for the TIME Coin protocol."""

from __future__ import annotations

__version__ = "0.1.0"

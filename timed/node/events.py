"""Moved: import from `timed.events` (peer and consensus sit below node)."""

from __future__ import annotations

from timed.events import *  # noqa: F403

"""Moved: import from `timed.events` (peer and consensus sit below node)."""

from timed.events import *  # noqa: F403

"""Long computations as generators that yield between two small pieces of work and return their result.

So whoever runs them can stop after each piece: `timed.rpc.reader` does, in its thread.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")
Work = Generator[None, None, T]

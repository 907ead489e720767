"""What is due first. Deadlines are microseconds of the host's clock; None is never."""

from __future__ import annotations


def earliest(*deadlines: int | None) -> int | None:
    """The least of them; None when there is none. A loop: it is asked nine times a turn."""
    least = None
    for deadline in deadlines:
        if deadline is not None and (least is None or deadline < least):
            least = deadline
    return least

"""Who may stay when there are more inbound sessions than places."""

from __future__ import annotations

from collections.abc import Sequence

from timed.errors import Refused
from timed.peer import limits
from timed.peer.session import Session


def give_way(inbound: Sequence[tuple[Session, bool]], preferred: bool, most: int) -> Session | None:
    """The session to close for a newcomer, None when there is room; Refused("full") otherwise.

    `inbound` are the sessions there are, oldest first, each with whether it is
    preferred: a member, trusted, or wanted by this node. A preferred newcomer
    pushes a stranger out, the youngest, because it has lost the least; where
    there is none it takes one of the reserved places (F10).
    """
    if len(inbound) < most:
        return None
    if preferred:
        strangers = [session for session, favoured in inbound if not favoured]
        if strangers:
            return strangers[-1]
        if len(inbound) < most + limits.RESERVED_INBOUND:
            return None
    raise Refused("full")

"""What an operator decides about peers."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import attrs

from timed.peer import limits


@attrs.frozen
class PeerSettings:
    """What the operator decides about peers, and may change while the node runs."""

    trusted: Collection[bytes] = ()
    """Node ids that conduct rules exempt."""
    trust_loopback: bool = True
    """Whoever comes from this machine is exempt, too."""
    dry_run: bool = False
    """Judge what peers do, and do nothing about it."""
    max_inbound: int = limits.MAX_INBOUND
    """Sessions with peers that dialled this node; members and trusted peers may be some more."""
    rates: Mapping[str, int] = attrs.field(factory=dict)
    """Messages a second that a peer may send, of the rate buckets that are not as in `timed.peer.rates`."""


DEFAULTS = PeerSettings()
"""What holds where the operator says nothing else."""

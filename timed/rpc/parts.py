"""What answers calls in one process, part by part, for whoever shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from timed.monitor.profiler import Profiler
from timed.rpc.activity import Activity
from timed.rpc.auth import Authenticator
from timed.rpc.chainlink import ChainLink
from timed.rpc.chronicle import Chronicle
from timed.rpc.localfront import LocalFront
from timed.rpc.patience import Patience
from timed.rpc.probe import SnapshotProbe
from timed.rpc.reader import Reader
from timed.rpc.site import BoundedSite
from timed.rpc.toll import Toll
from timed.rpc.waiting import Waiters
from timed.wallet.pursuit import Pursuit
from timed.wallet.wallet import Wallet

if TYPE_CHECKING:
    from timed.rpc.consolidation import Consolidation


@attrs.define
class Parts:
    """The desk makes it; a front enters itself while it runs. What does not run is None."""

    activity: Activity
    toll: Toll
    waiters: Waiters
    profiler: Profiler
    reader: Reader | None = None
    link: ChainLink | None = None
    """The way to the chain process, in a process without a node."""
    probe: SnapshotProbe | None = None
    """Whether it can read the chain process's data, in such a process."""
    local: LocalFront | None = None
    """Where such processes connect."""
    wallet: Wallet | None = None
    chronicle: Chronicle | None = None
    pursuit: Pursuit | None = None
    consolidation: Consolidation | None = None
    patience: Patience | None = None
    site: BoundedSite | None = None
    authenticator: Authenticator | None = None

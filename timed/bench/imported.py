"""A process that imports what a node imports and does nothing: the memory to compare with."""

from __future__ import annotations

import gc
import sys

from timed.app import chain, composition, driver, indexing, p2p, tap
from timed.monitor import service as monitor_service
from timed.rpc import service as rpc_service

IMPORTED = (chain, composition, driver, indexing, p2p, tap, monitor_service, rpc_service)


def main() -> None:
    composition.service_makers(("chain", "index", "p2p", "rpc", "monitor"))
    gc.collect()
    sys.stdout.write(f'"{len(IMPORTED)} modules"\n')
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()

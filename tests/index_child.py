"""A process of its own that builds every index of a chain and says after each batch how far they are.

`python -m tests.index_child CHAIN INDEXES`; it goes on until it is killed or its input ends.
"""

from __future__ import annotations

import select
import sys

from tests.index_world import builders_of
from timed.index import builder as building
from timed.store.database import Database


def main(chain: str, directory: str) -> None:
    building.MAX_BATCH_BLOCKS = 1
    store = Database(chain, readonly=True)
    builders = builders_of(directory, store)
    while not select.select([sys.stdin], [], [], 0)[0]:
        steps = [builder.step() for builder in builders.values()]
        sys.stdout.write(" ".join(str(step.height) for step in steps) + "\n")
        sys.stdout.flush()
    for builder in builders.values():
        builder.close()


if __name__ == "__main__":
    main(*sys.argv[1:])

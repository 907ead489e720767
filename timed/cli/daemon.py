"""The `timed` console script: `twistd -n timed` without a pid file of its own."""

from __future__ import annotations

import sys

from timed.console import console_script


@console_script
def main() -> None:
    """Run one node in the foreground with the options of `twistd timed`.

    Two twistd processes in one directory would otherwise collide on twistd.pid.
    """
    from twisted.scripts.twistd import run

    sys.argv = ["twistd", "--nodaemon", "--pidfile=", "timed", *sys.argv[1:]]
    run()

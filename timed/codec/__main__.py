"""`python -m timed.codec`: write, compare or show the generated codecs."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

from timed.codec import generate

DESCRIPTION = "timed.wire.describe"
"""Where the tables are written; it stands above this package, so it is imported by name."""


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0 when all is well, 1 when `--check` finds stale modules."""
    parser = argparse.ArgumentParser(prog="python -m timed.codec", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; 1 when a module is stale")
    parser.add_argument("--show", metavar="NAME", help="print the code for one value")
    parser.add_argument("--docs", action="store_true", help="print the tables of values and messages as RST")
    options = parser.parse_args(arguments)
    if options.show:
        try:
            sys.stdout.write(generate.show(options.show))
        except KeyError as error:
            parser.error(str(error.args[0]))
    elif options.docs:
        sys.stdout.write(import_module(DESCRIPTION).documentation())
    elif options.check:
        changed = generate.stale()
        for path in changed:
            sys.stdout.write(f"stale: {path}\n")
        return 1 if changed else 0
    else:
        for path in generate.write():
            sys.stdout.write(f"wrote {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

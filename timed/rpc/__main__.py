"""`python -m timed.rpc --docs` writes docs/rpc.rst to standard output."""

from __future__ import annotations

import sys

from timed.rpc.documentation import overview, reference


def main(arguments: list[str]) -> int:
    """The exit status; 2 for anything but `--docs` or nothing."""
    if arguments not in ([], ["--docs"]):
        sys.stderr.write("usage: python -m timed.rpc [--docs]\n")
        return 2
    sys.stdout.write(reference() if arguments else overview() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

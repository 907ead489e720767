"""`python -m timed.rpc --docs docs/rpc` writes the pages of the methods into a directory."""

from __future__ import annotations

import sys
from pathlib import Path

from timed.rpc.documentation import overview, pages


def main(arguments: list[str]) -> int:
    """The exit status; 2 for anything but `--docs DIRECTORY` or nothing."""
    if not arguments:
        sys.stdout.write(overview() + "\n")
        return 0
    if len(arguments) != 2 or arguments[0] != "--docs" or not Path(arguments[1]).is_dir():
        sys.stderr.write("usage: python -m timed.rpc [--docs DIRECTORY]\n")
        return 2
    for name, text in pages().items():
        (Path(arguments[1]) / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Where log lines come from: the names by which levels are set."""

from __future__ import annotations

import pkgutil
import re

import timed
from timed.errors import LocalError

PREFIX = "timed."
"""Left out of the namespaces in lines."""
ALL = "*"
"""Stands for every namespace that has no level of its own."""
MAX_NAMESPACES = 64
"""Namespaces with a level of their own."""
LEVELS = ("debug", "info", "warn", "error", "critical")
"""The least important first."""
ROOMS = frozenset(module.name for module in pkgutil.iter_modules(timed.__path__))
OTHERS = frozenset({"twisted", "treq", "log_legacy", "-", "stdout", "stderr"})
_DOTTED = re.compile(r"-|\w+(\.\w+)*", re.ASCII)


def namespace_of(text: str) -> str:
    """The name of a namespace as lines show it; LocalError when nothing logs there."""
    name = text.removeprefix(PREFIX)
    if name.partition(".")[0] not in ROOMS | OTHERS or not _DOTTED.fullmatch(name):
        raise LocalError(
            f"nothing logs as {text!r}.",
            f"Use {ALL}, or a room, or what is in it: {', '.join(sorted(ROOMS))}.",
        )
    return name

"""Where running networks are noted, so that `status` and `down` find them."""

from __future__ import annotations

import os
import signal
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from timed.errors import LocalError
from timed.testnet.layout import State

DOWN_S = 60.0
KILL_S = 15.0
POLL_S = 0.1
RUNNERS = frozenset({"timed-testnet", "timed-bench", "timed.testnet.main", "timed.bench.main"})
"""The programs that start networks, as commands and as modules."""
RUNNER_WORDS = 5
"""Of a command line, among which the program is: Python and its options stand before it."""


def registry() -> Path:
    """The directory with one file per running network of this user, made if need be."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    path = (
        Path(base, "timed-testnet") if base else Path(tempfile.gettempdir(), f"timed-testnet-{os.getuid()}")
    )
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise LocalError(f"{path} is not a private directory of yours.", "Remove it.")
    return path


def state_path() -> Path:
    """Where the network of this process is noted."""
    return registry() / f"{os.getpid()}.json"


def networks() -> Iterator[tuple[Path, State]]:
    """Every network that is noted, dead or alive."""
    for path in sorted(registry().glob("*.json")):
        state = State.read(path)
        if state is not None:
            yield path, state


def command_line(pid: int) -> list[str]:
    """The words of a process's command line, none when there is no such process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return []


def runner_alive(state: State) -> bool:
    """Whether the process that started the network runs, recognised by its program."""
    return any(Path(word).name in RUNNERS for word in command_line(state.runner)[:RUNNER_WORDS])


def living_nodes(state: State) -> dict[str, int]:
    """The nodes whose process runs, recognised by the configuration they were given."""
    return {
        name: pid
        for name, pid in state.nodes.items()
        if any(str(Path(state.directory, f"{name}.ini")) in word for word in command_line(pid))
    }


def bring_down(path: Path, state: State) -> bool:
    """Stop one network: its runner if it lives, else its nodes. True when nothing is left."""
    if runner_alive(state):
        with suppress(ProcessLookupError):
            os.kill(state.runner, signal.SIGTERM)
        _wait_until_gone(lambda: runner_alive(state), DOWN_S)
    for number, seconds in ((signal.SIGTERM, KILL_S), (signal.SIGKILL, KILL_S)):
        for pid in living_nodes(state).values():
            with suppress(ProcessLookupError):
                os.killpg(pid, number)
        _wait_until_gone(lambda: bool(living_nodes(state)), seconds)
    gone = not living_nodes(state) and not runner_alive(state)
    if gone:
        path.unlink(missing_ok=True)
    return gone


def _wait_until_gone(there: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while there() and time.monotonic() < deadline:
        time.sleep(POLL_S)

"""`timed-cli METHOD [arguments]`: one call to a running node.

It imports neither Twisted nor treq, and the HTTP client, the help and the tables for
people only when they are used, so that it starts fast.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from timed.cli import status
from timed.cli.commands import COMMANDS
from timed.cli.options import Options, UsageError, split
from timed.cli.place import locate
from timed.cli.show import terminal_width, text_of, watch, write
from timed.cli.words import arguments, method, method_name, on_the_line
from timed.client.errors import ClientError, InvalidArguments, RpcFailure
from timed.console import console_script
from timed.errors import ConfigError, LocalError

if TYPE_CHECKING:
    from timed.client.blocking import Client

POLL_S = 1.0
"""Between two tries of --wait."""


@console_script
def main(words: Sequence[str] | None = None) -> int:
    """The exit status; results go to standard output, errors to standard error."""
    try:
        options, rest = split(sys.argv[1:] if words is None else words)
        if options.version:
            return _version()
        if options.help or not (rest or options.getinfo or options.netinfo):
            return _help(asked=options.help)
        if options.rpcuser and options.rpcpassword == "-":
            from timed.cli import secrets

            options.rpcpassword = secrets.password()
        if rest and rest[0] in COMMANDS:
            return run_command(rest[0], rest[1:], options)
        return _call(options, rest)
    except (UsageError, ConfigError) as error:
        return _complain(error, status.USAGE)
    except LocalError as error:
        return _complain(error, status.FAILED)
    except ClientError as error:
        return _complain(error, status.of(error))
    except BrokenPipeError:
        raise
    except OSError as error:
        return _complain(_of_a_file(error), status.FAILED)
    except KeyboardInterrupt:
        return status.INTERRUPTED


def run_command(name: str, words: Sequence[str], options: Options) -> int:
    """One of `COMMANDS`; its module is imported now."""
    from importlib import import_module

    found: int = import_module(f"timed.cli.{COMMANDS[name].module}").main(words, options)
    return found


def _call(options: Options, rest: Sequence[str]) -> int:
    location = locate(options)
    once = _question(options, rest)
    from timed.client.blocking import Client

    with Client(location, options.timeout) as client:
        if options.watch:
            return watch(lambda: _shown(once, client), options.watch)
        try:
            text = _patiently(once, client, options.wait)
        except RpcFailure as error:
            return _refused(error, rest)
        if text:
            write(text)
        return status.OK


def _question(options: Options, rest: Sequence[str]) -> Callable[[Client], str]:
    """What is asked, and how its answer becomes text; UsageError before anything is sent."""
    if options.getinfo or options.netinfo:
        if rest:
            raise UsageError(f"after -{'getinfo' if options.getinfo else 'netinfo'} stands nothing")
        return _screen(options)
    from timed.cli import secrets

    name = method_name(rest[0])
    params = arguments(
        name, rest[1:], options.named, secrets.ask if options.stdin else None, secrets.everything
    )

    if not options.stdin:
        secrets.warn_of(on_the_line(name, rest[1:], options.named))

    def ask(client: Client) -> str:
        result: Any = client.call(name, **params) if isinstance(params, dict) else client.call(name, *params)
        return text_of(name, result, options, terminal_width())

    return ask


def _screen(options: Options) -> Callable[[Client], str]:
    def ask(client: Client) -> str:
        from time import time

        from timed.cli import screens

        found = screens.ask(client, screens.INFO if options.getinfo else screens.NET)
        if options.json or options.compact:
            return text_of("", {name: _plain(value) for name, value in found.items()}, options, None)
        if options.getinfo:
            return screens.getinfo(found, terminal_width())
        return screens.netinfo(found, int(time()), terminal_width())

    return ask


def _plain(value: Any) -> Any:
    if not isinstance(value, ClientError):
        return value
    return {"error": getattr(value, "message", str(value)), "code": getattr(value, "code", None)}


def _patiently(once: Callable[[Client], str], client: Client, wait_s: float) -> str:
    """Ask, and for `wait_s` seconds again while nothing was carried out and a later try may do."""
    from time import monotonic, sleep

    from timed.client.errors import ConnectionLost

    deadline = monotonic() + wait_s
    while True:
        try:
            return once(client)
        except ClientError as error:
            waits = status.of(error) in (status.UNREACHABLE, status.LATER)
            if isinstance(error, ConnectionLost) or not waits or monotonic() >= deadline:
                raise
        sleep(min(POLL_S, max(0.0, deadline - monotonic())))


def _shown(once: Callable[[Client], str], client: Client) -> tuple[str, int]:
    try:
        return once(client), status.OK
    except ClientError as error:
        return f"timed-cli: {_printable(error)}", status.of(error)


def _refused(error: RpcFailure, rest: Sequence[str]) -> int:
    """The node's own words, its hint, and for a wrong argument how the method is called."""
    print(f"error: {_printable(error).removeprefix('Error: ')}", file=sys.stderr)
    if error.hint:
        print(_printable(error.hint), file=sys.stderr)
    if isinstance(error, InvalidArguments) and rest:
        print(f"usage: timed-cli {method(method_name(rest[0])).usage}", file=sys.stderr)
    return status.of(error)


def _complain(error: Exception, number: int) -> int:
    print(f"timed-cli: {_printable(error)}", file=sys.stderr)
    return number


def _printable(told: object) -> str:
    """What somebody else may have written, without anything a terminal obeys."""
    from timed.cli.cells import plain_lines

    return plain_lines(str(told))


def _of_a_file(error: OSError) -> LocalError:
    what = f"cannot use {error.filename}" if error.filename else "cannot go on"
    return LocalError(f"{what}: {error.strerror or error}.")


def _version() -> int:
    from timed import __version__

    print(f"timed-cli {__version__}")
    return status.OK


def _help(asked: bool) -> int:
    from timed.cli.helping import overview

    print(overview(), file=sys.stdout if asked else sys.stderr)
    return status.OK if asked else status.USAGE


if __name__ == "__main__":
    sys.exit(main())

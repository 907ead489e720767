"""`timed-cli METHOD [arguments]`: one call to a running node.

It imports neither Twisted nor treq, so that it starts fast.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from timed.cli.words import Options, UsageError, arguments, method_name, shown, split
from timed.client.blocking import Client
from timed.client.errors import CannotConnect, ClientError, RpcFailure
from timed.client.location import Location, from_datadir, from_url
from timed.errors import ConfigError

OK, FAILED, USAGE, UNREACHABLE = 0, 1, 2, 3

SEEDLIST = "seedlist"

HELP = """\
usage: timed-cli [options] METHOD [arguments]
       timed-cli seedlist --help     make, sign and check lists of nodes; no node is asked

  --datadir DIR     the node's data directory, for its cookie file
  --network NAME    mainnet, testnet or regtest (default testnet)
  --rpcport PORT    the node's RPC port (default: the network's)
  --rpc-url URL     http://user:password@host:port instead of a cookie
  --config FILE     the node's configuration file, for all of these
  --node-id N       a node started with `timed --node-id N` in this directory
  --timeout S       longest wait for an answer (default 60)
  -named            arguments are given as name=value
  --help, --version

Exit status: 0 done, 1 the node answered with an error, 2 usage, 3 no node answers.
Names may be written with dashes: get-block-count.
"""


def main(words: Sequence[str] | None = None) -> int:
    """The exit status; results go to standard output, errors to standard error."""
    try:
        options, rest = split(sys.argv[1:] if words is None else words)
        if options.version:
            return _version()
        if options.help or not rest:
            return _help(asked=options.help)
        if rest[0] == SEEDLIST:
            return _seedlist(rest[1:])
        name = method_name(rest[0])
        params = arguments(name, rest[1:], options.named)
        location = locate(options)
    except UsageError as error:
        print(f"timed-cli: {error}", file=sys.stderr)
        return USAGE
    except (CannotConnect, ConfigError) as error:
        print(f"timed-cli: {error}", file=sys.stderr)
        return USAGE if isinstance(error, ConfigError) else UNREACHABLE
    with Client(location, options.timeout) as client:
        return _run(client, name, params)


def locate(options: Options) -> Location:
    """Where the node is; ConfigError or CannotConnect when the options do not tell."""
    if options.rpc_url:
        cookie = from_datadir(options.datadir, options.network).cookie_file if options.datadir else ""
        return from_url(options.rpc_url, cookie)
    if options.config or options.node_id:
        from timed.app.config import load

        config = load(options.config or None, node_id=options.node_id or None)
        port = options.rpcport or config.rpc_port
        return Location(config.settings.rpc.host, port, cookie_file=str(config.cookie_file))
    return from_datadir(options.datadir, options.network, port=options.rpcport)


def _run(client: Client, name: str, params: list[object] | dict[str, object]) -> int:
    try:
        if isinstance(params, dict):
            result = client.call(name, **params)
        else:
            result = client.call(name, *params)
    except RpcFailure as error:
        print(f"error: {str(error).removeprefix('Error: ')}", file=sys.stderr)
        if error.hint:
            print(error.hint, file=sys.stderr)
        return FAILED
    except CannotConnect as error:
        print(f"timed-cli: {error}", file=sys.stderr)
        return UNREACHABLE
    except ClientError as error:
        print(f"timed-cli: {error}", file=sys.stderr)
        return FAILED
    if result is not None:
        _print(result if isinstance(result, str) else shown(result))
    return OK


def _print(text: str) -> None:
    """Write a result; a reader that has seen enough, as `head` has, is no failure."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _seedlist(words: Sequence[str]) -> int:
    from timed.cli import seedlist

    return seedlist.main(words)


def _version() -> int:
    from timed import __version__

    print(f"timed-cli {__version__}")
    return OK


def _help(asked: bool) -> int:
    from timed.rpc.documentation import overview

    print(f"{HELP}\n{overview()}", file=sys.stdout if asked else sys.stderr)
    return OK if asked else USAGE


if __name__ == "__main__":
    sys.exit(main())

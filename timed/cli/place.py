"""From the options to where the node is and who asks."""

from __future__ import annotations

import os

from timed.cli.options import Options
from timed.client.location import Location, from_datadir, from_url

CONFIG_FILE = "node.ini"
"""In a data directory: what `timed-cli init` writes there."""
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""A node that listens everywhere is asked on this machine."""
DEFAULT_NETWORK = "testnet"


def locate(options: Options) -> Location:
    """Where the node is; ConfigError or CannotConnect when the options do not tell."""
    place = _place(options)
    if options.rpcconnect:
        place = place._replace(host=options.rpcconnect)
    if options.rpccookiefile:
        place = place._replace(cookie_file=os.path.expanduser(options.rpccookiefile))
    if options.rpcuser:
        place = place._replace(user=options.rpcuser, password=options.rpcpassword)
    if options.tls or options.cacert:
        place = place._replace(tls=True, ca_file=os.path.expanduser(options.cacert))
    return place


def _place(options: Options) -> Location:
    if options.rpc_url:
        cookie = ""
        if options.datadir:
            cookie = from_datadir(options.datadir, options.network or DEFAULT_NETWORK).cookie_file
        return from_url(options.rpc_url, cookie)
    file = options.config or _file_in(options)
    if file or options.node_id:
        return _configured(options, file)
    return from_datadir(options.datadir, options.network or DEFAULT_NETWORK, port=options.rpcport)


def _file_in(options: Options) -> str:
    """The configuration in the data directory, unless a numbered node is asked for."""
    if options.node_id:
        return ""
    cookie = from_datadir(options.datadir, options.network or DEFAULT_NETWORK).cookie_file
    path = os.path.join(os.path.dirname(cookie), CONFIG_FILE)
    return path if os.path.exists(path) else ""


def _configured(options: Options, file: str) -> Location:
    from timed.app.config import load, override

    given = {
        "node.network": options.network,
        "node.datadir": os.path.abspath(os.path.expanduser(options.datadir)) if options.datadir else "",
    }
    overrides = [override(name, text, "the command line") for name, text in given.items() if text]
    config = load(file or None, overrides, node_id=options.node_id or None, as_started=True)
    host = config.settings.rpc.host
    port = options.rpcport or config.rpc_port
    return Location(ANYWHERE.get(host, host), port, cookie_file=str(config.cookie_file))

"""`-getinfo` and `-netinfo`: one screen made of several calls, asked in one batch.

What a call did not give is a dash, with the reason below: a node without a wallet, or one
that does not let this caller see it, still shows the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from timed.cli.cells import cell, moment, plain, size, span
from timed.cli.columns import Columns
from timed.cli.human import table
from timed.cli.status import NO_PERMISSION
from timed.client.blocking import Client
from timed.client.errors import ClientError, RpcFailure

INFO = (
    "getblockchaininfo", "getnetworkinfo", "getconsensusinfo", "masternodestatus", "getmempoolinfo", "getwalletinfo",
    "uptime",
)  # fmt: skip
NET = ("getnetworkinfo", "getpeerinfo", "getnettotals")
PEERS = Columns(
    (
        "id",
        "dir",
        "class",
        "nodeid",
        "addr",
        "ping",
        "minping",
        "age",
        "last",
        "recv",
        "sent",
        "queued",
        "score",
        "subver",
    )
)
NAMES = {"dir": "inbound"}


def ask(client: Client, methods: Sequence[str]) -> dict[str, Any]:
    """The results by method; a call that failed stands as its exception.

    A failure of every call is the node's answer to the screen, and raised. A call that the
    account may not make refuses a whole batch: then each is made by itself.
    """
    try:
        results = client.batch([(method, []) for method in methods])
    except RpcFailure as error:
        if error.rule != NO_PERMISSION:
            raise
        results = [_alone(client, method) for method in methods]
    failed = [each for each in results if isinstance(each, ClientError)]
    if len(failed) == len(results):
        raise failed[0]
    return dict(zip(methods, results, strict=True))


def _alone(client: Client, method: str) -> Any:
    try:
        return client.call(method)
    except RpcFailure as error:
        return error


def getinfo(found: Mapping[str, Any], width: int | None) -> str:
    """The overview of a node."""
    chain, net, making = (
        _object(found, name) for name in ("getblockchaininfo", "getnetworkinfo", "getconsensusinfo")
    )
    member, pool, wallet = (
        _object(found, name) for name in ("masternodestatus", "getmempoolinfo", "getwalletinfo")
    )
    rows = [
        ("Version", f"{_of(net, 'subversion')}  protocol {_of(net, 'protocolversion')}  up {_uptime(found['uptime'])}"),
        ("Node id", _of(net, "nodeid")),
        ("Chain", f"{_of(chain, 'chain')}  {_progress(chain)}"),
        ("Height", f"{_of(chain, 'blocks')} of {_of(chain, 'headers')}  last block {_of(chain, 'time')}"),
        ("Block", _of(chain, "bestblockhash")),
        ("Next block", f"epoch {_of(making, 'epoch')}  round {_of(making, 'round')}  {_of(making, 'step')}"),
        ("Finality", f"{_of(making, 'final')} final, {_of(making, 'certified')} certified of {_of(making, 'transactions')} in this epoch; quorum {_of(making, 'quorum')} of {_of(making, 'total_weight')}"),
        ("Masternode", _member(member)),
        ("Peers", f"{_of(net, 'connections')}  in {_of(net, 'connections_in')}  out {_of(net, 'connections_out')}"),
        ("Mempool", f"{_of(pool, 'size')} transactions, {_of(pool, 'bytes')}"),
        ("Wallet", _wallet(wallet)),
        ("Warnings", "; ".join(filter(None, (chain.get("warnings"), net.get("warnings")))) or "none"),
    ]  # fmt: skip
    lines = [f"{name:<11} {plain(text)}" for name, text in rows]
    lines += [f"({method}: {error})" for method, error in found.items() if isinstance(error, ClientError)]
    return "\n".join(
        line if width is None or len(line) <= width else line[: width - 1] + "…" for line in lines
    )


def netinfo(found: Mapping[str, Any], now: int, width: int | None) -> str:
    """The peers, and the sums over them."""
    net, totals, peers = (
        _object(found, "getnetworkinfo"),
        _object(found, "getnettotals"),
        found["getpeerinfo"],
    )
    lines = [f"{_of(net, 'subversion')}  node {_of(net, 'nodeid')}  {moment(now)}", ""]
    if isinstance(peers, ClientError):
        lines.append(f"(getpeerinfo: {peers})")
    elif peers:
        lines.append(table([_peer(peer, now) for peer in _ordered(peers)], width, PEERS))
    else:
        lines.append("no peers")
    inbound, outbound = _of(net, "connections_in"), _of(net, "connections_out")
    received, sent = _of(totals, "totalbytesrecv", "bytes"), _of(totals, "totalbytessent", "bytes")
    lines += ["", f"in {inbound}  out {outbound}  received {received}  sent {sent}"]
    return "\n".join(lines)


def _ordered(peers: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Outbound first, then by age."""
    return sorted(peers, key=lambda peer: (bool(peer["inbound"]), peer["conntime"]))


def _peer(peer: Mapping[str, Any], now: int) -> dict[str, Any]:
    news = max(peer.get("lastrecv", 0), peer.get("lastsend", 0))
    return {
        "id": peer["id"],
        "dir": "in" if peer["inbound"] else "out",
        "class": peer.get("class"),
        "nodeid": peer["nodeid"],
        "addr": peer["addr"],
        "ping": _span(peer.get("pingtime")),
        "minping": _span(peer.get("minping")),
        "age": span(Decimal(max(0, now - peer["conntime"]))),
        "last": span(Decimal(max(0, now - news))) if news else "-",
        "recv": size(peer["bytesrecv"]),
        "sent": size(peer["bytessent"]),
        "queued": size(peer.get("queued_bytes", 0)),
        "score": peer.get("score"),
        "subver": peer.get("subver"),
    }


def _span(seconds: Any) -> str:
    return "-" if seconds is None else span(Decimal(seconds))


def _object(found: Mapping[str, Any], method: str) -> Mapping[str, Any]:
    value = found[method]
    return value if isinstance(value, dict) else {}


def _of(value: Mapping[str, Any], name: str, kind: str = "") -> str:
    return cell(kind or name, value.get(name))


def _uptime(value: Any) -> str:
    return "-" if isinstance(value, ClientError) else span(Decimal(value))


def _progress(chain: Mapping[str, Any]) -> str:
    progress = chain.get("verificationprogress")
    if not chain.get("syncing") or progress is None:
        return "in step with the network" if chain else "-"
    return f"catching up, {Decimal(progress) * 100:.2f} %"


def _member(status: Mapping[str, Any]) -> str:
    if status.get("index") is None:
        return _of(status, "status")
    voting = "voting" if status.get("voting") else f"not voting: {_of(status, 'reason')}"
    return f"{_of(status, 'status')}  index {status['index']}  {_of(status, 'tier')}  weight {_of(status, 'weight')}  {voting}"


def _wallet(wallet: Mapping[str, Any]) -> str:
    if not wallet:
        return "-"
    lock = (
        "locked"
        if wallet.get("locked")
        else "unlocked"
        if wallet.get("encrypted")
        else "without a passphrase"
    )
    return f"{_of(wallet, 'balance')} TIME  {lock}"

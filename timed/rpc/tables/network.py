"""The methods about peers, addresses and bans."""

from __future__ import annotations

from timed.rpc.method import ADMIN, Method, Param
from timed.rpc.schema import Boolean, Integer, SessionName, Text, Word
from timed.rpc.tables.common import PEER

METHODS = (
    Method(
        "getnetworkinfo",
        "network",
        "This node's place in the network.",
        "object: version, subversion, protocolversion, nodeid, connections, connections_in, connections_out, "
        "networkactive, networks, relayfee, incrementalfee, localaddresses, listenport, timeoffset, seeds (source, kind, "
        "outcome, addresses: the sources of addresses), warnings",
    ),
    Method(
        "getpeerinfo",
        "network",
        "One object for every open session.",
        "array of objects: id, nodeid, addr, inbound, subver, version, session_version, encoding, "
        "startingheight, operator, is_masternode, masternode, "
        "class (anonymous, member, trusted), conntime, lastsend, lastrecv, last_transaction and last_block (delivered "
        "when it was news; 0 for never), bytessent, bytesrecv, bytessent_per_msg, "
        "bytesrecv_per_msg, messages_sent, messages_received, pingtime, minping, timeoffset, clock_offset, queued_bytes, "
        "ahead_bytes, queues (per class: messages, bytes, age), batches (writes, frames, mean_bytes, largest_bytes, rules), "
        "compression (sent, received: plain, packed bytes), "
        "unread (messages, bytes, paused: its link is not read), pauses, dropped, over_rate, unknown, withheld, requests, "
        "served, score, cpu (of the node's thread on its messages, a sample scaled), cpu_per_msg (its part of getnettotals' "
        "cpu, by its bytes); times in seconds",
        cost=20,
    ),
    Method("getconnectioncount", "network", "The number of open sessions.", "integer"),
    Method(
        "getnettotals",
        "network",
        "What went through the sockets since the start, by type and class of message.",
        "object: totalbytesrecv, totalbytessent, timemillis, uploadtarget, types and classes (messages_sent, "
        "messages_received, bytessent, bytesrecv), incomplete (bytes of messages under way), overhead (bytesrecv, "
        "bytessent: TLS and refused connections), batches, compression, dropped, over_rate, cpu (seconds of "
        "the node's thread by type of message, a sample scaled; other: not for one message), queues (per class: messages, "
        "bytes, age of the oldest); types, incomplete and overhead sum up to the totals",
        cost=10,
    ),
    Method(
        "explainpeer",
        "network",
        "Why a peer is treated as it is, connected or not.",
        "object: summary (one sentence), nodeid, addr, state, class, score, bans, reasons (time, event, detail, points, score, verdict, done), "
        "dials, addresses, book (as getnodeaddresses), conduct (enforce, dry-run), limits, session (null, or as getpeerinfo with rates and throttled)",
        (Param("peer", PEER, "Node id, host:port, address or id of the session."),),
        example="192.0.2.7:24000",
        cost=10,
    ),
    Method(
        "addnode",
        "network",
        "Keeps a session with a node from now on, no longer, or tries it once; a session that lives is left alone.",
        "null",
        (
            Param("node", PEER, "host:port, or node-id@host:port to insist on an identity."),
            Param("command", Word(words=("add", "remove", "onetry")), "add, remove or onetry."),
        ),
        permission=ADMIN,
        example="192.0.2.7:24000 add",
    ),
    Method(
        "getaddednodeinfo",
        "network",
        "The nodes that are kept connected: configured, or added.",
        "array of objects: addednode, nodeid, connected, addresses (address, connected), failures, last_failure",
        (Param("node", PEER, "Only this one, as it was added.", None),),
    ),
    Method(
        "getnodeaddresses",
        "network",
        "Some of the addresses this node knows, in no order.",
        "array of objects: time, services, address, port, network, nodeid, met (this node met that node there itself), "
        "source (the group of who told of it), tried, attempts (since the last success), last_try, last_success",
        (
            Param("count", Integer(0, 100_000), "How many at most; 0 for all.", 1),
            Param("network", Word(words=("ipv4", "ipv6")), "Only ipv4 or ipv6.", None),
        ),
        example="8",
        cost=10,
    ),
    Method(
        "disconnectnode",
        "network",
        "Ends a session in good order. A node that is kept connected is dialled again: remove it with addnode first.",
        "null",
        (
            Param("address", PEER, "host:port or node id as getpeerinfo shows them.", ""),
            Param("nodeid", SessionName(), "Instead: the node id, or the id of the session.", None),
        ),
        permission=ADMIN,
        example="192.0.2.7:24000",
    ),
    Method(
        "listbanned",
        "network",
        "Who is refused: by the operator, or by this node for what they did.",
        "array of objects: subject (what setban takes), address, nodeid, ban_created, banned_until, ban_duration, "
        "time_remaining, reason, by (operator, node); times of a ban without end are null",
    ),
    Method(
        "setban",
        "network",
        "Refuses a node id, an address or a subnet, or lets it in again. A node id is refused even if it is trusted; an "
        "address or a subnet spares trusted nodes and this machine. A ban outlives the process.",
        "null",
        (
            Param("subnet", Text(maximum=128), "Node id, address, or subnet with a prefix."),
            Param("command", Word(words=("add", "remove")), "add or remove."),
            Param("bantime", Integer(0, 2**33), "Seconds; 0 for a day. With absolute: unix time.", 0),
            Param("absolute", Boolean(), "true: bantime is the unix time at which it ends.", False),
            Param("reason", Text(maximum=100), "A note for listbanned; the peer is told, too.", ""),
        ),
        permission=ADMIN,
        example="192.0.2.0/24 add 3600",
    ),
    Method(
        "clearbanned",
        "network",
        "Lifts every ban, the node's own as well as the operator's.",
        "null",
        permission=ADMIN,
    ),
)

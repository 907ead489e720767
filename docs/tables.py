"""The tables in `docs/*.rst` and `docs/rpc/*.rst` that the code writes itself.

`python docs/tables.py` puts them between their markers; `--check` names the pages in
which they differ and ends with status 1. A table stands between two comments::

    .. begin table NAME
    .. end table NAME
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from timed.app.schema import RPCSection, keys
from timed.cli.commands import COMMANDS
from timed.cli.options import GROUPS
from timed.cli.status import MEANINGS
from timed.cli.symptoms import SYMPTOMS
from timed.feed.event import TYPES
from timed.monitor.eventlog import CLOSED, LINES, LOST, REFUSED, SPARED, Line
from timed.monitor.health import CHECKS
from timed.monitor.metrics import COUNTER, METRICS
from timed.params import NETWORKS
from timed.peer import limits
from timed.peer.conduct import POLICY
from timed.peer.outbox import SHARES
from timed.peer.rates import RATES
from timed.primitives.roster import is_quorum
from timed.rpc import dispatch, errors, http, jsontext, lanes, paying, reader, site, waiting
from timed.sim.mutants import MUTANTS
from timed.wire import describe
from timed.wire.message import Priority

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
PACKAGE = ROOT / "timed"

FAULT_SIZES = (3, 4, 7, 10, 100)
"""Roster sizes of the fault table."""

Rows = Iterable[Sequence[str]]


def grid(header: Sequence[str], rows: Rows, widths: Sequence[int] = ()) -> str:
    """An RST list-table; `widths` are relative, empty for automatic ones."""
    text = describe.table(header, rows)
    if not widths:
        return text
    option = f"   :widths: {' '.join(map(str, widths))}\n"
    return text.replace("   :header-rows: 1\n", "   :header-rows: 1\n" + option, 1)


def code(text: object) -> str:
    return f"``{text}``"


# The protocol


_PARAMETERS = (
    ("chain_id", "chain id", "in every signature"),
    ("magic", "magic of a frame", "hexadecimal"),
    ("address_prefix", "prefix of an address", ""),
    ("address_byte", "network byte of an address", ""),
    ("p2p_port", "port for other nodes", "RPC is at + 1,000, the monitor at + 2,000"),
    ("default_interval_s", "seconds between grid points", "unless genesis says otherwise"),
    ("minimum_interval_s", "the least a genesis may choose", "seconds"),
    ("equal_weight_allowed", "weight profile ``equal`` allowed", "[8]"),
    ("plain_allowed", "plain TCP allowed", ""),
    ("group_diversity", "one outbound session per /16", ""),
    ("max_transaction_bytes", "bytes of a transaction", "at most"),
    ("max_inputs", "inputs of a transaction", "at most"),
    ("max_outputs", "outputs of a transaction", "at most; a coinbase pays the whole roster"),
    ("dust", "units in an output", "at least"),
    ("minimum_fee", "units of the least fee", ""),
    ("fee_divisor", "divisor of the proportional fee", "sum of the outputs / this"),
    ("maximum_fee_floor", "units at which the least fee stops growing", ""),
    ("max_block_bytes", "bytes of a block", "at most"),
    ("max_block_transactions", "transactions of a block", "at most, the coinbase included"),
    ("epoch_bytes", "bytes one member votes for in an epoch", "at most"),
    ("epoch_transactions", "transactions one member votes for in an epoch", "at most"),
    ("direct_mesh", "members up to which all are directly connected", "no use of it is made yet"),
    ("trusting_period_s", "seconds a roster is trusted", "no use of it is made yet"),
)
"""(field of NetworkParams, meaning, remark); every field but the two names."""


def shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, bytes):
        return code(value.hex())
    return f"{value:,}" if isinstance(value, int) else code(value)


def parameters() -> str:
    networks = list(NETWORKS.values())
    rows = []
    for field, meaning, remark in _PARAMETERS:
        values = [shown(getattr(params, field)) for params in networks]
        rows.append((code(field), meaning, *values, remark))
    return grid(("parameter", "meaning", *NETWORKS, "remark"), rows)


def quorums() -> str:
    """The fault table: it follows from the quorum rule alone."""
    rows = []
    for members in FAULT_SIZES:
        quorum = next(weight for weight in range(members + 1) if is_quorum(weight, members))
        rows.append((members, quorum, 2 * quorum - members - 1, members - quorum))
    header = ("members (equal weight)", "quorum", "safe with liars up to", "live with dead up to")
    return grid(header, [tuple(map(str, row)) for row in rows])


def rates() -> str:
    rows = [(code(name), f"{rate.per_second:,}", f"{rate.burst:,}") for name, rate in RATES.items()]
    return grid(("bucket", "messages per second", "at once"), rows)


def shares() -> str:
    rows = [(priority.name.lower(), f"{SHARES[priority]} %") for priority in Priority]
    return grid(("class", "share while it waits"), rows)


_BOUNDS = (
    ("PRE_HANDSHAKE_BYTES", "bytes of a payload before the handshake"),
    ("UNKNOWN_TYPE_BYTES", "bytes of a payload of an unknown type, which is skipped"),
    ("LARGEST_FRAME", "bytes of a frame, header and trailer included"),
    ("PEER_QUEUE_BYTES", "bytes of transactions, queries and bulk queued for one peer"),
    ("URGENT_QUEUE_BYTES", "bytes of control and consensus queued for one peer"),
    ("TOTAL_QUEUE_BYTES", "bytes queued for all peers"),
    ("AHEAD_BYTES", "bytes with the transport and not drained"),
    ("CONTROL_AHEAD_BYTES", "of these, for control only"),
    ("TURN_COST", "bytes that a turn decodes of transactions, queries and bulk"),
    ("READING_BULK_COST", "of these, for bulk in a turn in which bytes arrived"),
    ("INTAKE_BYTES", "bytes received from one peer and not decoded"),
    ("INTAKE_MESSAGES", "the same in messages"),
    ("TOTAL_INTAKE_BYTES", "the same in bytes for all peers"),
    ("INCOMPLETE_BYTES", "bytes of messages that are not complete, of all peers"),
    ("BATCH_BYTES", "bytes a busy link gathers for one write"),
    ("HOLD_MAX", "time a busy link gathers"),
    ("HOLD_MAX_URGENT", "the same while consensus waits"),
    ("HANDSHAKE_DEADLINE", "from a transport to an open session"),
    ("GREETING_LINKS", "inbound links that have not opened"),
    ("PING_INTERVAL", "between two pings, ± 20 %"),
    ("SILENCE_LIMIT", "silence that ends a session"),
    ("PROBE_LIMIT", "for a sign of life of the older of two sessions"),
    ("STALL_LIMIT", "without a drained transport"),
    ("REQUEST_WINDOW", "requests in flight that a node answers at one time"),
    ("REQUEST_DEADLINE_MIN", "deadline of a request, at least"),
    ("REQUEST_DEADLINE_MAX", "deadline of a request, at most"),
    ("RETAINED_MESSAGES", "messages kept for one peer until acknowledged"),
    ("RETAINED_AGE", "how long they are kept"),
    ("MAX_INBOUND", "inbound sessions"),
    ("RESERVED_INBOUND", "more, for members and trusted peers"),
    ("OUTBOUND_TARGET", "outbound sessions from the address book"),
    ("BACKOFF_FIRST", "wait after the first failed dial, + up to a half"),
    ("BACKOFF_CAP_MAX", "longest wait between two dials"),
    ("SCORE_HALF_LIFE", "half-life of a conduct score"),
    ("BAN_SCORE", "conduct score that bans"),
    ("EXCESS_PAUSE", "how long a link is not read after its peer exceeded a rate"),
    ("BAN_TIME", "length of a ban"),
)
"""(name in timed.peer.limits, meaning); those not of bytes or counts are times."""
_COUNTS = (
    "INTAKE_MESSAGES", "GREETING_LINKS", "REQUEST_WINDOW", "RETAINED_MESSAGES", "MAX_INBOUND", "RESERVED_INBOUND",
    "OUTBOUND_TARGET", "BAN_SCORE",
)  # fmt: skip


def bounds() -> str:
    rows = []
    for name, meaning in _BOUNDS:
        value = int(getattr(limits, name))
        if name.endswith(("_BYTES", "LARGEST_FRAME", "_COST")):
            text = f"{value // 1024:,} KiB" if value < limits.MIB else f"{value // limits.MIB} MiB"
        elif name in _COUNTS:
            text = f"{value:,}"
        else:
            text = f"{value / 1_000_000:g} s" if value >= 100_000 else f"{value // 1_000} ms"
        rows.append((code(name), text, meaning))
    return grid(("bound", "value", "meaning"), rows)


def conduct() -> str:
    rows = [
        (code(event), str(rule.points) if rule.points else "–", rule.verdict.name.lower())
        for event, rule in POLICY.items()
    ]
    return grid(("event", "points", "at once"), rows)


# Operating


def configuration() -> str:
    rows = []
    for row in keys():
        default = row.kind.show(row.default)
        change = "live" if row.live else "restart"
        rows.append((code(row.full_name), code(default) if default else "", row.kind.name, change, row.doc))
    return grid(("key", "default", "kind", "change", "meaning"), [tuple(map(_escaped, row)) for row in rows])


def _escaped(text: str) -> str:
    """Text for a cell: a bar would open a substitution."""
    return text if text.startswith("``") else text.replace("|", r"\|").replace("*", r"\*")


def metrics() -> str:
    rows = []
    for row in METRICS:
        name = f"{row.name}_total" if row.type == COUNTER else row.name
        rows.append((code(name), row.type, ", ".join(row.labels), row.help))
    return grid(("metric", "type", "labels", "meaning"), rows)


def health() -> str:
    rows = [(code(check.name), "yes" if check.ready else "") for check in CHECKS]
    return grid(("check", "counts for ``/ready``"), rows)


def lines() -> str:
    table: dict[str, Line] = {event.__name__: line for event, line in LINES.items()}
    table["PeerClosed, unwanted"] = LOST
    table["PeerClosed, by the other end"] = CLOSED
    table["PeerRefused, by the other end"] = REFUSED
    table["PeerBanned, in a dry run"] = SPARED
    rows = [(event, line.level.name, code(line.text)) for event, line in table.items()]
    return grid(("event", "level", "line"), rows)


# The command line


def options() -> str:
    """The options of `timed-cli`, group by group."""
    parts = []
    for title, group in GROUPS.items():
        rows = []
        for option in group:
            variable = f" Else ``{option.environment}`` of the environment." if option.environment else ""
            rows.append(
                (code(f"{option.spelling} {option.metavar}".rstrip()), f"{_escaped(option.help)}.{variable}")
            )
        parts.append(f"**{title}**\n\n{grid(('option', 'meaning'), rows, (30, 70))}")
    return "\n".join(parts)


def statuses() -> str:
    return grid(("status", "meaning"), [(str(number), said) for number, said in MEANINGS.items()], (10, 90))


def commands() -> str:
    return grid(
        ("command", "what it does"), [(code(each.name), each.summary) for each in COMMANDS.values()], (25, 75)
    )


# The RPC


def symptoms() -> str:
    return grid(
        ("finding", "what is looked at"),
        ((symptom.name, f"{symptom.about}.") for symptom in SYMPTOMS),
        (25, 75),
    )


def rpc_codes() -> str:
    return grid(
        ("code", "name", "when"),
        [(str(number), code(name), said) for name, (number, said) in errors.CODES.items()],
    )


def rpc_rules() -> str:
    """Every rule that stands as `rule=` in the rooms of the RPC, with the hint beside it."""
    found: dict[str, tuple[str, str]] = {}
    for path in sorted((PACKAGE / "rpc").rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call):
                given = {word.arg: word.value for word in call.keywords}
                rule, hint = _said(given.get("rule")), _said(given.get("hint"))
                handed_on = bool(call.args) and isinstance(call.args[0], ast.Attribute)
                if rule and not rule.startswith("…") and not handed_on:
                    found.setdefault(rule, (_number(call), hint))
    for _, number, rule in errors.LOCAL_RULES:
        found.setdefault(rule, (str(number), ""))
    for rule, (number, _, hint) in paying.TROUBLES.items():
        found.setdefault(rule, (str(number), hint))
    rows = [(code(rule), number, _escaped(hint)) for rule, (number, hint) in sorted(found.items())]
    return grid(("rule", "code", "hint"), rows)


_CODE_OF = {"Busy": "CLIENT_BUSY", "ChainAway": "WARMING_UP", "Forbidden": "INVALID_REQUEST"}
"""Errors that bring their code themselves."""


def _number(call: ast.Call) -> str:
    """The code of an error where it is raised; an error of our own classes calls `super().__init__` with it."""
    named = _CODE_OF.get(call.func.id, "") if isinstance(call.func, ast.Name) else ""
    if not named and call.args and isinstance(call.args[0], ast.Name):
        named = call.args[0].id
    return str(errors.CODES[named][0])


def _said(value: ast.expr | None) -> str:
    """A text of the source; what is filled in when it is said stands as `…`."""
    if isinstance(value, ast.Constant):
        return str(value.value)
    if isinstance(value, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in value.values)
    return "" if value is None else "…"


def rpc_rejections() -> str:
    """The rules by which a transaction is refused, as data.rule of -26 shows them."""
    found = {
        rule: hint for room in ("primitives", "ledger", "node") for rule, hint in _refusals(PACKAGE / room)
    }
    return grid(("rule", "hint"), [(code(rule), hint) for rule, hint in sorted(found.items())])


def _refusals(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.glob("*.py")):
        for rule in re.findall(r'InvalidTransaction\(\s*"([a-z-]+)"', path.read_text(encoding="utf-8")):
            yield rule, errors.HINTS.get(rule, "")


def rpc_limits() -> str:
    mib, defaults = 1024 * 1024, RPCSection()
    rows = (
        (f"{jsontext.MAX_BODY_BYTES // mib} MiB", "a request's body, also once it is unpacked", "413"),
        (f"{http.STRANGER_BYTES // 1024} KiB", "a body without good credentials", "413"),
        (f"{jsontext.MAX_DEPTH}", "arrays and objects inside each other", "-32700, ``json-depth``"),
        (f"{jsontext.MAX_DIGITS}", "digits of a number", "-32600, ``json-number``"),
        (f"{dispatch.MAX_BATCH:,}", "calls of a batch", "-32600, ``batch-size``"),
        (
            f"{dispatch.MAX_REPLY_BYTES // mib} MiB",
            "a batch's answer",
            "-32603 for the calls past it, ``reply-size``",
        ),
        (
            f"{defaults.max_connections:,}",
            "connections (``rpc.max_connections``)",
            "the one that has been idle for longest is closed",
        ),
        (f"{site.IDLE_S} s", "a connection without a byte", "it is closed"),
        (
            f"{lanes.MAX_QUEUED:,}",
            f"calls that wait for their turn, {lanes.MAX_QUEUED_EACH} of them of one client",
            "503, ``calls-full``",
        ),
        (f"{waiting.MAX_WAITERS:,}", "calls that wait for an event", "503, ``waiters-full``"),
        (f"{reader.MAX_WAITING:,}", "questions to the chain that wait", "503, ``reader-full``"),
        (
            f"{reader.DEADLINE_S:g} s",
            "the answer to such a question, however long ``rpc.deadline_s`` is",
            "-1, ``deadline``",
        ),
        (
            f"{defaults.deadline_s} s",
            "any other call that does not wait on purpose (``rpc.deadline_s``)",
            "-1, ``deadline``",
        ),
        (
            f"{http.PACK_FROM:,} bytes to {http.PACK_UP_TO // mib} MiB",
            "answers that are compressed",
            "others are sent plain",
        ),
    )
    return grid(("limit", "of", "past it"), rows)


# The simulator


def mutants() -> str:
    rows = [(mutant.name, code(f"timed/{mutant.file}")) for mutant in MUTANTS]
    return grid(("mistake", "put into"), rows)


# The architecture


def modules() -> str:
    """Every module with the first sentence of its docstring, room by room."""
    parts = []
    for room in rooms():
        rows = [(code(name), said) for name, said in _modules_of(room)]
        parts.append(f"**{room}**\n\n{grid(('module', 'what it is'), rows, (25, 75))}")
    return "\n".join(parts)


def rooms() -> list[str]:
    """Names of the packages below `timed`, the package itself first."""
    found = [path.parent.name for path in sorted(PACKAGE.glob("*/__init__.py"))]
    return ["timed", *found]


def _modules_of(room: str) -> Iterator[tuple[str, str]]:
    folder = PACKAGE if room == "timed" else PACKAGE / room
    pattern = "*.py" if room == "timed" else "**/*.py"
    for path in sorted(folder.glob(pattern)):
        foreign = room == "plugins" and not path.name.startswith("timed_")
        if foreign or path.name == "__init__.py" or path.name.endswith("_codec.py"):
            continue
        yield path.relative_to(folder).with_suffix("").as_posix().replace("/", "."), _first_sentence(path)


def _first_sentence(path: Path) -> str:
    paragraph = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0]
    text = " ".join(paragraph.split())
    sentence = re.split(r"(?<=[.:]) (?=[A-Z`])", text)[0].rstrip(":").rstrip(".")
    return re.sub(r"`([^`]+)`", r"``\1``", sentence).replace("*", r"\*") + "."


def event_types() -> str:
    rows = [
        (code(name), code(subject) if subject else "", _marked(meaning))
        for name, (subject, meaning) in TYPES.items()
    ]
    return grid(("type", "about", "meaning"), rows, (24, 12, 64))


def _marked(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"``\1``", text)


# The pages

TABLES: Mapping[str, Callable[[], str]] = {
    "parameters": parameters,
    "quorums": quorums,
    "values": describe.values,
    "messages": describe.messages,
    "catalogue": describe.catalogue,
    "priorities": describe.priorities,
    "flags": describe.frame_flags,
    "shares": shares,
    "rates": rates,
    "bounds": bounds,
    "conduct": conduct,
    "configuration": configuration,
    "metrics": metrics,
    "health": health,
    "lines": lines,
    "options": options,
    "statuses": statuses,
    "commands": commands,
    "symptoms": symptoms,
    "rpc_codes": rpc_codes,
    "rpc_rules": rpc_rules,
    "rpc_rejections": rpc_rejections,
    "rpc_limits": rpc_limits,
    "mutants": mutants,
    "event_types": event_types,
    "modules": modules,
}

_MARKED = re.compile(
    r"^\.\. begin table (?P<name>\w+)\n.*?^\.\. end table (?P=name)\n", re.MULTILINE | re.DOTALL
)


def names_in(page: str) -> list[str]:
    """The tables a page holds, in its order."""
    return [match["name"] for match in _MARKED.finditer(page)]


def renewed(page: str) -> str:
    """The page with every table as the code has it now; KeyError for a table nobody makes."""

    def table(match: re.Match[str]) -> str:
        name = match["name"]
        return f".. begin table {name}\n\n{TABLES[name]()}\n.. end table {name}\n"

    return _MARKED.sub(table, page)


def pages() -> list[Path]:
    return sorted((*DOCS.glob("*.rst"), *DOCS.glob("rpc/*.rst")))


def main(arguments: Sequence[str]) -> int:
    """The exit status: 1 when `--check` finds a page that differs, 2 for other words."""
    if list(arguments) not in ([], ["--check"]):
        sys.stderr.write("usage: python docs/tables.py [--check]\n")
        return 2
    status = 0
    for path in pages():
        page = path.read_text(encoding="utf-8")
        new = renewed(page)
        if new == page:
            continue
        if arguments:
            sys.stdout.write(f"differs: {path.relative_to(ROOT)}\n")
            status = 1
        else:
            path.write_text(new, encoding="utf-8")
            sys.stdout.write(f"wrote {path.relative_to(ROOT)}\n")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What is fuzzed: one function of bytes for each decoder, and for a session as a whole.

A target gives back nothing. It raises when the code under it does what it must not do
with any bytes: an exception of another family than the two, a value that does not
encode to the bytes it came from, a verdict other than the oracle's, memory or work out
of proportion. `seeds` are what the corpus begins with, `mutate` knows the format.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import attrs
import zstandard

from tests.fuzz import arena, council
from tests.fuzz.damage import damaged, damaged_stream, scribbled
from tests.layout_strategies import sample
from timed.app.config import settings_from
from timed.app.genesis_file import genesis_fields, parse_genesis
from timed.app.inifile import decode_ini
from timed.app.samples import samples
from timed.codec import interpret
from timed.codec.declare import LayoutError, Record
from timed.codec.targets import all_records
from timed.errors import ConfigError, DecodeError, LocalError, RemoteError, StoreError
from timed.ledger.regtest import builtin_regtest
from timed.params import NETWORKS, REGTEST, SECOND
from timed.peer import seedlist
from timed.peer.bans import Ban, parse_subject, subject_text
from timed.peer.location import parse_peer
from timed.peer.memory import Memory
from timed.peer.values import PeerAddress
from timed.primitives.address import decode_address, encode_address
from timed.primitives.amounts import format_amount, parse_amount
from timed.rpc.caller import Caller
from timed.rpc.dispatch import Dispatcher
from timed.rpc.table import METHODS
from timed.store.records import SegmentHeader
from timed.store.segment import SEGMENT_HEADER_SIZE, frame, read_segment_header, scan, sealed
from timed.wire.catalogue import (
    BY_NAME,
    BY_NUMBER,
    MAX_MESSAGE_BYTES,
    MESSAGES,
    decode_record,
    handshake_limit_for,
    limit_for,
)
from timed.wire.compression import MAX_RATIO
from timed.wire.framing import MAX_FRAME, FrameError, FrameReader, frames_of
from timed.wire.jsonlines import LineReader, decode_line, encode_line

RECORDS = {record.title: record for record in all_records()}
VECTORS = Path(__file__).parents[1] / "vectors" / "encodings.json"
CORPUS = Path(__file__).parent / "corpus"
"""What is kept beside the seeds: one directory for each target. Every file is run by the test suite."""


class Finding(AssertionError):
    """The code did with some bytes what it must not do with any."""


def must(holds: bool, what: str) -> None:
    if not holds:
        raise Finding(what)


@attrs.frozen
class Target:
    """One function of bytes."""

    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    mutate: Callable[[bytes, random.Random], bytes]

    def kept(self) -> list[Path]:
        """The files of the kept corpus."""
        folder = CORPUS / self.name
        return sorted(folder.iterdir()) if folder.is_dir() else []


# Values and messages: the generated codec against the interpreter.


def _judge(record: Record, data: bytes) -> Any:
    """The value, None when it is refused; Finding when codec and declaration differ."""
    try:
        wanted = interpret.parse(record, data)
    except LayoutError:
        wanted = None
    try:
        value = interpret.class_of(record).decode(data)
    except DecodeError as error:
        must(wanted is None, f"{record.title}: {error}, and the declaration allows it")
        return None
    must(wanted is not None, f"{record.title}: decoded, and the declaration does not allow it")
    must(interpret.to_plain(record, value) == wanted, f"{record.title}: other fields than declared")
    must(
        value.encode() == data and value.pack() == data, f"{record.title}: another encoding than it came from"
    )
    return value


def run_values(data: bytes) -> None:
    """A title, a zero byte, an encoding."""
    title, zero, encoding = data.partition(b"\0")
    record = RECORDS.get(title.decode("ascii", "replace"))
    if zero and record is not None:
        _judge(record, encoding)


def run_messages(data: bytes) -> None:
    """A record of the log: the number of a message and its payload."""
    try:
        message = decode_record(data)
    except DecodeError as error:
        must(bool(error.rule), "an error without a rule")
        message = None
    entry = BY_NUMBER.get(int.from_bytes(data[:2], "little")) if len(data) >= 2 else None
    if entry is None or len(data) - 2 > entry.max_size:
        must(message is None, "a message that nobody knows, or a longer one than there may be")
        return
    judged = _judge(entry.layout, data[2:])
    must(message == judged, "the catalogue and the codec differ")
    if message is not None and len(data) < 2_000:
        must(decode_line(encode_line(message)) == message, "another message after a line of JSON")


def run_lines(data: bytes) -> None:
    """A line of JSON."""
    try:
        message = decode_line(data)
    except DecodeError as error:
        must(bool(error.rule), "an error without a rule")
        return
    must(decode_line(encode_line(message)) == message, "another message after encoding it")
    must(type(message).decode(message.encode()) == message, "another message than its encoding")


def _record_mutation(prefix: int, record: Record | None, data: bytes, rng: random.Random) -> bytes:
    head, body = data[:prefix], data[prefix:]
    if record is None or rng.randrange(12) == 0:
        return scribbled(data, rng)
    other = interpret.build(record, sample(record, str(rng.randrange(1000))))
    if rng.randrange(20) == 0:
        body = other
    return head + damaged(record, body, rng, other)


def mutate_values(data: bytes, rng: random.Random) -> bytes:
    if rng.randrange(20) == 0:
        title = rng.choice(list(RECORDS))
        return title.encode() + b"\0" + interpret.build(RECORDS[title], sample(RECORDS[title], title))
    title, _, _ = data.partition(b"\0")
    return _record_mutation(len(title) + 1, RECORDS.get(title.decode("ascii", "replace")), data, rng)


def mutate_messages(data: bytes, rng: random.Random) -> bytes:
    entry = BY_NUMBER.get(int.from_bytes(data[:2], "little"))
    return _record_mutation(2, None if entry is None else entry.layout, data, rng)


def _values_seeds() -> Iterable[bytes]:
    known = json.loads(VECTORS.read_text())
    for title, record in RECORDS.items():
        vector = known.get(title)
        body = (
            interpret.build(record, sample(record, title))
            if vector is None
            else bytes.fromhex(vector["encoding"])
        )
        yield title.encode() + b"\0" + body


def _messages_seeds() -> Iterable[bytes]:
    for entry in MESSAGES:
        for few in (1, 3):
            body = interpret.build(entry.layout, sample(entry.layout, entry.name, few))
            yield entry.number.to_bytes(2, "little") + body


def _lines_seeds() -> Iterable[bytes]:
    for entry in MESSAGES:
        yield encode_line(interpret.from_plain(entry.layout, sample(entry.layout, entry.name, 1)))


# Frames.


def run_frames(data: bytes) -> None:
    """Options, a seed of the cuts, a stream: however it is cut, the same messages and the same error."""
    options, seed, stream = data[:1] or b"\0", data[1:2] or b"\0", data[2:]
    checksum, early = bool(options[0] & 1), bool(options[0] & 2)
    whole = _read(stream, [len(stream)], checksum=checksum, early=early)
    rng = random.Random(seed[0])
    steps = [rng.choice((1, 2, 15, 16, 17, 100, 16_384)) for _ in range(20)]
    must(_read(stream, steps, checksum=checksum, early=early) == whole, "the cuts change what is read")


def _read(stream: bytes, steps: list[int], *, checksum: bool, early: bool) -> tuple[Any, ...]:
    """The messages and the rule that ended them; Finding when it costs too much."""
    limit = handshake_limit_for if early else limit_for
    unpack = None if early else arena.PACKING.unpack
    reader = FrameReader(REGTEST.magic, limit_for=limit, checksum=checksum, unpack=unpack)
    at, turn, got, rule = 0, 0, [], ""
    try:
        while at < len(stream):
            step = max(1, steps[turn % len(steps)])
            for each in reader.frames(stream[at : at + step]):
                must(len(each.payload) <= limit(each.number), f"a payload of {len(each.payload)} bytes")
                got.append((each.number, each.flags, each.request_id, each.payload))
            at, turn = at + step, turn + 1
            must(reader.buffered <= min(at, len(stream)), f"{reader.buffered} bytes kept of {at}")
    except FrameError as error:
        rule = error.rule
        must(reader.buffered == 0, "bytes kept after an error")
    must(reader.copied <= 5 * len(stream) + MAX_FRAME, f"{reader.copied} bytes moved of {len(stream)}")
    return got, rule


def run_packed(data: bytes) -> None:
    """A bound, then a compressed payload: no more than the bound and the ratio allow, or FrameError."""
    limit, packed = int.from_bytes(data[:4], "little") % (MAX_MESSAGE_BYTES + 1), data[4:]
    try:
        payload = arena.PACKING.unpack(packed, limit)
    except FrameError as error:
        must(error.rule.startswith("compressed-"), error.rule)
        return
    must(len(payload) <= min(limit, MAX_RATIO * len(packed)), f"{len(payload)} bytes of {len(packed)}")
    again = arena.PACKING.pack(payload)
    must(again is None or arena.PACKING.unpack(again, limit) == payload, "another payload after packing it")


def _packed_seeds() -> Iterable[bytes]:
    honest = arena.long_reply("UTXOStateResponse")
    for level, payload in (
        (1, honest),
        (19, honest),
        (3, bytes(5_000) + honest),
        (1, honest * 100),
        (1, b""),
    ):
        for write in (True, False):
            made = zstandard.ZstdCompressor(level, write_content_size=write, write_checksum=level == 3)
            yield (1 << 20).to_bytes(4, "little") + made.compress(payload)


def run_linestream(data: bytes) -> None:
    """A seed of the cuts, then lines: however they are cut, the same messages and the same error."""
    seed, stream = data[:1] or b"\0", data[1:]
    whole = _read_lines(stream, [len(stream)])
    rng = random.Random(seed[0])
    steps = [rng.choice((1, 2, 40, 63, 64, 65, 100, 16_384)) for _ in range(20)]
    must(_read_lines(stream, steps) == whole, "the cuts change what is read")


def _read_lines(stream: bytes, steps: list[int]) -> tuple[Any, ...]:
    """The messages and the rule that ended them."""
    reader, at, turn = LineReader(limit_for), 0, 0
    got: list[Any] = []
    try:
        while at < len(stream):
            step = max(1, steps[turn % len(steps)])
            for each in reader.frames(stream[at : at + step]):
                got.append((each.number, each.flags, each.request_id, each.payload))
            at, turn = at + step, turn + 1
            must(reader.buffered <= min(at, len(stream)), f"{reader.buffered} bytes kept of {at}")
    except RemoteError as error:
        must(reader.feed(b'{"GetPeers":{}}\n') == [], "something is read behind an error")
        return got, error.rule
    return got, ""


def _linestream_seeds() -> Iterable[bytes]:
    lines = [encode_line(arena.example(entry.number)) for entry in MESSAGES]
    asked = encode_line(arena.example(6), request_id=7)
    answered = encode_line(arena.example(7), request_id=7, reply=True)
    yield b"\3" + b"\n".join([*lines[:4], asked, answered, b""])
    for line in lines:
        yield b"\5" + line + b"\n" + lines[3] + b"\n"


def run_seedlist(data: bytes) -> None:
    """A list of nodes that some server sent: a list that says what it said, or RemoteError."""
    try:
        listed, _, digest = seedlist.parse(data)
    except RemoteError as error:
        must(bool(error.rule), "an error without a rule")
        return
    must(0 < len(listed.addresses) <= seedlist.MAX_LIST_ADDRESSES, "how many addresses")
    must(len(digest) == 32, "a digest")
    try:
        seedlist.read(data, listed.network, listed.genesis, [listed.key], 1_700_000_000 * SECOND)
    except RemoteError as error:
        must(error.rule.startswith("seed-list-"), error.rule)


def _seedlist_seeds() -> Iterable[bytes]:
    signer = arena.stranger_key(0)
    places = [PeerAddress("127.0.0.1", 7000, bytes(32)), PeerAddress("2001:db8::1", 24_000, signer.public)]
    for count in (1, 2):
        yield seedlist.sign(
            "regtest", bytes(32), 1_600_000_000, 1_800_000_000, places[:count], signer
        ).encode()


def _stream(*messages: tuple[str, int, bool], checksum: bool) -> bytes:
    return b"".join(
        b"".join(
            frames_of(
                REGTEST.magic,
                BY_NAME[name].number,
                payload,
                request_id=request,
                reply=reply,
                checksum=checksum,
            )
        )
        for name, request, reply in messages
        for payload in [arena.example(BY_NAME[name].number).encode()]
    )


def _frames_seeds() -> Iterable[bytes]:
    for options in range(4):
        names = [("Handshake", 0, False), ("Ack", 0, False), ("Ping", 0, False)]
        names += [("GetPeers", 9, False), ("PeersResponse", 7, True), ("TransactionVote", 0, False)]
        yield bytes((options, 3)) + _stream(*names, checksum=bool(options & 1))
    long = frames_of(REGTEST.magic, BY_NAME["BlocksResponse"].number, bytes(33_000), request_id=3, reply=True)
    vote = _stream(("TransactionVote", 0, False), checksum=False)
    yield b"\0\5" + long[0] + vote + long[1] + vote + long[2]
    for name in ("PeersResponse", "UTXOStateResponse"):
        packed = arena.PACKING.pack(arena.long_reply(name)) or b""
        number = BY_NAME[name].number
        pieces = frames_of(REGTEST.magic, number, packed, request_id=3, reply=True, compressed=True)
        yield b"\0\7" + b"".join(pieces) + vote
    unknown = frames_of(REGTEST.magic, 999, bytes(20_000), checksum=True)
    yield b"\1\5" + unknown[0] + _stream(("Ping", 0, False), checksum=True) + unknown[1]


def mutate_frames(data: bytes, rng: random.Random) -> bytes:
    head, stream = (data[:2] + b"\0\0")[:2], data[2:]
    if rng.randrange(16) == 0:
        head = bytes((rng.randrange(4), rng.randrange(256)))
    return head + damaged_stream(stream, rng, checksum=bool(head[0] & 1))


# A session, and all of them.


def run_session(data: bytes) -> None:
    """Steps of `tests.fuzz.arena`."""
    arena.play(data)


def _session_seeds() -> Iterable[bytes]:
    opened = bytes((0, 0, 1, 2, 0, 0))
    yield b"\0" + opened
    yield b"\1" + opened + bytes((12, 0, 13, 120, 12, 0, 13, 255))
    for kind in range(len(MESSAGES)):
        yield b"\0" + opened + bytes((7, 0, kind, 1, 1, 0, 10, kind, 12, 0, 7, 0, kind, 1, 1, 1))
    for kind in range(len(arena.REQUESTS)):
        yield b"\0" + opened + bytes((9, 0, kind, 8, 0, 0, 9, 0, kind, 13, 200, 8, 0, 1, 14, 0))
    yield b"\2" + b"".join(bytes((0, each, 1, 2, each, 0)) for each in range(5)) + bytes((11, 8, 12, 1))
    yield b"\0" + bytes((1, 0, 1, 2, 0, 0, 0, 0, 1, 2, 1, 2, 0, 0, 1, 2, 2, 8, 15, 0, 0, 17, 13, 20))
    for seed in range(12):
        yield b"\0" + opened + bytes((21, 0, seed, 9, 0, 7, 21, 0, seed + 5, 12, 0, 13, 1, 14, 0))
    for kind in range(len(MESSAGES)):
        yield b"\10" + opened + bytes((7, 0, kind, 1, 1, 0, 10, kind, 12, 0, 7, 0, kind, 1, 1, 1))
    for kind in (7, 8, 10, 13, 15, 27, 31):
        yield b"\0" + opened + bytes((20, 0, kind, 250, 20, 0, kind, 250, 12, 0, 13, 1, 14, 0))
    yield b"\4" + opened + bytes((16, 0, 3)) * 5 + bytes((16, 0, 0, 0, 0, 1, 16, 0, 1, 18, 0, 0, 19, 255))


def run_council(data: bytes) -> None:
    """Steps of `tests.fuzz.council`."""
    council.play(data)


def _council_seeds() -> Iterable[bytes]:
    certify = bytes((0, 0, 0, 15, 0, 0))
    reports = bytes((3, 0, 0, 0, 3, 1, 1, 0, 3, 2, 2, 0))
    yield bytes((10, 0, 11, 5)) + certify + bytes((12,)) + reports + bytes((11, 20))
    for round_ in range(4):
        block = bytes((16, 1, 2, round_, 11, 9))
        yield bytes((12, 4, 0, 0, 4, 1, 1, 4, 2, 2, 7, 0, round_)) + block
        whole = certify + bytes((12,)) + reports + bytes((6, 0, round_, 0)) + block
        yield whole + bytes((12, 14, 11, 9))
        yield (
            whole + bytes((10, 2, 12, 4, 0, 0, 4, 1, 1, 4, 2, 2, 7, 0, round_)) + block + bytes((14, 11, 100))
        )
    yield certify + bytes((0, 0, 1, 1, 1, 1, 0, 1, 14, 0, 2, 1, 13, 9, 0, 1, 9, 1, 0, 9, 2, 3, 11, 200))
    for kind in range(len(MESSAGES)):
        yield bytes((8, 0, kind, 1, 8, 1, kind, 2, 11, 3, 12, 8, 2, kind, 3, 9, 2, kind, 11, 50))


# Text of others, and of the operator.


def run_rpc(data: bytes) -> None:
    """A request body: an answer, never an exception. Handlers are left out, their arguments are not."""
    failures: list[Exception] = []
    handlers = {method.name: _nothing for method in METHODS.values()}
    dispatcher = Dispatcher(
        handlers, None, pause=_paused, failed=lambda name, error: failures.append(error)
    )  # fmt: skip
    answering = dispatcher.answer(data, Caller("fuzz"))
    try:
        while True:
            answering.send(None)
    except StopIteration as ended:
        reply = ended.value
    must(not failures, f"{failures[:1]!r}")
    if reply.body:
        json.loads(reply.body)
    else:
        must(reply.status == 204, f"an empty answer with status {reply.status}")


def _nothing(environment: Any, **arguments: Any) -> None:
    """A handler that takes what was bound for it."""


async def _paused() -> None:
    """The pause between the slices of a batch."""


def _word(text: str) -> Any:
    """An argument as one types it."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _rpc_seeds() -> Iterable[bytes]:
    for method in METHODS.values():
        words = [_word(word) for word in method.example.split()]
        body = {"jsonrpc": "2.0", "id": 1, "method": method.name, "params": words}
        yield json.dumps(body, default=str).encode()
    yield b'[{"jsonrpc":"2.0","method":"uptime"},{"jsonrpc":"2.0","id":2,"method":"getblock","params":{}}]'
    yield b'{"method":"help","params":["getblock"],"id":null}'
    yield b'[1,{"a":NaN},"\\ud800",1e400,{"id":{},"method":7}]'


def run_genesis(data: bytes) -> None:
    """A genesis file: a genesis that writes an equal file, or the operator is told."""
    try:
        genesis = parse_genesis(data, "genesis.json")
    except LocalError:
        return
    again = json.dumps(genesis_fields(genesis)).encode()
    must(parse_genesis(again, "again") == genesis, "another genesis after writing it")


def _genesis_seeds() -> Iterable[bytes]:
    for count in (1, 3):
        yield json.dumps(genesis_fields(builtin_regtest(range(1, 1 + count)))).encode()


def run_ini(data: bytes) -> None:
    """A configuration: settings, or the operator is told where and what."""
    try:
        settings_from(decode_ini(data, "node.ini"))
    except ConfigError as error:
        must(bool(str(error)), "an error without a word")


def _ini_seeds() -> Iterable[bytes]:
    return (text.encode() for text in samples().values())


def run_memory(data: bytes) -> None:
    """What was remembered of peers."""
    try:
        memory = Memory.from_json(data.decode("utf-8", "surrogateescape"))
    except LocalError:
        return
    must(Memory.from_json(memory.to_json()) == memory, "another memory after writing it")


def _memory_seeds() -> Iterable[bytes]:
    bans = (Ban(bytes(32), 5, "why", True), Ban(parse_subject("10.0.0.0/8"), 0, "", True))
    yield Memory(bytes(32), (), (PeerAddress("127.0.0.1", 7000, bytes(32)),), bans).to_json().encode()
    yield Memory(bytes(32)).to_json().encode()


def run_texts(data: bytes) -> None:
    """Small texts that people and peers write: peers, subjects of bans, addresses, amounts."""
    text = data.decode("utf-8", "surrogateescape")
    for parse, write, families in (
        (parse_peer, str, ValueError),
        (parse_subject, subject_text, ValueError),
        *((lambda one, net=net: decode_address(net, one), lambda lock, net=net: encode_address(net, lock), RemoteError)
          for net in NETWORKS.values()),
        (parse_amount, format_amount, (ValueError, RemoteError)),
    ):  # fmt: skip
        try:
            value = parse(text)
        except families:
            continue
        must(parse(write(value)) == value, f"{text!r} is another thing when it is written")


def _texts_seeds() -> Iterable[bytes]:
    yield from (b"127.0.0.1:7000", b"[::1]:7000", b"ab" * 32 + b"@seed.example:24000", b"10.0.0.0/8")
    yield from (b"::ffff:1.2.3.4", b"fe80::/10", b"1.50000000", b"0.00000001", b"21000000", b"1e3")
    yield from (encode_address(network, bytes(20)).encode() for network in NETWORKS.values())


def run_log(data: bytes) -> None:
    """A file of the log: batches up to the first that is not valid, or StoreError."""
    try:
        header = read_segment_header("log", data)
        found = scan(data, header)
    except StoreError:
        return
    must(SEGMENT_HEADER_SIZE <= found.end <= max(len(data), SEGMENT_HEADER_SIZE), "an end outside the file")
    held = sum(len(record) for batch in found.batches for record in batch.records)
    must(held <= len(data), f"{held} bytes of records in {len(data)}")


def _log_seeds() -> Iterable[bytes]:
    header = SegmentHeader(b"timedlog", 1, bytes(32), 4, 0, 7, 0, False, b"markmark")
    frames = [frame(b"markmark", number, [b"record", b""]) for number in (7, 8, 9)]
    yield sealed(header) + b"".join(frames)
    yield sealed(header) + frames[0] + frames[2][:30]


_TARGETS = (
    Target("messages", run_messages, _messages_seeds, mutate_messages),
    Target("values", run_values, _values_seeds, mutate_values),
    Target("frames", run_frames, _frames_seeds, mutate_frames),
    Target("session", run_session, _session_seeds, scribbled),
    Target("council", run_council, _council_seeds, scribbled),
    Target("lines", run_lines, _lines_seeds, scribbled),
    Target("rpc", run_rpc, _rpc_seeds, scribbled),
    Target("genesis", run_genesis, _genesis_seeds, scribbled),
    Target("ini", run_ini, _ini_seeds, scribbled),
    Target("memory", run_memory, _memory_seeds, scribbled),
    Target("texts", run_texts, _texts_seeds, scribbled),
    Target("packed", run_packed, _packed_seeds, scribbled),
    Target("linestream", run_linestream, _linestream_seeds, scribbled),
    Target("seedlist", run_seedlist, _seedlist_seeds, scribbled),
    Target("log", run_log, _log_seeds, scribbled),
)
TARGETS: dict[str, Target] = {target.name: target for target in _TARGETS}

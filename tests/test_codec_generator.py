"""The generator: what it emits, and that the committed modules are what it emits."""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import construct as cs
from twisted.trial.unittest import SynchronousTestCase

from tests.layout_strategies import sample
from timed.codec import generate, interpret
from timed.codec.__main__ import main
from timed.codec.declare import (
    MAX_DEPTH,
    Array,
    LayoutError,
    Maybe,
    PrefixedBytes,
    Record,
    array,
    bytes_fixed,
    depth,
    u8,
    u16,
)
from timed.codec.lines import WIDTH, wrapped
from timed.codec.plan import Names, is_fixed, snake
from timed.codec.targets import TARGETS, all_records, records_of
from timed.codec.value import EncodeError, Value
from timed.errors import DecodeError, LocalError

ROOT = Path(__file__).resolve().parent.parent


def run(*arguments: str) -> tuple[int, str]:
    """Exit status and output of `python -m timed.codec`."""
    out = io.StringIO()
    with redirect_stdout(out):
        status = main(list(arguments))
    return status, out.getvalue()


class GeneratedModules(SynchronousTestCase):
    """The committed modules and the command that makes them."""

    def test_committed_modules_are_what_the_declarations_give(self) -> None:
        """Removing a field from a declaration changes the codec, or this test fails."""
        self.assertEqual(generate.stale(), [])
        self.assertEqual(run("--check"), (0, ""))

    def test_every_declaration_belongs_to_exactly_one_module(self) -> None:
        """No value is declared without a codec, none twice."""
        titles = [record.title for record in all_records()]
        self.assertEqual(len(titles), len(set(titles)))
        for target in TARGETS:
            self.assertTrue(records_of(target), target.module)

    def test_class_fields_are_the_declared_fields(self) -> None:
        """A value class has the declared fields, in the declared order, and no others."""
        for record in all_records():
            declared = tuple(key for key, _ in record.fields)
            cls: Any = interpret.class_of(record)
            self.assertEqual(cls.__struct_fields__, declared, record.title)

    def test_modules_can_be_imported_in_any_order(self) -> None:
        """A value module and its generated codec need each other; either may come first."""
        for target in TARGETS:
            for first in (target.module, target.home):
                done = subprocess.run(
                    [sys.executable, "-c", f"import {first}"], cwd=ROOT, capture_output=True, check=False
                )
                self.assertEqual((done.returncode, done.stderr), (0, b""), first)

    def test_show_prints_the_code_of_one_value(self) -> None:
        """`--show BlockVote` prints one fused unpack and nothing of other values."""
        status, text = run("--show", "BlockVote")
        self.assertEqual(status, 0)
        self.assertIn("def decode_block_vote(", text)
        self.assertEqual(text.count("_unpack_"), 1)
        self.assertNotIn("BlockCommit", text)

    def test_show_names_the_values_there_are(self) -> None:
        """An unknown name is answered with the known ones."""
        with self.assertRaises(KeyError) as caught:
            generate.show("Nothing")
        self.assertIn("Transaction", str(caught.exception))

    def test_fixed_values_take_one_struct_call(self) -> None:
        """A value without variable parts is read and packed by one call each."""
        for record in all_records():
            if record.fields and is_fixed(record):
                text = "\n".join("\n".join(lines) for lines in generate.functions_of(record, Names(), set()))
                self.assertEqual(text.count(" = _unpack_"), 1, record.title)
                self.assertEqual(text.count("return _pack_"), 1, record.title)

    def test_long_lines_are_broken(self) -> None:
        """Nothing the generator emits is wider than the formatter allows."""
        for text in generate.sources().values():
            for line in text.splitlines():
                self.assertLessEqual(len(line), WIDTH, line)
        self.assertEqual(wrapped("x = f(a)"), ["x = f(a)"])

    def test_names_turn_into_snake_case(self) -> None:
        """Acronyms stay together."""
        self.assertEqual(snake("UTXOStateQuery"), "utxo_state_query")
        self.assertEqual(snake("OutPoint"), "out_point")


class Declarations(SynchronousTestCase):
    """What cannot be declared."""

    def test_array_of_nothing_is_refused(self) -> None:
        """Items without width would make a count without bytes: construct loops for ever there."""
        self.assertRaises(LayoutError, array, u16, bytes_fixed(0), 10)
        self.assertRaises(LayoutError, array, u16, Record("Empty", "nowhere", False, ()), 10)

    def test_too_deep_nesting_is_refused(self) -> None:
        """Depth is bounded where code is generated, so no input can recurse."""
        layout: Any = u8
        for _ in range(MAX_DEPTH):
            layout = array(u8, layout, 1)
        record = Record("Deep", "timed.nowhere", False, ["items" / layout])
        self.assertGreater(depth(record), MAX_DEPTH)
        self.assertRaises(LayoutError, generate.functions_of, record, Names(), set())
        for declared in all_records():
            self.assertLessEqual(depth(declared), MAX_DEPTH)

    def test_foreign_constructs_are_refused(self) -> None:
        """Only layouts with a bound have sizes: construct's own greedy parts have none."""
        self.assertRaises(LayoutError, array, u16, cs.GreedyBytes, 10)

    def test_a_value_without_a_codec_says_so(self) -> None:
        """The way to mend a missing generated module is in the message."""

        class Orphan(Value, frozen=True, gc=False):
            number: int

        for call in (lambda: Orphan.decode(b""), lambda: Orphan(1).encode()):
            with self.assertRaises(LocalError) as caught:
                call()
            self.assertIn("python -m timed.codec", str(caught.exception))


class Misfits(SynchronousTestCase):
    """Encoding refuses what decoding would refuse."""

    def test_every_bound_holds_when_encoding(self) -> None:
        """A field one step outside its declaration is an EncodeError, never a short or cut field."""
        tried = 0
        for record in all_records():
            for path, plain in misfits(record, sample(record, record.title, 1)):
                tried += 1
                value = interpret.from_plain(record, plain)
                self.assertRaises(EncodeError, value.encode)
                self.assertRaises(LayoutError, interpret.build, record, plain)
                self.assertTrue(path)
        self.assertGreater(tried, 300)

    def test_every_bound_holds_when_decoding(self) -> None:
        """A count or length at its largest with few bytes behind it is refused before the items."""
        for record in all_records():
            if not is_fixed(record):
                cls = interpret.class_of(record)
                self.assertRaises(DecodeError, cls.decode, b"\xff" * 400)


def misfits(layout: Any, plain: Any, path: str = "") -> list[tuple[str, Any]]:
    """(path, plain value) for every way to put one part of `plain` outside its declaration."""
    if isinstance(layout, Record):
        return [
            (where, {**plain, key: wrong})
            for key, sub in layout.fields
            for where, wrong in misfits(sub, plain[key], f"{path}.{key}")
        ]
    if isinstance(layout, cs.FormatField):
        return [(path, 1 << (8 * layout.length)), (path, -1)]
    if isinstance(layout, cs.Bytes):
        return [(path, plain[:-1]), (path, plain + b"\0"), (path, b"")]
    if isinstance(layout, Maybe):
        return [] if plain is None else misfits(layout.item, plain, path)
    if isinstance(layout, Array):
        found = [
            (where, [wrong, *plain[1:]])
            for item in plain[:1]
            for where, wrong in misfits(layout.item, item, f"{path}[0]")
        ]
        if layout.maximum < 5_000 and plain and layout.ascending is None:
            found.append((path, plain[:1] * (layout.maximum + 1)))
        if layout.minimum:
            found.append((path, []))
        if layout.ascending is not None and plain:
            found.append((path, [plain[0], plain[0]]))
        return found
    if isinstance(layout, PrefixedBytes):
        filler = "x" if isinstance(plain, str) else b"x"
        return [(path, filler * (layout.maximum + 1))]
    if hasattr(layout, "allowed"):
        return [(path, max(layout.allowed) + 1)]
    return []

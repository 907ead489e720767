"""Copies of the machines' state: closures come back, and nothing that is no state can be named."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from typing import Any

import zstandard
from msgspec._utils import rebuild
from twisted.trial.unittest import SynchronousTestCase

from timed.errors import LocalError
from timed.flight import freeze as module
from timed.flight import tape
from timed.flight.freeze import FreezeError, Outside, freeze, thaw
from timed.flight.tape import MAGIC, VERSION, Tape, load
from timed.peer.table import PeerTable
from timed.peer.values import PeerAddress
from timed.primitives.transaction import OutPoint


class Named(Outside):
    name = "named"


class Reduced:
    """Pickled as a call of something with something."""

    def __init__(self, call: Callable[..., Any], *arguments: object) -> None:
        self._reduced = call, arguments

    def __reduce__(self) -> Any:
        return self._reduced


def crafted(call: Callable[..., Any], *arguments: object) -> bytes:
    return pickle.dumps(Reduced(call, *arguments), 5)


class Copies(SynchronousTestCase):
    def test_values_and_what_they_share(self) -> None:
        point = OutPoint(bytes(32), 3)
        shared = [point, {point: 1}]
        first, second = thaw(freeze((shared, shared)), {})
        self.assertEqual(first, shared)
        self.assertIs(first, second)

    def test_what_is_outside_is_replaced_by_its_name(self) -> None:
        stand_in = object()
        data = freeze([Named(), Named()])
        self.assertEqual(thaw(data, {"named": stand_in}), [stand_in, stand_in])
        self.assertRaisesRegex(FreezeError, "needs 'named'", thaw, data, {})

    def test_bound_methods_belong_to_the_copy(self) -> None:
        values: list[int] = []
        copy, append = thaw(freeze((values, values.append)), {})
        append(7)
        self.assertEqual((copy, values), ([7], []))

    def test_a_copy_that_cannot_be_made_says_so(self) -> None:
        self.assertRaisesRegex(FreezeError, "cannot be copied", freeze, open(os.devnull))  # noqa: SIM115
        self.assertRaisesRegex(FreezeError, "cannot be copied", freeze, (one for one in ()))

    def test_bytes_that_are_none(self) -> None:
        data = freeze([1, 2, 3])
        for bad in (b"", data[:-1], b"\xff" * 50):
            self.assertRaises(FreezeError, thaw, bad, {})


class Refused(SynchronousTestCase):
    """A recording may come from anybody."""

    def refuses(self, data: bytes) -> None:
        self.assertRaises(FreezeError, thaw, data, {})

    def test_calls_of_the_standard_library(self) -> None:
        for call, argument in ((os.system, "true"), (eval, "1"), (exec, "1"), (open, "x"), (getattr, "x"),
                               (__import__, "os"), (pickle.loads, b"")):  # fmt: skip
            self.refuses(crafted(call, argument))

    def test_what_a_pure_module_has_imported(self) -> None:
        for name in ("os.system", "importlib.import_module", "sys.exit", "pickle.loads"):
            data = b"\x80\x05\x8c" + bytes([len(b"timed.flight.freeze")]) + b"timed.flight.freeze"
            data += b"\x8c" + bytes([len(name)]) + name.encode() + b"\x93."
            self.refuses(data)

    def test_modules_of_ours_that_do_things(self) -> None:
        from timed.cli.local import write_new
        from timed.crypto.keys import create_key_file

        self.refuses(crafted(create_key_file, "x", "y"))
        self.refuses(crafted(write_new, "x", b"y"))

    def test_attributes_that_lead_out(self) -> None:
        for name in ("__class__", "__init__", "__reduce__", "__globals__"):
            self.refuses(crafted(module.bound, [], name))
        self.refuses(crafted(module.bound, Reduced(OutPoint, b"", 1), "__class__"))
        self.refuses(crafted(module.bound, "text", "upper"))

    def test_code_from_elsewhere(self) -> None:
        for place in ("os", "timed.cli.main", "tests.builders"):
            self.refuses(crafted(module.made, place, 0, "<module>", None, None, None))
        self.refuses(crafted(module.made, PeerTable.__module__, 10**6, "x", None, None, None))
        self.refuses(crafted(module.made, PeerTable.__module__, 1, "another name", None, None, None))

    def test_functions_of_pure_modules(self) -> None:
        """One of them finds any class by the names that it is given."""
        from timed.codec.interpret import class_of

        self.refuses(crafted(class_of, OutPoint))
        self.refuses(crafted(module.freeze, OutPoint))
        self.refuses(crafted(module._codes, "timed.errors"))
        self.refuses(crafted(PeerTable.tick, 1))

    def test_calls_of_what_the_copy_has_brought(self) -> None:
        got = pickle.dumps(Reduced(module.bound, [], "append"), 5)[:-1]
        self.assertEqual(thaw(got + b".", {})(1), None)
        self.refuses(got + b"K\x01\x85R.")
        self.refuses(crafted(rebuild, len, {}))

    def test_changes_of_classes_and_functions(self) -> None:
        change = b"}\x8c\x04nameK\x01s"
        for owner in (OutPoint, module.bound, PeerTable):
            named = pickle.dumps(owner, 5)[:-1]
            self.refuses(named + change + b"b.")
            self.refuses(named + b"N" + change + b"\x86b.")
            self.refuses(named + change.replace(b"s", b"").replace(b"}", b"") + b"s.")
            self.refuses(named + b"K\x01a.")

    def test_attributes_that_python_would_call(self) -> None:
        made = pickle.dumps(Reduced(PeerAddress, "a", 1), 5)[:-1]
        self.refuses(made + b"}\x8c\x0c__setstate__K\x01sb.")

    def test_steps_that_no_copy_has(self) -> None:
        self.refuses(b"cbuiltins\nset\n.")
        self.refuses(b"(ibuiltins\nset\n.")


class Files(SynchronousTestCase):
    def test_a_recording_that_says_it_is_huge(self) -> None:
        """The announced size would be allocated at once, whatever the bound."""
        self.patch(tape, "MAX_EXPANDED", 1 << 20)
        for size in (1 << 21, 1 << 40):
            frame = b"\x28\xb5\x2f\xfd\xe0" + size.to_bytes(8, "little") + b"\x03\x00\x00\x00"
            self.assertRaisesRegex(LocalError, "holds", load, MAGIC + frame)
        unannounced = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1 << 21))
        self.assertRaisesRegex(LocalError, "damaged", load, MAGIC + unannounced)

    def test_an_entry_of_endless_depth_is_damage(self) -> None:
        deep = b"\x91" * 200_000 + b"\xc0"
        entries = len(deep).to_bytes(4, "little") + deep
        found = Tape(VERSION, "", "regtest", b"", b"", "", 0, 0, b"", {}, b"", entries)
        self.assertRaisesRegex(LocalError, "damaged at byte 4", list, load(found.dump()))

    def test_what_is_no_recording(self) -> None:
        packed = zstandard.ZstdCompressor().compress(b"\x81\xa1x\x01")
        for bad in (b"", b"text", MAGIC, MAGIC + b"rubbish", MAGIC + packed, MAGIC + packed[:-3]):
            self.assertRaises(LocalError, load, bad)

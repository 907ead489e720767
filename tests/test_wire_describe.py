"""The documentation tables say what the declarations say."""

from __future__ import annotations

import io
from contextlib import redirect_stdout

from twisted.trial.unittest import SynchronousTestCase

from timed.codec.__main__ import main
from timed.codec.targets import all_records
from timed.wire import describe, layouts
from timed.wire.catalogue import MESSAGES


class Tables(SynchronousTestCase):
    """RST from the declarations."""

    def test_every_message_stands_in_the_catalogue(self) -> None:
        """Number, name and bound of each row."""
        text = describe.catalogue()
        for entry in MESSAGES:
            self.assertIn(f"   * - {entry.number}\n     - ``{entry.name}``\n", text)
            self.assertIn(f"     - {entry.max_size:,}\n", text)

    def test_every_value_is_described(self) -> None:
        """Each value of the chain and the wire, with every field, exactly once."""
        text = describe.documentation()
        for record in all_records():
            if record.home.startswith(("timed.primitives", "timed.wire")):
                self.assertEqual(text.count(f"**{record.title}** ("), 1, record.title)
                self.assertTrue(describe.summary_of(record), record.title)
                for key, _ in record.fields:
                    self.assertIn(f"``{key}``", describe.field_table(record))

    def test_types_in_words(self) -> None:
        """Widths, bounds, choices and options."""
        fields = dict(layouts.TRANSACTION_VOTE.fields)
        self.assertEqual(describe.type_of(fields["kind"]), "u8: 2 or 3")
        self.assertEqual(describe.type_of(fields["entries"]), "32 bytes each, count u16 from 1 to 1,024")
        self.assertEqual(describe.type_of(fields["signature"]), "64 bytes")
        parent = dict(layouts.PROPOSAL_BODY.fields)["parent_certificate"]
        self.assertEqual(describe.type_of(parent), "flag, then BlockCertificate if 1")
        self.assertEqual(
            describe.type_of(dict(layouts.EPOCH_REPORT.fields)["txids"]),
            "32 bytes each, count u32 up to 16,000, ascending",
        )
        self.assertEqual(describe.size_of(layouts.PING), "16 bytes")

    def test_rows_have_as_many_cells_as_the_header(self) -> None:
        """A list-table is only valid when all rows are of one length."""
        for text in (describe.catalogue(), describe.priorities(), describe.frame_flags()):
            rows = text.split("   * - ")[1:]
            self.assertEqual(len({row.count("\n     -") for row in rows}), 1)

    def test_command_prints_them(self) -> None:
        """`python -m timed.codec --docs`."""
        out = io.StringIO()
        with redirect_stdout(out):
            self.assertEqual(main(["--docs"]), 0)
        self.assertEqual(out.getvalue(), describe.documentation())

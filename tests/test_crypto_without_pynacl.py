"""The reference backend needs no compiled library."""

from __future__ import annotations

import os
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

WITHOUT_PYNACL = """
import sys
sys.modules["nacl"] = sys.modules["nacl.bindings"] = None
import unittest
unittest.main(module="tests.test_crypto_reference", argv=["reference", "-q"])
"""


class WithoutPyNaClTests(SynchronousTestCase):
    def run_python(self, code):
        return subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
        )

    def test_the_reference_tests_pass_with_pynacl_unimportable(self):
        """[4]"""
        done = self.run_python(WITHOUT_PYNACL)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("\nOK", done.stderr)

    def test_importing_the_rule_imports_no_backend(self):
        done = self.run_python(
            "import sys, timed.crypto.rule, timed.crypto.keys, timed.crypto.batch\n"
            "sys.exit(any(name.split('.')[0] in ('nacl', 'ecdsa', 'twisted') for name in sys.modules))"
        )
        self.assertEqual(done.returncode, 0, done.stderr)

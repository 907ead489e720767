"""`timed-cli rpcauth`: what it prints is what `rpc.auth` reads."""

from __future__ import annotations

import contextlib
import io
import sys

from twisted.trial.unittest import SynchronousTestCase

from timed.app.kinds import SECRETS
from timed.cli.main import main


class RpcAuth(SynchronousTestCase):
    def run_it(self, *words: str, given: str = "") -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdin", io.StringIO(given))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main(["rpcauth", *words])
        return status, out.getvalue(), err.getvalue()

    def test_the_line_and_the_password_go_together(self) -> None:
        status, out, _ = self.run_it("alice")
        line, password = out.splitlines()
        (secret,) = SECRETS.parse(line.removeprefix("auth = "))
        self.assertEqual((status, secret.user), (0, "alice"))
        self.assertTrue(secret.matches(password.removeprefix("password: ").encode()))
        self.assertNotEqual(self.run_it("alice")[1], out)

    def test_a_given_password_is_not_printed(self) -> None:
        status, out, _ = self.run_it("bob", "-", given="a secret\nmore\n")
        (secret,) = SECRETS.parse(out.strip().removeprefix("auth = "))
        self.assertEqual(status, 0)
        self.assertTrue(secret.matches(b"a secret"))
        self.assertNotIn("a secret", out)

    def test_mistakes_are_usage(self) -> None:
        for words, given in (
            ((), ""),
            (("a", "b"), ""),
            (("no:colon",), ""),
            (("x" * 65,), ""),
            (("a", "-"), "\n"),
        ):
            status, out, err = self.run_it(*words, given=given)
            self.assertEqual((status, out), (2, ""), words)
            self.assertTrue(err)
        self.assertEqual(self.run_it("--help")[0], 0)

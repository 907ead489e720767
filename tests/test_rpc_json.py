"""Every body of nst/JSONTestSuite, sent to a real server: what is not JSON is a parse error, what is, is none.

The vectors (tests/vectors/json_parsing_cases.json: file name to base64 of its bytes) are those of
https://github.com/nst/JSONTestSuite. `n_` must be refused, `y_` must be read, `i_` is the parser's choice.
"""

from __future__ import annotations

import base64
import http.client
import json
from pathlib import Path

from tests.rpc_service import DEADLINE_S, ServiceTestCase

CASES = {
    name.removesuffix(".json"): base64.b64decode(text)
    for name, text in json.loads(
        (Path(__file__).parent / "vectors/json_parsing_cases.json").read_text(encoding="ascii")
    ).items()
}

PARSE_ERROR, INVALID_REQUEST = -32700, -32600

READ_CHOICES = {
    "i_number_huge_exp", "i_number_double_huge_neg_exp", "i_number_neg_int_huge_exp", "i_number_pos_double_huge_exp",
    "i_number_real_neg_overflow", "i_number_real_pos_overflow", "i_number_real_underflow",
    "i_number_too_big_neg_int", "i_number_too_big_pos_int", "i_number_very_big_negative_int",
}  # fmt: skip
"""The choices of this node: numbers are exact decimals, so that none of these overflows. Everything else
of the `i_` cases is a parse error: text that is not UTF-8 or has no UTF-8 form, a byte order mark, and
nesting beyond 32 levels."""

INVALID = {"y_object_duplicated_key", "y_object_duplicated_key_and_value", "y_number_double_close_to_zero"}
"""JSON, but never a request of this node: a key named twice, and a number of more than 64 digits."""


class Bodies(ServiceTestCase):
    def answers(self) -> dict[str, tuple[int, dict[str, object]]]:
        """(HTTP status, error object or {}) for every case, on one connection while it lasts."""
        connection = http.client.HTTPConnection("127.0.0.1", self.rpc_port, timeout=DEADLINE_S)
        found = {}
        try:
            for name, body in CASES.items():
                connection.request("POST", "/", body, self.authorization())
                response = connection.getresponse()
                answer = json.loads(response.read())
                first = answer[0] if isinstance(answer, list) else answer
                found[name] = (response.status, first.get("error") or {})
                if name.startswith("n_"):
                    self.check_unharmed(connection, name)
        finally:
            connection.close()
        return found

    def check_unharmed(self, connection: http.client.HTTPConnection, name: str) -> None:
        connection.request(
            "POST", "/", b'{"jsonrpc":"2.0","id":7,"method":"getblockcount"}', self.authorization()
        )
        answer = json.loads(connection.getresponse().read())
        self.assertEqual(answer, {"jsonrpc": "2.0", "result": 0, "id": 7}, name)

    async def test_every_case_is_answered_as_it_must_be(self) -> None:
        self.assertEqual(len(CASES), 318)
        found = await self.in_thread(self.answers)
        for name, (status, error) in found.items():
            parsed = error.get("code") != PARSE_ERROR
            wanted = name.startswith("y_") or name in READ_CHOICES
            self.assertEqual(parsed, wanted, name)
            if not wanted:
                self.assertEqual(status, 400, name)
                self.assertTrue(error["data"]["hint"], name)  # type: ignore[index]

    async def test_what_is_json_and_no_request_is_an_invalid_request(self) -> None:
        found = await self.in_thread(self.answers)
        for name in CASES:
            if name.startswith("y_"):
                self.assertEqual(found[name][1].get("code"), INVALID_REQUEST, name)
        for name in INVALID:
            self.assertIn(found[name][1]["data"]["rule"], ("json-duplicate-key", "json-number"), name)  # type: ignore[index]

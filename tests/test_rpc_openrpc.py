"""`rpc.discover` is an OpenRPC document, and says of every argument what the table does.

tests/vectors/openrpc_meta_schema.json is the schema of OpenRPC documents, as the npm package
`@open-rpc/meta-schema` 1.14.9 has it (Apache License 2.0).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator

from tests.rpc_world import RpcTestCase
from timed.rpc.errors import CODES, RpcError
from timed.rpc.paramschema import of_type
from timed.rpc.schema import Amount, ParamType, Record, Text
from timed.rpc.table import METHODS

META = Path(__file__).parent / "vectors" / "openrpc_meta_schema.json"
ELSEWHERE = "https://meta.json-schema.tools"


def local(schema: Any) -> Any:
    """A schema without what refers to another host; the parameters' schemas are checked by themselves."""
    if isinstance(schema, list):
        return [local(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if str(schema.get("$ref", "")).startswith(ELSEWHERE):
        return {}
    return {key: local(value) for key, value in schema.items() if key not in ("$schema", "$id")}


class Discover(RpcTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.document: dict[str, Any] = json.loads(json.dumps(self.world.result("rpc.discover"), default=str))

    def test_it_is_a_document_of_openrpc(self) -> None:
        meta = Draft7Validator(local(json.loads(META.read_text(encoding="utf-8"))))
        self.assertEqual([error.message for error in meta.iter_errors(self.document)], [])
        for damage in ({"methods": 1}, {"openrpc": "9"}, {"surplus": 1}):
            self.assertFalse(meta.is_valid({**self.document, **damage}))

    def test_every_method_is_there_with_price_and_permission(self) -> None:
        named = {each["name"]: each for each in self.document["methods"]}
        self.assertEqual(list(named), list(METHODS))
        for name, method in METHODS.items():
            self.assertEqual(named[name]["x-cost"], method.cost)
            self.assertEqual(named[name]["x-permission"], method.permission)
            self.assertEqual(
                [(each["name"], each["required"]) for each in named[name]["params"]],
                [(param.name, param.required) for param in method.params],
            )

    def test_every_reference_leads_to_an_error_with_its_code(self) -> None:
        errors = self.document["components"]["errors"]
        for method in self.document["methods"]:
            for each in method["errors"]:
                self.assertIn(each["$ref"].removeprefix("#/components/errors/"), errors)
        self.assertEqual(
            {name: each["code"] for name, each in errors.items()},
            {name: code for name, (code, _) in CODES.items()},
        )

    def test_schemas_are_schemas(self) -> None:
        for method in self.document["methods"]:
            for param in method["params"]:
                Draft7Validator.check_schema(param["schema"])

    def test_examples_name_parameters_of_their_method(self) -> None:
        for method in self.document["methods"]:
            names = [param["name"] for param in method["params"]]
            for example in method["examples"]:
                self.assertEqual(
                    [each["name"] for each in example["params"]], names[: len(example["params"])]
                )

    def test_every_kind_of_parameter_has_a_schema(self) -> None:
        kinds = {type(param.type) for method in METHODS.values() for param in method.params}
        self.assertGreater(len(kinds), 10)
        with self.assertRaises(NotImplementedError):
            of_type(ParamType())


class Agreement(RpcTestCase):
    def test_what_a_schema_allows_the_method_takes(self) -> None:
        """A few values on both sides of each bound; where a schema cannot say it all, it allows more."""
        values: tuple[Any, ...] = (
            0, 1, -1, 2, 256, 2**63 - 1, 2**63, True, False, "", "00" * 32, "00" * 31, "zz", "x" * 300, "1.5",
            "0.000000001", [], {}, ["x"], {"a": "1"},
        )  # fmt: skip
        refused = 0
        for method in METHODS.values():
            for param in method.params:
                validator = Draft7Validator(of_type(param.type))
                for value in values:
                    if not validator.is_valid(value):
                        with self.assertRaises(RpcError, msg=(method.name, param.name, value)):
                            param.type.convert(param.name, value)
                        refused += 1
        self.assertGreater(refused, 500)

    def test_members_of_a_record_are_named(self) -> None:
        schema = of_type(Record(members=(("a", Text()),), optional=(("b", Amount()),)))
        self.assertEqual((schema["required"], list(schema["properties"])), (["a"], ["a", "b"]))

"""The table of methods as an OpenRPC document: what `rpc.discover` answers."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from timed import __version__
from timed.rpc import errors
from timed.rpc.method import Method
from timed.rpc.paramschema import of_param

OPENRPC = "1.3.2"
"""The version of the specification: https://spec.open-rpc.org."""

Object = dict[str, Any]


def document(methods: Mapping[str, Method]) -> Object:
    """Everything that a client has to know to call `methods`."""
    return {
        "openrpc": OPENRPC,
        "info": {
            "title": "TIME Coin node",
            "version": __version__,
            "description": "JSON-RPC 2.0 over HTTP POST to /. See docs/rpc/conventions.rst.",
            "license": {"name": "MIT"},
        },
        "methods": [_method(method) for method in methods.values()],
        "components": {
            "errors": {
                name: {"code": code, "message": meaning} for name, (code, meaning) in errors.CODES.items()
            }
        },
    }


def _method(method: Method) -> Object:
    return {
        "name": method.name,
        "summary": method.summary,
        "tags": [{"name": method.category}],
        "paramStructure": "either",
        "params": [
            {
                "name": param.name,
                "description": param.help,
                "required": param.required,
                "schema": of_param(param),
            }
            for param in method.params
        ],
        "result": {"name": "result", "description": method.result, "schema": {}},
        "errors": [{"$ref": f"#/components/errors/{name}"} for name in errors.CODES],
        "examples": [_example(method, example) for example in method.examples],
        "x-permission": method.permission,
        "x-cost": method.cost,
    }


def _example(method: Method, example: str) -> Object:
    words = shlex.split(example)
    return {
        "name": f"{method.name} {example}".rstrip(),
        "params": [
            {"name": param.name, "value": param.type.from_text(word)}
            for param, word in zip(method.params, words, strict=False)
        ],
    }

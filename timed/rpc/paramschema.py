"""The types of parameters as JSON Schema, for OpenRPC."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from timed.rpc import schema
from timed.rpc.method import Param
from timed.rpc.moment import MAX_TIME

Schema = dict[str, Any]


@singledispatch
def of_type(kind: schema.ParamType) -> Schema:
    """The JSON values that `kind` takes."""
    raise NotImplementedError(type(kind).__name__)


def of_param(param: Param) -> Schema:
    """The same with what may be left out: null stands for a parameter that is not given."""
    found = of_type(param.type)
    return found if param.required else {"anyOf": [found, {"type": "null"}]}


@of_type.register
def _(kind: schema.Text) -> Schema:
    return {"type": "string", "maxLength": kind.maximum}


@of_type.register
def _(kind: schema.Word) -> Schema:
    return {"type": "string", "enum": list(kind.words)}


@of_type.register
def _(kind: schema.Integer) -> Schema:
    return {"type": "integer", "minimum": kind.minimum, "maximum": kind.maximum}


@of_type.register
def _(kind: schema.Boolean) -> Schema:
    return {"type": "boolean"}


@of_type.register
def _(kind: schema.Verbosity) -> Schema:
    return {
        "anyOf": [{"type": "integer", "minimum": kind.minimum, "maximum": kind.maximum}, {"type": "boolean"}]
    }


@of_type.register
def _(kind: schema.Seconds) -> Schema:
    return {"type": "number", "minimum": 0, "maximum": kind.maximum}


@of_type.register
def _(kind: schema.Hex) -> Schema:
    digits = "^([0-9a-fA-F]{2})*$"
    if kind.size is None:
        return {"type": "string", "pattern": digits, "maxLength": 2 * kind.maximum}
    return {"type": "string", "pattern": digits, "minLength": 2 * kind.size, "maxLength": 2 * kind.size}


@of_type.register
def _(kind: schema.Time) -> Schema:
    return {"anyOf": [{"type": "integer", "minimum": 0, "maximum": MAX_TIME - 1}, {"type": "string"}]}


@of_type.register
def _(kind: schema.BlockName) -> Schema:
    return {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 2**63 - 1}, {"type": "string"}]}


@of_type.register
def _(kind: schema.SessionName) -> Schema:
    return {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 2**63 - 1}, of_type(schema.Hex(size=32))]}


@of_type.register
def _(kind: schema.Amount) -> Schema:
    """The least unit is a hundred-millionth, which no `multipleOf` of a float can say."""
    return {
        "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^[0-9]+(\.[0-9]{1,8})?$"}]
    }


@of_type.register
def _(kind: schema.Array) -> Schema:
    return {"type": "array", "items": of_type(kind.item), "maxItems": kind.maximum}


@of_type.register
def _(kind: schema.Record) -> Schema:
    members = {name: of_type(each) for name, each in (*kind.members, *kind.optional)}
    return {
        "type": "object",
        "properties": members,
        "required": [name for name, _ in kind.members],
        "additionalProperties": False,
    }


@of_type.register
def _(kind: schema.Mapping) -> Schema:
    return {"type": "object", "additionalProperties": of_type(kind.item), "maxProperties": kind.maximum}

"""From the `params` of a request to the keyword arguments of a handler."""

from __future__ import annotations

from typing import Any

from timed.rpc.errors import INVALID_PARAMS, RpcError
from timed.rpc.method import Method


def bind(method: Method, params: Any) -> dict[str, Any]:
    """Checked and converted arguments by name; RpcError names the parameter at fault."""
    given = _named(method, params)
    arguments: dict[str, Any] = {}
    for param in method.params:
        value = given.get(param.name)
        if value is not None:
            arguments[param.name] = param.type.convert(param.name, value)
        elif param.required:
            raise _invalid(method, f"parameter {param.name!r} is missing", param.name)
        else:
            arguments[param.name] = param.default
    return arguments


def _named(method: Method, params: Any) -> dict[str, Any]:
    names = [param.name for param in method.params]
    if params is None:
        return {}
    if isinstance(params, dict):
        for key in params:
            if key not in names:
                raise _invalid(method, f"there is no parameter {key[:64]!r}", key[:64])
        return params
    if not isinstance(params, list):
        raise _invalid(method, "params must be an array or an object", "params")
    if len(params) > len(names):
        raise _invalid(method, f"{len(params)} arguments given, at most {len(names)} taken", "params")
    return dict(zip(names, params, strict=False))


def _invalid(method: Method, problem: str, param: str) -> RpcError:
    return RpcError(
        INVALID_PARAMS,
        f"Invalid params: {problem}",
        rule="param-arity",
        hint=f"Usage: {method.usage}",
        param=param,
    )

"""JSON-RPC 2.0, and the older form for requests without "jsonrpc".

The dispatcher knows no HTTP, and of Twisted only how a call ends whose client has gone: it turns
the bytes of one request, single or batch, into the bytes of one reply. Handlers that wait are coroutines.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs
import msgspec
from twisted.internet.defer import CancelledError

from timed.errors import LocalError, RemoteError
from timed.rpc import jsontext
from timed.rpc.absent import unknown
from timed.rpc.activity import FORWARDED, RUNNING, Activity, Call
from timed.rpc.arguments import bind
from timed.rpc.caller import Caller
from timed.rpc.errors import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    Busy,
    RpcError,
    cancelled,
    local,
    rejected,
)
from timed.rpc.method import Method
from timed.rpc.table import METHODS

MAX_BATCH = 1_000
"""Calls in one batch; a longer one is refused whole."""
MAX_REPLY_BYTES = 64 * 1024 * 1024
"""Bytes of one batch's reply; the calls past it are answered with an error."""
CALLS_PER_TURN = 20
"""Calls of a batch between two turns of the reactor."""

AT_ONCE = frozenset({dict, list, str, int, bool, type(None)})
"""Types of answers that nobody waits for: to look whether an object can be awaited takes longer."""

OK, NO_CONTENT, BAD_REQUEST, FORBIDDEN, NOT_FOUND, SERVER_ERROR = 200, 204, 400, 403, 404, 500
_LEGACY_STATUS = {INVALID_REQUEST: BAD_REQUEST, PARSE_ERROR: BAD_REQUEST, METHOD_NOT_FOUND: NOT_FOUND}
_MISSING: Any = object()

Handler = Callable[..., Any]
"""Called with the environment and the arguments by name; may be a coroutine function."""


class Reply(msgspec.Struct, frozen=True, gc=False):
    """An HTTP status and a body; an answer to notifications alone has none."""

    status: int
    body: bytes = b""
    retry_after_s: int = 0
    """With 429 and 503: when it is worth asking again."""


class _Request(msgspec.Struct, frozen=True, gc=False):
    method: str
    params: Any
    id: Any
    modern: bool
    notification: bool


class Forbidden(RpcError):
    """The caller is known but may not use this method: HTTP 403."""

    def __init__(self, method: Method, caller: Caller) -> None:
        message = f"Method {method.name} needs the permission {method.permission!r}"
        if method.permission in caller.permissions:
            message = f"Method {method.name} is not on the list of {caller.user!r} in rpc.whitelist"
        super().__init__(
            INVALID_REQUEST,
            message,
            rule="forbidden",
            hint="Use the cookie file of the node, or an account that has this permission.",
        )


@attrs.frozen
class Forward:
    """The methods that another process answers, and the way there: method, params and the caller."""

    names: frozenset[str]
    call: Callable[[str, Any, Caller], Awaitable[Any]]


Admit = Callable[[Caller, Method], Awaitable[None] | None]
"""Lets a call in: at once with None, or once what it returns is done. Raises Busy."""


def admit_all(caller: Caller, method: Method) -> None:
    """No budget and no order: what a node in one's own process needs."""


class Dispatcher:
    """Binds the table of methods to handlers and answers requests.

    `pause` is awaited between the slices of a long batch; `failed` is told about
    an exception that no handler should have let through; what `forward` names is
    handed on whole; `within` ends what takes longer than a call may.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        environment: Any,
        *,
        pause: Callable[[], Awaitable[object]],
        failed: Callable[[str, Exception], None],
        forward: Forward | None = None,
        methods: Mapping[str, Method] = METHODS,
        admit: Admit = admit_all,
        within: Callable[[Method, Awaitable[Any]], Awaitable[Any]] = lambda method, result: result,
        activity: Activity | None = None,
    ) -> None:
        self._methods = methods
        self._admit = admit
        self._within = within
        self._handlers = handlers
        self._environment = environment
        self._pause = pause
        self._failed = failed
        self._forward = forward
        self.activity = Activity() if activity is None else activity

    async def answer(self, body: bytes, caller: Caller, wanted: Callable[[], bool] = lambda: True) -> Reply:
        """The reply to one HTTP body; what is left of a batch is not begun once it is not `wanted` any more."""
        try:
            value = jsontext.decode(body)
        except RpcError as error:
            return self._malformed(error, None)
        try:
            if isinstance(value, list):
                return await self._batch(value, caller, wanted)
            request = _request(value)
        except RpcError as error:
            return self._malformed(error, value)
        return await self._single(request, caller)

    def _malformed(self, error: RpcError, value: Any) -> Reply:
        self._count(error)
        return Reply(_LEGACY_STATUS[error.code], _failure(error, _plain_id(value), modern=True))

    async def _single(self, request: _Request, caller: Caller) -> Reply:
        try:
            body = await self._call(request, caller)
        except Forbidden as error:
            self._count(error)
            return Reply(FORBIDDEN, _failure(error, request.id, request.modern))
        except Busy as error:
            self._count(error)
            body = b"" if request.notification else _failure(error, request.id, request.modern)
            return Reply(error.status, body, error.retry_after_s)
        except RpcError as error:
            self._count(error)
            status = OK if request.modern else _LEGACY_STATUS.get(error.code, SERVER_ERROR)
            body = _failure(error, request.id, request.modern)
            return Reply(NO_CONTENT) if request.notification else Reply(status, body)
        return Reply(NO_CONTENT) if request.notification else Reply(OK, body)

    async def _batch(self, values: list[Any], caller: Caller, wanted: Callable[[], bool]) -> Reply:
        if not values or len(values) > MAX_BATCH:
            raise RpcError(
                INVALID_REQUEST,
                f"Invalid Request: a batch holds 1 to {MAX_BATCH} calls, not {len(values)}",
                rule="batch-size",
                hint="Split it into several requests.",
            )
        parts: list[bytes] = []
        room = MAX_REPLY_BYTES
        for number, value in enumerate(values):
            if number and number % CALLS_PER_TURN == 0:
                await self._pause()
            if not wanted():
                break
            part = await self._member(value, caller, room)
            if part is not None and part.body:
                parts.append(part.body)
                room -= len(part.body)
                if part.status == FORBIDDEN:
                    return part
        return Reply(OK, b"[" + b",".join(parts) + b"]") if parts else Reply(NO_CONTENT)

    async def _member(self, value: Any, caller: Caller, room: int) -> Reply | None:
        try:
            request = _request(value)
            if room <= 0 and not request.notification:
                raise RpcError(
                    INTERNAL_ERROR,
                    "The reply of this batch is too long",
                    rule="reply-size",
                    hint="Ask for less.",
                )
        except RpcError as error:
            self._count(error)
            return Reply(OK, _failure(error, _plain_id(value), modern=True))
        reply = await self._single(request, caller)
        return None if reply.status == NO_CONTENT else reply

    async def _call(self, request: _Request, caller: Caller) -> bytes:
        method = self._methods.get(request.method)
        if method is None:
            raise unknown(request.method)
        call = self.activity.begin(method.name, caller, method.cost)
        try:
            return await self.activity.measured(call, self._answer(method, request, call))
        finally:
            self.activity.end(call)

    async def _answer(self, method: Method, request: _Request, call: Call) -> bytes:
        result = await self._perform(method, request, call)
        try:
            return _success(result, request)
        except Exception as error:
            raise self._internal(method, call, error) from error

    async def _perform(self, method: Method, request: _Request, call: Call) -> Any:
        caller = call.caller
        if not caller.may_call(method):
            raise Forbidden(method, caller)
        if self._forward is not None and method.name in self._forward.names:
            turn = self._admit(caller, method)
            if turn is not None:
                await turn
            call.state = FORWARDED
            return await self._within(method, self._forward.call(method.name, request.params, caller))
        arguments = bind(method, request.params)
        if method.told_caller:
            arguments["caller"] = caller
        turn = self._admit(caller, method)
        if turn is not None:
            await turn
        call.state = RUNNING
        try:
            result = self._handlers[method.name](self._environment, **arguments)
            if type(result) in AT_ONCE or not inspect.isawaitable(result):
                return result
            return await self._within(method, result)
        except RpcError:
            raise
        except CancelledError:
            raise cancelled() from None
        except RemoteError as error:
            raise rejected(error) from error
        except LocalError as error:
            raise local(error) from error
        except Exception as error:
            raise self._internal(method, call, error) from error

    def _internal(self, method: Method, call: Call, error: Exception) -> RpcError:
        """What a caller hears of a mistake in the method; the log gets the rest."""
        self._failed(method.name, error)
        return RpcError(
            INTERNAL_ERROR,
            "Internal error",
            rule="internal",
            hint=f"The node's log holds the details: look for call {call.number}.",
        )

    def _count(self, error: RpcError) -> None:
        self.activity.refused[str(error.data["rule"])] += 1


def _request(value: Any) -> _Request:
    """A well-formed request; RpcError -32600 otherwise."""
    if not isinstance(value, dict):
        raise _invalid("a request is an object")
    version = value.get("jsonrpc")
    if version not in (None, "1.0", "1.1", "2.0"):
        raise _invalid("this node speaks JSON-RPC 2.0")
    identifier = value.get("id", _MISSING)
    if not jsontext.is_id(identifier):
        raise _invalid("an id is a string, a number or null")
    method = value.get("method")
    if not isinstance(method, str):
        raise _invalid("method must be a string")
    modern = version == "2.0"
    return _Request(
        method=method,
        params=value.get("params"),
        id=None if identifier is _MISSING else identifier,
        modern=modern,
        notification=modern and identifier is _MISSING,
    )


def _invalid(problem: str) -> RpcError:
    return RpcError(
        INVALID_REQUEST,
        f"Invalid Request: {problem}",
        rule="request-form",
        hint='Send {"jsonrpc": "2.0", "id": 1, "method": "help", "params": []}.',
    )


def _plain_id(value: Any) -> Any:
    identifier = value.get("id") if isinstance(value, dict) else None
    return identifier if jsontext.is_id(identifier) else None


def _success(result: Any, request: _Request) -> bytes:
    identifier = jsontext.echo(request.id)
    if request.modern:
        return jsontext.encode({"jsonrpc": "2.0", "result": result, "id": identifier})
    return jsontext.encode({"result": result, "error": None, "id": identifier})


def _failure(error: RpcError, identifier: Any, modern: bool) -> bytes:
    shown, identifier = error.as_object(), jsontext.echo(identifier)
    if modern:
        return jsontext.encode({"jsonrpc": "2.0", "error": shown, "id": identifier})
    return jsontext.encode({"result": None, "error": shown, "id": identifier})

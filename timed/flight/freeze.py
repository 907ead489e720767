"""Copies of the machines' state that can be read on another computer.

The state is pickled, closures included: a function that no import finds is written
as its module, the place of its code there, and what its cells hold. So a copy holds
values and names, no code, and fits only the version of the sources it was made by.

What is read back may name the pure layers alone (see `PURE`): nothing that opens,
runs or sends. Parts that stay outside (the store, the keys) are written as names.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from types import BuiltinMethodType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, ClassVar

from timed.errors import LocalError
from timed.primitives.transaction import Transaction

PROTOCOL = 5
MAX_DEPTH = 20_000
"""Nested objects while a copy is made or read."""
PURE = (
    "timed.codec", "timed.consensus", "timed.errors", "timed.events", "timed.flight.freeze", "timed.interfaces",
    "timed.ledger", "timed.node", "timed.params", "timed.peer", "timed.primitives", "timed.sync", "timed.wire",
)  # fmt: skip
"""Modules, with all below them, that a copy may name."""
PLAIN: Mapping[str, frozenset[str]] = {
    "builtins": frozenset({"bytearray", "complex", "frozenset", "object", "range", "set", "slice"}),
    "collections": frozenset({"Counter", "OrderedDict", "defaultdict", "deque"}),
    "copyreg": frozenset({"__newobj__", "_reconstructor"}),
    "functools": frozenset({"partial"}),
    "msgspec._utils": frozenset({"rebuild"}),
    "ipaddress": frozenset({"IPv4Address", "IPv4Network", "IPv6Address", "IPv6Network"}),
    "random": frozenset({"Random"}),
}
"""Names from outside the project that a copy may hold."""
CONTAINERS = (dict, list, set, bytearray)
"""Types of which a copy may hold a bound method."""


class FreezeError(LocalError):
    """The state cannot be copied, or the copy not be read."""


class Outside:
    """What is no part of a state: written as its `name`, and replaced when the copy is read."""

    __slots__ = ()
    name: str

    def __reduce__(self) -> Any:
        return outside, (self.name,)


def freeze(state: object) -> bytes:
    """A copy of `state`. FreezeError."""
    file = io.BytesIO()
    with _Deep():
        try:
            _Freezer(file, PROTOCOL).dump(state)
        except (pickle.PicklingError, TypeError, AttributeError, RecursionError, LocalError) as error:
            raise FreezeError(f"the state cannot be copied: {error}.") from error
    return file.getvalue()


def thaw(data: bytes, instead: Mapping[str, object]) -> Any:
    """What `freeze` copied, with `instead` in the places of what was `Outside`. FreezeError."""
    before = _Thawer.instead
    _Thawer.instead = instead
    with _Deep():
        try:
            return _Thawer(io.BytesIO(data)).load()
        except FreezeError:
            raise
        except Exception as error:
            raise FreezeError(f"the copy of the state cannot be read: {error!r}.") from error
        finally:
            _Thawer.instead = before


class _Deep:
    """A state is nested deeper than calls usually are."""

    def __enter__(self) -> None:
        self._before = sys.getrecursionlimit()
        sys.setrecursionlimit(max(self._before, MAX_DEPTH))

    def __exit__(self, *_: object) -> None:
        sys.setrecursionlimit(self._before)


class _Freezer(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if kind is Transaction:
            return Transaction.decode, (obj.raw,)
        if kind is FunctionType:
            return _reduced(obj)
        if kind is MethodType:
            return bound, (obj.__self__, obj.__name__)
        if kind is BuiltinMethodType and obj.__self__ is not None and type(obj.__self__) is not ModuleType:
            return bound, (obj.__self__, obj.__name__)
        if kind is CellType:
            return empty_cell, (), _contents(obj), None, None, fill
        return NotImplemented


def _contents(cell: CellType) -> tuple[object, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()


def _reduced(function: FunctionType) -> Any:
    """By its name where an import finds it, else by the place of its code."""
    found: object = sys.modules.get(function.__module__)
    for part in function.__qualname__.split("."):
        found = getattr(found, part, None)
    if found is function or function is getattr(found, "__func__", None):
        return NotImplemented
    codes = _codes(function.__module__)
    try:
        place = codes.index(function.__code__)
    except ValueError:
        raise FreezeError(f"{function.__module__} has no code of {function.__qualname__}") from None
    return made, (
        function.__module__, place, function.__code__.co_qualname, function.__defaults__,
        function.__kwdefaults__, function.__closure__,
    )  # fmt: skip


@lru_cache(maxsize=512)
def _codes(module: str) -> tuple[CodeType, ...]:
    """Every piece of code in a module's source, in its order."""
    spec = importlib.util.find_spec(module)
    loader = spec.loader if spec is not None else None
    code = loader.get_code(module) if loader is not None and hasattr(loader, "get_code") else None
    return () if code is None else tuple(_walk(code))


def _walk(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _walk(constant)


# What a copy calls when it is read.


def made(
    module: str, place: int, qualname: str, defaults: Any, kwdefaults: Any, closure: Any
) -> Callable[..., object]:
    """The function whose code is at this place of the module."""
    _refuse_unless(_is_pure(module), module, qualname)
    codes = _codes(module)
    if not 0 <= place < len(codes) or codes[place].co_qualname != qualname:
        raise FreezeError(
            f"{module} is not what it was when the state was copied: {qualname} is not at its place",
            "Use the version of timed that made the recording.",
        )
    code = codes[place]
    function = FunctionType(code, vars(importlib.import_module(module)), code.co_name, defaults, closure)
    function.__kwdefaults__ = kwdefaults
    return function


def bound(owner: Any, name: str) -> Any:
    """A method of one of the machines' objects, or of a plain container."""
    kind = owner if isinstance(owner, type) else type(owner)
    plain = kind in CONTAINERS or kind.__name__ in PLAIN.get(kind.__module__, ())
    allowed = not name.startswith("__") and (plain or _is_pure(kind.__module__))
    _refuse_unless(allowed, kind.__module__, f"{kind.__qualname__}.{name}")
    return getattr(owner, name)


def outside(name: str) -> object:
    """What stands for this name where the copy is read."""
    if name not in _Thawer.instead:
        raise FreezeError(f"the copy of the state needs {name!r}, which the recording does not have.")
    return _Thawer.instead[name]


def empty_cell() -> CellType:
    """What a closure holds a variable in."""
    return CellType()


def fill(cell: CellType, contents: tuple[object, ...]) -> None:
    """Give a cell its variable; none for one that was not set yet."""
    for value in contents:
        cell.cell_contents = value


def _is_pure(module: str) -> bool:
    return any(module == pure or module.startswith(f"{pure}.") for pure in PURE)


def _refuse_unless(allowed: bool, module: str, name: str) -> None:
    if not allowed:
        raise FreezeError(f"the copy of the state names {module}.{name}, which belongs to no state.")


class _Thawer(pickle.Unpickler):
    instead: ClassVar[Mapping[str, object]] = {}
    """Of the copy that is being read."""

    def find_class(self, module: str, name: str) -> Any:
        if name in PLAIN.get(module, ()):
            return super().find_class(module, name)
        _refuse_unless(_is_pure(module), module, name)
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part, None)
            _refuse_unless(not isinstance(found, ModuleType), module, name)
        home = getattr(found, "__module__", None)
        _refuse_unless(callable(found) and isinstance(home, str) and _is_pure(home), module, name)
        return found

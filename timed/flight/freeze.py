"""Copies of the machines' state that can be read on another computer.

The state is pickled, closures included: a function that no import finds is written
as its module, the place of its code there, and what its cells hold. So a copy holds
values and names, no code, and fits only the version of the sources it was made by.

What is read back may name classes of the pure layers alone (see `PURE`), and calls
nothing but them and `FUNCTIONS`: a name that opens, runs or sends is refused, and so is
everything that only a made-up copy does, as to change a class or to call what it holds.
Parts that stay outside (the store, the keys) are written as names.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import io
import pickle
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from types import BuiltinMethodType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, ClassVar, cast

from msgspec._utils import rebuild  # type: ignore[attr-defined]

from timed.errors import LocalError
from timed.primitives.transaction import Transaction

PROTOCOL = 5
MAX_DEPTH = 20_000
"""Nested objects while a copy is made or read."""
MACHINES = (
    "timed.consensus", "timed.ledger", "timed.node", "timed.peer", "timed.sync", "timed.wire.compression",
)  # fmt: skip
"""Modules, with all below them, whose functions and methods a copy may hold."""
PURE = (
    *MACHINES, "timed.errors", "timed.events", "timed.interfaces", "timed.params", "timed.primitives", "timed.wire",
)  # fmt: skip
"""Modules, with all below them, whose classes a copy may name."""
PLAIN: Mapping[str, frozenset[str]] = {
    "builtins": frozenset({"bytearray", "complex", "frozenset", "object", "range", "set", "slice"}),
    "collections": frozenset({"Counter", "OrderedDict", "defaultdict", "deque"}),
    "functools": frozenset({"partial"}),
    "ipaddress": frozenset({"IPv4Address", "IPv4Network", "IPv6Address", "IPv6Network"}),
    "random": frozenset({"Random"}),
}
"""Classes from outside the project that a copy may name."""
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
    """A state is nested deeper than calls usually are, and nothing that is made while it is written or read is
    garbage: to look for it would take as long again."""

    def __enter__(self) -> None:
        self._before = sys.getrecursionlimit()
        sys.setrecursionlimit(max(self._before, MAX_DEPTH))
        self._collects = gc.isenabled()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        sys.setrecursionlimit(self._before)
        if self._collects:
            gc.enable()


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
    """One that copies call by its name, every other by the place of its code."""
    if function in FUNCTIONS.values():
        return NotImplemented
    _refuse_unless(_is_in(MACHINES, function.__module__), function.__module__, function.__qualname__)
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
    _refuse_unless(_is_in(MACHINES, module), module, qualname)
    codes = _codes(module)
    if not 0 <= place < len(codes) or codes[place].co_qualname != qualname:
        raise FreezeError(
            f"{module} is not what it was when the state was copied: {qualname} is not at its place",
            "Use the version of timed that made the recording.",
        )
    code = codes[place]
    found: object = importlib.import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    named = getattr(found, "__func__", found)
    if closure is None and isinstance(named, FunctionType) and named.__code__ == code:
        return named
    function = FunctionType(code, vars(importlib.import_module(module)), code.co_name, defaults, closure)
    function.__kwdefaults__ = kwdefaults
    return function


def bound(owner: Any, name: str) -> Any:
    """A method of one of the machines' objects, or of a plain container."""
    kind = owner if isinstance(owner, type) else type(owner)
    plain = kind in CONTAINERS or kind.__name__ in PLAIN.get(kind.__module__, ())
    allowed = type(name) is str and not name.startswith("__") and (plain or _is_in(MACHINES, kind.__module__))
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
    _refuse_unless(type(cell) is CellType, "builtins", "setattr")
    for value in contents:
        cell.cell_contents = value


FUNCTIONS: Mapping[tuple[str, str], FunctionType] = {
    (each.__module__, each.__qualname__): cast(FunctionType, each)
    for each in (made, bound, outside, empty_cell, fill, Transaction.decode, rebuild)
}
"""What a copy calls beside classes, by module and name."""


def _is_in(packages: tuple[str, ...], module: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def _is_class(found: object) -> bool:
    """True for a class that a copy may name."""
    if not isinstance(found, type):
        return False
    return found.__name__ in PLAIN.get(found.__module__, ()) or _is_in(PURE, found.__module__)


def _refuse_unless(allowed: bool, module: str, name: str) -> None:
    if not allowed:
        raise FreezeError(f"the copy of the state names {module}.{name}, which belongs to no state.")


class _Thawer(pickle._Unpickler):
    """Python's own implementation in Python: the one in C does not let its steps be looked at."""

    instead: ClassVar[Mapping[str, object]] = {}
    """Of the copy that is being read."""
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        function = FUNCTIONS.get((module, name))
        if function is not None:
            return function
        _refuse_unless(_is_in(PURE, module) or name in PLAIN.get(module, ()), module, name)
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part, None)
            _refuse_unless(isinstance(found, type), module, name)
        _refuse_unless(_is_class(found), module, name)
        return found


# What a step of reading must have before it, on the stack of the unpickler.


def _calls(reader: Any) -> None:
    """A class or one of `FUNCTIONS`, nothing else that a copy has brought."""
    function, arguments = reader.stack[-2:]
    allowed = _is_class(function) or function in FUNCTIONS.values()
    if function is rebuild:
        allowed = _is_class(arguments[0])
    _refuse_unless(allowed, "builtins", "call")


def _makes(reader: Any) -> None:
    _refuse_unless(_is_class(reader.stack[-2]), "builtins", "call")


def _builds(reader: Any) -> None:
    """The state of an object, never of a class or a function; no attribute that Python would call."""
    owner, state = reader.stack[-2:]
    _refuse_unless(_is_class(type(owner)), "builtins", "setattr")
    for part in state if isinstance(state, tuple) else (state,):
        hidden = isinstance(part, dict) and any(str(name).startswith("__") for name in part)
        _refuse_unless(not hidden, "builtins", "setattr")


def _fills(depth: int, *kinds: type) -> Callable[[Any], None]:
    """A container `depth` items below the top, 0: below the mark."""

    def check(reader: Any) -> None:
        owner = reader.stack[-depth] if depth else reader.metastack[-1][-1]
        _refuse_unless(type(owner) in kinds, "builtins", "append")

    return check


def _guarded(step: Callable[[Any], None], check: Callable[[Any], None]) -> Callable[[Any], None]:
    def guarded(reader: Any) -> None:
        check(reader)
        step(reader)

    return guarded


LISTS = (list, deque)
MAPPINGS = (dict, Counter, OrderedDict, defaultdict)
CHECKS: Mapping[bytes, Callable[[Any], None]] = {
    pickle.REDUCE: _calls,
    pickle.NEWOBJ: _makes,
    pickle.BUILD: _builds,
    pickle.APPEND: _fills(2, *LISTS),
    pickle.APPENDS: _fills(0, *LISTS),
    pickle.SETITEM: _fills(3, *MAPPINGS),
    pickle.SETITEMS: _fills(0, *MAPPINGS),
    pickle.ADDITEMS: _fills(0, set),
}
"""By step: what must be so."""
NEVER = (
    pickle.INST, pickle.OBJ, pickle.GLOBAL, pickle.NEWOBJ_EX, pickle.PERSID, pickle.BINPERSID,
    pickle.EXT1, pickle.EXT2, pickle.EXT4,
)  # fmt: skip
"""Steps that no copy of `freeze` has."""
_Thawer.dispatch.update(
    {code[0]: _guarded(_Thawer.dispatch[code[0]], check) for code, check in CHECKS.items()}
)
for _code in NEVER:
    del _Thawer.dispatch[_code[0]]

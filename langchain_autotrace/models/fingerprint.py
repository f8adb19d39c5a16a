"""Hashes objects that cannot be written as JSON: their structure, their plain values, and their code.

Only the hash is kept, so that no value can be read from it. Ids, line numbers and the module name that a file was run
as do not count: the same program gives the same hash in another process and on another day.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import functools
import hashlib
import operator
import pathlib
import re
import sys
import sysconfig
import types
import uuid
from collections import deque
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Final

from langchain_core.runnables import Runnable
from pydantic import BaseModel

_MAX_DEPTH: Final = 16
_MAX_OBJECTS: Final = 5_000
_PLAIN: Final = (str, int, float, complex, bool, bytes, type(None), type(...))
_HASHED_BY_REPR: Final = (
    *(bytearray, range, dt.date, dt.time, dt.timedelta),
    *(decimal.Decimal, pathlib.PurePath, uuid.UUID),
)
_HASHED_BY_REDUCE: Final = (operator.itemgetter, operator.attrgetter, operator.methodcaller)
_LIBRARIES: Final = tuple({f"{sysconfig.get_path(name)}" for name in ("stdlib", "purelib", "platlib")})
_QUALIFIED: Final = re.compile(r"[\w<>]+\.| at 0x[0-9a-f]+")
"""Parts of an annotation's ``repr`` that are ignored: modules, functions around a class, and addresses."""
_STATE: Final = frozenset(
    {
        # Results of earlier runs, connections and callbacks are not part of the chain.
        *("async_client", "cache", "callbacks", "checkpointer", "client", "lc_versions", "root_async_client"),
        *("root_client", "store"),
    }
)
_STORES: Final = frozenset({"BaseStore", "Docstore", "VectorStore"})
_ANNOTATE: Final = frozenset({"__annotate__", "__annotate_func__"})
"""Names of the function by which Python 3.14 evaluates a class's annotations. It differs with each class."""
COUNTERS: Final = {
    "langchain_core.language_models.fake": "i",
    "langchain_core.language_models.fake_chat_models": "i",
}
"""Module of LangChain's fake models -> the field in which they count their calls."""


def fingerprint(value: object) -> str:
    """Return 16 hexadecimal digits that change when the structure, plain values or code of ``value`` change."""
    walk = _Walk()
    walk.add(value, 0)
    return walk.digest.hexdigest()[:16]


def is_installed(function: object) -> bool:
    """Return whether a function or class belongs to an installed package or the standard library."""
    code = getattr(function, "__code__", None)
    if isinstance(code, types.CodeType):
        return bool(code.co_filename.startswith(_LIBRARIES) or code.co_filename.startswith("<frozen"))
    name = str(getattr(function, "__module__", ""))
    file = getattr(sys.modules.get(name), "__file__", None)
    if name == "__main__" or file is None:  # built in, or else from a notebook or generated
        return name in sys.builtin_module_names
    return str(file).startswith(_LIBRARIES)


class _Walk:
    """Walks over an object and everything in it, and hashes what it finds.

    Attributes:
        digest: the hash so far.
    """

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self._seen: dict[int, int] = {}
        self._kept: list[object] = []
        """Visited objects, kept alive so that no other object gets the id of one that was created on the way."""

    def _put(self, *parts: object) -> None:
        self.digest.update("\x1f".join(map(str, parts)).encode("utf-8", "backslashreplace") + b"\n")

    def add(self, value: object, depth: int) -> None:
        """Add a value, and what it contains, to the hash."""
        if isinstance(value, _PLAIN):
            self._put(type(value).__name__, repr(value))
            return
        if id(value) in self._seen:
            self._put("again", self._seen[id(value)])
            return
        if depth > _MAX_DEPTH or len(self._seen) > _MAX_OBJECTS:
            self._put("more")
            return
        self._seen[id(value)] = len(self._seen)
        self._kept.append(value)
        self._add_object(value, depth + 1)

    def _add_object(self, value: object, depth: int) -> None:
        function = value.__func__ if isinstance(value, types.MethodType) else value
        if isinstance(value, Mapping):
            self._pairs("mapping", ((_key(key), item) for key, item in value.items()), depth)
        elif isinstance(value, list | tuple | deque):
            self._put("list", len(value))
            for item in value:
                self.add(item, depth)
        elif isinstance(value, set | frozenset):
            self._put("set", *sorted(fingerprint(item) for item in value))
        elif isinstance(value, Enum):
            self._put("enum", type(value).__qualname__, value.name)
        elif isinstance(value, type):
            self._class(value, depth)
        elif isinstance(function, types.FunctionType):
            self._function(function, depth)
            self._owner(getattr(value, "__self__", None), depth)
        elif isinstance(value, functools.partial):
            self.add([value.func, list(value.args), value.keywords], depth)
        elif not self._library_value(value, depth):
            self._instance(value, depth)

    def _owner(self, owner: object, depth: int) -> None:
        """Add the object that a method belongs to, without attributes that may change from call to call."""
        if isinstance(owner, Runnable | type | None):
            self.add(owner, depth)
            return
        self._class(type(owner), depth)
        lasting = (str, tuple, Runnable, types.FunctionType)
        held = {name: item for name, item in _attributes(owner).items() if isinstance(item, lasting)}
        self._pairs("object", iter(held.items()), depth)

    def _library_value(self, value: object, depth: int) -> bool:
        """Add a value of a standard library class; return False for any other class."""
        if isinstance(value, types.BuiltinFunctionType):
            self._put("built in", value.__qualname__)
            self.add(None if isinstance(value.__self__, types.ModuleType) else value.__self__, depth)
        elif isinstance(value, _HASHED_BY_REPR):
            self._put(type(value).__name__, repr(value))
        elif isinstance(value, _HASHED_BY_REDUCE):
            self.add([type(value).__name__, value.__reduce__()[1:]], depth)
        elif isinstance(value, re.Pattern):
            self._put("pattern", value.pattern, value.flags)
        else:
            return False
        return True

    def _pairs(self, kind: str, pairs: Iterator[tuple[str, object]], depth: int) -> None:
        found = sorted((pair for pair in pairs if pair[0] not in _STATE), key=lambda pair: pair[0])
        self._put(kind, len(found))
        for key, item in found:
            self._put("key", key)
            self.add(item, depth)

    def _class(self, kind: type, depth: int) -> None:
        self._put("class", kind.__qualname__.rpartition(".")[2])
        if not is_installed(kind):
            self._pairs("members", _members(kind), depth)
            self._pairs("fields", _fields(kind), depth)
            for base in kind.__bases__:
                if not is_installed(base):
                    self.add(base, depth)

    def _function(self, function: types.FunctionType, depth: int) -> None:
        self._put("function", function.__qualname__.rpartition(".")[2])
        if is_installed(function) and not function.__closure__:
            self._put(function.__module__)
            return
        self._code(function.__code__)
        self.add(function.__defaults__ or (), depth)
        self.add(function.__kwdefaults__ or {}, depth)
        for cell in function.__closure__ or ():
            try:
                self.add(cell.cell_contents, depth)
            except ValueError:
                self._put("empty cell")
        if not is_installed(function):
            self._globals(function, depth)

    def _code(self, code: types.CodeType) -> None:
        self.digest.update(code.co_code)
        self._put(*code.co_names, *code.co_varnames)
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._code(constant)
            elif isinstance(constant, frozenset):
                self._put(*sorted(map(repr, constant)))
            else:
                self._put(repr(constant))

    def _globals(self, function: types.FunctionType, depth: int) -> None:
        """Add the globals that a function uses: a prompt in a module's constant counts like one in the code."""
        for name in sorted(_names(function.__code__)):
            found = function.__globals__.get(name)
            is_ours = isinstance(found, types.FunctionType | type) and not is_installed(found)
            # Lists and dicts only if named like constants: in others, programs collect results.
            is_constant = isinstance(found, list | dict) and name.isupper()
            if is_ours or is_constant or (found is not None and isinstance(found, (*_PLAIN, tuple, Runnable))):
                self._put("global", name)
                self.add(found, depth)

    def _instance(self, value: object, depth: int) -> None:
        kind = type(value)
        self._class(kind, depth)
        self.add(vars(value).get("__wrapped__") if hasattr(kind, "cache_clear") else None, depth)  # functools.cache
        library = kind.__module__.partition(".")[0]
        is_ours = isinstance(value, Runnable | BaseModel) or library.startswith(("langchain", "langgraph"))
        if not is_ours and is_installed(kind):
            return
        if any(base.__name__ in _STORES for base in kind.__mro__):  # its contents change
            self.add(getattr(value, "embeddings", None), depth)
            return
        self._pairs("attributes", iter(_attributes(value).items()), depth)


def _key(key: object) -> str:
    """Return a mapping's key as text without addresses and modules."""
    if isinstance(key, _PLAIN):
        return str(key)
    if isinstance(key, tuple):
        return ",".join(map(_key, key))
    named = key if isinstance(key, type | types.FunctionType) else type(key)
    return named.__qualname__.rpartition(".")[2]


def _members(kind: type) -> Iterator[tuple[str, object]]:
    """Yield a class's own functions and plain values: a prompt may be one."""
    for name, item in vars(kind).items():
        if name in _ANNOTATE:
            continue
        if isinstance(item, staticmethod | classmethod):
            yield name, item.__func__
        elif isinstance(item, property):
            yield name, (item.fget, item.fset)
        elif isinstance(item, types.FunctionType) or (
            not name.startswith(("__", "_abc"))
            and isinstance(item, (*_PLAIN, tuple, *((list, dict) if name.isupper() else ())))
        ):
            yield name, item


def _fields(kind: type) -> Iterator[tuple[str, object]]:
    """Yield the type, description and default of a class's fields: pydantic passes them on to a model."""
    fields = getattr(kind, "model_fields", {}) if issubclass(kind, BaseModel) else {}
    for name, annotation in _annotations(kind).items():
        field = fields.get(name)
        text = annotation if isinstance(annotation, str) else _QUALIFIED.sub("", repr(annotation))
        yield name, (text, getattr(field, "description", None), getattr(field, "default", None))


def _annotations(kind: type) -> Mapping[str, object]:
    """Return a class's own annotations; from Python 3.14 on as text, since evaluating one may fail there."""
    if sys.version_info >= (3, 14):
        from annotationlib import Format, get_annotations  # noqa: PLC0415 - not in older versions

        return get_annotations(kind, format=Format.STRING)
    return getattr(kind, "__annotations__", {})


def _names(code: types.CodeType) -> set[str]:
    inner = [_names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return set(code.co_names).union(*inner)


def _attributes(value: object) -> dict[str, Any]:
    """Return an object's own attributes, without cached properties and call counters."""
    found = dict(getattr(value, "__dict__", None) or {})
    for base in type(value).__mro__:
        slots = base.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if not name.startswith("__") and name not in found:
                with contextlib.suppress(Exception):  # an unset slot, or a user's __getattr__
                    found[name] = getattr(value, name)
    found.pop(COUNTERS.get(type(value).__module__, ""), None)
    return {name: item for name, item in found.items() if not name.startswith("_abc") and not _is_cached(value, name)}


def _is_cached(value: object, name: str) -> bool:
    defined = next((vars(base)[name] for base in type(value).__mro__ if name in vars(base)), None)
    return isinstance(defined, functools.cached_property)

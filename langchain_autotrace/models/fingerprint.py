"""What tells apart two objects that cannot be written as JSON: their structure, their plain values, and their code.

It goes into a hash and nowhere else, so that nothing of what was walked can be read from it. Ids, line numbers and the
module a file was run as are left out: the same program gives the same hash in another process and on another day.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import sys
import sysconfig
import types
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Final

from langchain_core.runnables import Runnable
from pydantic import BaseModel

_MAX_DEPTH: Final = 16
_MAX_OBJECTS: Final = 5_000
_PLAIN: Final = (str, int, float, complex, bool, bytes, type(None), type(...))
_LIBRARIES: Final = tuple({f"{sysconfig.get_path(name)}" for name in ("stdlib", "purelib", "platlib")})
_STATE: Final = frozenset(
    {
        # What a run leaves behind, connections, and who listens: none of it is what the chain is.
        *("async_client", "cache", "callbacks", "checkpointer", "client", "lc_versions", "root_async_client"),
        *("root_client", "store"),
    }
)
_STORES: Final = frozenset({"BaseStore", "Docstore", "VectorStore"})
COUNTERS: Final = {
    "langchain_core.language_models.fake": "i",
    "langchain_core.language_models.fake_chat_models": "i",
}
"""Where LangChain's fake models count their calls, by the module they are in."""


def fingerprint(value: object) -> str:
    """16 hexadecimal digits that change with what ``value`` does."""
    walk = _Walk()
    walk.add(value, 0)
    return walk.digest.hexdigest()[:16]


def is_installed(function: object) -> bool:
    """Whether a function or class belongs to an installed package or the standard library."""
    code = getattr(function, "__code__", None)
    if code is not None:
        return bool(code.co_filename.startswith(_LIBRARIES) or code.co_filename.startswith("<frozen"))
    name = str(getattr(function, "__module__", ""))
    module = sys.modules.get(name)
    file = str(getattr(module, "__file__", None) or _LIBRARIES[0])  # modules without a file are Python's own
    return name != "__main__" and (module is None or file.startswith(_LIBRARIES))


class _Walk:
    """One walk over an object and what it holds.

    Attributes:
        digest: the hash so far.
    """

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self._seen: dict[int, int] = {}
        self._kept: list[object] = []
        """Objects made on the way: their ids must not be given to others."""

    def _put(self, *parts: object) -> None:
        self.digest.update("\x1f".join(map(str, parts)).encode("utf-8", "backslashreplace") + b"\n")

    def add(self, value: object, depth: int) -> None:
        """Walk on."""
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
        elif isinstance(value, list | tuple):
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
        elif isinstance(value, functools.partial):
            self.add([value.func, list(value.args), value.keywords], depth)
        else:
            self._instance(value, depth)

    def _pairs(self, kind: str, pairs: Iterator[tuple[str, object]], depth: int) -> None:
        found = sorted((pair for pair in pairs if pair[0] not in _STATE), key=lambda pair: pair[0])
        self._put(kind, len(found))
        for key, item in found:
            self._put("key", key)
            self.add(item, depth)

    def _class(self, kind: type, depth: int) -> None:
        self._put("class", kind.__qualname__.rpartition(".")[2])
        if not is_installed(kind):
            functions = {name: item for name, item in vars(kind).items() if isinstance(item, types.FunctionType)}
            self._pairs("methods", iter(functions.items()), depth)
            self._pairs("fields", iter(dict.fromkeys(getattr(kind, "__annotations__", {}), 0).items()), depth)

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
        """What the code names of its module: a prompt in a constant is as much a part of it as one in the code."""
        for name in sorted(_names(function.__code__)):
            found = function.__globals__.get(name)
            is_ours = isinstance(found, types.FunctionType | type) and not is_installed(found)
            # Lists and dicts by the names of constants only: others are where programs gather what happens.
            is_constant = isinstance(found, list | dict) and name.isupper()
            if is_ours or is_constant or (found is not None and isinstance(found, (*_PLAIN, tuple, Runnable))):
                self._put("global", name)
                self.add(found, depth)

    def _instance(self, value: object, depth: int) -> None:
        kind = type(value)
        self._class(kind, depth)
        library = kind.__module__.partition(".")[0]
        is_ours = isinstance(value, Runnable | BaseModel) or library.startswith(("langchain", "langgraph"))
        if not is_ours and is_installed(kind):
            return
        if any(base.__name__ in _STORES for base in kind.__mro__):  # what is in it comes and goes
            self.add(getattr(value, "embeddings", None), depth)
            return
        self._pairs("attributes", iter(_attributes(value).items()), depth)


def _key(key: object) -> str:
    """A mapping's key as a text without addresses and modules."""
    if isinstance(key, _PLAIN):
        return str(key)
    if isinstance(key, tuple):
        return ",".join(map(_key, key))
    named = key if isinstance(key, type | types.FunctionType) else type(key)
    return named.__qualname__.rpartition(".")[2]


def _names(code: types.CodeType) -> set[str]:
    inner = [_names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return set(code.co_names).union(*inner)


def _attributes(value: object) -> dict[str, Any]:
    """An object's own attributes, without what is remembered of calls."""
    found = dict(getattr(value, "__dict__", None) or {})
    for base in type(value).__mro__:
        slots = base.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if not name.startswith("__") and name not in found:
                with contextlib.suppress(Exception):  # one that is not set; or a user's __getattr__
                    found[name] = getattr(value, name)
    found.pop(COUNTERS.get(type(value).__module__, ""), None)
    return {name: item for name, item in found.items() if not name.startswith("_abc") and not _is_cached(value, name)}


def _is_cached(value: object, name: str) -> bool:
    defined = next((vars(base)[name] for base in type(value).__mro__ if name in vars(base)), None)
    return isinstance(defined, functools.cached_property)

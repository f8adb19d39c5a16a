"""Encodes a runnable as JSON from which ``revive.py`` builds it again, and lists the parts that cannot be built.

The format is LangChain's own (``langchain_core.load.dumpd``) with four more kinds of nodes: a component by its class
and fields, a class or function by its name, ``itemgetter``, and containers that JSON lacks. No ``repr`` is ever
written: it may contain addresses and secrets. Values that are secrets by their key or by their shape are left out, and
their paths are listed.
"""

from __future__ import annotations

import hashlib
import importlib
import math
import operator
import types
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import orjson
from langchain_core.language_models import BaseLanguageModel
from langchain_core.load.load import ALL_SERIALIZABLE_MAPPINGS
from langchain_core.load.serializable import Serializable
from langchain_core.runnables import Runnable, RunnableLambda
from pydantic import SecretStr

from langchain_autotrace.models import revive
from langchain_autotrace.models.fingerprint import COUNTERS, fingerprint, is_installed
from langchain_autotrace.redaction import (
    SCHEMA_KEYS,
    has_surrogates,
    is_secret_name,
    scrub_text,
    without_credentials,
)

_MAX_DEPTH: Final = 100
_MAX_PARAM: Final = 500
_NOT_THE_CHAIN: Final = frozenset({"cache", "callbacks", "custom_get_token_ids", "rate_limiter", "verbose"})
"""Fields of components that do not change what they do."""
_OF_A_CALL: Final = frozenset({"callbacks", "metadata", "run_id", "tags"})
"""Keys of a bound config that belong to one call: another request's id does not make it a different chain."""
_IDS_OF_A_CALL: Final = frozenset(
    {"checkpoint_id", "checkpoint_ns", "conversation_id", "run_id", "session_id", "thread_id", "user_id"}
)


class Problem(NamedTuple):
    """Why a part of a chain cannot be built again."""

    path: str
    """Path to the part, such as ``.first.func``; empty for the chain itself."""
    name: str
    """Its class or function."""
    reason: str

    def __str__(self) -> str:
        return f"{self.path.lstrip('.') or 'the chain itself'} ({self.name}): {self.reason}"


class Content(NamedTuple):
    """The content of a chain."""

    tree: Any
    """The chain as a tree of JSON."""
    problems: list[Problem]
    """Parts that cannot be built again."""
    left_out: list[str]
    """Paths of values that were not written because they look like secrets."""
    secrets: list[str]
    """Environment variables that the chain reads its keys from."""
    packages: list[str]
    """Top-level packages that its parts come from."""
    params: dict[str, str]
    """Parameters of its models, as ``Class.field``."""
    hash: str
    """SHA-256 of the content, 64 hexadecimal digits; see ``content_hash``."""


def content_of(chain: object) -> Content:
    """Return the content of a chain as it is now."""
    encoder = _Encoder()
    tree = encoder.value(chain, "", 0)
    return Content(
        tree=tree,
        problems=encoder.problems,
        left_out=encoder.left_out,
        secrets=sorted(encoder.secrets),
        packages=sorted(encoder.packages - {"builtins", "operator"}),
        params=encoder.params,
        hash=content_hash(tree),
    )


def content_hash(tree: object) -> str:
    """Return the hash of a tree, which does not depend on the module name that a program's file was run as."""
    return hashlib.sha256(orjson.dumps(_essence(tree), option=orjson.OPT_SORT_KEYS)).hexdigest()


def _essence(node: object) -> object:
    if isinstance(node, list):
        return [_essence(item) for item in node]
    if isinstance(node, float) and node.is_integer() and abs(node) < 2**63:
        return int(node)  # pydantic turns 1 into 1.0
    if not isinstance(node, dict):
        return node
    if node.get("lc") == 1 and "fingerprint" in node:
        name = str(node.get("ref") or node.get("class") or node["id"][-1])
        return {"code": name.rpartition(":")[2].rpartition(".")[2], "fingerprint": node["fingerprint"]}
    if node.get("lc") == 1 and node.get("type") == revive.TUPLE:
        items = _essence(node["items"])  # pydantic converts between tuples and lists
        return {"named": node["name"], "items": items} if "name" in node else items
    return {key: _essence(item) for key, item in node.items()}


class _Encoder:
    """Encodes one chain, and collects what is found on the way."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.left_out: list[str] = []
        self.secrets: set[str] = set()
        self.packages: set[str] = set()
        self.params: dict[str, str] = {}

    def value(self, value: Any, path: str, depth: int) -> Any:  # noqa: C901, PLR0911 - a case each
        if depth > _MAX_DEPTH:
            return self._opaque(value, path, "it is nested too deeply, or contains itself")
        depth += 1
        if value is None or isinstance(value, bool):
            return value
        kind = type(value)  # not isinstance: a subclass would be built again as its base class
        if kind is str:
            return self._text(value, path)
        if kind in {int, float}:
            return self._number(value, path)
        if kind is list:
            return self._items(value, path, depth)
        if isinstance(value, tuple):
            return self._tuple(value, path, depth)
        if kind is dict:
            return self._dict(value, path, depth)
        if isinstance(value, Serializable | Runnable):
            return self._component(value, path, depth)
        if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
            return self._named(value, path)
        if isinstance(value, operator.itemgetter):
            keys = list(value.__reduce__()[1])
            if not all(isinstance(key, str | int) for key in keys):
                self.problems.append(Problem(path, "operator.itemgetter", "its keys are not all strings and integers"))
            return {"lc": 1, "type": revive.GETTER, "keys": self._items(keys, path, depth)}
        return self._opaque(value, path, "its class cannot be written as JSON")

    def _text(self, text: str, path: str) -> object:
        if has_surrogates(text):
            return self._opaque(text, path, "the string contains a lone surrogate, which JSON cannot represent")
        if "://" in text and (plain := without_credentials(text)) != text:
            self.left_out.append(path)
            if any(map(str.isspace, text)):  # a bare address still works without its credentials, other text may not
                self.problems.append(Problem(path, "str", _CLEANED))
            text = plain
        clean = scrub_text(text)
        if clean != text:
            self.left_out.append(path)
            self.problems.append(Problem(path, "str", _CLEANED))
        return clean

    def _number(self, value: float, path: str) -> object:
        if isinstance(value, float) and not math.isfinite(value):
            return self._opaque(value, path, "JSON cannot represent this number")
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            return self._opaque(value, path, "the integer does not fit in 64 bits")
        return value

    def _items(self, items: list[Any] | tuple[Any, ...], path: str, depth: int) -> list[object]:
        return [self.value(item, f"{path}[{index}]", depth) for index, item in enumerate(items)]

    def _tuple(self, value: tuple[Any, ...], path: str, depth: int) -> dict[str, object]:
        node = {"lc": 1, "type": revive.TUPLE, "items": self._items(value, path, depth)}
        # Pydantic makes a named tuple again if the field is declared as one; if not, the name makes the hashes differ.
        return node if type(value) is tuple else {**node, "name": type(value).__name__}

    def _dict(self, value: Mapping[Any, Any], path: str, depth: int) -> object:
        pairs = []
        named = value.get("name", value.get("key"))
        for key, item in value.items():
            shown = self.value(key, f"{path} key", depth - 1)
            where = f"{path}.{shown if isinstance(shown, str | int) else type(key).__name__}"
            # A header may be written as {"name": "Authorization", "value": "…"}.
            if _is_secret_value(named if key == "value" else key, item) or _is_secret_value(key, item):
                self.left_out.append(where)
            else:
                pairs.append([shown, self.value(item, where, depth)])
        # A dict with the key "lc" must not be taken for a node (CVE-2025-68664).
        if all(isinstance(key, str) and key != "lc" for key, _ in pairs):
            return dict(pairs)
        return {"lc": 1, "type": revive.DICT, "items": pairs}

    def _component(self, value: Any, path: str, depth: int) -> object:
        kind = type(value)
        fields = self._lc_fields(value)
        if fields is not None:
            node: dict[str, object] = {"lc": 1, "type": revive.COMPONENT, "id": kind.lc_id()}
        elif (name := _importable(kind)) is None:
            return self._opaque(value, path, _NO_MODULE)
        elif isinstance(value, RunnableLambda):
            node, fields = {"lc": 1, "type": revive.OBJECT, "class": name}, dict(_lambda_fields(value))
        elif isinstance(value, Serializable):
            node, fields = {"lc": 1, "type": revive.OBJECT, "class": name}, self._own_fields(value, path)
        else:
            return self._opaque(value, path, _hint(value))
        if not is_installed(kind):
            node["fingerprint"] = fingerprint(value)
        self.packages.add(kind.__module__.partition(".")[0])
        node["kwargs"] = kwargs = self._kwargs(value, fields, path, depth)
        if isinstance(value, BaseLanguageModel):
            self._note_params(kind, kwargs)
        return node

    @staticmethod
    def _lc_fields(value: Any) -> dict[str, Any] | None:
        """Return the fields of a component that LangChain's own serialization covers; None for any other."""
        kind = type(value)
        if not isinstance(value, Serializable) or not kind.is_lc_serializable():
            return None
        found = _class_of(tuple(kind.lc_id()))
        package = kind.__module__.partition(".")[0]
        if found is None or not (found is kind or (package in revive.TRUSTED_PACKAGES and issubclass(kind, found))):
            return None
        form = value.to_json()
        return dict(form["kwargs"]) if form["type"] == revive.COMPONENT else None

    def _own_fields(self, value: Serializable, path: str) -> dict[str, Any]:
        """Return the non-default fields of a component that has not opted in to LangChain's serialization."""
        found = {}
        for name, field in type(value).model_fields.items():
            item = getattr(value, name, None)
            if field.exclude or field.init is False or _is_default(item, field):
                continue
            if isinstance(item, SecretStr):
                # Not written: the class reads it from its environment variable again.
                self.left_out.append(f"{path}.{name}")
                if not field.is_required():
                    continue
            found[field.alias or name] = item
        return found

    def _kwargs(self, value: object, fields: Mapping[str, Any], path: str, depth: int) -> dict[str, object]:
        kwargs: dict[str, object] = {}
        counter = COUNTERS.get(type(value).__module__)
        for name, item in fields.items():
            if name in _NOT_THE_CHAIN or name == counter:
                continue
            # If the field itself is a dict, the item is the user's data that looks like a secret node.
            if _is_secret(item) and not isinstance(getattr(value, name, None), dict):
                self.secrets.add(item["id"][0])
                kwargs[name] = item
                continue
            if name == "config" and isinstance(item, dict):
                item = _lasting(item)  # noqa: PLW2901 - the same config without what belongs to one call
            if name == "metadata" and isinstance(item, dict):
                item = {key: one for key, one in item.items() if key != "lc_versions"} or None  # noqa: PLW2901 - the same without versions
                if item is None:
                    continue
            if not isinstance(item, SecretStr) and _is_secret_value(name, item):
                self._leave_out(value, name, f"{path}.{name}")
                continue
            kwargs[name] = found = self.value(item, f"{path}.{name}", depth)
            # A dict that is empty without its secrets counts as not given. A config stays: LangChain always writes one.
            if name == "config" and isinstance(found, dict):
                kwargs[name] = {key: one for key, one in found.items() if one != {}}
            elif found == {} and item:
                del kwargs[name]
        return kwargs

    def _leave_out(self, value: object, name: str, path: str) -> None:
        self.left_out.append(path)
        field = getattr(type(value), "model_fields", {}).get(name)
        if field is not None and field.is_required():
            self.problems.append(Problem(path, type(value).__name__, "a required field is a secret and was left out"))

    def _note_params(self, kind: type, kwargs: Mapping[str, object]) -> None:
        for name, item in kwargs.items():
            if isinstance(item, str | int | float | bool):
                self.params.setdefault(f"{kind.__name__}.{name}", str(item)[:_MAX_PARAM])

    def _named(self, value: Any, path: str) -> object:
        name = _importable(value)
        if name is None:
            return self._opaque(value, path, _NO_MODULE)
        self.packages.add(name.partition(":")[0].partition(".")[0])
        node = {"lc": 1, "type": revive.REFERENCE, "ref": name}
        return node if is_installed(value) else {**node, "fingerprint": fingerprint(value)}

    def _opaque(self, value: object, path: str, reason: str) -> dict[str, object]:
        named = value if isinstance(value, type | types.FunctionType) else type(value)
        name = f"{named.__module__}.{named.__qualname__}"
        self.problems.append(Problem(path, name, reason))
        node: dict[str, object] = {"lc": 1, "type": "not_implemented", "id": name.split(".")}
        if graph := _graph(value):
            node["graph"] = graph
        return {**node, "fingerprint": fingerprint(value)}


_CLEANED: Final = "part of it looks like a secret and was left out"
_NO_MODULE: Final = "it cannot be imported: it is a lambda, or defined in __main__ or inside a function"


def _hint(value: object) -> str:
    if _graph(value):
        return "a graph cannot be written as JSON; pass the file that builds it with autolog(model_code=...)"
    return "its class cannot be written as JSON"


def _graph(value: object) -> dict[str, object] | None:
    """Return nodes and edges of a LangGraph graph, without importing langgraph; None for any other value."""
    builder = getattr(value, "builder", None) if type(value).__module__.startswith("langgraph.") else None
    if builder is None:
        return None
    nodes = [str(name) for name in getattr(builder, "nodes", ())]
    edges = sorted([str(end) for end in edge] for edge in getattr(builder, "edges", ()))
    for source, ends in getattr(builder, "branches", {}).items():
        for branch in ends.values():
            edges += [[str(source), str(end)] for end in sorted((getattr(branch, "ends", None) or {"?": "?"}).values())]
    return {"nodes": nodes, "edges": edges}


def _lambda_fields(value: RunnableLambda[Any, Any]) -> Iterator[tuple[str, object]]:
    for name in ("func", "afunc"):
        if hasattr(value, name):
            yield name, getattr(value, name)
    called = getattr(value, "name", None)
    if called and "<" not in called:
        yield "name", called


def _is_secret(item: object) -> bool:
    return isinstance(item, dict) and item.get("lc") == 1 and item.get("type") == revive.SECRET


def _is_secret_value(name: object, item: object) -> bool:
    """Return whether data under that name is a secret, and not a part of the chain or a tool's parameter."""
    if not isinstance(name, str) or not is_secret_name(name):
        return False
    if isinstance(item, dict):
        return bool(item) and SCHEMA_KEYS.isdisjoint(item) and not any(map(_is_part, item.values()))
    if isinstance(item, int | float):
        return not isinstance(item, bool) and not name.lower().endswith("token")
    if isinstance(item, list | tuple):
        return bool(item) and not any(map(_is_part, item))
    return isinstance(item, str | bytes | SecretStr) and item != ""


def _is_part(item: object) -> bool:
    return isinstance(item, Runnable | Serializable | type) or callable(item)


def _lasting(config: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: item for key, item in config.items() if key not in _OF_A_CALL}
    chosen = kept.get("configurable")
    if isinstance(chosen, Mapping):
        kept["configurable"] = {key: item for key, item in chosen.items() if key not in _IDS_OF_A_CALL}
    return {key: item for key, item in kept.items() if item not in ({}, None)}


def _class_of(lc_id: tuple[str, ...]) -> Any:
    """Return the class that LangChain builds from an id; None if there is none."""
    path = ALL_SERIALIZABLE_MAPPINGS.get(lc_id, lc_id)
    try:
        return getattr(importlib.import_module(".".join(path[:-1])), path[-1], None)
    except (ImportError, ValueError):
        return None


def _importable(value: Any) -> str | None:
    """Return ``module:qualified.name`` of a class or function; None if importing that does not give this object."""
    module, qualified = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not module or not qualified or module == "__main__" or "<" in qualified:
        return None
    try:
        found: Any = importlib.import_module(module)
        for part in qualified.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError):
        return None
    return f"{module}:{qualified}" if found is value else None


def _is_default(item: object, field: Any) -> bool:
    try:
        return bool(item == field.get_default(call_default_factory=True))
    except Exception:  # noqa: BLE001 - a factory that needs arguments, a value that compares as an array
        return False

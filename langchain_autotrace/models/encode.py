"""Encodes a runnable as JSON from which ``revive.py`` builds it again, and lists the parts that cannot be built.

The format is LangChain's own (``langchain_core.load.dumpd``) with four more kinds of nodes: a component by its class
and fields, a class or function by its name, ``itemgetter``, and containers that JSON lacks. No ``repr`` is ever
written: it may contain addresses and secrets. Values that are secrets by their key or by their shape are left out, and
their paths are listed.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import math
import operator
import re
import types
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson
from langchain_core.example_selectors import BaseExampleSelector
from langchain_core.language_models import BaseLanguageModel
from langchain_core.load.load import ALL_SERIALIZABLE_MAPPINGS
from langchain_core.load.serializable import Serializable
from langchain_core.runnables import Runnable
from pydantic import BaseModel, SecretStr

from langchain_autotrace.models import revive
from langchain_autotrace.models.fingerprint import COUNTERS, fingerprint, is_installed
from langchain_autotrace.models.functions import CALLABLES, function_fields, importable, is_nothing, variable
from langchain_autotrace.models.graphs import described
from langchain_autotrace.models.reasons import CLEANED, NEEDED, Problem, reason_of
from langchain_autotrace.models.secrets import NAME_LISTS, is_secret_pair, is_secret_value
from langchain_autotrace.placeholders import clean_text
from langchain_autotrace.redaction import REDACTED, has_surrogates

_MAX_DEPTH: Final = 100
_MAX_PARAM: Final = 500
_NOT_THE_CHAIN: Final = frozenset({"cache", "callbacks", "custom_get_token_ids", "rate_limiter", "verbose"})
"""Fields of components that do not change what they do."""
_OF_A_CALL: Final = frozenset({"callbacks", "metadata", "run_id", "tags"})
"""Keys of a bound config that belong to one call: another request's id does not make it a different chain."""
IDS_OF_A_CALL: Final = frozenset(
    {"checkpoint_id", "checkpoint_ns", "conversation_id", "run_id", "session_id", "thread_id", "user_id"}
)


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


def content_of(chain: object, *, describes: bool = True) -> Content:
    """Return the content of a chain as it is now.

    Args:
        chain: the chain.
        describes: whether the tree has what graphs are made of, beside their hash. It takes milliseconds.
    """
    encoder = _Encoder(describes=describes)
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


def _essence(node: object) -> object:  # noqa: PLR0911 - a case each
    if isinstance(node, list):
        return [_essence(item) for item in node]
    if isinstance(node, float) and node.is_integer() and abs(node) < 2**63:
        return int(node)  # pydantic turns 1 into 1.0
    if not isinstance(node, dict):
        return node
    if node.get("lc") == 1 and node.get("type") == revive.VARIABLE:
        return _essence(node["made_of"])  # the same in the program that is run, which has no name to import
    if node.get("lc") == 1 and "fingerprint" in node:
        name = str(node.get("ref") or node.get("class") or node["id"][-1])
        return {"code": name.rpartition(":")[2].rpartition(".")[2], "fingerprint": node["fingerprint"]}
    if node.get("lc") == 1 and node.get("type") == revive.TUPLE:
        items = _essence(node["items"])  # pydantic converts between tuples and lists
        return {"named": node["name"], "items": items} if "name" in node else items
    return {key: _essence(item) for key, item in node.items()}


class _Encoder:
    """Encodes one chain, and collects what is found on the way."""

    def __init__(self, *, describes: bool) -> None:
        self._describes = describes
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
        if isinstance(value, Serializable | Runnable | BaseExampleSelector):
            return self._component(value, path, depth)
        if isinstance(value, CALLABLES):
            return self._callable(value, path, depth)
        if isinstance(value, operator.itemgetter):
            keys = list(value.__reduce__()[1])
            if not all(isinstance(key, str | int) for key in keys):
                self.problems.append(Problem(path, "operator.itemgetter", "its keys are not all strings and integers"))
            return {"lc": 1, "type": revive.GETTER, "keys": self._items(keys, path, depth)}
        if isinstance(value, operator.attrgetter | operator.methodcaller) and (
            node := self._operator(value, path, depth)
        ):
            return node
        return self._opaque(value, path)

    def _text(self, text: str, path: str) -> object:
        if has_surrogates(text):
            return self._opaque(text, path, "the string contains a lone surrogate, which JSON cannot represent")
        clean = clean_text(text)
        if clean != text:
            self.left_out.append(path)
            if REDACTED in clean or any(map(str.isspace, text)):  # a bare address still works without its credentials
                self.problems.append(Problem(path, "str", CLEANED))
        return clean

    def _number(self, value: float, path: str) -> object:
        if isinstance(value, float) and not math.isfinite(value):
            return self._opaque(value, path, "JSON cannot represent this number")
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            return self._opaque(value, path, "the integer does not fit in 64 bits")
        return value

    def _items(self, items: list[Any] | tuple[Any, ...], path: str, depth: int) -> list[object]:
        if is_secret_pair(items) and path.rpartition(".")[2] not in NAME_LISTS:  # a header or cookie as a pair
            self.left_out.append(f"{path}[1]")
            self.problems.append(Problem(f"{path}[1]", "str", CLEANED))
            return [items[0], REDACTED]
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
            if is_secret_value(named if key == "value" else key, item) or is_secret_value(key, item):
                self.left_out.append(where)
                if _EXAMPLE.search(where):  # a prompt formats each example with all of its values
                    self.problems.append(Problem(where, type(item).__name__, CLEANED))
            else:
                pairs.append([shown, self.value(item, where, depth)])
        # A dict with the key "lc" must not be taken for a node (CVE-2025-68664).
        if all(isinstance(key, str) and key != "lc" for key, _ in pairs):
            return dict(pairs)
        return {"lc": 1, "type": revive.DICT, "items": pairs}

    def _component(self, value: Any, path: str, depth: int) -> object:
        held = variable(value)
        if held is None:
            return self._built(value, path, depth)
        inside = _Encoder(describes=False)  # what it is made of need not be built
        shown = inside._built(value, path, depth)
        self.packages |= {held.partition(":")[0].partition(".")[0], *inside.packages}
        return {"lc": 1, "type": revive.VARIABLE, "ref": held, "made_of": shown}

    def _built(self, value: Any, path: str, depth: int) -> object:
        kind = type(value)
        fields = self._lc_fields(value)
        if fields is not None:
            node: dict[str, object] = {"lc": 1, "type": revive.COMPONENT, "id": kind.lc_id()}
        elif (name := importable(kind)) is None:
            return self._opaque(value, path)
        elif (functions := function_fields(value)) is not None:
            node, fields = {"lc": 1, "type": revive.OBJECT, "class": name}, functions
        elif isinstance(value, Serializable | BaseExampleSelector) and isinstance(value, BaseModel):
            node, fields = {"lc": 1, "type": revive.OBJECT, "class": name}, self._own_fields(value, path)
        else:
            return self._opaque(value, path)
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

    def _own_fields(self, value: BaseModel, path: str) -> dict[str, Any]:
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
            if not isinstance(item, SecretStr) and is_secret_value(name, item):
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
            self.problems.append(Problem(path, type(value).__name__, NEEDED))

    def _note_params(self, kind: type, kwargs: Mapping[str, object]) -> None:
        for name, item in kwargs.items():
            if isinstance(item, str | int | float | bool):
                self.params.setdefault(f"{kind.__name__}.{name}", str(item)[:_MAX_PARAM])

    def _callable(self, value: Any, path: str, depth: int) -> object:
        if is_nothing(value):
            return {"lc": 1, "type": revive.NOTHING}
        if isinstance(value, functools.partial):
            func, args, keywords = value.func, list(value.args), dict(value.keywords)
            return {
                "lc": 1,
                "type": revive.PARTIAL,
                "func": self.value(func, f"{path}.func", depth),
                "args": self._items(args, f"{path}.args", depth),
                "kwargs": self._dict(keywords, f"{path}.keywords", depth),
            }
        name = importable(value)
        if name is None:
            return self._opaque(value, path)
        if name not in revive.TRUSTED_TYPES and not revive.is_parser_function(name):
            self.packages.add(name.partition(":")[0].partition(".")[0])
        node = {"lc": 1, "type": revive.REFERENCE, "ref": name}
        return node if is_installed(value) else {**node, "fingerprint": fingerprint(value)}

    def _operator(self, value: Any, path: str, depth: int) -> dict[str, object] | None:
        """Return the node of an ``attrgetter`` or ``methodcaller`` that a model may load; None for any other."""
        if isinstance(value, operator.attrgetter):
            names = list(value.__reduce__()[1])
            is_public = all(revive.is_public_attribute(name) for name in names)
            return {"lc": 1, "type": revive.ATTRIBUTES, "keys": names} if is_public else None
        reduced: Any = value.__reduce__()
        if reduced[0] is not operator.methodcaller or reduced[1][0] not in revive.TEXT_METHODS:
            return None  # with keyword arguments it is reduced to a partial
        return {"lc": 1, "type": revive.METHOD, "items": self._items(list(reduced[1]), path, depth)}

    def _opaque(self, value: object, path: str, reason: str | None = None) -> dict[str, object]:
        named = value if isinstance(value, type | types.FunctionType) else type(value)
        name = f"{named.__module__}.{named.__qualname__}"
        self.problems.append(Problem(path, name, reason or reason_of(value)))
        node: dict[str, object] = {"lc": 1, "type": "not_implemented", "id": name.split(".")}
        if self._describes and (graph := self._graph(value, path)):
            node["graph"] = graph
        return {**node, "fingerprint": fingerprint(value)}

    def _graph(self, value: object, path: str) -> object:
        """Return what a graph is made of, as plain values and nodes of components; None for any other value."""
        found = described(value)
        if found is None:
            return None
        inside = _Encoder(describes=False)  # what cannot be built in a graph is no problem of its own
        graph = inside.value(found, f"{path}.graph", 0)
        self.left_out += inside.left_out
        self.secrets |= inside.secrets
        self.params = {**inside.params, **self.params}
        return graph


_EXAMPLE: Final = re.compile(r"\.examples\[\d+\]\.[^.]+$")


def _is_secret(item: object) -> bool:
    return isinstance(item, dict) and item.get("lc") == 1 and item.get("type") == revive.SECRET


def _lasting(config: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: item for key, item in config.items() if key not in _OF_A_CALL}
    chosen = kept.get("configurable")
    if isinstance(chosen, Mapping):
        kept["configurable"] = {key: item for key, item in chosen.items() if key not in IDS_OF_A_CALL}
    return {key: item for key, item in kept.items() if item not in ({}, None)}


def _class_of(lc_id: tuple[str, ...]) -> Any:
    """Return the class that LangChain builds from an id; None if there is none."""
    path = ALL_SERIALIZABLE_MAPPINGS.get(lc_id, lc_id)
    try:
        return getattr(importlib.import_module(".".join(path[:-1])), path[-1], None)
    except (ImportError, ValueError):
        return None


def _is_default(item: object, field: Any) -> bool:
    try:
        return bool(item == field.get_default(call_default_factory=True))
    except Exception:  # noqa: BLE001 - a factory that needs arguments, a value that compares as an array
        return False

"""Builds a LangChain runnable from ``chain.json``: JSON only, no pickle, no ``eval``.

This file has two uses. ``langchain_autotrace.load_model()`` imports it, and each logged model's ``chain.py`` is a copy
of it with three lines appended, so that a model loads where only langchain-core and the packages of its
``requirements.txt`` are installed. So it must not import anything from this package.

Load models only from a source that you trust: a chat model sends its key to whatever address the file names. But the
file cannot run code: it can only name classes of the packages below, and functions and classes of packages that the
caller allows.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import json
import operator
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

FORMAT: Final = "langchain-autotrace/1"

TRUSTED_PACKAGES: Final = frozenset(
    {
        "langchain_anthropic",
        "langchain_aws",
        "langchain_cohere",
        "langchain_core",
        "langchain_deepseek",
        "langchain_fireworks",
        "langchain_google_genai",
        "langchain_google_vertexai",
        "langchain_groq",
        "langchain_mistralai",
        "langchain_ollama",
        "langchain_openai",
        "langchain_perplexity",
        "langchain_xai",
    }
)
"""Packages whose components are built without ``allow``. Not packages that contain shells and Python interpreters
(langchain_community, langchain_experimental) or run downloaded code (langchain_huggingface)."""

UNTRUSTED_MODULES: Final = frozenset({"langchain_google_vertexai.gemma"})
"""Modules of these packages whose components download and load a model of any name as soon as they are built."""

TRUSTED_TYPES: Final = frozenset(
    f"builtins:{kind.__name__}"
    for kind in (
        *(bool, dict, float, int, list, set, str, tuple),
        *(
            ConnectionError,
            Exception,
            KeyError,
            LookupError,
            OSError,
            RuntimeError,
            TimeoutError,
            TypeError,
            ValueError,
        ),
    )
)
"""Built-in types that may be named: exceptions that fallbacks and retries handle, and types used in schemas."""

TEXT_METHODS: Final = frozenset(
    {
        *("capitalize", "casefold", "lower", "lstrip", "removeprefix", "removesuffix", "replace", "rstrip", "split"),
        *("splitlines", "strip", "swapcase", "title", "upper"),
    }
)
"""Methods of strings that may be called. Not ``format``, which reads attributes of its arguments."""

TRUSTED_FUNCTIONS: Final = frozenset(
    {
        *(f"builtins:{name}" for name in ("abs", "all", "any", "len", "max", "min", "repr", "round", "sorted", "sum")),
        *(f"builtins:str.{name}" for name in TEXT_METHODS),
        *("json:dumps", "json:loads"),
        *(
            f"langchain_core.messages.utils:{name}"
            for name in (
                *("convert_to_messages", "convert_to_openai_messages", "count_tokens_approximately"),
                *("filter_messages", "get_buffer_string", "merge_message_runs", "trim_messages"),
            )
        ),
    }
)
"""Functions that may be named: they only compute."""

_PARSER: Final = re.compile(r"_[a-z_]*(?:refusal|structured_outputs?_parser)[a-z_]*")
"""Private functions of a package's models that ``with_structured_output`` puts into chains: they check and parse an
answer. Not all functions of these packages: some read files, or fetch addresses."""

TEMPLATE_FORMATS: Final = ("f-string", "mustache")
"""Template formats that prompts may have. Not jinja2, which runs code."""

SECRET: Final = "secret"  # noqa: S105 - a kind of node
COMPONENT: Final = "constructor"
OBJECT: Final = "object"
REFERENCE: Final = "ref"
GETTER: Final = "itemgetter"
ATTRIBUTES: Final = "attrgetter"
METHOD: Final = "methodcaller"
PARTIAL: Final = "partial"
VARIABLE: Final = "variable"
NOTHING: Final = "nothing"
TUPLE: Final = "tuple"
DICT: Final = "dict"


class ChainLoadError(ValueError):
    """The chain cannot be built, or names something that is not trusted."""


def load_chain(
    path: str | os.PathLike[str], allow: Collection[str] = (), secrets: Mapping[str, str] | None = None
) -> Any:
    """Build the runnable of a ``chain.json``.

    Args:
        path: the file.
        allow: top-level packages whose classes and functions may be used in addition to the trusted ones.
        secrets: environment variable -> value, used instead of the environment for keys.

    Raises:
        ChainLoadError: the file has another format, or names something that is not trusted or not installed.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except (RecursionError, ValueError) as error:
        msg = f"{path}: not valid JSON: {error}"
        raise ChainLoadError(msg) from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        found = document.get("format") if isinstance(document, dict) else None
        msg = f"{path}: written in format {found!r}; this version reads {FORMAT!r}"
        raise ChainLoadError(msg)
    from langchain_core.runnables import Runnable  # noqa: PLC0415 - only where a chain is built

    chain = revive(document.get("chain"), allow=allow, secrets=secrets)
    if not isinstance(chain, Runnable):
        msg = f"{path}: does not contain a chain"
        raise ChainLoadError(msg)
    return chain


def revive(tree: object, *, allow: Collection[str] = (), secrets: Mapping[str, str] | None = None) -> Any:
    """Build the runnable that a tree of JSON describes; arguments and errors are those of :func:`load_chain`."""
    try:
        return _Reviver(frozenset(allow), os.environ if secrets is None else secrets).value(tree)
    except ChainLoadError:
        raise
    except RecursionError:
        raise ChainLoadError("the chain is nested too deeply") from None
    except Exception as error:  # noqa: BLE001 - whatever a class raises
        msg = f"the chain cannot be built: {type(error).__name__}: {_error_text(error)}"
        raise ChainLoadError(msg) from None  # the original error may contain what _error_text() leaves out


def _error_text(error: Exception) -> str:
    """Return an error's text without the values that pydantic shows in it: a model's key may be among them."""
    from pydantic import ValidationError  # noqa: PLC0415 - only where a chain is built

    if not isinstance(error, ValidationError):
        return str(error)
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{error.title}{''.join(f'.{part}' for part in one['loc'])}: {one['msg']}" for one in found)


class _Reviver:
    def __init__(self, allow: frozenset[str], secrets: Mapping[str, str]) -> None:
        self._allow = allow
        self._secrets = secrets
        self._kinds: dict[str, Callable[[dict[str, Any]], Any]] = {
            COMPONENT: self._component,
            OBJECT: self._object,
            REFERENCE: self._reference,
            GETTER: lambda node: operator.itemgetter(*_plain_keys(node["keys"])),
            TUPLE: lambda node: tuple(self.value(item) for item in node["items"]),
            DICT: lambda node: self._dict(node["items"]),
            ATTRIBUTES: lambda node: operator.attrgetter(*_public_attributes(node["keys"])),
            METHOD: lambda node: operator.methodcaller(*_text_method(node["items"])),
            PARTIAL: self._partial,
            VARIABLE: self._variable,
            NOTHING: lambda _: nothing(),
        }

    def value(self, node: object) -> Any:
        if isinstance(node, list):
            return [self.value(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "lc" not in node:
            return self._dict(node.items())
        kind = node.get("type")
        if not isinstance(kind, str) or kind not in self._kinds:
            name = ".".join(map(str, node["id"])) if isinstance(node.get("id"), list) else kind
            msg = f"part of the chain could not be written as JSON when it was logged: {name}"
            raise ChainLoadError(msg)
        return self._kinds[kind](node)

    def _dict(self, pairs: Iterable[Any]) -> dict[Any, Any]:
        found = {}
        for key, item in pairs:
            _check_template(key, item)  # pydantic makes prompts of dicts
            found[self.value(key)] = self.value(item)
        return found

    def _component(self, node: dict[str, Any]) -> object:
        """Build a component from LangChain's own id, with LangChain's table of moved classes."""
        from langchain_core.load.load import ALL_SERIALIZABLE_MAPPINGS  # noqa: PLC0415 - only where a chain is built

        path = [str(part) for part in ALL_SERIALIZABLE_MAPPINGS.get(tuple(node["id"]), tuple(node["id"]))]
        return self._build(self._class(f"{'.'.join(path[:-1])}:{path[-1]}"), node.get("kwargs", {}))

    def _object(self, node: dict[str, Any]) -> object:
        return self._build(self._class(node["class"]), node.get("kwargs", {}))

    def _reference(self, node: dict[str, Any]) -> Any:
        name = str(node["ref"])
        if name in TRUSTED_TYPES or name in TRUSTED_FUNCTIONS or is_parser_function(name):
            return _trusted(name)
        self._check(name, trusted=False)
        return _resolve(name)

    def _partial(self, node: dict[str, Any]) -> object:
        func, args = node["func"], node.get("args", [])
        if not isinstance(func, dict) or func.get("type") != REFERENCE or not isinstance(args, list):
            raise ChainLoadError("a partial is of a function that is named")
        keywords = self.value(node.get("kwargs", {}))
        if not isinstance(keywords, dict):
            raise ChainLoadError("the keywords of a partial are a dict")
        return functools.partial(self._reference(func), *map(self.value, args), **keywords)

    def _variable(self, node: dict[str, Any]) -> object:
        """Return the tool or decorated function that a module holds."""
        from langchain_core.runnables import Runnable  # noqa: PLC0415 - only where a chain is built

        name = str(node["ref"])
        self._check(name, trusted=False)
        module, _, variable = name.partition(":")
        try:
            found = getattr(importlib.import_module(module), variable)
        except (ImportError, AttributeError) as error:
            msg = f"{name!r} cannot be imported: {error}"
            raise ChainLoadError(msg) from error
        functions = [getattr(found, field, None) for field in ("func", "coroutine", "afunc")]
        if not isinstance(found, Runnable) or module not in [getattr(one, "__module__", None) for one in functions]:
            msg = f"{name!r} is not a tool or decorated function of its module"
            raise ChainLoadError(msg)
        return found

    def _class(self, name: str) -> type:
        from langchain_core.example_selectors import BaseExampleSelector  # noqa: PLC0415 - only where a chain is built
        from langchain_core.load.serializable import Serializable  # noqa: PLC0415 - only where a chain is built
        from langchain_core.runnables import Runnable  # noqa: PLC0415 - only where a chain is built

        self._check(name, trusted=True)
        found = _resolve(name)
        if not (isinstance(found, type) and issubclass(found, (Serializable, Runnable, BaseExampleSelector))):
            msg = f"{name!r} is not a LangChain component"
            raise ChainLoadError(msg)
        if found.__module__ in UNTRUSTED_MODULES:
            self._check(name, trusted=False)
        return found

    def _check(self, name: str, *, trusted: bool) -> None:
        package = name.partition(":")[0].partition(".")[0]
        if package in self._allow:
            return
        if not trusted or package not in TRUSTED_PACKAGES:
            msg = f"{name!r} is not trusted by default; pass allow=[{package!r}] if you trust the source of this model"
            raise ChainLoadError(msg)
        if any(part.startswith("_") for part in name.partition(":")[2].split(".")):
            msg = f"{name!r} is private to {package!r}"
            raise ChainLoadError(msg)

    def _build(self, cls: type, given: dict[str, Any]) -> object:
        kwargs = {}
        for key, node in given.items():
            _check_template(key, node)
            if isinstance(node, dict) and node.get("lc") == 1 and node.get("type") == SECRET:
                found = self._secret(cls, key, str(node["id"][0]))
                if found is not None:
                    kwargs[key] = found
            else:
                kwargs[key] = self.value(node)
        if cls.__name__ == "RunnableBranch":  # its constructor does not take its fields
            return cls(*[tuple(branch) for branch in kwargs["branches"]], kwargs["default"])
        return cls(**kwargs)

    def _secret(self, cls: type, field: str, name: str) -> str | None:
        """Return the value of an environment variable that the class declares for that field; None if it is unset."""
        if name not in _declared_secrets(cls).get(field, ()):
            msg = f"{cls.__name__} does not declare {name!r} as the secret for its field {field!r}"
            raise ChainLoadError(msg)
        return self._secrets.get(name) or None


def _declared_secrets(cls: type) -> dict[str, set[str]]:
    """Return the environment variables of a component's secret fields, by the fields' names and aliases."""
    names: dict[str, set[str]] = {}
    for base in cls.__mro__:
        declared = base.__dict__.get("lc_secrets")
        if isinstance(declared, property) and declared.fget is not None:
            try:
                found = declared.fget(None)  # LangChain's are constants
            except Exception:  # noqa: BLE001, S112 - secrets that depend on the instance cannot be named by a file
                continue
            for field, variable in found.items():
                info = getattr(cls, "model_fields", {}).get(field)
                for key in {field, getattr(info, "alias", None) or field}:
                    names.setdefault(key, set()).add(variable)
    return names


def _resolve(name: str) -> Any:
    """Return the object at ``module:qualified.name``, which must be defined there and not imported from elsewhere."""
    module, _, qualified = name.partition(":")
    parts = [*module.split("."), *qualified.split(".")]
    if not all(part.isidentifier() and not part.startswith("__") for part in parts):
        msg = f"{name!r} is not the name of a class or function"
        raise ChainLoadError(msg)
    try:
        found: Any = importlib.import_module(module)
        for part in qualified.split("."):
            found = getattr(found, part)
            defined_in = str(getattr(found, "__module__", ""))
            if defined_in.partition(".")[0] != module.partition(".")[0]:
                msg = f"{name!r} is imported there from another package"
                raise ChainLoadError(msg)
    except (ImportError, AttributeError) as error:
        msg = f"{name!r} cannot be imported: {error}"
        raise ChainLoadError(msg) from error
    if getattr(found, "__qualname__", None) != qualified:
        msg = f"{name!r} is an alias of {getattr(found, '__qualname__', type(found).__name__)!r}"
        raise ChainLoadError(msg)
    return found


def _trusted(name: str) -> Any:
    """Return an importable type or function that every model may use; no user has to allow it."""
    if name.startswith("builtins:"):
        return operator.attrgetter(name.partition(":")[2])(builtins)
    return _resolve(name)


def is_parser_function(name: str) -> bool:
    """Return whether ``module:name`` is a function with which a package's chat model parses or checks an answer."""
    module, _, function = name.partition(":")
    package = module.partition(".")[0]
    return package in TRUSTED_PACKAGES - {"langchain_core"} and _PARSER.fullmatch(function) is not None


def nothing() -> Callable[[object], None]:
    """Return ``lambda _: None``."""
    return lambda _: None


def is_public_attribute(name: object) -> bool:
    """Return whether a name, which may have dots, is of attributes that are not private."""
    return isinstance(name, str) and all(part.isidentifier() and part[0] != "_" for part in name.split("."))


def _public_attributes(names: object) -> list[str]:
    if not isinstance(names, list) or not names or not all(map(is_public_attribute, names)):
        raise ChainLoadError("attrgetter names must be public attributes")
    return names


def _text_method(items: object) -> list[Any]:
    if not isinstance(items, list) or not items or items[0] not in TEXT_METHODS:
        raise ChainLoadError("methodcaller can only call methods of strings")
    if not all(item is None or isinstance(item, str | int) for item in items):
        raise ChainLoadError("methodcaller arguments must be strings and integers")
    return items


def _check_template(key: object, node: object) -> None:
    """Refuse any other template format, also in a configurable field, which could set one when the chain runs."""
    if key == "template_format" and node not in TEMPLATE_FORMATS:
        msg = f"template_format must be one of {', '.join(TEMPLATE_FORMATS)}: other formats can run code"
        raise ChainLoadError(msg)


def _plain_keys(keys: object) -> list[str | int]:
    if not isinstance(keys, list) or not all(isinstance(key, str | int) for key in keys) or not keys:
        raise ChainLoadError("itemgetter keys must be strings or integers")
    return keys

"""Decides which values of a chain are secrets: not the names of variables, placeholders, or parameters of tools."""

from __future__ import annotations

from typing import Any, Final

from langchain_core.load.serializable import Serializable
from langchain_core.runnables import Runnable
from pydantic import SecretStr

from langchain_autotrace.placeholders import is_placeholder
from langchain_autotrace.redaction import SCHEMA_KEYS, is_secret_name

NAME_LISTS: Final = frozenset(
    {"enum", "input_variables", "keys", "optional_variables", "output_keys", "required", "responses", "stop", "tags"}
)
"""Keys of lists whose items are names or plain texts. Elsewhere ``["password", "…"]`` is taken for a name and value."""


def is_secret_value(name: object, item: object) -> bool:
    """Return whether data under that name is a secret, and not a part of the chain, a name or a tool's parameter."""
    if not isinstance(name, str) or not is_secret_name(name):
        return False
    if isinstance(item, dict):
        return bool(item) and SCHEMA_KEYS.isdisjoint(item) and not any(map(_is_part, item.values()))
    if isinstance(item, int | float):
        return not isinstance(item, bool) and not name.lower().endswith("token")
    if isinstance(item, list | tuple):  # a named tuple is a component's own: a configurable field
        return bool(item) and not hasattr(item, "_fields") and not any(map(_is_part, item))
    if isinstance(item, str):
        return item != "" and not is_placeholder(item)
    return isinstance(item, bytes | SecretStr) and item != b""


def is_secret_pair(items: list[Any] | tuple[Any, ...]) -> bool:
    """Return whether a list is the name and value of a header or cookie."""
    match items:
        case [str() as name, str() as value]:
            return is_secret_value(name, value)
    return False


def _is_part(item: object) -> bool:
    return isinstance(item, Runnable | Serializable | type) or callable(item)

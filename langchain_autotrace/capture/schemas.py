"""Converts classes that programs pass to models, such as the schema of an answer, to a JSON schema or a name."""

from __future__ import annotations

import dataclasses
from typing import Any, Final
from weakref import WeakKeyDictionary

from langchain_core.utils.function_calling import convert_to_json_schema
from pydantic import BaseModel, PydanticUserError, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind

from langchain_autotrace.capture.describe import STOPPED, described, name_of

_known: Final[WeakKeyDictionary[type, dict[str, Any] | str]] = WeakKeyDictionary()
"""Class -> its converted form, kept because pydantic takes up to milliseconds to make a schema."""


def from_class(kind: type) -> object:
    """Return the JSON schema of a pydantic class, dataclass or TypedDict; of any other class ``module.qualname``.

    A class whose schema pydantic cannot make also gives ``module.qualname``. A returned dict is new; what it contains
    is shared and must not be changed.
    """
    try:
        found = _known.get(kind)
        if found is None:
            found = _known[kind] = _schema(kind) or _qualified_name(kind)
    except STOPPED:
        raise
    except BaseException:  # noqa: BLE001 - its metaclass, or what is compared as equal to it, raises anything
        return name_of(kind)
    return found if isinstance(found, str) else found.copy()


def _schema(kind: type) -> dict[str, Any] | None:
    """Return the JSON schema of a class; None if it describes no data, or pydantic cannot make one."""
    try:
        schema = _schema_of(kind)
    except STOPPED:
        raise
    except BaseException:  # noqa: BLE001 - a field of a type without a schema; a user's validators raise anything
        return None
    return schema if isinstance(schema, dict) else None


def _schema_of(kind: Any) -> object:  # noqa: ANN401 - any class
    bases = {(base.__module__, base.__name__) for base in kind.__mro__[1:]}
    if ("pydantic.main", "BaseModel") in bases:
        is_own = kind.model_json_schema.__func__ is not BaseModel.model_json_schema.__func__  # type: ignore[attr-defined]
        return kind.model_json_schema() if is_own else kind.model_json_schema(schema_generator=_Quiet)
    if ("pydantic.v1.main", "BaseModel") in bases:
        return kind.schema()
    if type(kind).__name__ == "_TypedDictMeta":
        return _dict_schema(kind)
    return TypeAdapter(kind).json_schema(schema_generator=_Quiet) if dataclasses.is_dataclass(kind) else None


def _dict_schema(kind: Any) -> dict[str, Any]:  # noqa: ANN401 - a class of TypedDict
    try:
        return TypeAdapter(kind).json_schema(schema_generator=_Quiet)
    except PydanticUserError:  # before Python 3.12 it takes those of typing_extensions alone
        schema = convert_to_json_schema(kind)
        own = {"description": kind.__doc__} if kind.__doc__ not in (None, dict.__doc__) else {}
        return {name: part for name, part in schema.items() if name != "description"} | own


class _Quiet(GenerateJsonSchema):
    """Makes JSON schemas without warnings: the program would see them, and has not asked for a schema."""

    def emit_warning(self, kind: JsonSchemaWarningKind, detail: str) -> None:
        """Do nothing."""


def _qualified_name(kind: Any) -> str:  # noqa: ANN401 - any class
    module, name = kind.__module__, kind.__qualname__
    if not (isinstance(module, str) and isinstance(name, str)):  # a metaclass says what it likes
        return described(kind)
    return name if module == "builtins" else f"{module}.{name}"

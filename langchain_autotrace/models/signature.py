"""Infers MLflow's model signature from an input and output, without numpy, which MLflow's own function needs.

The types and rules are those of ``mlflow.models.infer_signature`` (``mlflow.types.utils._infer_schema``) for JSON: a
dict is columns, a list of dicts is rows, null and empty containers are of type "any".
"""

from __future__ import annotations

from typing import Any, Final

import orjson

_SCALARS: Final = {bool: "boolean", int: "long", float: "double", str: "string"}
_ANY: Final[dict[str, Any]] = {"type": "any"}

Column = dict[str, Any]


class UndeterminedError(ValueError):
    """The value has no type in MLflow's terms."""


def signature(given: object, returned: object) -> dict[str, str | None] | None:
    """Return the ``signature`` of an MLmodel file; None if the input has no type.

    Args:
        given: the input, as JSON.
        returned: the output, as JSON. If it has no type, the signature says "any".
    """
    try:
        inputs = schema(given)
    except UndeterminedError:
        return None
    try:
        outputs = schema(returned)
    except UndeterminedError:
        outputs = [{**_ANY, "required": True}]
    return {"inputs": orjson.dumps(inputs).decode(), "outputs": orjson.dumps(outputs).decode(), "params": None}


def schema(data: object) -> list[Column]:
    """Return the columns of a value, as in MLflow's schema.

    Raises:
        UndeterminedError: the value is an empty dict, or a list of different types.
    """
    if isinstance(data, list):
        return _schema_of_list(data)
    if isinstance(data, dict):
        if not data:
            raise UndeterminedError("an empty dict")
        return [{**_type_of(value), "name": name, "required": not _is_optional(value)} for name, value in data.items()]
    return [{**_type_of(data), "required": True}]


def _schema_of_list(rows: list[Any]) -> list[Column]:
    if not rows:
        return [{"type": "string", "required": True}]
    if not all(isinstance(row, dict) for row in rows):
        return [{**_type_of(rows)["items"], "required": True}]
    columns: dict[str, list[object]] = {}
    for row in rows:
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    if not columns:
        raise UndeterminedError("rows without columns")
    return [
        {**_type_of(values)["items"], "name": name, "required": all(row.get(name) is not None for row in rows)}
        for name, values in columns.items()
    ]


def _is_optional(value: object) -> bool:
    return value is None or (isinstance(value, list) and any(item is None for item in value))


def _type_of(value: object) -> Column:
    if value is None or value in ([], {}):
        return _ANY
    if isinstance(value, dict):
        properties = {name: _type_of(value[name]) for name in sorted(value)}
        return {"type": "object", "properties": {name: _property(found) for name, found in properties.items()}}
    if isinstance(value, list):
        merged = _type_of(value[0])
        for item in value[1:]:
            merged = _merged(merged, _type_of(item))
        return {"type": "array", "items": merged}
    if (name := _SCALARS.get(type(value))) is None:
        raise UndeterminedError(type(value).__name__)
    return {"type": name}


def _property(found: Column) -> Column:
    return {**found, "required": found["type"] != "any"}


def _merged(one: Column, other: Column) -> Column:
    """Return a type that covers both.

    Raises:
        UndeterminedError: there is none.
    """
    if one == other:
        return one
    if one["type"] == "any":
        one, other = other, one
    if other["type"] == "any":
        if one["type"] == "object":  # as MLflow does: all properties become optional
            return {**one, "properties": {name: {**own, "required": False} for name, own in one["properties"].items()}}
        return one
    if one["type"] != other["type"] or one["type"] not in {"array", "object"}:
        msg = f"{one['type']} and {other['type']}"
        raise UndeterminedError(msg)
    if one["type"] == "array":
        return {"type": "array", "items": _merged(one["items"], other["items"])}
    left, right = one["properties"], other["properties"]
    names = sorted(left.keys() | right.keys())
    return {"type": "object", "properties": {name: _merged_property(left.get(name), right.get(name)) for name in names}}


def _merged_property(left: Column | None, right: Column | None) -> Column:
    if left is None or right is None:
        return {**(left or right or _ANY), "required": False}
    types = [{key: item for key, item in one.items() if key != "required"} for one in (left, right)]
    return {**_merged(*types), "required": left["required"] and right["required"]}

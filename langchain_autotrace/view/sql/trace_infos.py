"""Reads traces without their spans."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from langchain_autotrace.semconv import TraceKey
from langchain_autotrace.ship.bulk.revisions import INFO, METADATA, TAGS
from langchain_autotrace.ship.trace_values import TOKEN_KEYS
from langchain_autotrace.trace.totals import COST_KEYS
from langchain_autotrace.view.stored import StoredInfo, numbers_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from langchain_autotrace.view.sql.tables import Tables

_PAGE: Final = 500
"""Parameters in one statement."""


def infos(tables: Tables, trace_ids: Sequence[str]) -> Iterator[StoredInfo]:
    """Yield the traces with these ids in their order; those that are not there any more are left out."""
    for begin in range(0, len(trace_ids), _PAGE):
        page = trace_ids[begin : begin + _PAGE]
        rows = {row["request_id"]: row for row in _rows(tables, page)}
        tags, metadata = (_pairs(tables, table, page) for table in (TAGS, METADATA))
        for trace_id in page:
            if trace_id in rows:
                yield _info(rows[trace_id], tags[trace_id], metadata[trace_id])


def _rows(tables: Tables, trace_ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    names = tables.revision.tables[INFO]
    statement = f"SELECT {', '.join(names)} FROM {INFO} WHERE request_id IN ({marks(trace_ids)})"  # noqa: S608 - names of ours
    return (dict(zip(names, row, strict=True)) for row in tables.all(statement, trace_ids))


def _pairs(tables: Tables, table: str, trace_ids: Sequence[str]) -> Mapping[str, dict[str, str]]:
    statement = f"SELECT request_id, key, value FROM {table} WHERE request_id IN ({marks(trace_ids)})"  # noqa: S608
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for trace_id, key, value in tables.all(statement, trace_ids):
        found[trace_id][key] = value
    return found


def marks(values: Sequence[object]) -> str:
    """Return as many placeholders as there are values."""
    return ", ".join("?" * len(values))


def _info(row: Mapping[str, Any], tags: dict[str, str], metadata: dict[str, str]) -> StoredInfo:
    if "session_id" in row:
        tags = _with(tags, {TraceKey.NAME: row["trace_name"]})
        metadata = _with(metadata, {TraceKey.SESSION: row["session_id"]})
    return StoredInfo(
        trace_id=row["request_id"],
        experiment_id=str(row["experiment_id"]),
        state=row["status"],
        start_ms=row["timestamp_ms"],
        duration_ms=row["execution_time_ms"],
        tags=tags,
        metadata=metadata,
        usage=_numbers(row, TOKEN_KEYS, metadata, TraceKey.TOKEN_USAGE),
        cost=_numbers(row, COST_KEYS, metadata, TraceKey.COST),
        request=row["request_preview"],
        response=row["response_preview"],
    )


def _with(pairs: Mapping[str, str], columns: Mapping[str, str | None]) -> dict[str, str]:
    """Return pairs with the values of columns, which count even where they are empty."""
    others = {key: value for key, value in pairs.items() if key not in columns}
    return {**others, **{key: value for key, value in columns.items() if value is not None}}


def _numbers(row: Mapping[str, Any], keys: Sequence[str], metadata: Mapping[str, str], key: str) -> dict[str, Any]:
    """Return the trace's numbers: columns since MLflow 3.17, JSON in the metadata before."""
    if keys[0] in row:
        return {name: row[name] for name in keys if row[name] is not None}
    return numbers_in(metadata.get(key))

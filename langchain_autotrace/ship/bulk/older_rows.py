"""Makes the rows of MLflow 3.15 and 3.16 of those of 3.17: tokens and costs are in tables of their own there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import orjson

from langchain_autotrace.semconv import Attr, TraceKey
from langchain_autotrace.ship.bulk.revisions import METADATA, SPAN_METRICS, SPANS, TAGS, TRACE_METRICS
from langchain_autotrace.ship.bulk.stored_span import text_of
from langchain_autotrace.ship.trace_values import TOKEN_KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_autotrace.ship.trace_values import InfoValues

_TOKENS: Final = TOKEN_KEYS[:5]
"""Tokens that these versions know."""
_OF_METADATA: Final = (TraceKey.SESSION, TraceKey.TOKEN_USAGE, TraceKey.COST)
_DIMENSIONS: Final = (Attr.MODEL, Attr.PROVIDER)


def with_metrics(rows: dict[str, list[dict[str, Any]]], info: InfoValues) -> dict[str, list[dict[str, Any]]]:
    """Return the rows as the older versions write them.

    Args:
        rows: table -> rows of MLflow 3.17.
        info: the values of the trace's row.
    """
    usage = orjson.loads(info.metadata.get(TraceKey.TOKEN_USAGE, "{}"))
    names = {TraceKey.NAME: info.tags[TraceKey.NAME]}
    moved: dict[str, object] = {key: info.metadata[key] for key in _OF_METADATA if key in info.metadata}
    metrics = {key: float(usage[key]) for key in _TOKENS if key in usage}
    spans = [json.loads(row["content"]) for row in rows[SPANS]]
    return {
        **rows,
        TAGS: [*rows[TAGS], *_pairs(info.trace_id, names)],
        METADATA: [*rows[METADATA], *_pairs(info.trace_id, moved)],
        TRACE_METRICS: _pairs(info.trace_id, metrics),
        SPANS: [_span_row(row, span) for row, span in zip(rows[SPANS], spans, strict=True)],
        SPAN_METRICS: [
            {"trace_id": row["trace_id"], "span_id": row["span_id"], "key": key, "value": float(value)}
            for row, span in zip(rows[SPANS], spans, strict=True)
            for key, value in json.loads(span["attributes"].get(Attr.COST, "{}")).items()
        ],
    }


def _pairs(trace_id: str, pairs: Mapping[str, object]) -> list[dict[str, Any]]:
    return [{"request_id": trace_id, "key": key, "value": value} for key, value in pairs.items()]


def _span_row(row: dict[str, Any], span: dict[str, Any]) -> dict[str, Any]:
    texts = {key: span["attributes"][key] for key in _DIMENSIONS if span["attributes"].get(key)}
    dimensions = {key: text_of(text) for key, text in texts.items()}
    return {**row, "content": json.dumps(span), "dimension_attributes": json.dumps(dimensions or None)}

"""The text that is stored of a span is the one that MLflow writes, by Python's ``json``."""

from __future__ import annotations

import json
import sys
from typing import Any, Final

import pytest

from langchain_autotrace.semconv import Attr
from langchain_autotrace.ship.bulk.rows import Place, UnknownTraceError, trace_rows
from langchain_autotrace.ship.bulk.stored_span import stored_span
from langchain_autotrace.ship.trace_values import InfoValues, TraceValues

SURROGATES: Final = range(0xD800, 0xE000)
EVERY_CHARACTER: Final = "".join(chr(code) for code in range(sys.maxunicode + 1) if code not in SURROGATES)


def span(**more: Any) -> dict[str, Any]:
    """A span's values, of a tool that failed."""
    return {
        "trace_id": "AAECAwQFBgcICQoLDA0ODw==",
        "span_id": "AAECAwQFBgc=",
        "parent_span_id": None,
        "name": "look up",
        "start_time_unix_nano": 1_700_000_000_000_000_000,
        "end_time_unix_nano": 1_700_000_000_000_000_001,
        "events": [],
        "status": {"code": "STATUS_CODE_ERROR", "message": "down"},
        "attributes": {Attr.SPAN_TYPE: '"TOOL"', Attr.INPUTS: '{"x": 1}', Attr.OUTPUTS: "null"},
        "links": [],
        **more,
    }


def content(values: dict[str, Any]) -> str:
    """What is stored of a span that is a trace."""
    info = InfoValues("tr-1", 0, 0, "OK", {"mlflow.traceName": "x"}, {}, None, "asked", "said")
    rows = trace_rows(TraceValues("tr-1", info, [values], {}), Place(0, "/x"), has_metrics=False)
    return str(rows["spans"][0]["content"])


@pytest.mark.parametrize(
    "more",
    [
        {"name": EVERY_CHARACTER},
        {"status": {"code": "STATUS_CODE_ERROR", "message": EVERY_CHARACTER}},
        {"end_time_unix_nano": None},
        {"attributes": {Attr.SPAN_TYPE: '"TOOL"', Attr.INPUTS: json.dumps(EVERY_CHARACTER, ensure_ascii=False)}},
        {"events": [{"name": "exception", "time_unix_nano": 1, "attributes": {"é": 1e16, "seen": True}}]},
        {"links": [{"trace_id": "tr-2", "span_id": "b", "attributes": None}]},
        {"attributes": {Attr.SPAN_TYPE: '"TOOL"', Attr.TRACE_REQUEST_ID: '"tr-1"', "mine": "[1.5]"}},
    ],
    ids=["name", "message", "open", "long text", "event", "link", "translated by MLflow"],
)
def test_as_json_writes_it(more: dict[str, Any]) -> None:
    """Every part of a span is written as ``json`` writes it, spaces and escapes included."""
    assert content(span(**more)) == json.dumps(stored_span(span(**more)), ensure_ascii=False)


def test_another_form() -> None:
    """A span with a field that is not known is left to MLflow's API."""
    with pytest.raises(UnknownTraceError):
        content(span(more=1))

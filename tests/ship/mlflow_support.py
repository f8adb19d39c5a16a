"""Traces as MLflow reads them, and a chain to write."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mlflow.tracing.client import TracingClient

from langchain_autotrace.records import TraceContext
from langchain_autotrace.semconv import Attr, SpanType, Status
from tests.ship.support import CONTEXT, end, event, start, trace_id

if TYPE_CHECKING:
    from mlflow.entities import Trace


def read(uri: str, number: int = 1) -> Trace:
    """A trace as MLflow reads it."""
    return TracingClient(uri).get_trace(f"tr-{trace_id(number)}")


def searched(uri: str) -> list[str]:
    """The ids of the default experiment's traces, as MLflow finds them."""
    return sorted(trace.info.trace_id for trace in TracingClient(uri).search_traces(locations=["0"]))


def in_experiment(**context: Any) -> TraceContext:
    """What a root says of its trace."""
    return cast("TraceContext", {**CONTEXT, **context})


def rows(uri: str) -> dict[str, int]:
    """How many rows the tables of a database have, or how many files there are."""
    if not uri.startswith("sqlite"):
        return {"files": sum(path.is_file() for path in Path(uri.removeprefix("file://")).rglob("*"))}
    tables = ("trace_info", "spans", "trace_tags", "trace_request_metadata")
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as database:
        return {table: database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}


A_CHAIN: list[Any] = [
    start(1, 1, at=0.0015, name="RunnableSequence", run_id="r1", tags=["a", "b"]),
    start(
        1,
        2,
        1,
        at=0.5,
        inputs={"messages": [{"role": "user", "content": "Hé?"}]},
        attributes={
            Attr.MODEL: "acme-1",
            Attr.PROVIDER: "acme",
            Attr.TOKEN_USAGE: {"input_tokens": 1_000, "output_tokens": 100, "total_tokens": 1_100},
            Attr.REASONING_TOKENS: 60,
            Attr.SESSION: "thread 1",
            "mixed": [1, 2.5, True, None, "x"],
        },
        type=SpanType.CHAT_MODEL,
        name="ChatAcme",
    ),
    event(1, 2, "chunk", at=0.6, index=0, flags=[True], parts={"a": 1}, nothing=None, text="t"),
    end(1, 2, at=1.5, attributes={"mixed": "the end's", "langchain.chunk_count": 2}),
    start(
        1, 3, 1, at=2, type=SpanType.CHAT_MODEL, attributes={Attr.TOKEN_USAGE: {"input_tokens": 5, "output_tokens": 6}}
    ),
    event(1, 3, "exception", at=2.5, **{"exception.type": "ValueError", "exception.stacktrace": "Traceback\n…"}),
    end(1, 3, at=3, status=Status.ERROR, message="ValueError: no", outputs=None),
    start(1, 4, 1, at=3, inputs=None),
    end(1, 1, at=3.2525),
]

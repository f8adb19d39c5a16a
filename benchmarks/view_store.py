"""Fills a database of MLflow's with many traces, for the measurements of `view.py`.

python benchmarks/view_store.py FILE TRACES
"""

from __future__ import annotations

import base64
import itertools
import json
import math
import random
import sqlite3
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from langchain_autotrace.semconv import Attr, SpanType, TraceKey
from langchain_autotrace.ship.bulk.databases import Sqlite
from langchain_autotrace.ship.bulk.revisions import Revision, known_revision
from langchain_autotrace.ship.bulk.rows import Place, TableRows, trace_rows
from langchain_autotrace.ship.trace_values import InfoValues, TraceValues

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MODELS: Final = ("gpt-4o-mini", "gpt-4o", "claude-sonnet-4-5", "claude-haiku-4-5", "gemini-2.5-flash", "llama3.1:8b")
PRICES: Final = (0.3e-6, 4e-6, 5e-6, 1.5e-6, 0.5e-6, 0.0)
"""Dollars a token, of each of the models."""
NAMES: Final = ("support agent", "answer", "summary", "title", "router", "extract", "rerank", "nightly report")
WORDS: Final = (
    *("order", "invoice", "refund", "parcel", "address", "password", "account", "delivery", "warehouse", "customer"),
    *("please", "where", "when", "how", "much", "the", "a", "of", "in", "to", "is", "was", "not", "yet", "has", "been"),
    *("sent", "received", "late", "broken", "wrong", "total", "number", "date", "today", "tomorrow"),
)
_METADATA: Final = {
    "ls_integration": "langchain_chat_model",
    "langgraph_node": "model",
    "langgraph_triggers": ["branch:to:model"],
    "langgraph_path": ["__pregel_pull", "model"],
    "langgraph_checkpoint_ns": "model:28b061ec-d807-df5b-d64e-ea95a45d2dd6",
    "checkpoint_ns": "model:28b061ec-d807-df5b-d64e-ea95a45d2dd6",
    "ls_provider": "openai",
    "ls_model_type": "chat",
    "lc_versions": {"langchain-core": "1.8.3", "langchain": "1.5.2"},
}
"""What LangGraph adds to the metadata of a run."""
_ERRORS: Final = 0.04
_IN_SESSIONS: Final = 0.7
_DAYS: Final = 30
_DAY_MS: Final = 86_400_000
_BATCH: Final = 500


def fill(path: Path, traces: int, *, experiments: Sequence[int] = (0,), seed: int = 1) -> None:
    """Write traces of the last 30 days into a database that has MLflow's tables, and analyze its spans.

    Args:
        path: the SQLite file.
        traces: how many; there are 7.3 spans in each on average, of 1.9 kB.
        experiments: ids of the experiments that they go to.
        seed: seed of the random numbers.
    """
    database, made = Sqlite(path), _traces(random.Random(seed), traces, experiments)
    with database.connect() as connection:
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous = OFF")
        revision = known_revision(cursor.execute("SELECT version_num FROM alembic_version").fetchone()[0])
        assert revision is not None
        while batch := list(itertools.islice(made, _BATCH)):
            rows = [
                trace_rows(values, Place(experiment, f"mlruns/{experiment}/traces"), has_metrics=revision.has_metrics)
                for values, experiment in batch
            ]
            database.begin(cursor)
            _insert(cursor, revision, rows)
            connection.commit()
        cursor.execute("ANALYZE spans")


def _insert(cursor: sqlite3.Cursor, revision: Revision, batch: Sequence[TableRows]) -> None:
    for table, columns in revision.tables.items():
        values = [tuple(map(row.get, columns)) for rows in batch for row in rows[table]]
        marks = ", ".join("?" * len(columns))
        cursor.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", values)


def _traces(chance: random.Random, number: int, experiments: Sequence[int]) -> Iterator[tuple[TraceValues, int]]:
    now_ms = time.time_ns() // 1_000_000
    for index in range(number):
        started_ms = now_ms - int(_DAYS * _DAY_MS * (number - index) / number)
        yield _trace(chance, started_ms), chance.choice(experiments)


def _trace(chance: random.Random, started_ms: int) -> TraceValues:
    digits = f"{chance.getrandbits(128):032x}"
    duration_ms = int(math.exp(chance.gauss(7, 1)))
    is_error = chance.random() < _ERRORS
    question, answer = _text(chance, 40), _text(chance, 90)
    spans = _spans(chance, digits, started_ms * 1_000_000, duration_ms * 1_000_000, is_error, question, answer)
    totals = _totals(spans)
    name = chance.choice(NAMES)
    metadata = {TraceKey.USER: f"user-{int(chance.paretovariate(0.7)) % 400}", "langchain_autotrace.program": "app.py"}
    if chance.random() < _IN_SESSIONS:
        metadata[TraceKey.SESSION] = f"session-{started_ms // 600_000}-{chance.randrange(3)}"
    metadata |= {key: json.dumps(value) for key, value in totals.items()}
    tags = {TraceKey.NAME: name, "environment": chance.choice(("production", "production", "staging")), "release": "42"}
    info = InfoValues(
        trace_id=f"tr-{digits}",
        request_time_ms=started_ms,
        duration_ms=duration_ms,
        state="ERROR" if is_error else "OK",
        tags=tags,
        metadata=metadata,
        client_request_id=None,
        request_preview=question,
        response_preview=answer,
    )
    return TraceValues(info.trace_id, info, spans, {})


def _spans(  # noqa: PLR0913, PLR0917
    chance: random.Random,
    digits: str,
    start: int,
    took: int,
    is_error: bool,  # noqa: FBT001
    question: str,
    answer: str,
) -> list[dict[str, Any]]:
    ids = [f"{chance.getrandbits(63) + 1:016x}" for _ in range(chance.choice((2, 4, 4, 6, 8, 11, 16)))]
    found: list[dict[str, Any]] = []
    for index, span_id in enumerate(ids):
        is_call = index % 3 == 1
        inputs = {
            "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": _text(chance, 30)}]
        }
        attributes: dict[str, Any] = {
            Attr.SPAN_TYPE: SpanType.CHAT_MODEL if is_call else SpanType.CHAIN,
            Attr.METADATA: {**_METADATA, "langgraph_step": index},
            Attr.TAGS: [f"seq:step:{index}"],
            Attr.RUN_ID: f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{span_id[:4]}-{span_id[4:]}",
            **(_call(chance) if is_call else {}),
            Attr.TRACE_REQUEST_ID: f"tr-{digits}",
            Attr.INPUTS: inputs,
            Attr.OUTPUTS: answer if index == 0 else _text(chance, 60),
        }
        found.append(
            {
                "trace_id": _base64(digits),
                "span_id": _base64(span_id),
                "parent_span_id": _base64(ids[0]) if index else None,
                "name": "ChatOpenAI" if is_call else f"step {index}",
                "start_time_unix_nano": start + took * index // (len(ids) + 1),
                "end_time_unix_nano": start + (took if index == 0 else took * (index + 1) // (len(ids) + 1)),
                "events": [],
                "status": {"code": "STATUS_CODE_ERROR" if is_error and not index else "STATUS_CODE_OK", "message": ""},
                "attributes": {key: orjson.dumps(value).decode() for key, value in attributes.items()},
                "links": [],
            }
        )
    return found


def _call(chance: random.Random) -> dict[str, Any]:
    model = chance.choices(range(len(MODELS)), (40, 20, 15, 10, 10, 5))[0]
    counts = {"input_tokens": chance.randrange(100, 4_000), "output_tokens": chance.randrange(20, 800)}
    total = sum(counts.values())
    cost = {
        "input_cost": counts["input_tokens"] * PRICES[model],
        "output_cost": counts["output_tokens"] * PRICES[model],
    }
    return {
        Attr.MESSAGE_FORMAT: "langchain",
        Attr.PROVIDER: "openai",
        Attr.INVOCATION_PARAMS: {"model": MODELS[model], "temperature": 0.2, "_type": "openai-chat", "stop": None},
        Attr.USAGE_METADATA: {**counts, "total_tokens": total},
        Attr.MODEL: MODELS[model],
        **({Attr.COST: {**cost, "total_cost": total * PRICES[model]}} if PRICES[model] else {}),
        Attr.TOKEN_USAGE: {**counts, "total_tokens": total},
    }


def _totals(spans: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for key, attribute in ((TraceKey.TOKEN_USAGE, Attr.TOKEN_USAGE), (TraceKey.COST, Attr.COST)):
        for span in spans:
            for name, amount in json.loads(span["attributes"].get(attribute, "{}")).items():
                sums = found.setdefault(key, {})
                sums[name] = sums.get(name, 0) + amount
    return found


def _text(chance: random.Random, words: int) -> str:
    return " ".join(chance.choices(WORDS, k=words)).capitalize() + "."


def _base64(digits: str) -> str:
    return base64.b64encode(bytes.fromhex(digits)).decode()


if __name__ == "__main__":
    fill(Path(sys.argv[1]), int(sys.argv[2]))

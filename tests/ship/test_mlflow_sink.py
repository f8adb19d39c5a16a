"""Traces as MLflow reads them back, from a real database and from files."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from typing import TYPE_CHECKING

import pytest

from langchain_autotrace.errors import SinkUnavailable, TraceRejected
from langchain_autotrace.semconv import Attr, Status
from langchain_autotrace.ship.mlflow_sink import MlflowSink
from tests.journal.support import INFO
from tests.ship.mlflow_support import A_CHAIN, in_experiment, read, rows, searched
from tests.ship.support import BEGIN, SECOND, end, finished, start, trace_id, whole
from tests.support import stored

if TYPE_CHECKING:
    from pathlib import Path

    from mlflow.entities import Trace


@pytest.fixture
def chain(uri: str) -> Trace:
    """A chain with everything in it, as MLflow reads it."""
    context = in_experiment(tags={"team": "blue"}, metadata={"build": "7", "mlflow.trace.user": "bob"})
    MlflowSink(uri).write([finished(A_CHAIN[0]._replace(context=context), *A_CHAIN[1:])])
    assert searched(uri) == [f"tr-{trace_id(1)}"]
    return read(uri)


def test_a_row(chain: Trace) -> None:
    """MLflow reads what a trace says of itself as a whole."""
    info = chain.info.to_dict()
    del info["tags"]["mlflow.artifactLocation"]
    info["tags"].pop("mlflow.trace.spansLocation", None)
    info["trace_metadata"].pop("mlflow.trace.infoFinalized", None)
    usage = json.loads(info["trace_metadata"].pop("mlflow.trace.tokenUsage"))
    assert usage == {"input_tokens": 1_005, "output_tokens": 106, "total_tokens": 1_100}
    assert info == {
        "trace_id": f"tr-{trace_id(1)}",
        "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}},
        "request_time": "2026-01-01T00:00:00.001Z",
        "execution_duration_ms": 3_251,
        "state": "OK",
        "request_preview": "inputs 1",
        "response_preview": "outputs 1",
        "tags": {"mlflow.traceName": "RunnableSequence", "team": "blue", "a": "true", "b": "true"},
        "trace_metadata": {
            "mlflow.trace_schema.version": "3",
            "mlflow.user": "ada",
            "mlflow.source.name": "program.py",
            "mlflow.source.type": "LOCAL",
            "mlflow.trace.session": "thread 1",
            "mlflow.trace.user": "bob",
            "langchain_autotrace.reasoning_tokens": "60",
            "build": "7",
        },
    }


def test_spans(chain: Trace) -> None:
    """MLflow reads each span with its place, name, type, times, status and message, and one that is open as open."""
    found = [
        (
            int(span.span_id, 16),
            int(span.parent_id or "0", 16),
            span.name,
            span.span_type,
            span.start_time_ns - BEGIN,
            span.end_time_ns and span.end_time_ns - BEGIN,
            span.status.status_code.value,
            span.status.description,
        )
        for span in chain.data.spans
    ]
    assert found == [
        (1, 0, "RunnableSequence", "CHAIN", 1_500_000, 3_252_500_000, "OK", ""),
        (2, 1, "ChatAcme", "CHAT_MODEL", 500_000_000, 1_500_000_000, "OK", ""),
        (3, 1, "span 3", "CHAT_MODEL", 2 * SECOND, 3 * SECOND, "ERROR", "ValueError: no"),
        (4, 1, "span 4", "CHAIN", 3 * SECOND, None, "UNSET", ""),
    ]


def test_attributes(chain: Trace) -> None:
    """MLflow reads each span's inputs, outputs and attributes, the end's over the start's."""
    of_mlflow = {Attr.TRACE_REQUEST_ID: f"tr-{trace_id(1)}", Attr.SPAN_TYPE: "CHAIN"}
    assert [span.attributes for span in chain.data.spans] == [
        {
            **of_mlflow,
            Attr.INPUTS: "inputs 1",
            Attr.OUTPUTS: "outputs 1",
            "langchain.run_id": "r1",
            "langchain.tags": ["a", "b"],
        },
        {
            **of_mlflow,
            Attr.SPAN_TYPE: "CHAT_MODEL",
            Attr.INPUTS: {"messages": [{"role": "user", "content": "Hé?"}]},
            Attr.OUTPUTS: "outputs 2",
            Attr.MODEL: "acme-1",
            Attr.PROVIDER: "acme",
            Attr.TOKEN_USAGE: {"input_tokens": 1_000, "output_tokens": 100, "total_tokens": 1_100},
            Attr.REASONING_TOKENS: 60,
            Attr.SESSION: "thread 1",
            "mixed": "the end's",
            "langchain.chunk_count": 2,
        },
        {
            **of_mlflow,
            Attr.SPAN_TYPE: "CHAT_MODEL",
            Attr.INPUTS: "inputs 3",
            Attr.TOKEN_USAGE: {"input_tokens": 5, "output_tokens": 6},
        },
        of_mlflow,
    ]


def test_events(chain: Trace) -> None:
    """MLflow reads what happened in a span, exceptions too, with values that are flat."""
    assert [
        (span.name, one.name, one.timestamp - BEGIN, one.attributes) for span in chain.data.spans for one in span.events
    ] == [
        ("ChatAcme", "chunk", 600_000_000, {"index": 0, "flags": "[true]", "parts": '{"a":1}', "text": "t"}),
        (
            "span 3",
            "exception",
            2_500_000_000,
            {"exception.type": "ValueError", "exception.stacktrace": "Traceback\n…"},
        ),
    ]


def test_a_trace_that_failed(uri: str) -> None:
    """A trace whose root failed has failed."""
    MlflowSink(uri).write([finished(start(1, 1), end(1, 1, status=Status.ERROR, message="x", outputs=None))])

    info = read(uri).info
    assert (info.state.value, info.response_preview) == ("ERROR", None)


def test_the_same_batch_again(uri: str) -> None:
    """Writing what is stored already changes nothing, also after another shipper has begun."""
    batch = [finished(*A_CHAIN), finished(*whole(2))]
    MlflowSink(uri).write(batch)
    before, counts = [trace.to_json() for trace in stored(uri)], rows(uri)
    MlflowSink(uri).write(batch)

    assert [json.loads(one)["info"]["trace_id"] for one in before] == [f"tr-{trace_id(n)}" for n in (2, 1)]
    assert [trace.to_json() for trace in stored(uri)] == before
    assert rows(uri) == counts


@pytest.mark.parametrize("together", [False, True])
def test_spans_that_come_late(uri: str, *, together: bool) -> None:
    """Spans that end after their trace was delivered replace the open ones and stand beside the others."""
    sink = MlflowSink(uri)
    context = in_experiment(experiment="elsewhere")
    first = finished(start(1, 1, context=context), start(1, 2, 1), end(1, 1))
    late = finished(start(1, 2, 1), start(1, 3, 2), end(1, 3), end(1, 2))
    for batch in [[first, late]] if together else [[first], [late], [late]]:
        sink.write(batch)

    trace = read(uri)
    assert [(span.name, span.end_time_ns is None, span.outputs) for span in trace.data.spans] == [
        ("span 1", False, "outputs 1"),
        ("span 2", False, "outputs 2"),
        ("span 3", False, "outputs 3"),
    ]
    assert (trace.info.execution_duration, trace.info.tags["mlflow.traceName"]) == (1_000, "span 1")


def test_late_spans_whose_trace_is_not_there(uri: str) -> None:
    """Spans of a trace that the store does not have, or no longer, are refused with the reason."""
    late = finished(start(1, 2, 1), end(1, 2))

    with pytest.raises(TraceRejected, match=r"^the store does not have the trace that these spans belong to$"):
        MlflowSink(uri).write([late])


def test_git(uri: str, tmp_path: Path) -> None:
    """A trace says the commit, branch and repository of the folder that its program ran in, without a password."""
    repository = tmp_path / "repository"
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", "init", "-q", "-b", "trunk", repository], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    subprocess.run([*git, "remote", "add", "origin", "https://me:s3cret@example.org/r.git"], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    trace = finished(*whole(1))._replace(process=INFO._replace(folder=str(repository)))
    MlflowSink(uri).write([trace])

    metadata = read(uri).info.trace_metadata
    assert {key: value for key, value in metadata.items() if "git" in key} == {
        "mlflow.source.git.commit": commit,
        "mlflow.source.git.branch": "trunk",
        "mlflow.source.git.repoURL": "https://example.org/r.git",
    }


def test_a_known_model(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cost of a model whose price MLflow knows is on its span and summed up on the trace."""
    prices = {"input_per_million_tokens": 2.0, "output_per_million_tokens": 10.0}
    (tmp_path / "acme.json").write_text(json.dumps({"models": {"acme-1": {"mode": "chat", "pricing": prices}}}))
    monkeypatch.setenv("MLFLOW_MODEL_CATALOG_URI", tmp_path.as_uri())
    MlflowSink(store).write([finished(*A_CHAIN)])

    trace = read(store)
    cost = {"input_cost": 0.002, "output_cost": 0.001, "total_cost": 0.003}
    assert trace.data.spans[1].llm_cost == pytest.approx(cost)
    assert json.loads(trace.info.trace_metadata["mlflow.trace.cost"]) == pytest.approx(cost)


def test_a_locked_database(store: str) -> None:
    """A database that somebody else holds is unavailable, and takes the same batch later."""
    batch = [finished(*whole(1))]
    sink = MlflowSink(store)
    other = sqlite3.connect(store.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(SinkUnavailable, match=rf"^{store}: .*database is locked"):
        sink.write(batch)
    other.execute("ROLLBACK")
    other.close()
    sink.write(batch)

    assert searched(store) == [f"tr-{trace_id(1)}"]


def test_no_database(tmp_path: Path) -> None:
    """A file that is no database is unavailable, not the fault of a trace."""
    path = tmp_path / "mlflow.db"
    path.write_text("not a database" * 1_000)

    with pytest.raises(SinkUnavailable, match="file is not a database"):
        MlflowSink(f"sqlite:///{path}").write([finished(*whole(1))])


def test_a_database_server_that_is_down() -> None:
    """A database that does not answer, or whose driver is missing, is unavailable at once, without its password."""
    with pytest.raises(SinkUnavailable) as refused:
        MlflowSink("postgresql+pg8000://me:s3cret@127.0.0.1:1/db").write([finished(*whole(1))])

    assert "s3cret" not in str(refused.value)
    assert str(refused.value).startswith("postgresql+pg8000://me:***@127.0.0.1:1/db: ")

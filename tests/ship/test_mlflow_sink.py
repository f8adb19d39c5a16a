"""Traces as MLflow reads them back, from a real database and from files."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mlflow.tracing.client import TracingClient

from langchain_autotrace.errors import SinkUnavailable, TraceRejected
from langchain_autotrace.ship.assemble import FinishedTrace
from langchain_autotrace.ship.mlflow_sink import MlflowSink
from langchain_autotrace.ship.shipper import Shipper
from langchain_autotrace.span import Attr, SpanType, Status, TraceContext
from tests.journal.support import INFO, new_folder, new_journal
from tests.ship.support import BEGIN, CONTEXT, SECOND, end, event, finished, start, trace_id, whole, write
from tests.support import stored

if TYPE_CHECKING:
    from mlflow.entities import Trace


@pytest.fixture(autouse=True)
def no_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have MLflow load no prices from the network."""
    monkeypatch.setenv("MLFLOW_MODEL_CATALOG_URI", "")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The tracking URI of a file store."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return (tmp_path / "mlruns").as_uri()


@pytest.fixture(params=["store", "files"])
def uri(request: pytest.FixtureRequest) -> str:
    """The tracking URIs of both kinds of stores."""
    return str(request.getfixturevalue(request.param))


def read(uri: str, number: int = 1) -> Trace:
    """A trace as MLflow reads it."""
    return TracingClient(uri).get_trace(f"tr-{trace_id(number)}")


def searched(uri: str) -> list[str]:
    """The ids of the default experiment's traces, as MLflow finds them."""
    return sorted(trace.info.trace_id for trace in TracingClient(uri).search_traces(locations=["0"]))


def in_experiment(**context: Any) -> TraceContext:
    """What a root says of its trace."""
    return CONTEXT._replace(**context)


def rows(uri: str) -> dict[str, int]:
    """How many rows the tables of a database have, or how many files there are."""
    if not uri.startswith("sqlite"):
        return {"files": sum(path.is_file() for path in Path(uri.removeprefix("file://")).rglob("*"))}
    tables = ("trace_info", "spans", "trace_tags", "trace_request_metadata")
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as database:
        return {table: database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}


A_CHAIN: list[Any] = [
    start(1, 1, at=0.0015, attributes={"langchain.run_id": "r1"}, name="RunnableSequence"),
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
    end(1, 1, at=3.2525, attributes={"langchain.tags": ["a", "b"]}),
]


def test_a_trace(uri: str) -> None:
    """MLflow reads everything a trace says: its row, its spans, what happened in them, and a span that is open."""
    context = in_experiment(tags={"team": "blue"}, metadata={"build": "7", "mlflow.trace.user": "bob"})
    MlflowSink(uri).write([finished(A_CHAIN[0]._replace(trace=context), *A_CHAIN[1:])])
    trace = read(uri)

    info = trace.info.to_dict()
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
        "request_preview": '"inputs 1"',
        "response_preview": '"outputs 1"',
        "tags": {"mlflow.traceName": "RunnableSequence", "team": "blue"},
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
    assert [
        (
            span.span_id,
            span.parent_id,
            span.name,
            span.span_type,
            span.status.status_code.value,
            span.status.description,
        )
        for span in trace.data.spans
    ] == [
        ("0000000000000001", None, "RunnableSequence", "CHAIN", "OK", ""),
        ("0000000000000002", "0000000000000001", "ChatAcme", "CHAT_MODEL", "OK", ""),
        ("0000000000000003", "0000000000000001", "span 3", "CHAT_MODEL", "ERROR", "ValueError: no"),
        ("0000000000000004", "0000000000000001", "span 4", "CHAIN", "UNSET", ""),
    ]
    assert [(span.start_time_ns - BEGIN, (span.end_time_ns or BEGIN) - BEGIN) for span in trace.data.spans] == [
        (1_500_000, 3_252_500_000),
        (500_000_000, 1_500_000_000),
        (2 * SECOND, 3 * SECOND),
        (3 * SECOND, 0),
    ]
    assert trace.data.spans[3].end_time_ns is None
    of_mlflow = {Attr.TRACE_REQUEST_ID: f"tr-{trace_id(1)}", Attr.SPAN_TYPE: "CHAIN"}
    assert [span.attributes for span in trace.data.spans] == [
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
    assert [(one.name, one.timestamp - BEGIN, one.attributes) for span in trace.data.spans for one in span.events] == [
        ("chunk", 600_000_000, {"index": 0, "flags": "[true]", "parts": '{"a":1}', "text": "t"}),
        ("exception", 2_500_000_000, {"exception.type": "ValueError", "exception.stacktrace": "Traceback\n…"}),
    ]
    assert searched(uri) == [f"tr-{trace_id(1)}"]


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


def test_spans_that_come_late(uri: str) -> None:
    """Spans that end after their trace was stored replace the open ones and stand beside the others."""
    sink = MlflowSink(uri)
    context = in_experiment(experiment="elsewhere")
    first = finished(start(1, 1, context=context), start(1, 2, 1), end(1, 1))
    sink.write([first])
    late = FinishedTrace(trace_id(1), INFO, None, finished(start(1, 2, 1), start(1, 3, 2), end(1, 3), end(1, 2)).spans)
    sink.write([late])
    sink.write([late])

    trace = read(uri)
    assert [(span.name, span.end_time_ns is None, span.outputs) for span in trace.data.spans] == [
        ("span 1", False, "outputs 1"),
        ("span 2", False, "outputs 2"),
        ("span 3", False, "outputs 3"),
    ]
    assert (trace.info.execution_duration, trace.info.tags["mlflow.traceName"]) == (1_000, "span 1")


def test_late_spans_whose_trace_is_not_there(uri: str) -> None:
    """Spans of a trace that the store does not have, or no longer, are refused with the reason."""
    late = FinishedTrace(trace_id(1), INFO, None, finished(*whole(1)).spans)

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


@pytest.mark.parametrize(
    ("key", "kept"),
    [
        ("plain key.1", "plain key.1"),
        ("odd!key?", "odd_key_"),
        ("", "_"),
        (".", "_."),
        ("..", "_.."),
        ("/root", "__root"),
        ("a//b", "_a__b"),
        ("a/../b", "_a_.._b"),
        ("été", "été"),
        ("k" * 300, "k" * 250),
        ("nul\0", "nul_"),
    ],
)
def test_odd_keys(uri: str, key: str, kept: str) -> None:
    """A tag whose name MLflow does not allow gets one it allows, and so does metadata."""
    MlflowSink(uri).write(
        [finished(start(1, 1, context=in_experiment(tags={key: "1"}, metadata={key: "2"})), end(1, 1))]
    )

    info = read(uri).info
    assert {name: value for name, value in info.tags.items() if not name.startswith("mlflow.")} == {kept: "1"}
    assert info.trace_metadata[kept] == "2"


def test_tags_of_the_store(store: str) -> None:
    """Tags that the store writes itself, and the trace's name, are not the user's to set."""
    tags = {"mlflow.artifactLocation": "x", "mlflow.trace.spansLocation": "x", "mlflow.traceName": "x", "mine": "1"}
    MlflowSink(store).write([finished(start(1, 1, context=in_experiment(tags=tags)), end(1, 1))])

    tags = read(store).info.tags
    assert tags.pop("mlflow.artifactLocation").endswith(f"tr-{trace_id(1)}/artifacts")
    assert tags == {"mlflow.trace.spansLocation": "TRACKING_STORE", "mlflow.traceName": "span 1", "mine": "1"}


def test_values_over_the_limits(uri: str) -> None:
    """Texts longer than MLflow takes are cut, and lose no trace."""
    context = in_experiment(tags={"tag": "t" * 9_000}, metadata={"meta": "m" * 9_000})
    root = start(1, 1, context=context, name="n" * 9_000, attributes={Attr.SESSION: "s" * 300, Attr.USER: "u" * 300})
    MlflowSink(uri).write([finished(root, end(1, 1))])

    trace = read(uri)
    assert trace.info.tags["tag"] == "t" * 4_096
    assert trace.info.tags["mlflow.traceName"] == "n" * 4_096
    assert trace.info.trace_metadata["meta"] == "m" * 250
    assert trace.info.trace_metadata["mlflow.trace.session"] == "s" * 250
    assert trace.info.trace_metadata["mlflow.trace.user"] == "u" * 250
    assert trace.data.spans[0].name == "n" * 9_000


def test_nul_characters(uri: str) -> None:
    """A NUL character, which PostgreSQL refuses, is replaced wherever it stands; what only looks like one is not."""
    looks_like_one = "\\u0000"
    root = start(
        1,
        1,
        name="a\0b",
        inputs={"k\0": ["v\0", looks_like_one]},
        attributes={"x": "y\0", Attr.SESSION: "s\0"},
        context=in_experiment(tags={"t": "1\0"}, metadata={"m": "2\0"}),
    )
    noted = event(1, 1, "e\0", at=0.5, text="v\0")
    MlflowSink(uri).write([finished(root, noted, end(1, 1, outputs="o\0", status=Status.ERROR, message="m\0"))])

    trace = read(uri)
    (span,) = trace.data.spans
    assert "\0" not in trace.to_json()
    assert span.name == "a\ufffdb"
    assert span.inputs == {"k\ufffd": ["v\ufffd", looks_like_one]}
    assert (span.outputs, span.status.description, span.attributes["x"]) == ("o\ufffd", "m\ufffd", "y\ufffd")
    assert [(one.name, one.attributes) for one in span.events] == [("e\ufffd", {"text": "v\ufffd"})]
    assert (trace.info.tags["t"], trace.info.trace_metadata["m"]) == ("1\ufffd", "2\ufffd")
    assert trace.info.trace_metadata["mlflow.trace.session"] == "s\ufffd"


def test_odd_usage(uri: str) -> None:
    """Token counts that are no numbers count nothing, and lose no trace."""
    attributes = {Attr.TOKEN_USAGE: {"input_tokens": None, "output_tokens": 3}, Attr.REASONING_TOKENS: "many"}
    more = {Attr.TOKEN_USAGE: "none", Attr.SESSION: 5, Attr.USER: None}
    trace = finished(start(1, 1, attributes=attributes), start(1, 2, 1, attributes=more), end(1, 2), end(1, 1))
    MlflowSink(uri).write([trace])

    metadata = read(uri).info.trace_metadata
    assert json.loads(metadata["mlflow.trace.tokenUsage"]) == {"output_tokens": 3}
    assert metadata["mlflow.trace.session"] == "5"


@pytest.mark.parametrize(
    "fields",
    [
        {"time_ns": 2**63},
        {"attributes": b"[1]"},
        {"trace_id": "not hexadecimal"},
        {"span_id": "0123456789abcdef0123"},
        {"span_id": "x"},
    ],
)
def test_content_that_no_store_takes(store: str, tmp_path: Path, fields: dict[str, Any]) -> None:
    """A trace that cannot be stored is set aside with the reason; those beside it are stored."""
    folder = new_folder(tmp_path)
    journal = new_journal(folder)
    bad = start(1, 1)._replace(**fields)
    finish = end(1, 1)._replace(trace_id=bad.trace_id, span_id=bad.span_id, time_ns=bad.time_ns)
    write(journal, *whole(2), bad, finish, *whole(3))
    journal.close()

    assert Shipper(folder, MlflowSink(store)).drain(timeout=60.0)
    assert [trace.info.trace_id for trace in stored(store)] == [f"tr-{trace_id(number)}" for number in (2, 3)]
    assert [path.stem for path in folder.rejected.iterdir()] == [bad.trace_id]


def test_an_experiment_by_name(uri: str) -> None:
    """An experiment is created when it does not exist, and used when it does."""
    sink, client = MlflowSink(uri), TracingClient(uri)
    context = in_experiment(experiment="mine")
    for number in (1, 2):
        sink.write([finished(start(number, 1, context=context), end(number, 1))])
    MlflowSink(uri).write([finished(start(3, 1, context=context), end(3, 1))])

    experiment = client.store.get_experiment_by_name("mine").experiment_id
    assert {read(uri, number).info.experiment_id for number in (1, 2, 3)} == {experiment}
    assert sorted(one.name for one in client.store.search_experiments()) == ["Default", "mine"]


def test_an_experiment_by_id(uri: str) -> None:
    """An experiment that MLflow's settings name by its id is used; one that does not exist is said."""
    experiment = TracingClient(uri).store.create_experiment("by id")
    sink = MlflowSink(uri)
    sink.write([finished(start(1, 1, context=in_experiment(experiment_id=experiment)), end(1, 1))])

    assert read(uri).info.experiment_id == experiment
    with pytest.raises(SinkUnavailable, match="77"):
        sink.write([finished(start(2, 1, context=in_experiment(experiment_id="77")), end(2, 1))])


@pytest.mark.parametrize("known", [False, True])
def test_an_experiment_that_was_deleted(uri: str, *, known: bool) -> None:
    """Traces of a deleted experiment are kept until it is restored, and the error says how to."""
    sink, tracking = MlflowSink(uri), TracingClient(uri).store
    traces = [finished(start(n, 1, context=in_experiment(experiment="mine")), end(n, 1)) for n in (1, 2)]
    sink.write(traces[:1])
    experiment = tracking.get_experiment_by_name("mine").experiment_id
    tracking.delete_experiment(experiment)

    with pytest.raises(SinkUnavailable) as refused:
        (sink if known else MlflowSink(uri)).write(traces)
    tracking.restore_experiment(experiment)
    sink.write(traces)

    assert str(refused.value) == (
        f"the experiment 'mine' was deleted. Restore it with `mlflow experiments restore -x {experiment}`, or choose "
        "another."
    )
    assert read(uri, 2).info.experiment_id == experiment


def test_an_experiment_that_two_processes_create(store: str, tmp_path: Path) -> None:
    """Processes that create the same experiments at the same time end up with one of each."""
    names = [f"experiment {number}" for number in range(8)]
    program = """
import sys, time, pathlib
from tests.ship.support import CONTEXT, end, finished, start
from langchain_autotrace.ship.mlflow_sink import MlflowSink
uri, offset, go, *names = sys.argv[1:]
sink = MlflowSink(uri)
sink.write([finished(start(int(offset), 1), end(int(offset), 1))])
pathlib.Path(go + offset).touch()
while not all(pathlib.Path(go + one).exists() for one in ("100", "200")):
    time.sleep(0.001)
for number, name in enumerate(names, int(offset) + 1):
    sink.write([finished(start(number, 1, context=CONTEXT._replace(experiment=name)), end(number, 1))])
"""
    go = str(tmp_path / "go")
    path = [entry for entry in sys.path if entry]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", f"import sys\nsys.path[:0] = {path!r}\n{program}", store, offset, go, *names],
            stderr=subprocess.PIPE,
            text=True,
        )
        for offset in ("100", "200")
    ]
    complaints = [process.communicate(timeout=60)[1] for process in started]

    assert [process.returncode for process in started] == [0, 0], complaints
    client = TracingClient(store)
    ids = {one.name: one.experiment_id for one in client.store.search_experiments()}
    assert sorted(ids) == ["Default", *names]
    for number, name in enumerate(names, 1):
        assert {read(store, first + number).info.experiment_id for first in (100, 200)} == {ids[name]}


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


def test_many_traces(uri: str) -> None:
    """A batch of traces of several experiments is stored, each in its own."""
    contexts = [in_experiment(experiment=name) for name in ("a", "b", "c")]
    traces = [
        finished(start(n, 1, context=contexts[n % 3]), start(n, 2, 1), end(n, 2), end(n, 1)) for n in range(1, 31)
    ]
    MlflowSink(uri).write(traces)

    client = TracingClient(uri)
    found = {
        one.name: sorted(trace.info.trace_id for trace in client.search_traces(locations=[one.experiment_id]))
        for one in client.store.search_experiments()
    }
    assert found == {
        "Default": [],
        **{name: [f"tr-{trace_id(n)}" for n in range(1, 31) if n % 3 == i] for i, name in enumerate("abc")},
    }

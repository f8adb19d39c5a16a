"""What is odd in a trace, and how MLflow's stores take it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from langchain_autotrace.semconv import Attr, Status
from langchain_autotrace.ship.mlflow_sink import MlflowSink
from langchain_autotrace.ship.shipper import Shipper
from tests.journal.support import new_folder, new_journal
from tests.patience import PATIENCE
from tests.ship.mlflow_support import in_experiment, read
from tests.ship.support import end, event, finished, start, trace_id, whole, write
from tests.support import stored

if TYPE_CHECKING:
    from pathlib import Path


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


def test_odd_labels(uri: str) -> None:
    """LangChain's tags and metadata are cut to what MLflow takes, never over the program's own; none loses a trace."""
    tags = ["odd!tag?", "a//b", "été", "k" * 300, "nul\0", "team", "Été", "ete", "", "mlflow.traceName"]
    metadata = {"odd!key": "1", "long": "m" * 9_000, "Team": "2", "mlflow.trace.user": "eve", "nul": "\0"}
    context = in_experiment(tags={"team": "blue"}, metadata={"team": "red"})
    root = start(1, 1, run_id="r", tags=tags, details={"metadata": metadata}, context=context, inputs="i\0")
    MlflowSink(uri).write([finished(root, end(1, 1))])

    info = read(uri).info
    assert {name: value for name, value in info.tags.items() if not name.startswith("mlflow.")} == {
        **dict.fromkeys(["odd_tag_", "_a__b", "été", "k" * 250, "nul_"], "true"),
        "team": "blue",
    }
    given = {key: value for key, value in info.trace_metadata.items() if not key.startswith("mlflow.")}
    assert given == {"odd_key": "1", "long": "m" * 250, "team": "red", "nul": "\ufffd"}
    assert "mlflow.trace.user" not in info.trace_metadata
    assert (info.tags["mlflow.traceName"], info.request_preview) == ("span 1", "i\ufffd")


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
        {"kind": "span", "details": {"attributes": [1]}},
        {"details": {"truncated": 5}},
        {"context": {"experiment": "mine"}},
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

    assert Shipper(folder, MlflowSink(store)).drain(timeout=PATIENCE)
    assert [trace.info.trace_id for trace in stored(store)] == [f"tr-{trace_id(number)}" for number in (2, 3)]
    assert [path.stem for path in folder.rejected.iterdir()] == [bad.trace_id]

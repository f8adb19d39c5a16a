"""Opening stores, and their errors as ours."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from langchain_autotrace.errors import SinkUnavailable
from langchain_autotrace.view import store as store_module
from langchain_autotrace.view import traces
from langchain_autotrace.view.traces import tree_of

if TYPE_CHECKING:
    from mlflow.entities import Trace


def test_database_server_that_is_down() -> None:
    """A database server that is down is known at once, not after MLflow's ten attempts."""
    with pytest.raises(
        SinkUnavailable, match=r"mysql://u:\*\*\*@127\.0\.0\.1:9/x: cannot reach the server \(Connection refused\)"
    ):
        store_module.probe("mysql://u:secret@127.0.0.1:9/x")


def test_server_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes the connection and never answers is given up after a few seconds."""
    monkeypatch.setattr(store_module, "PROBE_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        uri = f"http://127.0.0.1:{mute.getsockname()[1]}"
        with pytest.raises(SinkUnavailable, match="no response within"):
            store_module.probe(uri)


def test_missing_package(store: str) -> None:
    """What is not installed is named."""
    with (
        pytest.raises(SinkUnavailable, match=r"No module named 'x'\. Install the missing package with pip\."),
        store_module.reading(store),
    ):
        raise ModuleNotFoundError("No module named 'x'")


def test_tree_with_a_missing_parent() -> None:
    """No span is left out: one whose parent is missing stands as a root, and so do those that hang on each other."""
    tree = tree_of(_trace([("a", None), ("b", "a"), ("c", "gone"), ("d", "e"), ("e", "d")]))
    assert sorted((span.name, span.depth) for span in tree.spans) == [("a", 0), ("b", 1), ("c", 0), ("d", 0), ("e", 0)]


def test_many_pages(store: str) -> None:
    """Experiments and traces are read to the last page."""

    class Page(list[Any]):
        token: str | None = None

    class Client:
        def search_experiments(self, *, page_token: str | None = None) -> Page:
            page = Page([2 if page_token else 1])
            page.token = None if page_token else "next"
            return page

    assert traces.experiments(Client()) == [1, 2]  # type: ignore[arg-type,comparison-overlap]
    assert traces.newest(store, limit=3) == []


def _trace(spans: list[tuple[str, str | None]]) -> Trace:
    from mlflow.entities import Span, Trace, TraceData, TraceInfo, TraceLocation, TraceState

    ids = {name: f"{number:016x}" for number, (name, _) in enumerate(spans, 1)} | {"gone": "f" * 16}
    made = [
        Span.from_dict(
            {
                "trace_id": "0" * 32,
                "span_id": ids[name],
                "parent_span_id": parent and ids[parent],
                "name": name,
                "start_time_unix_nano": number,
                "end_time_unix_nano": number + 1,
                "status": {"code": "STATUS_CODE_OK", "message": ""},
                "attributes": {"mlflow.traceRequestId": '"tr-1"'},
                "events": [],
            }
        )
        for number, (name, parent) in enumerate(spans)
    ]
    info = TraceInfo("tr-1", TraceLocation.from_experiment_id("0"), 0, TraceState.OK)
    return Trace(info, TraceData(made))

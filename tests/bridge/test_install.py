"""The bridge finds what it needs in MLflow, or is off with one warning; and it can be taken away."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import mlflow
import pytest
from mlflow.tracing import provider

import langchain_autotrace
from langchain_autotrace.bridge import core, journaled
from langchain_autotrace.bridge.install import missing_from
from langchain_autotrace.bridge.nesting import RunAwareContext
from langchain_autotrace.capture.interfaces import bridge_holder
from langchain_autotrace.control import _installation, shutdown
from tests.bridge.programs import helper, step
from tests.patience import PATIENCE
from tests.support import stored


@pytest.fixture(autouse=True)
def anew(monkeypatch: pytest.MonkeyPatch, store: str) -> Iterator[None]:
    """Each test finds MLflow and the bridge as a program does."""
    monkeypatch.setattr(_installation, "_bridge", None)
    monkeypatch.setattr(_installation, "_is_broken", False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    provider.reset()  # type: ignore[no-untyped-call] # MLflow's
    yield
    langchain_autotrace.disable()
    provider.reset()  # type: ignore[no-untyped-call]


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What this package has warned of."""
    ours = [record for record in caplog.records if record.name == "langchain_autotrace"]
    return [record.getMessage() for record in ours if record.levelno == logging.WARNING]


def test_nothing_is_missing() -> None:
    """This version of MLflow has all that is needed."""
    assert missing_from(provider) == []


def test_imported_only(monkeypatch: pytest.MonkeyPatch, store: str) -> None:
    """MLflow's own autolog is not on because something has imported its module."""
    from mlflow.utils import autologging_utils

    monkeypatch.setitem(autologging_utils.AUTOLOGGING_INTEGRATIONS, "langchain", {})
    langchain_autotrace.autolog(tracking_uri=store, shipper="thread")
    step("chain").invoke(1)
    assert langchain_autotrace.flush(PATIENCE).ok

    assert len(stored(store)) == 1


def test_what_is_missing() -> None:
    """Everything that a moved MLflow might lack is named."""
    moved = ModuleType("moved")
    assert sorted(missing_from(moved)) == sorted(
        [
            "mlflow_runtime_context",
            "provider",
            "_get_mlflow_span_processor",
            "_MLFLOW_TRACE_USER_DESTINATION",
        ]
    )
    changed: Any = ModuleType("changed")
    for name in ("mlflow_runtime_context", "provider", "_MLFLOW_TRACE_USER_DESTINATION"):
        setattr(changed, name, getattr(provider, name))
    changed._get_mlflow_span_processor = lambda: None
    assert missing_from(changed) == ["_get_mlflow_span_processor(tracking_uri)"]


@pytest.mark.parametrize("name", ["_get_mlflow_span_processor", "_MLFLOW_TRACE_USER_DESTINATION"])
def test_a_moved_mlflow(
    store: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """One warning says what is missing; LangChain's runs are captured as ever."""
    with monkeypatch.context() as patch:
        patch.delattr(provider, name)
        langchain_autotrace.autolog(tracking_uri=store, shipper="thread")
        langchain_autotrace.autolog(tracking_uri=store, shipper="thread")
        step("chain").invoke(1)
        assert langchain_autotrace.flush(PATIENCE).ok

    (warning,) = warnings_of(caplog)
    assert name in warning
    assert bridge_holder.bridge is None
    assert [trace.info.tags["mlflow.traceName"] for trace in stored(store)] == ["chain"]


@pytest.mark.filterwarnings("default")  # MLflow's own way of writing imports what warns
def test_a_moved_part(store: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for what is seen to be missing only when the bridge is made."""
    monkeypatch.delattr(core, "Traces")
    langchain_autotrace.autolog(tracking_uri=store, shipper="thread")

    step("chain", helper).invoke(1)
    mlflow.flush_trace_async_logging()
    assert langchain_autotrace.flush(PATIENCE).ok

    (warning,) = warnings_of(caplog)
    assert "NameError" in warning
    assert sorted(trace.info.tags["mlflow.traceName"] for trace in stored(store)) == ["chain", "helper"]


def test_changes_that_cannot_be_read(
    store: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose span in MLflow cannot be read at its end ends all the same, with a warning."""
    monkeypatch.delenv("LANGCHAIN_AUTOTRACE_STRICT")
    monkeypatch.delattr(journaled, "status_of")
    langchain_autotrace.autolog(tracking_uri=store, shipper="thread")

    step("chain", lambda x: mlflow.get_current_active_span() and x).invoke(1)
    assert langchain_autotrace.flush(PATIENCE).ok

    assert ["status_of" in warning for warning in warnings_of(caplog)] == [True]
    ((span,),) = [trace.data.spans for trace in stored(store)]
    assert (span.name, span.status.status_code.value, span.outputs) == ("chain", "OK", 1)


def test_taken_away(store: str) -> None:
    """``disable()`` leaves MLflow as it was."""
    before = provider._get_mlflow_span_processor, vars(provider.provider).keys()

    langchain_autotrace.autolog(tracking_uri=store, shipper="thread")
    assert provider._get_mlflow_span_processor is not before[0]
    langchain_autotrace.disable()

    assert (provider._get_mlflow_span_processor, vars(provider.provider).keys()) == before
    assert (bridge_holder.bridge, RunAwareContext.runs) == (None, None)


def test_called_again(store: str) -> None:
    """``autolog()`` twice does nothing twice."""
    for _ in range(3):
        langchain_autotrace.autolog(tracking_uri=store, shipper="thread")
        helper(1)
    assert langchain_autotrace.flush(PATIENCE).ok

    assert len(stored(store)) == 3


def test_switched_off_and_on_with_a_store_of_mlflows(store: str, tmp_path: Path, new_store: Any) -> None:
    """A store that the program has switched to is served again after everything was shut down."""
    (tmp_path / "other").mkdir()
    other = new_store(tmp_path / "other")
    for _ in range(2):
        langchain_autotrace.autolog(tracking_uri=store, shipper="thread")
        mlflow.set_tracking_uri(other)
        helper(1)
        result = langchain_autotrace.flush(PATIENCE)
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type] # how MLflow takes it back
        shutdown()
        assert (result.ok, result.delivered) == (True, 1)

    assert (len(stored(store)), len(stored(other))) == (0, 2)


def test_open_when_it_is_taken_away(store: str) -> None:
    """A span that is open when tracing is switched off goes on to its end."""
    langchain_autotrace.autolog(tracking_uri=store, shipper="thread")
    with mlflow.start_span("outer"):
        langchain_autotrace.disable()
    assert langchain_autotrace.flush(PATIENCE).ok

    (trace,) = stored(store)
    assert trace.data.spans[0].status.status_code.value == "OK"


def test_no_run_and_no_span_is_kept_in_memory(store: str) -> None:
    """When all has ended, neither MLflow nor the bridge remembers a trace."""
    from mlflow.tracing.trace_manager import InMemoryTraceManager

    langchain_autotrace.autolog(tracking_uri=store, shipper="thread")
    for number in range(50):
        step("chain", helper).invoke(number)
        helper(number)
    bridge: Any = bridge_holder.bridge
    manager = InMemoryTraceManager.get_instance()  # type: ignore[no-untyped-call] # MLflow's

    assert (bridge.traces._known, bridge.traces.open_spans, bridge._leaves) == ({}, {}, set())
    assert (len(manager._traces), manager._otel_id_to_mlflow_trace_id) == (0, {})

"""Runs, experiments, models and destinations: a trace goes where MLflow's switches say."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.entities.trace_location import MlflowExperimentLocation
from mlflow.tracing.constant import TraceMetadataKey

import langchain_autotrace
from langchain_autotrace.errors import SettingsError
from tests.bridge.programs import helper, step
from tests.bridge.support import drawn, run, traces


def work(number: int) -> None:
    """Leave a trace that LangChain begins and one that MLflow begins."""
    step(f"chain {number}", helper).invoke(number)
    with mlflow.start_span(f"span {number}"):
        step("chain").invoke(number)


def names(tracking_uri: str, experiment: str) -> list[str]:
    """The names of the traces in an experiment."""
    found = mlflow.MlflowClient(tracking_uri).get_experiment_by_name(experiment)
    return [] if found is None else names_of(tracking_uri, found.experiment_id)


def names_of(tracking_uri: str, experiment_id: str) -> list[str]:
    """The same for its id."""
    return [str(one.info.tags["mlflow.traceName"]) for one in traces(tracking_uri, (experiment_id,))]


def both(*numbers: int) -> list[str]:
    """The names of what ``work`` leaves."""
    return [f"{kind} {number}" for number in numbers for kind in ("chain", "span")]


def change_experiments() -> None:
    """Change the experiment between traces, and within one."""
    mlflow.set_experiment("first")
    work(1)
    mlflow.set_experiment("second")
    work(2)
    with mlflow.start_span("begun in second"):
        mlflow.set_experiment("third")
        step("chain", helper).invoke(1)
    work(3)


@pytest.mark.parametrize("settings", [{}, {"experiment": "of autolog"}])
def test_experiments(store: str, tmp_path: Path, settings: dict[str, Any]) -> None:
    """``set_experiment`` after ``autolog()`` is followed from the next trace on."""
    run(change_experiments, store, tmp_path, **settings)

    assert names(store, "first") == both(1)
    assert names(store, "second") == [*both(2), "begun in second"]
    assert names(store, "third") == both(3)
    assert traces(store) == []


def experiment_before() -> None:
    """Choose the experiment before ``autolog()``."""
    langchain_autotrace.disable()
    mlflow.set_experiment("before")
    langchain_autotrace.autolog(shipper="thread")
    work(1)
    langchain_autotrace.autolog(shipper="thread", experiment="named")
    work(2)


def test_experiment_before(store: str, tmp_path: Path) -> None:
    """What was chosen before ``autolog()`` holds, unless it names another."""
    run(experiment_before, store, tmp_path)

    assert names(store, "before") == both(1)
    assert names(store, "named") == both(2)


def change_stores() -> None:
    """Send traces to another store, and back."""
    first = mlflow.get_tracking_uri()
    work(1)
    mlflow.set_tracking_uri("sqlite:///other.db")
    work(2)
    with mlflow.start_span("begun there"):
        mlflow.set_tracking_uri(first)
        step("chain", helper).invoke(1)
    work(3)


def test_stores(store: str, tmp_path: Path) -> None:
    """``set_tracking_uri`` after ``autolog()`` is followed from the next trace on."""
    found = run(change_stores, store, tmp_path)

    assert [trace.info.tags["mlflow.traceName"] for trace in found] == both(1, 3)
    there = traces(f"sqlite:///{tmp_path}/other.db")
    assert [trace.info.tags["mlflow.traceName"] for trace in there] == [*both(2), "begun there"]
    assert drawn(there[-1]) == "begun there\n  chain\n    helper"


def change_destinations() -> None:
    """Choose an experiment by ``set_destination``, for all and for one span."""
    chosen = mlflow.create_experiment("chosen")
    own = mlflow.create_experiment("own")
    mlflow.tracing.set_destination(MlflowExperimentLocation(experiment_id=chosen))
    work(1)
    with mlflow.start_span("apart", trace_destination=MlflowExperimentLocation(experiment_id=own)):
        step("chain").invoke(1)
    client = mlflow.MlflowClient()
    root = client.start_trace("by hand", experiment_id=own)
    client.end_trace(root.trace_id)
    mlflow.tracing.reset()  # type: ignore[no-untyped-call] # MLflow's
    work(2)


def test_destinations(store: str, tmp_path: Path) -> None:
    """``set_destination``, ``trace_destination`` and ``experiment_id`` are followed."""
    run(change_destinations, store, tmp_path)

    assert names(store, "chosen") == both(1)
    assert names(store, "own") == ["apart", "by hand"]
    assert names_of(store, "0") == both(2)


def destination_before() -> None:
    """Choose a destination before ``autolog()``."""
    langchain_autotrace.disable()
    chosen = mlflow.create_experiment("chosen")
    mlflow.tracing.set_destination(MlflowExperimentLocation(experiment_id=chosen))
    langchain_autotrace.autolog(shipper="thread")
    work(1)
    langchain_autotrace.autolog(shipper="thread", experiment="named")
    work(2)
    with mlflow.start_span("in a task of its own"):
        step("chain").invoke(1)


def test_destination_before(store: str, tmp_path: Path) -> None:
    """A destination that was set before ``autolog()`` holds, unless it names an experiment."""
    run(destination_before, store, tmp_path)

    assert names(store, "chosen") == both(1)
    assert names(store, "named") == [*both(2), "in a task of its own"]


def start_runs() -> None:
    """Trace within MLflow runs."""
    mlflow.set_experiment("runs")
    with mlflow.start_run() as active:
        work(1)
        step("note", lambda x: x).invoke(active.info.run_id)
    work(2)
    other = mlflow.create_experiment("of the run")
    with mlflow.start_run(experiment_id=other):
        work(3)


def test_runs(store: str, tmp_path: Path) -> None:
    """An active run is the source of the trace, which is in the run's experiment."""
    run(start_runs, store, tmp_path)

    client = mlflow.MlflowClient(store)
    runs = client.get_experiment_by_name("runs")
    assert runs is not None
    found = traces(store, (runs.experiment_id,))
    (active,) = client.search_runs([runs.experiment_id])
    sources = [trace.info.trace_metadata.get(TraceMetadataKey.SOURCE_RUN) for trace in found]
    assert sources == [active.info.run_id] * 3 + [None] * 2
    assert names(store, "of the run") == both(3)


def choose_a_model() -> None:
    """Trace with an active model."""
    mlflow.set_active_model(name="shop")
    work(1)
    mlflow.clear_active_model()
    work(2)


def test_models(store: str, tmp_path: Path) -> None:
    """The active model is the trace's."""
    found = run(choose_a_model, store, tmp_path)

    (model,) = mlflow.MlflowClient(store).search_logged_models(["0"])
    linked = [trace.info.trace_metadata.get("mlflow.modelId") for trace in found]
    assert linked == [model.model_id] * 2 + [None] * 2


@pytest.mark.parametrize(("ratio", "kept"), [("0.0", 0), ("1.0", 2)])
def test_ratio(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ratio: str, kept: int) -> None:
    """``MLFLOW_TRACE_SAMPLING_RATIO`` holds for traces that LangChain begins as well."""
    monkeypatch.setenv("MLFLOW_TRACE_SAMPLING_RATIO", ratio)

    assert len(run(work_once, store, tmp_path)) == kept


def work_once() -> None:
    """Leave two traces."""
    work(1)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_sample_rate(store: str, tmp_path: Path, rate: float) -> None:
    """``sample_rate`` holds for traces that MLflow begins as well."""
    assert len(run(work_once, store, tmp_path, sample_rate=rate)) == (2 if rate else 0)


def test_shared_provider(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """MLflow on OpenTelemetry's global provider is refused, with what to do; without the bridge it is not."""
    monkeypatch.setenv("MLFLOW_USE_DEFAULT_TRACER_PROVIDER", "false")

    with pytest.raises(SettingsError, match=r"Unset it, or call autolog\(bridge=False\)"):
        langchain_autotrace.autolog(shipper="external")
    langchain_autotrace.autolog(shipper="external", bridge=False, exit_timeout=0)
    assert caplog.records == []


def without_the_bridge() -> None:
    """Trace with both, each for itself."""
    step("chain", helper).invoke(1)
    mlflow.flush_trace_async_logging()


def test_without_the_bridge(store: str, tmp_path: Path) -> None:
    """``bridge=False`` leaves MLflow's spans to MLflow."""
    found = [drawn(trace) for trace in run(without_the_bridge, store, tmp_path, bridge=False)]

    assert sorted(found) == ["chain", "helper"]


def refuse_a_store() -> None:
    """Switch to a store that would lose traces."""
    said: list[str] = []

    def note(record: logging.LogRecord) -> bool:
        said.append(record.getMessage())
        return True

    logging.getLogger("langchain_autotrace").addFilter(note)
    mlflow.set_tracking_uri("gopher://nowhere")
    step("one").invoke(1)
    step("two").invoke(1)
    assert len(said) == 1
    assert "gopher" in said[0]


def test_a_store_that_loses_traces(store: str, tmp_path: Path) -> None:
    """The traces stay where they went before, and one warning says why."""
    assert [drawn(trace) for trace in run(refuse_a_store, store, tmp_path)] == ["one", "two"]


def own_handler() -> None:
    """Pass a handler with settings of its own, while MLflow is set to others."""
    mlflow.set_experiment("of mlflow")
    handler = langchain_autotrace.AutotraceHandler(
        experiment="of the handler", shipper="thread", tracking_uri=mlflow.get_tracking_uri()
    )
    langchain_autotrace.disable()
    langchain_autotrace.autolog(shipper="thread", sample_rate=0.0)
    with mlflow.start_run():
        step("chain").invoke(1, {"callbacks": [handler]})


def test_a_handler_of_its_own(store: str, tmp_path: Path) -> None:
    """A handler that was given settings follows no switch of MLflow's."""
    run(own_handler, store, tmp_path)

    assert names(store, "of the handler") == ["chain"]
    assert names(store, "of mlflow") == []


def both_handlers() -> None:
    """Pass a handler of its own to a run within a span of MLflow's."""
    handler = langchain_autotrace.AutotraceHandler(experiment="of the handler", shipper="thread")
    with mlflow.start_span("outer"):
        step("chain", helper).invoke(1, {"callbacks": [handler]})


def test_a_handler_beside_autolog(store: str, tmp_path: Path) -> None:
    """The handler's run has a trace of its own, and MLflow's spans are in that of ``autolog()``."""
    (trace,) = run(both_handlers, store, tmp_path)

    assert drawn(trace) == "outer\n  helper"
    experiment = mlflow.MlflowClient(store).get_experiment_by_name("of the handler")
    assert experiment is not None
    assert [drawn(one) for one in traces(store, (experiment.experiment_id,))] == ["chain"]


def test_otlp(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where MLflow sends its own spans to an OTLP endpoint, LangChain's traces are whole without them."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:9/v1/traces")

    assert [drawn(trace) for trace in run(work_once, store, tmp_path)] == ["chain 1", "chain"]

"""The experiments that traces go to."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from mlflow.tracing.client import TracingClient

from langchain_autotrace.errors import SinkUnavailable
from langchain_autotrace.ship.mlflow_sink import MlflowSink
from tests.bridge.support import forked
from tests.patience import PATIENCE
from tests.ship.mlflow_support import in_experiment, read
from tests.ship.support import end, finished, start, trace_id


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
    with pytest.raises(SinkUnavailable, match=rf"^{uri}: experiment '77': "):
        sink.write([finished(start(2, 1, context=in_experiment(experiment_id="77")), end(2, 1))])


def test_an_experiment_that_mlflow_does_not_take(uri: str) -> None:
    """A name that is none for an experiment is the fault of a setting, and keeps the traces."""
    trace = finished(start(1, 1, context=in_experiment(experiment="")), end(1, 1))

    with pytest.raises(SinkUnavailable, match=rf"^{uri}: experiment "):
        MlflowSink(uri).write([trace])


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


def create(uri: str, offset: int, others: list[str], names: list[str]) -> None:
    """Store a trace in each of the experiments, as soon as all others are ready to."""
    sink = MlflowSink(uri)
    sink.write([finished(start(offset, 1), end(offset, 1))])
    Path(str(offset)).touch()
    while not all(Path(one).exists() for one in others):
        time.sleep(0.001)
    for number, name in enumerate(names, offset + 1):
        sink.write([finished(start(number, 1, context=in_experiment(experiment=name)), end(number, 1))])


def test_an_experiment_that_two_processes_create(store: str) -> None:
    """Processes that create the same experiments at the same time end up with one of each."""
    names = [f"experiment {number}" for number in range(8)]
    started = [forked(create, store, offset, ["100", "200"], names) for offset in (100, 200)]
    for process in started:
        process.join(PATIENCE)

    assert [process.exitcode for process in started] == [0, 0]
    client = TracingClient(store)
    ids = {one.name: one.experiment_id for one in client.store.search_experiments()}
    assert sorted(ids) == ["Default", *names]
    for number, name in enumerate(names, 1):
        assert {read(store, first + number).info.experiment_id for first in (100, 200)} == {ids[name]}


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

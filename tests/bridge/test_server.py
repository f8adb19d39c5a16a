"""The same programs against a real MLflow tracking server, and beside the neighbours of the full mlflow."""

from __future__ import annotations

import os
import subprocess
import textwrap
from pathlib import Path

import pytest
from mlflow.tracing.client import TracingClient

from tests.bridge.programs import PROGRAMS, tree
from tests.bridge.support import drawn, run, traces
from tests.patience import PATIENCE
from tests.support import stored

pytestmark = pytest.mark.server


@pytest.mark.parametrize("name", PROGRAMS)
def test_tree(name: str, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What arrives over HTTP is the tree that the program's docstring draws, and nothing else."""
    experiment = TracingClient(server).store.create_experiment(name)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name)
    run(PROGRAMS[name], server, tmp_path)
    found = [drawn(trace) for trace in traces(server, (str(experiment),))]

    if name == "many_at_once":
        assert found == [tree(name)] * 40
    else:
        assert "\n".join(found) == tree(name)


HEAD = """
import warnings
warnings.simplefilter("ignore")
import logging
import langchain_autotrace
import mlflow
from langchain_core.runnables import RunnableLambda
from langchain_core.callbacks import BaseCallbackHandler

said = []
class Said(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())
logging.getLogger("langchain_autotrace").addHandler(Said())

@mlflow.trace
def helper(x):
    return x

chain = RunnableLambda(helper, name="chain")
"""


def neighbour(program: str, python: str, store: str, **environment: str) -> list[str]:
    """The trees that a program leaves, run with the full mlflow."""
    text = HEAD + textwrap.dedent(program) + "\nassert langchain_autotrace.flush(300).ok\nprint(len(said))\n"
    done = subprocess.run(
        [python, "-c", text],
        env={**os.environ, "MLFLOW_TRACKING_URI": store, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    found = [drawn(trace) for trace in stored(store)]
    return [*found, done.stdout.strip()]


def test_both_autologs(full_mlflow: str, store: str) -> None:
    """With MLflow's autolog on as well no run is traced twice, and one warning says what to do."""
    program = """
        mlflow.langchain.autolog()
        langchain_autotrace.autolog()
        for number in range(3):
            assert chain.invoke(number) == number
        mlflow.langchain.autolog(disable=True)
        chain.invoke(3)
    """
    *found, warnings = neighbour(program, full_mlflow, store)

    assert found == ["chain\n  helper"] * 4
    assert warnings == "1"


def test_mlflows_autolog_later(full_mlflow: str, store: str) -> None:
    """The same when it is switched on later."""
    program = """
        langchain_autotrace.autolog()
        chain.invoke(1)
        mlflow.langchain.autolog()
        chain.invoke(2)
    """
    *found, warnings = neighbour(program, full_mlflow, store)

    assert found == ["chain\n  helper"] * 2
    assert warnings == "1"


def test_openinference(full_mlflow: str, store: str) -> None:
    """OpenInference and a global OpenTelemetry provider have their own spans, and ours are as ever."""
    program = """
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        from openinference.instrumentation.langchain import LangChainInstrumentor

        theirs = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(theirs))
        trace.set_tracer_provider(provider)
        LangChainInstrumentor().instrument()
        langchain_autotrace.autolog()
        with trace.get_tracer("app").start_as_current_span("request"):
            chain.invoke(1)
        with mlflow.start_span("outer"):
            chain.invoke(2)
        assert sorted(span.name for span in theirs.get_finished_spans()) == ["chain", "chain", "request"]
    """
    *found, warnings = neighbour(program, full_mlflow, store)

    assert found == ["chain\n  helper", "outer\n  chain\n    helper"]
    assert warnings == "0"


def test_langsmith(full_mlflow: str, store: str) -> None:
    """LangSmith's tracer sees the runs that it would see without us."""
    program = """
        seen = []
        class Handler(BaseCallbackHandler):
            def on_chain_start(self, serialized, inputs, *, run_id, parent_run_id=None, **kwargs):
                seen.append((inputs, parent_run_id, sorted(kwargs)))
        from langchain_core.tracers.langchain import LangChainTracer
        chain.invoke(1, {"callbacks": [Handler()]})
        langchain_autotrace.autolog()
        chain.invoke(1, {"callbacks": [Handler()]})
        assert seen[0] == seen[1], seen
    """
    settings = {"LANGSMITH_TRACING": "true", "LANGSMITH_API_KEY": "none", "LANGSMITH_ENDPOINT": "http://127.0.0.1:9"}
    text = neighbour(program, full_mlflow, store, **settings)

    assert sorted(text) == ["0", "chain\n  helper", "helper"]


def test_evaluation(full_mlflow: str, store: str) -> None:
    """MLflow's evaluation finds the trace of a request as soon as the function has returned."""
    program = """
        from mlflow.pyfunc.context import Context, set_prediction_context

        langchain_autotrace.autolog()
        with set_prediction_context(Context(request_id="request-1", is_evaluate=True)):
            helper(1)
            trace = mlflow.get_trace("request-1")
        assert trace.data.spans[0].name == "helper", trace
    """
    assert neighbour(program, full_mlflow, store) == ["helper", "0"]

"""The programs of MLflow's announcement of tracing, and two services, as the examples have them."""

from __future__ import annotations

import runpy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.bridge.support import drawn, run
from tests.support import stored

if TYPE_CHECKING:
    from mlflow.entities import Trace

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(autouse=True)
def in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deliver in the process, which takes less time."""
    monkeypatch.setenv("LANGCHAIN_AUTOTRACE_SHIPPER", "thread")


def example(name: str) -> None:
    """Run an example."""
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def traces_of(name: str, store: str, folder: Path) -> list[Trace]:
    """What an example leaves."""
    run(partial(example, name), store, folder)
    return stored(store)


def test_the_decorator(store: str, tmp_path: Path) -> None:
    """``some_function(2, 4)`` is a trace of one span."""
    (trace,) = traces_of("mlflow_decorator.py", store, tmp_path)

    (span,) = trace.data.spans
    assert (span.name, span.inputs, span.outputs) == ("some_function", {"x": 2, "y": 4, "z": 2}, 4)


def test_the_context_manager(store: str, tmp_path: Path) -> None:
    """The span has the two helpers below it."""
    (trace,) = traces_of("mlflow_context_manager.py", store, tmp_path)

    root = trace.data.spans[0]
    assert drawn(trace) == "Math\n  first_func\n  second_func"
    assert (root.inputs, root.outputs, root.get_attribute("mode")) == ({"a": 8, "x": 3}, {"result": 29}, "add")


def test_the_client(store: str, tmp_path: Path) -> None:
    """The trace made by hand is as it was made."""
    (trace,) = traces_of("mlflow_client.py", store, tmp_path)

    root, child = sorted(trace.data.spans, key=lambda span: span.start_time_ns)
    assert drawn(trace) == "my_trace\n  child_span"
    assert (root.outputs, root.get_attribute("token_usage")) == ({"final_output_key": "final_output_value"}, "1174")
    assert (child.inputs, child.outputs) == ({"input_key": "input_value"}, {"output_key": "output_value"})
    assert child.get_attribute("attribute_key") == "attribute_value"


def test_langchain(store: str, tmp_path: Path) -> None:
    """Two questions are two traces."""
    found = traces_of("mlflow_langchain.py", store, tmp_path)

    assert [drawn(trace) for trace in found] == ["RunnableSequence\n  PromptTemplate\n  FakeListLLM"] * 2
    assert [trace.data.response for trace in found] == ['"For the view."', '"No."']


def test_two_services(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service's chain joins the trace of the chain that calls it, over HTTP, each in a process of its own."""
    monkeypatch.setenv("LANGCHAIN_AUTOTRACE_EXIT_TIMEOUT", "300")
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # the service's lines run in the other process too
    (trace,) = traces_of("services.py", store, tmp_path)

    assert drawn(trace) == "ask\n  call\n    answer\n      ChatPromptTemplate\n      RunnableLambda"
    assert trace.info.tags["mlflow.traceName"] == "ask"
    assert (trace.info.state.value, trace.info.request_preview) == ("OK", "cats")
    assert {span.status.status_code.value for span in trace.data.spans} == {"OK"}

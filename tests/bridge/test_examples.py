"""The programs of MLflow's announcement of tracing, and two services, as the examples have them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bridge.support import drawn
from tests.support import stored

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str, folder: Path) -> list[Any]:
    """The traces that an example leaves in ``./mlflow.db``."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / name],
        cwd=folder,
        env={**os.environ, "LANGCHAIN_AUTOTRACE_EXIT_TIMEOUT": "60", "LANGCHAIN_AUTOTRACE_SHIPPER": "thread"},
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    assert "internal error" not in done.stderr
    return stored(f"sqlite:///{folder / 'mlflow.db'}")


def test_the_decorator(store: str, tmp_path: Path) -> None:
    """``some_function(2, 4)`` is a trace of one span."""
    (trace,) = run("mlflow_decorator.py", tmp_path)

    (span,) = trace.data.spans
    assert (span.name, span.inputs, span.outputs) == ("some_function", {"x": 2, "y": 4, "z": 2}, 4)


def test_the_context_manager(store: str, tmp_path: Path) -> None:
    """The span has the two helpers below it."""
    (trace,) = run("mlflow_context_manager.py", tmp_path)

    root = trace.data.spans[0]
    assert drawn(trace) == "Math\n  first_func\n  second_func"
    assert (root.inputs, root.outputs, root.get_attribute("mode")) == ({"a": 8, "x": 3}, {"result": 29}, "add")


def test_the_client(store: str, tmp_path: Path) -> None:
    """The trace made by hand is as it was made."""
    (trace,) = run("mlflow_client.py", tmp_path)

    root, child = sorted(trace.data.spans, key=lambda span: span.start_time_ns)
    assert drawn(trace) == "my_trace\n  child_span"
    assert (root.outputs, root.get_attribute("token_usage")) == ({"final_output_key": "final_output_value"}, "1174")
    assert (child.inputs, child.outputs) == ({"input_key": "input_value"}, {"output_key": "output_value"})
    assert child.get_attribute("attribute_key") == "attribute_value"


def test_langchain(store: str, tmp_path: Path) -> None:
    """Two questions are two traces."""
    found = run("mlflow_langchain.py", tmp_path)

    assert [drawn(trace) for trace in found] == ["RunnableSequence\n  PromptTemplate\n  FakeListLLM"] * 2
    assert [trace.data.response for trace in found] == ['"For the view."', '"No."']


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_two_services(store: str, tmp_path: Path) -> None:
    """A service's chain joins the trace of the chain that calls it, over HTTP."""
    (trace,) = run("services.py", tmp_path)

    assert drawn(trace) == "ask\n  call\n    answer\n      ChatPromptTemplate\n      RunnableLambda"
    assert trace.info.tags["mlflow.traceName"] == "ask"
    assert (trace.info.state.value, trace.info.request_preview) == ("OK", '"cats"')
    assert {span.status.status_code.value for span in trace.data.spans} == {"OK"}

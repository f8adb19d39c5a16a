"""Traces of a test, in memory."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolCall
from langchain_core.runnables import Runnable, RunnableGenerator, RunnableLambda, RunnableParallel
from langchain_core.tools import tool

from langchain_autotrace import AutotraceHandler, autolog, context, disable, flush, suppress
from langchain_autotrace.errors import SettingsError
from langchain_autotrace.testing import capture_traces
from tests.patience import PATIENCE
from tests.testing.conftest import Run

STEP: Runnable[Any, Any] = RunnableLambda(lambda value: value, name="step")


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"rain in {city}"


class Model(GenericFakeChatModel):
    def bind_tools(self, *_: Any, **__: Any) -> Any:
        return self


def agent() -> Any:
    """An agent that asks for two tools at once."""
    calls = [ToolCall(name="weather", args={"city": city}, id=city) for city in ("Oslo", "Bergen")]
    usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    answers = [AIMessage("", tool_calls=calls, usage_metadata=usage), AIMessage("It rains.", usage_metadata=usage)]
    return create_agent(Model(messages=iter(answers)), [weather])


def weather_agent() -> None:
    """Ask that agent."""
    agent().invoke({"messages": [("user", "weather?")]})


TREE = """
    LangGraph [AGENT]
      model [CHAIN]
        Model [CHAT_MODEL] 3+2 tokens
      tools [CHAIN]
        weather [TOOL] {"city": "Bergen"}
      tools [CHAIN]
        weather [TOOL] {"city": "Oslo"}
      model [CHAIN]
        Model [CHAT_MODEL] 3+2 tokens
"""


def test_an_agent() -> None:
    """The trace of an agent answers what tests ask: its tree, tools, tokens, model calls and errors."""
    with capture_traces() as traces:
        weather_agent()

    trace = traces.one
    trace.assert_tree(TREE)
    assert trace.tools_called == [("weather", {"city": "Bergen"}), ("weather", {"city": "Oslo"})]
    assert trace.tokens == {"input_tokens": 6, "output_tokens": 4, "total_tokens": 10}
    assert [span.outputs["choices"][0]["message"]["content"] for span in trace.model_calls] == [None, "It rains."]
    assert trace.errors == []
    assert trace.find(name="LangGraph").children[0].name == "model"
    assert (traces.tokens, traces.tools_called, traces.errors) == (trace.tokens, trace.tools_called, [])
    assert trace.root.duration_ms is not None


def test_a_snapshot() -> None:
    """Two runs of a program give the same dict, though ids, times and the order of threads differ."""
    found = []
    for _ in range(2):
        with capture_traces() as traces:
            weather_agent()
        found.append(traces.one.as_dict())

    assert found[0] == found[1]
    first_call = found[0]["children"][0]["children"][0]
    assert first_call["tokens"] == {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    assert (first_call["name"], first_call["type"], first_call["status"]) == ("Model", "CHAT_MODEL", "OK")


def test_branches() -> None:
    """Branches of a parallel step are in the order of their keys, whichever thread was first."""
    chain = RunnableParallel(b=STEP.with_config(run_name="of b"), a=STEP.with_config(run_name="of a")) | STEP
    with capture_traces() as traces:
        chain.invoke(1)

    traces.one.assert_tree("RunnableSequence [CHAIN]\n  of a [CHAIN]\n  of b [CHAIN]\n  step [CHAIN]")
    assert len(traces.one.tree(plumbing=True).splitlines()) == 5


def test_threads_and_tasks() -> None:
    """Runs in threads without a context, pools, tasks and batches all make traces, each its own."""

    async def in_tasks() -> None:
        await asyncio.gather(*(STEP.ainvoke(number) for number in range(8)))

    with capture_traces() as traces:
        threads = [threading.Thread(target=STEP.invoke, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(STEP.invoke, range(8)))
        asyncio.run(in_tasks())
        STEP.batch(list(range(8)))

    assert sorted(trace.root.inputs for trace in traces) == sorted(4 * list(range(8)))
    assert len({trace.trace_id for trace in traces}) == 32


def test_tests_in_threads() -> None:
    """Captures in several threads at once collect each its own runs."""

    def collects(number: int) -> list[int]:
        with capture_traces() as traces:
            barrier.wait(PATIENCE)
            STEP.batch([number] * 3)
            barrier.wait(PATIENCE)
            return [trace.root.inputs for trace in traces]

    barrier = threading.Barrier(4)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(collects, range(4))) == [[number] * 3 for number in range(4)]


def test_nested_captures() -> None:
    """Of nested captures the inner one collects; after it the outer one goes on."""
    with capture_traces() as outer:
        STEP.invoke(1)
        with capture_traces() as inner:
            STEP.invoke(2)
        STEP.invoke(3)

    STEP.invoke(4)
    assert [[trace.root.inputs for trace in one] for one in (outer, inner)] == [[1, 3], [2]]


def test_an_error() -> None:
    """An error is in the tree, and the message of a search that fails shows it."""
    with capture_traces() as traces:
        with pytest.raises(ZeroDivisionError):
            (STEP | RunnableLambda(lambda value: value / 0, name="second")).invoke(1)
        assert [span.name for span in traces.one.errors] == ["RunnableSequence", "second"]
    tree = (
        "RunnableSequence [CHAIN] ERROR: ZeroDivisionError: division by zero\n"
        "  step [CHAIN]\n"
        "  second [CHAIN] ERROR: ZeroDivisionError: division by zero"
    )
    traces.one.assert_tree(tree)
    with pytest.raises(AssertionError) as found:
        traces.one.find(name="third", type="TOOL")
    assert str(found.value) == f"0 spans with name='third', type='TOOL' in:\n{tree}"
    with pytest.raises(AssertionError) as differs:
        traces.one.assert_tree("RunnableSequence [CHAIN]\n  step [CHAIN]")
    assert "\n-RunnableSequence [CHAIN]\n+RunnableSequence [CHAIN] ERROR" in str(differs.value)


def test_what_has_not_finished() -> None:
    """A trace counts when its root has ended; before, the message of ``one`` says that it has not."""

    def twice(values: Iterator[int]) -> Iterator[int]:
        for value in values:
            yield from (value, value)

    with capture_traces() as traces:
        stream = RunnableGenerator(twice, name="step").stream(1)
        with pytest.raises(AssertionError, match=r"^0 traces: nothing ran, or not in the block\.$"):
            _ = traces.one
        next(stream)
        with pytest.raises(AssertionError, match=r"^0 traces, but 1 that started and did not end\.$"):
            _ = traces.one
        stream.close()  # type: ignore[attr-defined] # a generator
        assert traces.one.root.end_ns is not None
        STEP.invoke(2)
        with pytest.raises(AssertionError, match=r"^2 traces:\nstep \[CHAIN\].*\n\nstep \[CHAIN\]$"):
            _ = traces.one


def test_the_programs_own_tracing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """autolog() and handlers of the tested program trace nowhere else while traces are captured, and not twice."""
    monkeypatch.setenv("LANGCHAIN_AUTOTRACE_SAMPLE_RATE", "not a number")
    monkeypatch.setenv("LANGCHAIN_AUTOTRACE_CAPTURE_CONTENT", "false")
    with capture_traces(extra_tags={"a": "b"}) as traces:
        autolog(tracking_uri="http://127.0.0.1:1", experiment="production")
        with context(tags={"c": "d"}):
            STEP.invoke(1, config={"callbacks": [AutotraceHandler(extra_tags={"e": "f"})]})
        disable()
        STEP.invoke(2)
        with suppress():
            STEP.invoke(3)
        with pytest.raises(SettingsError, match="sample_rate=2"):
            autolog(sample_rate=2)
        assert flush(0.1).ok

    assert [(trace.root.inputs, trace.tags) for trace in traces] == [(1, {"a": "b", "c": "d"}), (2, {"a": "b"})]
    STEP.invoke(4)
    assert len(traces) == 2
    assert list(tmp_path.iterdir()) == []


def test_tracing_that_was_on(store: str, tmp_path: Path) -> None:
    """What autolog() had set before a capture holds again after it."""
    autolog(tracking_uri=store, shipper="external")
    with capture_traces() as traces:
        STEP.invoke(1)
    STEP.invoke(2)

    assert len(traces) == 1
    assert sum(path.read_text().count('["start"') for path in (tmp_path / "home").rglob("*.jsonl")) == 1


def test_settings_of_a_capture() -> None:
    """A capture takes the settings of autolog() that concern what is captured, and no others."""
    with capture_traces(redact=lambda value: "hidden" if value == "mine" else value) as traces:
        STEP.invoke("mine")
    assert (traces.one.root.inputs, traces.one.root.outputs) == ("hidden", "hidden")
    with pytest.raises(SettingsError, match="unknown setting"), capture_traces(color=1):  # type: ignore[call-arg]
        pass


def test_spans_of_mlflow() -> None:
    """Spans of MLflow's own API are in the same trace, as with autolog(), and MLflow stores nothing."""
    import mlflow

    @mlflow.trace(name="outer")
    def outer(value: int) -> Any:
        return STEP.invoke(value)

    with capture_traces() as traces:
        outer(1)
    traces.one.assert_tree("outer [UNKNOWN]\n  step [CHAIN]")
    assert not Path("mlflow.db").exists()


def test_a_program_without_mlflow(tmp_path: Path) -> None:
    """Capturing imports no MLflow, starts nothing, and leaves no file."""
    program = """
import sys
from langchain_autotrace.testing import capture_traces
from langchain_core.runnables import RunnableLambda
with capture_traces() as traces:
    RunnableLambda(str).invoke(1)
print(traces.one.tree(), sorted({"mlflow", "vcr", "pytest", "sqlalchemy"} & set(sys.modules)))
"""
    env = {**os.environ, "LANGCHAIN_AUTOTRACE_HOME": str(tmp_path / "home")}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=PATIENCE)

    assert (done.stdout, done.stderr) == ("str [CHAIN] []\n", "")
    assert list(tmp_path.iterdir()) == []


def test_the_fixture(run: Run) -> None:
    """Each test has its own traces, in every process, and the report of one that fails shows their trees."""
    test = """
    from langchain_core.runnables import RunnableLambda
    @pytest.mark.parametrize("number", range(4))
    def test_a(number, traces):
        RunnableLambda(str, name=f"run {number}").invoke(number)
        assert [trace.root.name for trace in traces] == [f"run {number}"]
        assert number != 2
    """
    result = run(test)

    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["*- traces -*", "run 2 [[]CHAIN[]]"])


KEY = "sk-proj-" + "Q7w8E9r0" * 6
DATA = re.compile(r'<script type="application/json" class="trace"[^>]*>(.*?)</script>', re.DOTALL)


def data_of(page: str) -> list[Any]:
    """The data of the traces in a page."""
    return [json.loads(text) for text in DATA.findall(page)]


def test_a_page() -> None:
    """Captured traces become one page for the browser, without secrets, and without content where that is wanted."""
    with capture_traces() as traces:
        weather_agent()
        STEP.with_config(run_name="second").invoke(f"my key is {KEY}")

    agents, second = data_of(traces.to_html())
    assert [span["name"] for span in agents["spans"]][:3] == ["LangGraph", "model", "Model"]
    assert agents["trace"]["tokens"]["total"] == 10
    assert second["spans"][0]["inputs"] == "my key is [REDACTED]"
    assert data_of(traces[1].to_html()) == [second]
    (bare,) = data_of(traces[1].to_html(content=False))
    assert (bare["spans"][0]["name"], bare["spans"][0]["inputs"]) == ("second", None)


def test_pages_of_tests(run: Run, pytester: pytest.Pytester) -> None:
    """`--trace-html` writes a page for each test that has traces, failed or not, in any process, without secrets."""
    test = f"""
    from langchain_core.runnables import RunnableLambda
    class TestIn:
        @pytest.mark.parametrize("number", range(2))
        def test_a(self, number, traces):
            RunnableLambda(str, name=f"run {{number}}").invoke("my key is {KEY}")
            assert not number
    def test_without_traces(traces):
        pass
    def test_without_the_fixture():
        pass
    """
    result = run(test, "--trace-html=pages/new", "-p", "xdist", "-n", "1")

    result.assert_outcomes(passed=3, failed=1)
    pages = sorted((pytester.path / "pages" / "new").iterdir())
    assert [re.sub("-[0-9a-f]{8}", "", page.name) for page in pages] == [
        f"test_it.TestIn.test_a_{number}_.html" for number in range(2)
    ]
    texts = [page.read_text() for page in pages]
    assert [[one["trace"]["name"] for one in data_of(text)] for text in texts] == [["run 0"], ["run 1"]]
    assert not any(KEY in text for text in texts)
    result.stdout.fnmatch_lines(["*- traces -*", "run 1 [[]CHAIN[]]", f"page: {pages[1]}"])


def test_a_folder_for_pages_that_cannot_be_written(run: Run, pytester: pytest.Pytester) -> None:
    """Where the folder cannot be made no test runs; a page that cannot be written changes no outcome."""
    (pytester.path / "file").write_text("")
    assert run("def test_a(): pass", "--trace-html=file/pages").ret == pytest.ExitCode.USAGE_ERROR
    test = """
    from langchain_core.runnables import RunnableLambda
    @pytest.mark.parametrize("number", range(2))
    def test_a(number, traces):
        RunnableLambda(str).invoke(1)
        os.path.exists("pages") and os.rmdir("pages")
        assert number
    """
    result = run(test, "--trace-html=pages")

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["The page was not written: *pages*"])

"""Which trace is whose: ``context()``, ``last_trace_id()`` and ``trace_id()`` in threads and tasks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any
from uuid import UUID, uuid4, uuid5

import mlflow
import pytest
from langchain_core.runnables import RunnableLambda as TypedLambda

import langchain_autotrace
from langchain_autotrace import context, last_trace_id, trace_id
from tests.support import deliver, observed, spans_named, stored

RunnableLambda: Any = TypedLambda
"""Its generic types say nothing of these programs."""


async def _slowly(x: Any) -> Any:
    await asyncio.sleep(0.01 * (3 - x))
    return x


echo: Any = RunnableLambda(lambda x: x, name="echo")
slow: Any = RunnableLambda(_slowly, name="slow")
steps: Any = slow | RunnableLambda(_slowly, name="again")


@pytest.fixture(autouse=True)
def tracing(store: str) -> str:
    """Tracing is on; the store."""
    langchain_autotrace.autolog(tracking_uri=store, shipper="external")
    return store


def inputs_by_id(uri: str) -> dict[str, Any]:
    """The inputs of the roots of all stored traces, by the traces' ids."""
    deliver()
    roots = {trace.info.trace_id: next(one for one in trace.data.spans if not one.parent_id) for trace in stored(uri)}
    return {trace: root.inputs for trace, root in roots.items()}


def test_last_trace_of_each_request(tracing: str) -> None:
    """Requests that are served at the same time, each in a task of its own, each find their own last trace."""

    async def request(number: int) -> tuple[int, str | None]:
        await steps.ainvoke(number)
        return number, last_trace_id()

    async def serve() -> list[tuple[int, str | None]]:
        return await asyncio.gather(*(request(number) for number in range(3)))

    found = asyncio.run(serve())
    assert {trace: number for number, trace in found} == inputs_by_id(tracing)


def test_last_trace_after_an_event_loop(tracing: str) -> None:
    """Outside of tasks the last trace is the one that finished last in the thread, in a task or not."""
    echo.invoke(1)
    asyncio.run(slow.ainvoke(2))
    assert inputs_by_id(tracing)[str(last_trace_id())] == 2


def test_last_trace_of_a_task_that_has_none() -> None:
    """A task that has traced nothing finds the last trace of the task that has started it."""

    async def other() -> None:
        await slow.ainvoke(0)

    async def program() -> tuple[str | None, str | None]:
        await slow.ainvoke(1)
        mine = last_trace_id()
        inherited = await asyncio.create_task(_get())
        await asyncio.create_task(other())
        return mine, inherited

    async def _get() -> str | None:
        return last_trace_id()

    mine, inherited = asyncio.run(program())
    assert mine == inherited is not None


def test_traces_that_started_in_a_block(tracing: str) -> None:
    """A block gives the traces that started in it, in order; an enclosing block those of the inner ones too."""
    echo.invoke(0)
    with context(session_id="s") as outer:
        echo.invoke(1)
        with context(user_id="u") as inner:
            echo.invoke(2)
            with mlflow.start_span("span") as span:
                span.set_inputs(3)
                echo.invoke(4)
        echo.invoke(5)
    echo.invoke(6)

    inputs = inputs_by_id(tracing)
    assert [inputs[one] for one in outer.ids] == [1, 2, 3, 5]
    assert [inputs[one] for one in inner.ids] == [2, 3]


def test_traces_of_tasks_and_threads(tracing: str) -> None:
    """Traces of tasks that a block starts, and of threads that run in a copy of its context, are the block's."""

    async def many() -> None:
        await asyncio.gather(*(slow.ainvoke(number) for number in range(3)))

    with context() as traces:
        asyncio.run(many())
        echo.batch([3, 4])
        with ThreadPoolExecutor(2) as pool:
            for number in (5, 6):
                pool.submit(copy_context().run, echo.invoke, number)
        asyncio.run(_in_thread(lambda: echo.invoke(7)))

    inputs = inputs_by_id(tracing)
    assert sorted(inputs[one] for one in traces.ids) == list(range(8))


async def _in_thread(work: Callable[[], Any]) -> None:
    await asyncio.to_thread(work)


def test_traces_that_are_left_out(tracing: str) -> None:
    """A block does not give traces that are left out."""
    with context() as traces, langchain_autotrace.suppress():
        echo.invoke(1)
    assert traces.ids == []


@pytest.mark.parametrize("run_id", [uuid4(), uuid5(UUID(int=1), "order 7"), UUID(int=7)])
def test_trace_of_a_known_run_id(run_id: UUID, tracing: str) -> None:
    """The trace of a run that the program gives an id has the id that ``trace_id()`` says, in MLflow's API too."""
    asyncio.run(steps.ainvoke(2, {"run_id": run_id}))

    assert last_trace_id() == trace_id(run_id) == trace_id(str(run_id))
    deliver()
    (trace,) = stored(tracing)
    assert trace.info.trace_id == trace_id(run_id)
    (root,) = spans_named(trace, "RunnableSequence")
    assert root.get_attribute("langchain.run_id") == str(run_id)


def test_trace_id_of_no_uuid() -> None:
    """What is no run id is an error."""
    with pytest.raises(ValueError, match="badly formed"):
        trace_id("order 7")


def in_tasks(run_id: UUID) -> None:
    """Run the steps three times at once, in tasks."""

    async def program() -> None:
        await asyncio.gather(*(steps.ainvoke(number, {"run_id": run_id}) for number in range(3)))

    asyncio.run(program())


def in_threads(run_id: UUID) -> None:
    """Run the steps three times at once, in threads."""
    barrier = threading.Barrier(3)

    def work(number: int) -> None:
        barrier.wait()
        asyncio.run(steps.ainvoke(number, {"run_id": run_id}))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def in_turns(run_id: UUID) -> None:
    """Read three streams of the steps in turns."""
    whole: Any = RunnableLambda(lambda x: x, name="slow") | RunnableLambda(lambda x: x, name="again")
    streams = [whole.stream(number, {"run_id": run_id}) for number in range(3)]
    for _ in range(2):
        for stream in streams:
            next(stream, None)


def one_after_another(run_id: UUID) -> None:
    """Run the steps three times."""
    for number in range(3):
        asyncio.run(steps.ainvoke(number, {"run_id": run_id}))


@pytest.mark.parametrize("program", [in_tasks, in_threads, in_turns, one_after_another])
def test_one_run_id_for_several_runs(program: Callable[[UUID], None], tracing: str) -> None:
    """Runs that were all given one id are each a whole trace, with its own steps, inputs and outputs."""
    program(run_id := uuid4())

    deliver()
    traces = stored(tracing)
    assert len({trace.info.trace_id for trace in traces}) == 3
    assert trace_id(run_id) in {trace.info.trace_id for trace in traces}
    seen = []
    for trace in traces:
        root = next(span for span in trace.data.spans if span.parent_id is None)
        assert sorted(span.name for span in trace.data.spans) == ["RunnableSequence", "again", "slow"]
        assert {span.parent_id for span in trace.data.spans} == {None, root.span_id}
        assert [(span.inputs, span.outputs) for span in trace.data.spans] == [(root.inputs, root.inputs)] * 3
        seen.append(root.inputs)
    assert sorted(seen) == [0, 1, 2]


def test_a_run_within_that_has_the_id_of_another(tracing: str) -> None:
    """Steps that the program gives one id, or that of the run around them, are spans of their own below it."""
    run_id = uuid4()

    def again(x: int) -> int:
        for other in (uuid_of_step, uuid_of_step, run_id):
            echo.invoke(x, {"run_id": other})
        return x

    uuid_of_step = uuid4()
    with observed() as observer:
        RunnableLambda(again, name="again").invoke(1, {"run_id": run_id})
    deliver()
    (trace,) = stored(tracing)
    (outer,) = spans_named(trace, "again")
    assert [(span.parent_id, span.inputs) for span in spans_named(trace, "echo")] == [(outer.span_id, 1)] * 3
    assert len(observer.runs) == len(trace.data.spans) == 4

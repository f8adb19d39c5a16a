"""What reads or changes the current trace works inside a run as inside a span of MLflow's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import pytest
from langchain_core.runnables import RunnableConfig
from mlflow.entities import SpanType, TraceState
from mlflow.tracing.constant import TraceMetadataKey

import langchain_autotrace
from tests.bridge.programs import helper, step
from tests.bridge.support import drawn, run

if TYPE_CHECKING:
    from mlflow.entities import LiveSpan, Span, Trace


def only(traces: list[Trace]) -> Trace:
    """The one trace there is."""
    assert len(traces) == 1
    return traces[0]


def span_of(trace: Trace, name: str) -> Span:
    """The one span of that name."""
    (found,) = [span for span in trace.data.spans if span.name == name]
    return found


def event(name: str, **attributes: str) -> Any:
    """One of MLflow's span events, which its types call abstract."""
    kind: Any = mlflow.entities.SpanEvent
    return kind(name, attributes=attributes)


def active() -> LiveSpan:
    """The current span, which is there."""
    span = mlflow.get_current_active_span()
    assert span is not None
    return span


def change_the_span() -> None:
    """Change all of a run's span that can be changed."""

    def work(value: Any) -> Any:
        span = active()
        assert (span.name, span.span_type, span.parent_id) == ("work", "CHAIN", None)
        assert span is mlflow.get_current_active_span()
        span.set_attribute("plain", "text")
        span.set_attributes({"nested": {"a": [1, None]}, "nan": float("nan")})
        span.add_event(event("noticed", what="it"))
        span.set_span_type(SpanType.GUARDRAIL)
        span.set_outputs({"instead": value})
        return value

    step("work", work).invoke(1)


def test_attributes_events_type_and_outputs(store: str, tmp_path: Path) -> None:
    """Set on the current span inside a run, they are the run's."""
    span = span_of(only(run(change_the_span, store, tmp_path)), "work")

    assert span.get_attribute("plain") == "text"
    assert span.get_attribute("nested") == {"a": [1, None]}
    assert span.span_type == "GUARDRAIL"
    assert (span.inputs, span.outputs) == (1, {"instead": 1})
    assert [(event.name, event.attributes) for event in span.events] == [("noticed", {"what": "it"})]
    assert span.status.status_code.value == "OK"


def set_statuses() -> None:
    """Set the statuses of runs that return."""

    def record(value: Any) -> Any:
        active().record_exception(ValueError("recorded"))
        return value

    def mark(value: Any) -> Any:
        active().set_status("ERROR")
        active().set_inputs("as the program says")
        return value

    (step("record", record) | step("mark", mark)).invoke(1)


def test_statuses(store: str, tmp_path: Path) -> None:
    """A run that returns has the status that the program gave it; the runs above it are as they were."""
    trace = only(run(set_statuses, store, tmp_path))

    recorded, marked = span_of(trace, "record"), span_of(trace, "mark")
    assert drawn(trace) == "RunnableSequence\n  record ERROR\n  mark ERROR"
    assert recorded.status.description == "ValueError: recorded"
    assert [event.name for event in recorded.events] == ["exception"]
    assert recorded.events[0].attributes["exception.message"] == "recorded"
    assert marked.inputs == "as the program says"
    assert trace.info.state is TraceState.OK


def change_the_trace() -> None:
    """Change all of the trace that can be changed."""

    def work(value: Any) -> Any:
        mlflow.update_current_trace(
            tags={"who": "me", "number": 1},  # type: ignore[dict-item] # MLflow makes it a text
            metadata={"build": "7"},
            client_request_id="request-1",
            request_preview="asked",
            response_preview="answered",
            state="ERROR",
            session_id="session-1",
            user="ada",
        )
        mlflow.set_trace_tag(mlflow.get_active_trace_id() or "", "later", "yes")
        return value

    chain = step("first", work) | step("second")
    chain.invoke(1)
    with mlflow.start_span("outer"):
        chain.invoke(2)


def test_the_trace(store: str, tmp_path: Path) -> None:
    """``update_current_trace`` and ``set_trace_tag`` change the trace, whoever began it."""
    for trace in run(change_the_trace, store, tmp_path, extra_tags={"of": "autolog"}):
        info = trace.info
        assert {key: info.tags.get(key) for key in ("who", "number", "later", "of")} == {
            "who": "me",
            "number": "1",
            "later": "yes",
            "of": "autolog",
        }
        assert info.tags["mlflow.traceName"] in {"RunnableSequence", "outer"}
        assert info.trace_metadata["build"] == "7"
        assert info.trace_metadata[TraceMetadataKey.TRACE_SESSION] == "session-1"
        assert info.trace_metadata[TraceMetadataKey.TRACE_USER] == "ada"
        assert (info.client_request_id, info.request_preview, info.response_preview) == (
            "request-1",
            "asked",
            "answered",
        )
        assert info.state is TraceState.ERROR
        assert trace.data.spans[0].status.status_code.value == "OK"


def ask_for_ids() -> None:
    """Ask for the ids of traces, wherever there is one."""
    seen: dict[str, Any] = {}

    def work(value: Any) -> Any:
        seen["inside"] = mlflow.get_active_trace_id()
        with mlflow.start_span("span") as span:
            seen["span"] = span.trace_id
        return value

    assert mlflow.get_active_trace_id() is None
    step("work", work).invoke(1)
    assert mlflow.get_active_trace_id() is None
    last = langchain_autotrace.last_trace_id()
    assert last is not None
    assert seen == {"inside": last, "span": last}
    assert mlflow.get_last_active_trace_id() == last
    assert mlflow.get_last_active_trace_id(thread_local=True) == last
    with mlflow.start_span("later") as span:
        pass
    assert mlflow.get_last_active_trace_id() == langchain_autotrace.last_trace_id() == span.trace_id
    mlflow.flush_trace_async_logging()
    for trace_id in (last, span.trace_id):
        trace = mlflow.get_trace(trace_id)
        assert trace is not None
        assert trace.info.trace_id == trace_id
    assert {trace.info.trace_id for trace in mlflow.search_traces(return_type="list")} == {last, span.trace_id}


def test_ids(store: str, tmp_path: Path) -> None:
    """MLflow and this package agree which trace is the current one and which was the last."""
    assert len(run(ask_for_ids, store, tmp_path)) == 2


def say_whose_traces() -> None:
    """Say it in MLflow's way and in ours."""
    with mlflow.tracing.context(session_id="s", user="u", tags={"a": "1"}, metadata={"b": "2"}):
        step("chain", helper).invoke(1)
        helper(2)
    with langchain_autotrace.context(session_id="s", user_id="u", tags={"a": "1"}, metadata={"b": "2"}):
        step("chain", helper).invoke(3)
        helper(4)


def test_context(store: str, tmp_path: Path) -> None:
    """What either package's ``context()`` says holds for the traces of both."""
    traces = run(say_whose_traces, store, tmp_path)

    assert len(traces) == 4
    for trace in traces:
        metadata = trace.info.trace_metadata
        assert (trace.info.tags["a"], metadata["b"]) == ("1", "2")
        assert metadata[TraceMetadataKey.TRACE_SESSION] == "s"
        assert metadata[TraceMetadataKey.TRACE_USER] == "u"


def change_after_the_end() -> None:
    """Keep the span of a run, and change it when the run has ended."""
    kept: list[Any] = []

    def work(value: Any) -> Any:
        kept.append(active())
        return value

    step("work", work).invoke(1)
    kept[0].set_attribute("late", 1)
    kept[0].end()


def test_changes_after_the_end(store: str, tmp_path: Path) -> None:
    """A span whose run has ended takes no more changes, and raises nothing."""
    span = span_of(only(run(change_after_the_end, store, tmp_path)), "work")

    assert span.get_attribute("late") is None


def change_in_a_stream() -> None:
    """Change the span of a step whose inputs come with its end, and one that is abandoned."""

    def work(value: Any, config: RunnableConfig) -> Any:
        active().set_attribute("k", str(value))
        return value

    list((step("first", work) | step("second", work)).stream("a"))


def test_changes_in_a_stream(store: str, tmp_path: Path) -> None:
    """A streamed step keeps its inputs and outputs beside what the program has set."""
    trace = only(run(change_in_a_stream, store, tmp_path))

    for name in ("first", "second"):
        span = span_of(trace, name)
        assert (span.inputs, span.outputs, span.get_attribute("k")) == ("a", "a", "a")


SECRET = "sk-" + "Sw0rdfish" * 4


def set_secrets() -> None:
    """Put secrets wherever MLflow's API takes a text."""

    def work(value: Any) -> Any:
        active().set_attribute("note", f"the key is {SECRET}")
        active().set_attribute("api_key", "hunter2-hunter2")
        active().add_event(event("said", what=SECRET))
        mlflow.update_current_trace(tags={"t": SECRET}, metadata={"m": SECRET}, request_preview=f"p {SECRET}")
        with mlflow.start_span("span", attributes={"password": "hunter2-hunter2"}) as span:
            span.set_inputs({"key": SECRET, "api_key": "hunter2-hunter2"})
            span.set_outputs(f"bearer {SECRET}")
        return value

    step("work", work).invoke(1)


def test_secrets(store: str, tmp_path: Path) -> None:
    """What MLflow's API is given is scrubbed like what LangChain shows: no secret reaches the store or the journal."""
    trace = only(run(set_secrets, store, tmp_path))

    assert drawn(trace) == "work\n  span"
    everything = trace.to_json() + "".join(path.read_bytes().decode() for path in (tmp_path / "home").rglob("*.jsonl"))
    assert SECRET not in everything
    assert "hunter2" not in everything
    assert span_of(trace, "span").inputs["api_key"] == "[REDACTED]"


def say_things() -> None:
    """Say something wherever MLflow's API takes it."""

    def work(value: Any) -> Any:
        active().set_attribute("note", "said it")
        active().set_outputs("said it")
        mlflow.update_current_trace(request_preview="said it", tags={"kind": "kept"})
        with mlflow.start_span("span", attributes={"note": "said it"}) as span:
            span.set_inputs("said it")
            span.add_event(event("e", what="said it"))
            span.record_exception(ValueError("said it"))
        return value

    step("work", work).invoke("said it")


def test_content_off(store: str, tmp_path: Path) -> None:
    """Without content nothing that was said is kept of MLflow's spans either; names, types and statuses are."""
    trace = only(run(say_things, store, tmp_path, capture_content=False))

    assert drawn(trace) == "work\n  span ERROR"
    assert "said it" not in trace.to_json()
    assert trace.info.tags["kind"] == "kept"
    assert span_of(trace, "span").events[-1].attributes == {"exception.type": "ValueError"}


def hook(value: Any) -> Any:
    """Keep nothing."""
    return "kept nothing"


def test_the_hook(store: str, tmp_path: Path) -> None:
    """The user's hook sees what MLflow's spans hold."""
    trace = only(run(say_things, store, tmp_path, redact=hook))

    assert "said it" not in trace.to_json()
    assert span_of(trace, "span").inputs == "kept nothing"


def set_odd_values() -> None:
    """Give MLflow's spans values that are not JSON."""
    with mlflow.start_span("span") as span:
        span.set_inputs({"nan": float("nan"), "surrogate": "\ud800", "huge": 10**30, "object": object(), 1: {2, 3}})
        span.set_outputs(b"\xff")


def test_odd_values(store: str, tmp_path: Path) -> None:
    """They lose no span."""
    trace = only(run(set_odd_values, store, tmp_path))

    inputs = span_of(trace, "span").inputs
    assert inputs["huge"] == 10**30 or str(10**30) in str(inputs["huge"])
    assert "object" in inputs["object"]


def vast() -> None:
    """Give a span ten million characters."""
    with mlflow.start_span("span") as span:
        span.set_inputs("x" * 10_000_000)


@pytest.mark.parametrize("limit", [10_000])
def test_vast_values(store: str, tmp_path: Path, limit: int) -> None:
    """They are cut, with their size noted."""
    span = span_of(only(run(vast, store, tmp_path, max_value_bytes=limit)), "span")

    assert len(span.inputs) <= limit
    assert int(span.get_attribute("langchain_autotrace.truncated.inputs") or 0) > 10_000_000

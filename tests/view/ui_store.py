"""A store with traces of some days to look at, written as the shipper writes them."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from typing import Any, Final

from langchain_autotrace.records import TraceContext
from langchain_autotrace.semconv import Attr
from langchain_autotrace.ship.mlflow_sink import MlflowSink
from langchain_autotrace.trace.spans import Event, Span, Trace

MODELS: Final = ("gpt-4o-mini-2024-07-18", "claude-sonnet-4-5")
HOUR_MS: Final = 3_600_000
TURNS: Final = (
    ("What is a trace?", "A trace is **everything** that one request did, as a tree of spans."),
    ("And what is a span?", "One step of it:\n\n- a name\n- a start and an end\n- what went in and came out"),
    ("Can you show one?", "`ask` → `ChatOpenAI`, 1.2 s, 240 tokens."),
)
_ids = itertools.count(1)


def _span_id() -> str:
    return hashlib.sha256(str(next(_ids)).encode()).hexdigest()[:16]


def make_span(name: str, start_ms: float, ms: float, parent: Span | None = None, **more: Any) -> Span:
    """A span of plain values; ``start_ms`` is since the Unix epoch."""
    start_ns = int(start_ms * 1_000_000)
    error = more.pop("error", None)
    outputs = more.pop("outputs", None)
    events = [Event("exception", start_ns, {"exception.type": "ValueError", "exception.message": error})]
    return Span(
        trace_id="",
        span_id=_span_id(),
        parent_id=None if parent is None else parent.span_id,
        name=name,
        type=more.pop("type", "CHAIN"),
        start_ns=start_ns,
        end_ns=start_ns + int(ms * 1_000_000),
        status="ERROR" if error else "OK",
        message=error or "",
        inputs=[more.pop("inputs", None)],
        outputs=None if outputs is None else [outputs],
        attributes=more.pop("attributes", {}),
        events=events if error else [],
        links=[],
    )


def model_call(parent: Span, start_ms: float, ms: float, asked: str, said: str, model: str = MODELS[0]) -> Span:
    """A chat model's call whose price is given."""
    tokens = {"input_tokens": 200 + len(asked), "output_tokens": len(said)}
    cost = {"input_cost": tokens["input_tokens"] * 2e-6, "output_cost": tokens["output_tokens"] * 8e-6}
    return make_span(
        "ChatOpenAI" if model == MODELS[0] else "ChatAnthropic",
        start_ms,
        ms,
        parent,
        type="CHAT_MODEL",
        inputs={"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": asked}]},
        outputs={"choices": [{"index": 0, "message": {"role": "assistant", "content": said}}]},
        attributes={
            Attr.MODEL: model,
            Attr.TOKEN_USAGE: {**tokens, "total_tokens": sum(tokens.values())},
            Attr.COST: {**cost, "total_cost": sum(cost.values())},
            Attr.MESSAGE_FORMAT: "langchain",
            Attr.TIME_TO_FIRST_TOKEN: ms / 4000,
        },
    )


def make_trace(*spans: Span, experiment: str = "support", tags: dict[str, str] | None = None) -> Trace:
    """A trace of spans, of which the first is the root."""
    trace_id = hashlib.sha256(spans[0].span_id.encode()).hexdigest()[:32]
    context = TraceContext(experiment=experiment, experiment_id=None, tags=tags or {}, metadata={})
    owned = [span._replace(trace_id=trace_id) for span in spans]
    return Trace(trace_id, None, owned[0], owned, context, {}, (), {}, ())


def turn(start_ms: float, asked: str, said: str, *, session: str, user: str, model: str = MODELS[0]) -> Trace:
    """A turn of a chat."""
    ms = 400 + 9 * len(said)
    root = make_span(
        "support_chat",
        start_ms,
        ms,
        inputs={"messages": [{"role": "user", "content": asked}]},
        outputs={"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]},
        attributes={Attr.SESSION: session, Attr.USER: user, Attr.RUN_ID: "r"},
    )
    call = model_call(root, start_ms + 20, ms - 40, asked, said, model)
    return make_trace(root, call, tags={"release": "2.1"})


def agent(start_ms: float, city: str, *, fails: bool = False) -> Trace:
    """An agent that calls a tool, which may fail."""
    error = f"no such city: {city}" if fails else None
    asked, said = f"How warm is it in {city}?", f"It is 24 degrees in {city}."
    root = make_span(
        "weather_agent",
        start_ms,
        900 + 10 * len(city),
        type="AGENT",
        inputs={"messages": [{"role": "user", "content": asked}]},
        outputs=None if fails else {"messages": [{"role": "assistant", "content": said}]},
        error=error,
        attributes={Attr.RUN_ID: "r"},
    )
    first = model_call(root, start_ms + 10, 300, asked, "I look it up.", MODELS[1])
    tool = make_span(
        "weather", start_ms + 320, 120, root, type="TOOL", inputs={"city": city}, outputs="24 degrees", error=error
    )
    last = () if fails else (model_call(root, start_ms + 460, 380, asked, said, MODELS[1]),)
    return make_trace(root, first, tool, *last, experiment="agents", tags={"team": "north"})


def some_days(now_ms: int) -> Iterator[Trace]:
    """Traces of three days: chats with three turns, an agent that fails now and then."""
    cities = ("Lisbon", "Oslo", "Atlantis", "Porto", "Bergen")
    for number in range(24):
        start_ms = now_ms - number * 3 * HOUR_MS - 120_000
        city = cities[number % len(cities)]
        yield agent(start_ms, city, fails=city == "Atlantis")
        for at, (asked, said) in enumerate(TURNS):
            if number % 3 == 0:
                user = "ada" if number % 2 else "grace"
                yield turn(start_ms + at * 40_000, asked, said, session=f"thread-{number:02}", user=user)


def write(uri: str, *traces: Trace) -> None:
    """Store traces."""
    sink = MlflowSink(uri)
    sink.write(traces)

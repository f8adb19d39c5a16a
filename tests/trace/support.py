"""Records of spans, and the traces that they make."""

from __future__ import annotations

from types import EllipsisType
from typing import Any, Final

from langchain_autotrace.records import (
    ModelForm,
    ModelSeen,
    ProcessInfo,
    Record,
    SpanEnd,
    SpanEvent,
    SpanStart,
    TraceContext,
    TraceFile,
)
from langchain_autotrace.trace.join import JoinedTrace, Joiner
from langchain_autotrace.trace.spans import Span, trace_of

SECOND: Final = 1_000_000_000
BEGIN: Final = 1_767_225_600 * SECOND
INFO: Final = ProcessInfo(
    pid=7, host="host", started_ns=1_000, user="ada", source="program.py", folder="/work", package="0.1.0"
)
CONTEXT: Final = TraceContext(experiment="e", experiment_id=None, tags={"team": "a"}, metadata={"build": "9"})


def trace_id(number: int) -> str:
    """The id of the ``number``-th trace."""
    return f"{number:032x}"


def span_id(number: int) -> str:
    """The id of a span."""
    return f"{number:016x}"


def time_at(seconds: float) -> int:
    """The time that many seconds after the first."""
    return BEGIN + round(seconds * SECOND)


def start(
    trace: int,
    span: int,
    parent: int | None = None,
    *,
    at: float = 0,
    kind: str = "chain",
    name: str | EllipsisType | None = ...,
    run_id: str | None = None,
    tags: list[str] | None = None,
    inputs: list[Any] | EllipsisType | None = ...,
    context: TraceContext | EllipsisType | None = ...,
    **details: Any,
) -> SpanStart:
    """The start of a span, ``at`` seconds after the first; a root when it has no parent."""
    return SpanStart(
        trace_id=trace_id(trace),
        span_id=span_id(span),
        parent_id=None if parent is None else span_id(parent),
        time_ns=time_at(at),
        kind=kind,
        name=f"span {span}" if name is ... else name,
        run_id=run_id,
        tags=tags,
        context=(CONTEXT if parent is None else None) if context is ... else context,
        inputs=[f"inputs {span}"] if inputs is ... else inputs,
        details=details,
    )


def event(trace: int, span: int, name: str = "event", *, at: float = 0, **details: Any) -> SpanEvent:
    """Something that happened in a span."""
    return SpanEvent(trace_id(trace), span_id(span), time_at(at), name, details)


def file(trace: int, file_id: str, content: str) -> TraceFile:
    """A file that values of a trace refer to."""
    return TraceFile(trace_id(trace), file_id, content)


def end(
    trace: int, span: int, *, at: float = 1, outputs: list[Any] | EllipsisType | None = ..., **details: Any
) -> SpanEnd:
    """The end of a span."""
    given = [f"outputs {span}"] if outputs is ... else outputs
    return SpanEnd(trace_id(trace), span_id(span), time_at(at), given, details)


def error(*classes: str, message: str = "", stack: str | None = None) -> dict[str, Any]:
    """What is known of an exception of these classes."""
    facts: dict[str, Any] = {"classes": [*classes, "Exception", "BaseException"], "message": message}
    return facts if stack is None else {**facts, "stack": stack}


def failed(trace: int, span: int, facts: dict[str, Any], *, at: float = 1, **details: Any) -> SpanEnd:
    """The end of a span that an exception has left."""
    return end(trace, span, at=at, outputs=None, error=facts, **details)


CLOSED: Final = {"classes": ["GeneratorExit", "BaseException"], "message": ""}
CANCELLED: Final = {"classes": ["asyncio.exceptions.CancelledError", "BaseException"], "message": "", "stack": "s"}
_STEERING: Final = ("langgraph.errors.GraphBubbleUp", "Exception", "BaseException")
STEERED: Final = {"classes": ["langgraph.errors.ParentCommand", *_STEERING], "message": "Command()"}
PAUSED: Final = {"classes": ["langgraph.errors.GraphInterrupt", *_STEERING], "message": "(Interrupt(value='why?'),)"}


def model_seen(trace: int) -> ModelSeen:
    """A chain that is to be logged as a model."""
    form: ModelForm = {
        "name": "chain",
        "steps": [],
        "chain": {},
        "problems": [],
        "left_out": [],
        "secrets": [],
        "packages": [],
        "params": {},
        "example": None,
        "signature": None,
        "code": None,
        "code_paths": [],
        "search_path": [],
        "registered_model_name": None,
        "tags": {},
    }
    return ModelSeen(trace_id(trace), "0" * 64, form)


def whole(trace: int, spans: int = 2) -> list[Record]:
    """The records of a trace of a root and its children."""
    children = range(2, spans + 1)
    return [
        start(trace, 1),
        *(start(trace, child, 1) for child in children),
        *(end(trace, child) for child in children),
        end(trace, 1),
    ]


def joiner(*records: Record, now: float = 0.0) -> Joiner:
    """A joiner that has got the records."""
    made = Joiner()
    for record in (INFO, *records):
        made.add(record, now)
    return made


def joined(*records: Record) -> JoinedTrace:
    """The one trace that the records make; what is open at the end of them was lost with the process."""
    made = joiner(*records)
    (trace,) = made.take(0.0) or made.finish()
    return trace


def spans_of(*records: Record) -> list[Span]:
    """The spans of that trace."""
    return trace_of(joined(*records)).spans


def span(trace: int, number: int, parent: int | None = None, **fields: Any) -> Span:
    """The span that a ``start`` and an ``end`` of these numbers make, but for other ``fields``."""
    made = Span(
        trace_id=trace_id(trace),
        span_id=span_id(number),
        parent_id=None if parent is None else span_id(parent),
        name=f"span {number}",
        type="CHAIN",
        start_ns=time_at(0),
        end_ns=time_at(1),
        status="OK",
        message="",
        inputs=[f"inputs {number}"],
        outputs=[f"outputs {number}"],
        attributes={},
        events=[],
        links=[],
    )
    return made._replace(**fields)

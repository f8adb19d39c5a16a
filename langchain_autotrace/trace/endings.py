"""How each span of a trace ended: one rule for every kind of span.

Some of it only the trace as a whole shows. A graph that is interrupted returns, as its caller must; its node raises. A
synchronous stream that its consumer closes ends as if it had returned, while the runs that feed it are still open.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from langchain_autotrace.records import ErrorFacts, SpanEnd, SpanStart, TraceRecord
from langchain_autotrace.semconv import CANCELLED, CONTROL_FLOW, PAUSE, STREAM_CLOSED, Kind, Outcome, Status
from langchain_autotrace.trace.chat import text_of
from langchain_autotrace.trace.error_messages import status_text
from langchain_autotrace.trace.interrupts import asks

_LOST_CLASS: Final = "langchain_autotrace.ProcessEnded"
LOST: Final[ErrorFacts] = {"classes": [_LOST_CLASS], "message": "the process ended while this was running"}
"""Error of a span that was open when its process died."""

_INVALID_TOOL: Final = "invalid_tool"
"""Tool that an AgentExecutor runs in place of one that does not exist."""

IN_CLOSED_STREAM: Final = "in_closed_stream"
"""Detail of a start: the span is below a stream that its consumer closed, and that was delivered before."""


class Ending(NamedTuple):
    """How a span ended."""

    status: str
    """A value of :class:`~langchain_autotrace.semconv.Status`."""
    outcome: str | None = None
    """A value of :class:`~langchain_autotrace.semconv.Outcome`, if any."""
    message: str = ""
    """Text of the error; empty when ``status`` is OK."""
    is_pause: bool = False
    """Whether a graph was interrupted here, and not only steered."""


RETURNED: Final = Ending(Status.OK)
_CLOSED: Final = Ending(Status.OK, Outcome.ABANDONED)
_PAUSED: Final = Ending(Status.OK, Outcome.INTERRUPTED, is_pause=True)
_STEERED: Final = Ending(Status.OK, Outcome.INTERRUPTED)


def endings(records: Iterable[TraceRecord]) -> dict[str, Ending]:
    """Return how the spans of a trace ended, by their ids.

    Args:
        records: of the trace, in the order in which they were written.
    """
    starts: dict[str, SpanStart] = {}
    open_below: dict[str | None, int] = defaultdict(int)
    paused: set[str | None] = set()
    closed: set[str | None] = set()
    found: dict[str, Ending] = {}
    for record in records:
        if isinstance(record, SpanStart):
            open_below[record.parent_id] += record.span_id not in starts
            starts[record.span_id] = record
            if IN_CLOSED_STREAM in record.details:
                closed.add(record.parent_id)
        elif isinstance(record, SpanEnd):
            span_id, start = record.span_id, starts.get(record.span_id)
            parent_id = None if start is None else start.parent_id
            ending = _own(start, record)
            if ending is RETURNED and span_id in paused:
                ending = _PAUSED
            elif ending is RETURNED and _is_stream(start, record) and (open_below[span_id] or parent_id in closed):
                ending = _CLOSED
            elif ending is RETURNED and start is not None and start.details.get("resumes"):
                paused.discard(parent_id)  # the caller of a graph that has paused has resumed it
            found[span_id] = ending
            open_below[parent_id] -= 1
            if ending.is_pause:
                paused.add(parent_id)
            if ending.outcome == Outcome.ABANDONED:
                closed.add(span_id)
    return {span_id: _excused(ending, span_id, starts, closed) for span_id, ending in found.items()}


def closed_streams(records: Sequence[TraceRecord]) -> set[str]:
    """Return the ids of streams that their consumer has closed, and of the spans below, of one trace's records."""
    ids = {span_id for span_id, one in endings(records).items() if one.outcome == Outcome.ABANDONED}
    for record in records:  # parents start before their children
        if isinstance(record, SpanStart) and (record.parent_id in ids or IN_CLOSED_STREAM in record.details):
            ids.add(record.span_id)
    return ids


def ending_of_error(error: Mapping[str, Any]) -> Ending:
    """Return how an exception ends the run that it leaves.

    Args:
        error: :class:`~langchain_autotrace.records.ErrorFacts`.
    """
    classes: list[str] = error["classes"]
    if STREAM_CLOSED in classes:
        return _CLOSED
    if CONTROL_FLOW in classes:
        return _PAUSED if PAUSE in classes else _STEERED
    if classes == [_LOST_CLASS]:
        return Ending(Status.ERROR, Outcome.LOST, str(error["message"]))
    return Ending(Status.ERROR, None if CANCELLED.isdisjoint(classes) else Outcome.CANCELLED, status_text(error))


def _own(start: SpanStart | None, end: SpanEnd) -> Ending:
    """Return how a span ended by what its own records say."""
    details = end.details
    if "error" in details:
        ending = ending_of_error(details["error"])
    elif "status" in details:  # a span of MLflow's
        ending = RETURNED if details["status"] == Status.OK else Ending(Status.ERROR, None, details.get("message", ""))
    elif start is not None and start.kind == Kind.TOOL and (text := _tool_error(start, end)) is not None:
        ending = Ending(Status.ERROR, None, text)
    else:
        ending = _PAUSED if asks(start, end) else RETURNED
    changes = details.get("changes")
    if changes and changes.get("status") == Status.ERROR and ending.status == Status.OK:
        return ending._replace(status=Status.ERROR, message=changes.get("message", ""))
    return ending


def _tool_error(start: SpanStart, end: SpanEnd) -> str | None:
    """Return what a tool said when it answered with an error; None when it did not.

    It says so in a ``ToolMessage``, or in a ``Command`` that updates a graph's messages with one.
    """
    if (end.details.get("facts") or {}).get("status") == "error":
        message = end.outputs[0] if end.outputs else None
        return text_of(message.get("content")) if isinstance(message, dict) else ""
    if start.details.get("class") == _INVALID_TOOL:
        return text_of(end.outputs[0]) if end.outputs else ""
    call_id = start.details.get("tool_call_id")
    for message in tool_messages(end.outputs[0] if end.outputs else None):
        if message.get("status") == "error" and call_id in (None, message.get("tool_call_id")):
            return text_of(message.get("content"))
    return None


def tool_messages(output: object) -> Iterator[Mapping[str, Any]]:
    """Yield the tool messages of a tool's output: itself, or those of a ``Command``, or of a list of both."""
    if isinstance(output, list):
        for one in output:
            yield from tool_messages(one)
    elif isinstance(output, dict) and output.get("type") == "tool":
        yield output
    elif isinstance(output, dict) and "goto" in output:
        update = output.get("update")
        for value in update.values() if isinstance(update, dict) else [update]:  # else a list of keys and values
            yield from tool_messages(value)


def _is_stream(start: SpanStart | None, end: SpanEnd) -> bool:
    """Return whether a run streamed: its inputs came with its end."""
    return "inputs" in end.details and (start is None or start.kind != Kind.SPAN)


def _excused(ending: Ending, span_id: str, starts: Mapping[str, SpanStart], closed: set[str | None]) -> Ending:
    """Return the ending; where closing a stream has cancelled what was below it, that is no error."""
    if ending.outcome != Outcome.CANCELLED:
        return ending
    start = starts.get(span_id)
    while start is not None:
        parent_id = start.parent_id
        if parent_id in closed:
            return _CLOSED
        start = starts.get(parent_id) if parent_id else None
    return ending

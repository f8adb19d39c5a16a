"""Make spans of tool calls that LangChain starts no run for.

There are two kinds. A graph answers some calls without running a tool: of a tool that does not exist, or that
middleware blocks. The answer is a ``ToolMessage`` with the status "error". And a provider runs tools of its own, such
as web search; call and result are blocks of the model's answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from langchain_autotrace.ids import derived_span_id
from langchain_autotrace.records import SpanStart
from langchain_autotrace.semconv import Attr, Kind, SpanType, Status
from langchain_autotrace.trace import chat
from langchain_autotrace.trace.endings import tool_messages
from langchain_autotrace.trace.server_tools import ToolCall, server_calls

if TYPE_CHECKING:
    from langchain_autotrace.trace.join import JoinedTrace, SpanRecords
    from langchain_autotrace.trace.spans import Span

ANSWERED: Final = "answered"
"""Detail of a start: ids of the tool calls that were answered below the span, in what was delivered before."""

_Answered = dict[str, dict[str, None]]
"""Ids of answered calls, as the keys of a dict, by the id of the span that they are below."""


def tool_spans(joined: JoinedTrace, spans: Sequence[Span]) -> list[Span]:
    """Return the spans of tool calls that have no run.

    Each has the times of the span that it is below, which is all that is known, and an id that is made of that span's
    and the call's: made again, it is the same span.

    Args:
        joined: the records of the trace.
        spans: the spans that they make.
    """
    unrun, _ = _unrun_calls(joined)
    by_id = {span.span_id: span for span in spans}
    made = [_span(by_id[span_id], call, call.call_id) for span_id, call in unrun]
    for one, span in zip(joined.spans, spans, strict=True):
        if one.start.kind == Kind.CHAT_MODEL and Attr.CACHE_HIT not in span.attributes:
            made += [_span(span, call, key) for key, call in server_calls(one).items()]
    return made


def answered_calls(joined: JoinedTrace) -> dict[str, list[str]]:
    """Return the ids of the tool calls that were answered below each span, by the ids of the spans."""
    return {span_id: list(calls) for span_id, calls in _unrun_calls(joined)[1].items()}


def _span(above: Span, call: ToolCall, key: str) -> Span:
    """Return the span of a call; ``key`` tells those below one span apart."""
    return above._replace(
        span_id=derived_span_id(above.span_id, key),
        parent_id=above.span_id,
        name=call.name,
        type=SpanType.TOOL,
        status=Status.OK if call.error is None else Status.ERROR,
        message=call.error or "",
        inputs=call.inputs,
        outputs=call.outputs,
        attributes={Attr.TOOL_CALL_ID: call.call_id} if call.call_id else {},
        events=[],
        links=[],
    )


def _unrun_calls(joined: JoinedTrace) -> tuple[list[tuple[str, ToolCall]], _Answered]:
    """Return the calls that failed without a run, each with the id of its span; and all calls that were answered."""
    found: list[tuple[str, ToolCall]] = []
    answered: _Answered = defaultdict(dict, _answered_before(joined))
    for one in reversed(joined.spans):  # children come before their parents
        start, below = one.start, answered[one.start.span_id]
        if start.kind == Kind.TOOL:
            # By its name, where a program runs a tool without the id of the call.
            answered[str(start.parent_id)][_run_id(one)] = None
            continue
        for call in _failed(one) if start.kind == Kind.CHAIN else ():
            if call.call_id not in below and call.name not in below:
                found.append((start.span_id, call))
                below[call.call_id] = None
        answered[str(start.parent_id)] |= below
    return found[::-1], answered


def _answered_before(joined: JoinedTrace) -> _Answered:
    starts = (record for record in joined.records if isinstance(record, SpanStart) and ANSWERED in record.details)
    return {start.span_id: dict.fromkeys(start.details[ANSWERED]) for start in starts}


def _run_id(tool: SpanRecords) -> str:
    """Return the id of the call that a tool's run answers, or the tool's name."""
    details = tool.start.details
    return str(details.get("tool_call_id") or tool.start.name or details.get("class"))


def _failed(node: SpanRecords) -> Iterator[ToolCall]:
    """Yield the calls that a node was asked for and has answered with an error."""
    output = node.end.outputs[0] if node.end is not None and node.end.outputs else None
    messages = [message for part in _parts(output) for message in tool_messages(part)]
    failed = {message.get("tool_call_id"): message for message in messages if message.get("status") == "error"}
    if not failed:
        return
    given = (node.end and node.end.details.get("inputs")) or node.start.inputs
    calls = _open_calls(given)
    for call_id, message in failed.items():
        if (call := calls.get(str(call_id))) is not None:
            text = chat.text_of(message.get("content"))
            yield ToolCall(str(call_id), str(call["name"]), [call.get("args")], [message], text)


def _parts(output: object) -> list[object]:
    """Return the parts of a node's output that may be or hold messages: those of a graph's state are in its lists."""
    if isinstance(output, dict) and "goto" not in output and output.get("type") != "tool":
        return [value for value in output.values() if isinstance(value, list)]
    if isinstance(output, list):
        return [part for one in output for part in (_parts(one) if isinstance(one, dict) else [one])]
    return [output]


def _open_calls(inputs: object) -> dict[str, Mapping[str, Any]]:
    """Return the tool calls within a node's inputs that no later message in them answers, by their ids."""
    found: dict[str, Mapping[str, Any]] = {}
    for one in _calls_and_answers(inputs):
        if one["type"] == "tool":
            found.pop(str(one.get("tool_call_id")), None)
        else:
            found[str(one["id"])] = one
    return found


def _calls_and_answers(value: object) -> Iterator[Mapping[str, Any]]:
    """Yield the tool calls and the tool messages within a value, in order."""
    if isinstance(value, list):
        for one in value:
            yield from _calls_and_answers(one)
    elif isinstance(value, dict):
        if value.get("type") == "tool" or (value.get("type") == "tool_call" and "id" in value and "name" in value):
            yield value
        else:
            for one in value.values():
                yield from _calls_and_answers(one)

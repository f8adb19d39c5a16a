"""Make spans of tool calls that LangChain starts no run for.

There are two kinds. A graph answers some calls without running a tool: of a tool that does not exist, or that
middleware blocks. The answer is a ``ToolMessage`` with the status "error". And a provider runs tools of its own, such
as web search; call and result are blocks of the model's answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from langchain_autotrace.ids import derived_span_id
from langchain_autotrace.records import SpanStart
from langchain_autotrace.semconv import Attr, Kind, SpanType, Status
from langchain_autotrace.trace import chat
from langchain_autotrace.trace.endings import tool_messages

if TYPE_CHECKING:
    from langchain_autotrace.trace.join import JoinedTrace, SpanRecords
    from langchain_autotrace.trace.spans import Span

ANSWERED: Final = "answered"
"""Detail of a start: ids of the tool calls that were answered below the span, in what was delivered before."""

_Calls = dict[str, dict[str, None]]
"""Ids of answered calls, as the keys of a dict, by the id of the span that they are below."""


class _Call(NamedTuple):
    """A call of a tool, and its answer."""

    call_id: str
    name: str
    inputs: list[Any] | None
    outputs: list[Any] | None
    error: str | None
    """Text of the error; None when the tool did not fail."""


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
    made = [_span(by_id[span_id], call) for span_id, call in unrun]
    for one, span in zip(joined.spans, spans, strict=True):
        if one.start.kind == Kind.CHAT_MODEL and Attr.CACHE_HIT not in span.attributes:
            made += [_span(span, call) for call in _server_calls(one)]
    return made


def answered_calls(joined: JoinedTrace) -> dict[str, list[str]]:
    """Return the ids of the tool calls that were answered below each span, by the ids of the spans."""
    return {span_id: list(calls) for span_id, calls in _unrun_calls(joined)[1].items()}


def _span(above: Span, call: _Call) -> Span:
    return above._replace(
        span_id=derived_span_id(above.span_id, call.call_id),
        parent_id=above.span_id,
        name=call.name,
        type=SpanType.TOOL.value,
        status=(Status.OK if call.error is None else Status.ERROR).value,
        message=call.error or "",
        inputs=call.inputs,
        outputs=call.outputs,
        attributes={Attr.TOOL_CALL_ID: call.call_id} if call.call_id else {},
        events=[],
        links=[],
    )


def _unrun_calls(joined: JoinedTrace) -> tuple[list[tuple[str, _Call]], _Calls]:
    """Return the calls that failed without a run, each with the id of its span; and all calls that were answered."""
    found: list[tuple[str, _Call]] = []
    answered: _Calls = defaultdict(dict, _answered_before(joined))
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


def _answered_before(joined: JoinedTrace) -> _Calls:
    starts = (record for record in joined.records if isinstance(record, SpanStart) and ANSWERED in record.details)
    return {start.span_id: dict.fromkeys(start.details[ANSWERED]) for start in starts}


def _run_id(tool: SpanRecords) -> str:
    """Return the id of the call that a tool's run answers, or the tool's name."""
    details = tool.start.details
    return str(details.get("tool_call_id") or tool.start.name or details.get("class"))


def _failed(node: SpanRecords) -> Iterator[_Call]:
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
            yield _Call(str(call_id), str(call["name"]), [call.get("args")], [message], text)


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


class _Form(NamedTuple):
    """Form of a block that holds a call of a provider's tool together with its result."""

    name: str | None
    """Name of the tool; None when the block has it."""
    inputs: tuple[str, ...]
    """Fields of the block that are inputs."""
    outputs: tuple[str, ...]
    """Fields of the block that are outputs."""


_WHOLE_CALLS: Final[dict[str, _Form]] = {
    "web_search_call": _Form("web_search", ("action",), ("results", "status")),
    "file_search_call": _Form("file_search", ("queries",), ("results", "status")),
    "code_interpreter_call": _Form("code_interpreter", ("code", "container_id"), ("outputs", "status")),
    "image_generation_call": _Form("image_generation", ("revised_prompt",), ("status",)),
    "mcp_call": _Form(None, ("arguments",), ("output", "error", "status")),
}
"""Blocks of OpenAI's Responses API. An image is not repeated: it is in the model's answer."""
_CALLS: Final = frozenset(
    {"server_tool_use", "mcp_tool_use", "server_tool_call", "server_tool_call_chunk", "executable_code"}
)
"""Blocks of a call alone: of Anthropic (two), of LangChain (two), of Gemini."""
_RESULTS: Final = frozenset({"server_tool_result", "code_execution_result", "tool_result"})
"""Blocks of a result alone: of LangChain, of Gemini, of Bedrock. Anthropic's end with ``_tool_result``."""
_RESULT_SUFFIX: Final = "_tool_result"
_CALL_IDS: Final = ("tool_use_id", "tool_call_id", "toolUseId")
_FAILED: Final = frozenset({"error", "failed"})
_GEMINI_OK: Final = (None, 1, "OUTCOME_OK")
"""Gemini's outcome of code that ran, as its API and as LangChain has it."""
_NAMES: Final = {"executable_code": "code_execution", "code_execution_result": "code_execution"}


def _server_calls(model: SpanRecords) -> list[_Call]:
    """Return the calls of the provider's own tools in a model's answer, in order."""
    calls: dict[str, _Call] = {}
    for block in _blocks(model):
        kind = str(block.get("type"))
        if (form := _WHOLE_CALLS.get(kind)) is not None:
            call = _whole_call(block, form)
        elif kind in _CALLS or (kind == "text" and "args" in block):  # a stream's first one, merged with an empty text
            call = _call(block, kind)
        elif kind in _RESULTS or kind.endswith(_RESULT_SUFFIX):
            call = _with_result(calls, block, kind)
        else:
            continue
        calls[call.call_id] = call if call.call_id else call._replace(call_id=f"call {len(calls)}")
    return list(calls.values())


def _blocks(model: SpanRecords) -> Iterable[Mapping[str, Any]]:
    """Yield the content blocks of a model's answer, with those that LangChain's older form of OpenAI's has apart."""
    result = model.end.outputs[0] if model.end is not None and model.end.outputs else None
    for generation in chat.generations(result) if isinstance(result, dict) else ():
        message = generation.get("message")
        if isinstance(message, dict):
            more = message.get("additional_kwargs")
            for blocks in (message.get("content"), more.get("tool_outputs") if isinstance(more, dict) else None):
                yield from (block for block in blocks if isinstance(block, dict)) if isinstance(blocks, list) else ()


def _whole_call(block: Mapping[str, Any], form: _Form) -> _Call:
    inputs = {name: _decoded(block[name]) for name in form.inputs if block.get(name) is not None}
    outputs = {name: block[name] for name in form.outputs if block.get(name) is not None}
    only = len(form.inputs) == 1 and isinstance(inputs.get(form.inputs[0]), dict)
    return _Call(
        str(block.get("id") or ""),
        form.name or str(block.get("name")),
        [inputs[form.inputs[0]] if only else inputs],
        [outputs] if outputs else None,
        _error(block),
    )


def _call(block: Mapping[str, Any], kind: str) -> _Call:
    # A streamed input is in ``partial_json`` or is text.
    given = block.get("input") or block.get("args") or block.get("partial_json") or {}
    if kind == "executable_code":
        given = {"language": block.get("language"), "code": block.get(kind)}
    name = _NAMES.get(kind) or str(_extras(block).get("tool_name") or block.get("name") or "tool")
    return _Call(str(block.get("id") or ""), name, [_decoded(given)], None, None)


def _with_result(calls: Mapping[str, _Call], block: Mapping[str, Any], kind: str) -> _Call:
    """Return the call that a result belongs to, with the result; Gemini's names none and follows its call.

    A call that a turn ago was left open is in another answer: the result stands for it.
    """
    call_id = next((str(block[key]) for key in _CALL_IDS if block.get(key)), "")
    waiting = (call for call in reversed([*calls.values()]) if call.outputs is None)
    call = calls.get(call_id) or (None if call_id else next(waiting, None))
    if call is None:
        kind_of_tool = _NAMES.get(kind) or str(_extras(block).get("block_type") or kind).removesuffix(_RESULT_SUFFIX)
        call = _Call(call_id, kind_of_tool, None, None, None)
    result = next(([block[key]] for key in ("content", "output", kind) if key in block), None)
    error = _error(block)
    return call._replace(outputs=[error] if result is None and error else result, error=error)


def _extras(block: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the provider's own fields of one of LangChain's blocks."""
    found = block.get("extras")
    return found if isinstance(found, dict) else {}


def _error(block: Mapping[str, Any]) -> str | None:
    """Return the text of the error in a result; None when the tool did not fail."""
    content = next((block[key] for key in ("content", "output") if block.get(key)), None)
    inner = content if isinstance(content, dict) else {}
    code = inner.get("error_code") or (inner.get("type") if str(inner.get("type")).endswith("_error") else None)
    exit_status = inner.get("return_code") or 0
    failed = block.get("status") in _FAILED or block.get("is_error") or block.get("outcome") not in _GEMINI_OK
    given = block.get("error") or _extras(block).get("error")
    if not (given or code or exit_status or failed):
        return None
    texts = (
        *(_text(given), _text(code), _text(inner.get("stderr")), _text(content)),
        *(_text(block.get("code_execution_result")), f"return code {exit_status}" if exit_status else "failed"),
    )
    return next(filter(None, texts))


def _text(value: object) -> str:
    """Return an error as text: its message, the text of its content, or itself as JSON."""
    if isinstance(value, str | list):
        return chat.text_of(value)
    if isinstance(value, dict):
        return str(value.get("message") or chat.text_of(value.get("content")) or orjson.dumps(value).decode())
    return ""


def _decoded(value: object) -> object:
    """Return the value that JSON text has; other values, and text that is no JSON, as they are."""
    if not isinstance(value, str):
        return value
    try:
        found = orjson.loads(value)
    except ValueError:
        return value
    return found if isinstance(found, dict | list) else value

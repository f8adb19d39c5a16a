"""Read the calls of a provider's own tools, such as web search, from a model's answer.

Call and result are blocks of its content: two blocks, or one for both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from langchain_autotrace.trace import chat

if TYPE_CHECKING:
    from langchain_autotrace.trace.join import SpanRecords


class ToolCall(NamedTuple):
    """A call of a tool, and its answer."""

    call_id: str
    name: str
    inputs: list[Any] | None
    outputs: list[Any] | None
    error: str | None
    """Text of the error; None when the tool did not fail."""


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


def server_calls(model: SpanRecords) -> Mapping[str, ToolCall]:
    """Return the calls of the provider's own tools in a model's answer, in order, each by its id or its place."""
    calls: dict[str, ToolCall] = {}
    for block in _blocks(model):
        kind, key = str(block.get("type")), str(block.get("id") or f"#{len(calls)}")
        if (form := _WHOLE_CALLS.get(kind)) is not None:
            calls[key] = _whole_call(block, form)
        elif kind in _CALLS or (kind == "text" and "args" in block):  # a stream's first one, merged with an empty text
            calls[key] = _call(block, kind)
        elif kind in _RESULTS or kind.endswith(_RESULT_SUFFIX):
            key = _key_of_call(calls, block) or key
            calls[key] = _with_result(calls.get(key), block, kind)
    return calls


def _blocks(model: SpanRecords) -> Iterable[Mapping[str, Any]]:
    """Yield the content blocks of a model's answer, with those that LangChain's older form of OpenAI's has apart."""
    result = model.end.outputs[0] if model.end is not None and model.end.outputs else None
    for generation in chat.generations(result) if isinstance(result, dict) else ():
        message = generation.get("message")
        if isinstance(message, dict):
            more = message.get("additional_kwargs")
            for blocks in (message.get("content"), more.get("tool_outputs") if isinstance(more, dict) else None):
                yield from (block for block in blocks if isinstance(block, dict)) if isinstance(blocks, list) else ()


def _whole_call(block: Mapping[str, Any], form: _Form) -> ToolCall:
    inputs = {name: _decoded(block[name]) for name in form.inputs if block.get(name) is not None}
    outputs = {name: block[name] for name in form.outputs if block.get(name) is not None}
    only = len(form.inputs) == 1 and isinstance(inputs.get(form.inputs[0]), dict)
    return ToolCall(
        str(block.get("id") or ""),
        form.name or str(block.get("name")),
        [inputs[form.inputs[0]] if only else inputs],
        [outputs] if outputs else None,
        _error(block),
    )


def _call(block: Mapping[str, Any], kind: str) -> ToolCall:
    # A streamed input is in ``partial_json`` or is text.
    given = block.get("input") or block.get("args") or block.get("partial_json") or {}
    if kind == "executable_code":
        given = {"language": block.get("language"), "code": block.get(kind)}
    name = _NAMES.get(kind) or str(_extras(block).get("tool_name") or block.get("name") or "tool")
    return ToolCall(str(block.get("id") or ""), name, [_decoded(given)], None, None)


def _key_of_call(calls: Mapping[str, ToolCall], block: Mapping[str, Any]) -> str | None:
    """Return the key of the call that a result belongs to: Gemini's names none and follows its call."""
    call_id = _call_id(block)
    waiting = (key for key in reversed([*calls]) if calls[key].outputs is None)
    return call_id or next(waiting, None)


def _call_id(result: Mapping[str, Any]) -> str:
    return next((str(result[key]) for key in _CALL_IDS if result.get(key)), "")


def _with_result(call: ToolCall | None, block: Mapping[str, Any], kind: str) -> ToolCall:
    """Return a call with its result. When the call is in an earlier answer, the result stands for it."""
    if call is None:
        name = _NAMES.get(kind) or str(_extras(block).get("block_type") or kind).removesuffix(_RESULT_SUFFIX)
        call = ToolCall(_call_id(block), name, None, None, None)
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
        *(_text(given), _text(code), _text(inner.get("stderr")), f"return code {exit_status}" if exit_status else ""),
        *(_text(content), _text(block.get("code_execution_result")), "failed"),
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

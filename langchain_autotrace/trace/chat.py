"""Convert chat messages and model answers to the format that MLflow's UI renders: OpenAI's chat format.

``mlflow.message.format`` is "langchain" all the same, as with ``mlflow.langchain.autolog``. The UI renders a chat only
when it supports every block of every message in it, so blocks of other providers are converted. A block without a
supported equivalent becomes a text block with its name, and the block itself under ``block``.

Messages are LangChain's, as JSON: ``{"type": "human", "content": …}``, without empty fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import orjson

from langchain_autotrace.semconv import ATTACHMENT

MESSAGE_FORMAT: Final = "langchain"

Block: TypeAlias = Mapping[str, Any]
"""One block of a message's content."""

_ROLES: Final = {
    "chat": "user",
    "human": "user",
    "HumanMessageChunk": "user",
    "ai": "assistant",
    "AIMessageChunk": "assistant",
    "system": "system",
    "SystemMessageChunk": "system",
    "tool": "tool",
    "ToolMessageChunk": "tool",
    "function": "tool",
    "FunctionMessageChunk": "tool",
    "developer": "system",
    "model": "assistant",
}
"""Type or role of a LangChain message -> role."""
_SHOWN_ROLES: Final = frozenset({"user", "assistant", "system", "tool"})
"""The roles that MLflow's UI supports: with any other, it renders no message of the chat as a message."""
MESSAGE_TYPES: Final = _SHOWN_ROLES | _ROLES.keys()
"""Types and roles that messages have."""


def chat_inputs(batches: object) -> object:
    """Return the inputs of a chat model as ``{"messages": [{"role", "content", …}, …]}``.

    LangChain starts one run for each list of messages, so there is one list; several stay separate.
    """
    if not isinstance(batches, list) or not all(isinstance(batch, list) for batch in batches):
        return batches  # changed by the redact hook
    if len(batches) == 1:
        return {"messages": list(map(chat_message, batches[0]))}
    return {"messages": [list(map(chat_message, batch)) for batch in batches]}


def chat_message(message: Any) -> Any:  # noqa: ANN401 - JSON
    """Return one message as ``{"role", "content", "tool_calls"?, "tool_call_id"?, "name"?, "status"?}``.

    A message with a role that MLflow's UI does not support becomes a user message with the role as its name. An answer
    may also have ``reasoning`` (text), ``refusal`` and ``audio``. A value that is not a message is returned unchanged.
    """
    if not is_message(message):
        return message
    try:
        return _openai_message(message)
    except (AttributeError, KeyError, TypeError, ValueError):  # in a user's message class, fields can be anything
        return message


def is_message(value: object) -> bool:
    """Return whether JSON data is a LangChain message: a dict with ``content`` and ``type``."""
    return isinstance(value, dict) and "content" in value and isinstance(value.get("type"), str)


def _openai_message(message: Mapping[str, Any]) -> dict[str, object]:
    content, kind = message["content"], message["type"]
    given = str(message.get("role") or kind)
    role = _ROLES.get(given, given)
    shown = role in _SHOWN_ROLES
    form: dict[str, object] = {"role": role if shown else "user", "content": content}
    if message.get("name") or not shown:
        form["name"] = message.get("name") or role
    if not isinstance(content, str):
        _set_blocks(message, content, form)
    if role == "assistant":
        _add_calls(message, form)
    elif role == "tool" and "tool_call_id" in message:
        form["tool_call_id"] = message["tool_call_id"]
        if message.get("status", "success") != "success":
            form["status"] = message["status"]
    return form


def _add_calls(message: Mapping[str, Any], form: dict[str, object]) -> None:
    more: Mapping[str, Any] = message.get("additional_kwargs") or {}
    calls = [_call(call, orjson.dumps(call.get("args")).decode()) for call in message.get("tool_calls") or ()]
    calls += [_call(call, call.get("args") or "") for call in message.get("invalid_tool_calls") or ()]
    if not calls and more.get("tool_calls"):
        calls = [{key: call[key] for key in ("type", "id", "function") if key in call} for call in more["tool_calls"]]
    if not calls and isinstance(function := more.get("function_call"), Mapping):  # OpenAI's predecessor of tool calls
        calls = [_call(function, function.get("arguments") or "")]
    if calls:
        form["tool_calls"] = calls
        form["content"] = form["content"] or None
    if more.get("reasoning_content"):
        form["reasoning"] = more["reasoning_content"]
    if more.get("refusal"):
        form["refusal"] = more["refusal"]
        form["content"] = form["content"] or more["refusal"]
    audio = more.get("audio")
    if isinstance(audio, Mapping):
        form["content"] = form["content"] or audio.get("transcript")
        if audio.get("data"):
            form["audio"] = audio


def _call(call: Mapping[str, Any], arguments: str) -> dict[str, object]:
    # MLflow's UI renders no chat in which a call has no id, and LangChain allows None.
    function = {"name": call.get("name") or "", "arguments": arguments}
    return {"type": "function", "id": call.get("id") or "", "function": function}


def _set_blocks(message: Mapping[str, Any], content: Sequence[Any], form: dict[str, object]) -> None:
    """Set content and reasoning from a list of blocks, without the calls that are also in ``tool_calls``."""
    called = bool(message.get("tool_calls") or message.get("invalid_tool_calls"))
    reasoning: list[str] = []
    blocks: list[object] = []
    for block in content:
        kind = block.get("type") if isinstance(block, Mapping) else None
        if kind in _REASONING_TYPES:
            reasoning += _reasoning_texts(block)
        elif not (called and kind in _CALL_TYPES):  # also in tool_calls
            blocks.append(_block(block, kind))
    simple = all(isinstance(block, Mapping) and "text" in block and block.keys() <= _TEXT_KEYS for block in blocks)
    form["content"] = "\n".join(block["text"] for block in blocks) if simple and blocks else blocks  # type: ignore[index]
    if reasoning:
        form["reasoning"] = "\n".join(reasoning)


_TEXT_KEYS: Final = frozenset({"type", "text", "id", "index"})
_REASONING_TYPES: Final = frozenset({"reasoning", "thinking", "redacted_thinking", "reasoning_content"})
_CALL_TYPES: Final = frozenset(
    {"tool_use", "tool_call", "tool_call_chunk", "invalid_tool_call", "function_call", "input_json_delta"}
)


def _reasoning_texts(block: Block) -> list[str]:
    """Return the texts of a reasoning block of LangChain, Anthropic, OpenAI or Bedrock. Encrypted ones have none."""
    inner = block.get("reasoning_content")
    text = (
        block.get("reasoning") or block.get("thinking") or (inner.get("text") if isinstance(inner, Mapping) else inner)
    )
    if isinstance(text, str) and text:
        return [text]
    parts = block.get("summary") or block.get("content") or ()
    return [str(part["text"]) for part in parts if isinstance(part, Mapping) and part.get("text")]


def _block(block: Any, kind: object) -> object:  # noqa: ANN401 - a text, a dict, or anything
    if isinstance(block, str):
        return {"type": "text", "text": block}
    if not isinstance(block, Mapping):
        return block
    if isinstance(kind, str) and kind in _BY_TYPE:
        return _BY_TYPE[kind](block) or _unsupported_block(block, kind)
    return (
        _image(block) if isinstance(block.get("image"), Mapping) else None
    ) or block  # Bedrock's image block has no type


def _unsupported_block(block: Block, kind: str) -> dict[str, object]:
    """Return a text block with the name of a block that MLflow's UI cannot render, and the block itself."""
    inner = block[kind] if isinstance(block.get(kind), Mapping) else block
    found = (inner.get(key) for key in ("filename", "name", "title", "url", "file_id", "mime_type"))
    name = next((value for value in found if isinstance(value, str) and value), "")
    return {"type": "text", "text": f"[{kind} {name}]" if name else f"[{kind}]", "block": block}


def _text(block: Block) -> dict[str, object] | None:
    text = block.get("text") or block.get("refusal")
    return {**block, "type": "text", "text": text} if isinstance(text, str) else None


def _result(block: Block) -> dict[str, object] | None:
    """Return the text block for an Anthropic tool result; None when it has no text."""
    parts = block.get("content")
    if isinstance(parts, Sequence) and not isinstance(parts, str):
        parts = "\n".join(
            part["text"] for part in parts if isinstance(part, Mapping) and isinstance(part.get("text"), str)
        )
    return {"type": "text", "text": parts, "block": block} if parts and isinstance(parts, str) else None


def _image(block: Block) -> dict[str, object] | None:
    """Return the ``image_url`` block for an image block; None when it is not supported.

    Supports the forms of OpenAI (chat, Responses), LangChain (two), Anthropic, Bedrock and Gemini.
    """
    inner = next((block[key] for key in ("image_url", "source", "image") if block.get(key)), block)
    url = inner.get("url") if isinstance(inner, Mapping) else inner
    if not isinstance(url, str):
        data = next((inner[key] for key in ("base64", "data", "result", "source") if inner.get(key)), None)
        data = data.get("bytes") if isinstance(data, Mapping) else data
        data = data.removeprefix(_BYTES_PREFIX) if isinstance(data, str) else data
        kind = inner.get("mime_type") or inner.get("media_type") or f"image/{inner.get('format', 'png')}"
        if not isinstance(data, str) or not str(kind).startswith("image/"):
            return None
        url = data if data.startswith(ATTACHMENT) else f"data:{kind};base64,{data}"
    details = (block.get("detail"), inner.get("detail") if isinstance(inner, Mapping) else None)
    detail = next(({"detail": one} for one in details if one in _DETAILS), {})
    return {"type": "image_url", "image_url": {"url": url, **detail}}


def _audio(block: Block) -> dict[str, object] | None:
    inner = block["input_audio"] if isinstance(block.get("input_audio"), Mapping) else block
    data = inner.get("data") or inner.get("base64")
    kind = str(inner.get("format") or inner.get("mime_type") or "").rpartition("/")[2].partition(";")[0]
    form = _AUDIO_FORMATS.get(kind)
    if form is None or not isinstance(data, str):
        return None
    return {"type": "input_audio", "input_audio": {"data": data, "format": form}}


_BYTES_PREFIX: Final = "data:application/octet-stream;base64,"
"""Prefix of bytes in a captured value."""
_DETAILS: Final = ("auto", "low", "high")
_AUDIO_FORMATS: Final = {"wav": "wav", "x-wav": "wav", "wave": "wav", "mp3": "mp3", "mpeg": "mp3"}
_NAMED_TYPES: Final = (
    *("file", "input_file", "document", "video", "citation", "search_result", "non_standard", "json"),
    *("tool_use", "tool_call", "function_call", "server_tool_call", "server_tool_call_chunk", "server_tool_use"),
    *("server_tool_result", "web_search_call", "web_search_tool_result", "web_fetch_tool_result"),
    *("file_search_call", "code_interpreter_call", "code_execution_tool_result", "computer_call", "mcp_call"),
    *("mcp_list_tools", "mcp_approval_request", "mcp_tool_use", "mcp_tool_result", "custom_tool_call"),
    *("executable_code", "code_execution_result", "container_upload", "guard_content", "cache_point"),
)
"""Types of blocks that MLflow's UI cannot render."""
_BY_TYPE: Final[dict[str, Callable[[Block], dict[str, object] | None]]] = {
    **dict.fromkeys(("text", "input_text", "output_text", "text-plain", "refusal"), _text),
    **dict.fromkeys(("image_url", "image", "input_image", "media", "image_generation_call"), _image),
    **dict.fromkeys(("audio", "input_audio"), _audio),
    "tool_result": _result,
    **dict.fromkeys(_NAMED_TYPES, lambda _: None),
}


def chat_answer(result: object) -> object:
    """Return a model's answer as ``{"choices": [{"index", "message", "finish_reason"}, …]}``.

    Args:
        result: LangChain's ``LLMResult`` as JSON: ``{"generations": [[{"message" or "text", "generation_info"}, …]]}``.
    """
    if not isinstance(result, dict) or not isinstance(result.get("generations"), list):
        return result  # changed by the redact hook
    choices: list[dict[str, object]] = []
    for generation in generations(result):
        message = generation.get("message")
        answer = {"role": "assistant", "content": generation.get("text")} if message is None else chat_message(message)
        choices.append({"index": len(choices), "message": answer, "finish_reason": finish_reason(generation)})
    return {"choices": choices}


def text_of(content: object) -> str:
    """Return the text of a message's content, which is a string or a list of blocks."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "".join(str(block.get("text") or "") if isinstance(block, dict) else str(block) for block in content)


def generations(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the generations of all batches in LangChain's ``LLMResult``."""
    batches = result.get("generations")
    found = [batch for batch in batches if isinstance(batch, list)] if isinstance(batches, list) else []
    return [one for batch in found for one in batch if isinstance(one, dict)]


def finish_reason(generation: Mapping[str, Any]) -> str | None:
    """Return why the model stopped, by a generation of its result; each provider has a key of its own."""
    message = generation.get("message")
    metadata = message.get("response_metadata") if isinstance(message, dict) else None
    for place in (generation.get("generation_info"), metadata):
        if isinstance(place, dict):
            found = place.get("finish_reason") or place.get("stop_reason") or place.get("done_reason")
            if found:
                return once(str(found))
    return None


def once(text: str) -> str:
    """Return a repeated text once: LangChain concatenates the texts of a stream's chunks ("stopstop")."""
    if text[:4] not in text[4:]:
        return text
    period = (text + text).find(text, 1)
    return text[:period] if period >= 4 else text  # noqa: PLR2004


def tools(definitions: object) -> list[dict[str, object]]:
    """Return tool definitions as ``[{"type": "function", "function": {"name", "description", "parameters"}}, …]``.

    OpenAI's chat form stays as it is. Anthropic's ``input_schema``, Bedrock's ``toolSpec``, Gemini's
    ``function_declarations`` and the flat form of OpenAI's Responses API are converted. A provider's own tool
    (``{"type": "web_search"}``) gets its type as its name.
    """
    if isinstance(definitions, Mapping):  # Bedrock's toolConfig
        definitions = definitions.get("tools") or [definitions]
    if not isinstance(definitions, Sequence) or isinstance(definitions, str):
        return []
    return [tool for definition in definitions for tool in _tools(definition)]


def _tools(definition: object) -> list[dict[str, object]]:
    if not isinstance(definition, Mapping):
        return []
    for key in ("function_declarations", "functionDeclarations"):
        if isinstance(declared := definition.get(key), Sequence):
            return [tool for one in declared for tool in _tools(one)]
    if "properties" in definition and "name" not in definition and definition.get("title"):  # the schema of a class
        definition = {
            "name": definition["title"],
            "description": definition.get("description"),
            "parameters": definition,
        }
    nested = (definition[key] for key in ("function", "toolSpec", "custom") if isinstance(definition.get(key), Mapping))
    inner = next(nested, definition)
    function = {key: inner[key] for key in ("name", "description", "parameters", "strict") if inner.get(key)}
    function.setdefault("name", definition.get("type") or next(iter(definition), "tool"))
    parameters = _schema(inner.get("parameters") or inner.get("input_schema") or inner.get("inputSchema"))
    if parameters:
        function["parameters"] = parameters
    return [{"type": "function", "function": function}]


def _schema(schema: object) -> object:
    """Return a schema that MLflow's UI accepts: it shows no tools at all when a property has a list of types."""
    if isinstance(schema, Mapping) and isinstance(schema.get("json"), Mapping):  # Bedrock's
        schema = schema["json"]
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(properties, Mapping) or not any(map(_has_type_list, properties.values())):
        return schema
    converted = {
        name: {
            **{key: one for key, one in value.items() if key != "type"},
            "anyOf": [{"type": one} for one in value["type"]],
        }
        if _has_type_list(value)
        else value
        for name, value in properties.items()
    }
    return {**schema, "properties": converted}  # type: ignore[dict-item]


def _has_type_list(value: object) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("type"), list)

"""Chat messages and model answers in the form that MLflow's pages render: OpenAI's chat format.

``mlflow.message.format`` says "langchain" beside it, as ``mlflow.langchain.autolog`` does. The pages show a chat only
when they know every block of every message in it, so blocks of other providers become ones they know. A block that
has no such form is named in a text, with the block itself beside it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import orjson
from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import LLMResult

from langchain_autotrace.capture.compiled import compiled_module
from langchain_autotrace.capture.encode import encode

MESSAGE_FORMAT: Final = "langchain"

Block: TypeAlias = Mapping[str, Any]
"""A part of a message's content."""

_ROLES: Final = {
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
_SHOWN_ROLES: Final = frozenset({"user", "assistant", "system", "tool"})
"""The roles that MLflow's pages know: with another one in it, no message of a chat is shown as one."""
_BY_CLASS: Final = ((AIMessage, "assistant"), (HumanMessage, "user"), (SystemMessage, "system"), (ToolMessage, "tool"))
_USUAL: Final[dict[type, str]] = {AIMessage: "assistant", HumanMessage: "user", SystemMessage: "system"}
"""Most messages, which have a text and no more."""
_UNUSUAL: Final = ("name", "additional_kwargs", "tool_calls", "invalid_tool_calls")
"""Fields that are more."""
_MAX_ARGUMENTS: Final = 10_000_000


def chat_inputs(batches: Sequence[Sequence[BaseMessage]]) -> object:
    """What a chat model was asked: ``{"messages": [{"role", "content", …}, …]}``.

    LangChain starts one run for each list of messages, so there is one; more are kept apart.
    """
    try:
        if len(batches) == 1:
            return {"messages": list(map(chat_message, batches[0]))}
        return {"messages": [list(map(chat_message, batch)) for batch in batches]}
    except Exception:  # noqa: BLE001 - no lists of the user's; the encoder takes anything
        return batches


def python_chat_message(message: BaseMessage | Any) -> object:  # noqa: ANN401 - user code passes anything
    """One message as ``{"role", "content", "tool_calls"?, "tool_call_id"?, "name"?, "status"?}``.

    A role that MLflow's pages do not know becomes a user of that name.

    Beside these, where a model gave them: ``reasoning`` (a text), ``refusal``, ``audio``.
    """
    role = _USUAL.get(type(message))
    if role is not None:
        fields = message.__dict__
        content = fields.get("content")
        if type(content) is str and not any(map(fields.get, _UNUSUAL)):
            return {"role": role, "content": content}
    elif not isinstance(message, BaseMessage):
        return message
    try:
        return _form(message)
    except Exception:  # noqa: BLE001 - made without its fields, or of a class of the user's; the encoder takes anything
        return message


_compiled: Final = compiled_module()
chat_message: Final[Callable[[Any], object]] = (
    python_chat_message if _compiled is None else _compiled.chat_former(_USUAL, _UNUSUAL, python_chat_message)
)
"""As :func:`python_chat_message`, the most usual messages in C."""


def _form(message: BaseMessage) -> dict[str, object]:
    content = message.content
    given = _given_role(message)
    role = _ROLES.get(given, given)
    shown = role in _SHOWN_ROLES
    form: dict[str, object] = {"role": role if shown else "user", "content": content}
    if message.name or not shown:
        form["name"] = message.name or role
    if not isinstance(content, str):
        _set_blocks(message, content, form)
    if isinstance(message, AIMessage):
        if message.tool_calls or message.invalid_tool_calls or message.additional_kwargs:
            _add_calls(message, form)
    elif isinstance(message, ToolMessage):
        form["tool_call_id"] = message.tool_call_id
        if message.status != "success":
            form["status"] = message.status
    return form


def _given_role(message: BaseMessage) -> str:
    if isinstance(message, ChatMessage):
        return message.role
    if message.type in _ROLES:
        return message.type
    return next((role for kind, role in _BY_CLASS if isinstance(message, kind)), message.type)


def _add_calls(message: AIMessage, form: dict[str, object]) -> None:
    more = message.additional_kwargs
    calls = [_call(call, _arguments(call.get("args"))) for call in message.tool_calls]
    calls += [_call(call, call.get("args") or "") for call in message.invalid_tool_calls]
    if not calls and more.get("tool_calls"):
        calls = [{key: call[key] for key in ("type", "id", "function") if key in call} for call in more["tool_calls"]]
    if not calls and isinstance(function := more.get("function_call"), Mapping):  # before tools, OpenAI had functions
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
    # The pages show no chat in which a call has no id; LangChain allows None.
    function = {"name": call.get("name") or "", "arguments": arguments}
    return {"type": "function", "id": call.get("id") or "", "function": function}


def _arguments(args: object) -> str:
    try:
        return orjson.dumps(args).decode()
    except TypeError:
        return encode(args, _MAX_ARGUMENTS).json.decode()


def _set_blocks(message: BaseMessage, content: Sequence[Any], form: dict[str, object]) -> None:
    """A message's list of blocks: tool calls and reasoning apart, the rest as blocks that MLflow's pages know."""
    called = isinstance(message, AIMessage) and bool(message.tool_calls or message.invalid_tool_calls)
    reasoning: list[str] = []
    blocks: list[object] = []
    for block in content:
        kind = block.get("type") if isinstance(block, Mapping) else None
        if kind in _THOUGHTS:
            reasoning += _thought(block)
        elif not (called and kind in _CALLS):  # they are in tool_calls too
            blocks.append(_block(block, kind))
    simple = all(isinstance(block, Mapping) and block.keys() <= _SIMPLE for block in blocks)
    form["content"] = "\n".join(block["text"] for block in blocks) if simple and blocks else blocks  # type: ignore[index]
    if reasoning:
        form["reasoning"] = "\n".join(reasoning)


_SIMPLE: Final = frozenset({"type", "text", "id", "index"})
_THOUGHTS: Final = frozenset({"reasoning", "thinking", "redacted_thinking", "reasoning_content"})
_CALLS: Final = frozenset(
    {"tool_use", "tool_call", "tool_call_chunk", "invalid_tool_call", "function_call", "input_json_delta"}
)


def _thought(block: Block) -> list[str]:
    """What a model thought: of LangChain, Anthropic, OpenAI or Bedrock. Encrypted thoughts have no text."""
    inner = block.get("reasoning_content")
    said = (
        block.get("reasoning") or block.get("thinking") or (inner.get("text") if isinstance(inner, Mapping) else inner)
    )
    if isinstance(said, str) and said:
        return [said]
    parts = block.get("summary") or block.get("content") or ()
    return [str(part["text"]) for part in parts if isinstance(part, Mapping) and part.get("text")]


def _block(block: Any, kind: object) -> object:  # noqa: ANN401 - a text, a dict, or anything
    if isinstance(block, str):
        return {"type": "text", "text": block}
    if not isinstance(block, Mapping):
        return block
    if isinstance(kind, str) and kind in _BY_TYPE:
        return _BY_TYPE[kind](block) or _named(block, kind)
    return (_image(block) if isinstance(block.get("image"), Mapping) else None) or block  # Bedrock's has no type


def _named(block: Block, kind: str) -> dict[str, object]:
    """A block that MLflow's pages cannot show, under its name."""
    inner = block[kind] if isinstance(block.get(kind), Mapping) else block
    found = (inner.get(key) for key in ("filename", "name", "title", "url", "file_id", "mime_type"))
    name = next((value for value in found if isinstance(value, str) and value), "")
    return {"type": "text", "text": f"[{kind} {name}]" if name else f"[{kind}]", "block": block}


def _text(block: Block) -> dict[str, object] | None:
    said = block.get("text") or block.get("refusal")
    return {**block, "type": "text", "text": said} if isinstance(said, str) else None


def _result(block: Block) -> dict[str, object] | None:
    """What a tool returned, in Anthropic's form."""
    parts = block.get("content")
    if isinstance(parts, Sequence) and not isinstance(parts, str):
        parts = "\n".join(
            part["text"] for part in parts if isinstance(part, Mapping) and isinstance(part.get("text"), str)
        )
    return {"type": "text", "text": parts, "block": block} if parts and isinstance(parts, str) else None


def _image(block: Block) -> dict[str, object] | None:
    """An image in the form of OpenAI (chat, Responses), LangChain (two), Anthropic, Bedrock or Gemini."""
    inner = next((block[key] for key in ("image_url", "source", "image") if block.get(key)), block)
    url = inner.get("url") if isinstance(inner, Mapping) else inner
    if not isinstance(url, str):
        data = next((inner[key] for key in ("base64", "data", "result", "source") if inner.get(key)), None)
        data = data.get("bytes") if isinstance(data, Mapping) else data
        data = base64.b64encode(data).decode() if isinstance(data, bytes) else data
        kind = inner.get("mime_type") or inner.get("media_type") or f"image/{inner.get('format', 'png')}"
        if not isinstance(data, str) or not str(kind).startswith("image/"):
            return None
        url = f"data:{kind};base64,{data}"
    details = (block.get("detail"), inner.get("detail") if isinstance(inner, Mapping) else None)
    detail = next(({"detail": one} for one in details if one in _DETAILS), {})
    return {"type": "image_url", "image_url": {"url": url, **detail}}


def _audio(block: Block) -> dict[str, object] | None:
    inner = block["input_audio"] if isinstance(block.get("input_audio"), Mapping) else block
    data = inner.get("data") or inner.get("base64")
    kind = str(inner.get("format") or inner.get("mime_type") or "").rpartition("/")[2].partition(";")[0]
    form = _SOUNDS.get(kind)
    if form is None or not isinstance(data, str):
        return None
    return {"type": "input_audio", "input_audio": {"data": data, "format": form}}


_DETAILS: Final = ("auto", "low", "high")
_SOUNDS: Final = {"wav": "wav", "x-wav": "wav", "wave": "wav", "mp3": "mp3", "mpeg": "mp3"}
_BY_TYPE: Final[dict[str, Callable[[Block], dict[str, object] | None]]] = {
    **dict.fromkeys(("text", "input_text", "output_text", "text-plain", "refusal"), _text),
    **dict.fromkeys(("image_url", "image", "input_image", "media", "image_generation_call"), _image),
    **dict.fromkeys(("audio", "input_audio"), _audio),
    "tool_result": _result,
    **dict.fromkeys(
        (
            *("file", "input_file", "document", "video", "citation", "search_result", "non_standard", "json"),
            *(
                "tool_use",
                "tool_call",
                "function_call",
                "server_tool_call",
                "server_tool_call_chunk",
                "server_tool_use",
            ),
            *("server_tool_result", "web_search_call", "web_search_tool_result", "web_fetch_tool_result"),
            *("file_search_call", "code_interpreter_call", "code_execution_tool_result", "computer_call"),
            *(
                "mcp_call",
                "mcp_list_tools",
                "mcp_approval_request",
                "mcp_tool_use",
                "mcp_tool_result",
                "custom_tool_call",
            ),
            *("executable_code", "code_execution_result", "container_upload", "guard_content", "cache_point"),
        ),
        lambda _: None,
    ),
}


def answer(result: LLMResult) -> dict[str, object]:
    """What a model answered: ``{"choices": [{"index", "message", "finish_reason"}, …]}``."""
    choices: list[dict[str, object]] = []
    for batch in result.generations:
        for generation in batch:
            # Reading an attribute of a pydantic model costs a call of Python code's hook, and this runs in the program.
            fields = generation.__dict__
            message = fields.get("message")
            said = {"role": "assistant", "content": fields.get("text")} if message is None else chat_message(message)
            info = fields.get("generation_info")
            facts = None if message is None else message.__dict__.get("response_metadata")
            reason = finish_reason(info, facts) if info or facts else None
            choices.append({"index": len(choices), "message": said, "finish_reason": reason})
    return {"choices": choices}


def finish_reason(*places: Mapping[str, Any] | None) -> str | None:
    """Why the model stopped, under the names that providers use; in the first place that says it."""
    for place in places:
        if place:
            found = place.get("finish_reason") or place.get("stop_reason") or place.get("done_reason")
            if found:
                return once(str(found))
    return None


def once(text: str) -> str:
    """A text that says the same several times, once: LangChain adds up the texts of a stream's chunks ("stopstop")."""
    if text[:4] not in text[4:]:
        return text
    period = (text + text).find(text, 1)
    return text[:period] if period >= 4 else text  # noqa: PLR2004


def tools(definitions: object) -> list[dict[str, object]]:
    """Tool definitions as ``[{"type": "function", "function": {"name", "description", "parameters"}}, …]``.

    Providers nest them differently: OpenAI's chat form is kept; Anthropic's ``input_schema``, Bedrock's ``toolSpec``,
    Gemini's ``function_declarations`` and the flat form of OpenAI's Responses API are moved into it; a provider's own
    tool (``{"type": "web_search"}``) is kept by its type, an object by its name.
    """
    if isinstance(definitions, Mapping):  # Bedrock's toolConfig
        definitions = definitions.get("tools") or [definitions]
    if not isinstance(definitions, Sequence) or isinstance(definitions, str):
        return []
    return [tool for definition in definitions for tool in _tools(definition)]


def _tools(definition: Any) -> list[dict[str, object]]:  # noqa: ANN401 - a dict, a tool, a class, a function
    if not isinstance(definition, Mapping):
        name = getattr(definition, "name", None) or getattr(definition, "__name__", None)
        return [{"type": "function", "function": {"name": name}}] if isinstance(name, str) else []
    for key in ("function_declarations", "functionDeclarations"):
        if isinstance(declared := definition.get(key), Sequence):
            return [tool for one in declared for tool in _tools(one)]
    nested = (definition[key] for key in ("function", "toolSpec", "custom") if isinstance(definition.get(key), Mapping))
    inner = next(nested, definition)
    function = {key: inner[key] for key in ("name", "description", "parameters", "strict") if inner.get(key)}
    function.setdefault("name", definition.get("type") or next(iter(definition), "tool"))
    parameters = _schema(inner.get("parameters") or inner.get("input_schema") or inner.get("inputSchema"))
    if parameters:
        function["parameters"] = parameters
    return [{"type": "function", "function": function}]


def _schema(schema: object) -> object:
    """A schema that MLflow's pages take: they show no tools at all when a property has a list of types."""
    if isinstance(schema, Mapping) and isinstance(schema.get("json"), Mapping):  # Bedrock's
        schema = schema["json"]
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(properties, Mapping) or not any(map(_is_mixed, properties.values())):
        return schema
    mended = {
        name: {
            **{key: one for key, one in value.items() if key != "type"},
            "anyOf": [{"type": one} for one in value["type"]],
        }
        if _is_mixed(value)
        else value
        for name, value in properties.items()
    }
    return {**schema, "properties": mended}  # type: ignore[dict-item]


def _is_mixed(value: object) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("type"), list)

"""Chat messages and model answers in the form that MLflow's pages render: OpenAI's chat format.

``mlflow.message.format`` says "langchain" beside it, as ``mlflow.langchain.autolog`` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.messages.utils import convert_to_openai_messages
from langchain_core.outputs import ChatGeneration, Generation, LLMResult

MESSAGE_FORMAT: Final = "langchain"

_ROLES: Final = {
    "human": "user",
    "ai": "assistant",
    "AIMessageChunk": "assistant",
    "system": "system",
    "tool": "tool",
    "function": "function",
}


def chat_inputs(batches: Sequence[Sequence[BaseMessage]]) -> dict[str, object]:
    """What a chat model was asked: ``{"messages": [{"role", "content", …}, …]}``.

    LangChain starts one run for each list of messages, so there is one; more are kept apart.
    """
    if len(batches) == 1:
        return {"messages": [chat_message(message) for message in batches[0]]}
    return {"messages": [[chat_message(message) for message in batch] for batch in batches]}


def chat_message(message: BaseMessage | Any) -> object:  # noqa: ANN401 - user code passes anything
    """One message as ``{"role", "content", "tool_calls"?, "tool_call_id"?, "name"?, "status"?}``."""
    if not isinstance(message, BaseMessage):
        return message
    content = message.content
    form: dict[str, object] = {
        "role": _ROLES.get(message.type) or _role(message),
        "content": content if isinstance(content, str) else _blocks(message),
    }
    if message.name:
        form["name"] = message.name
    if isinstance(message, AIMessage):
        if message.tool_calls or message.invalid_tool_calls or message.additional_kwargs:
            _add_calls(message, form)
    elif isinstance(message, ToolMessage):
        form["tool_call_id"] = message.tool_call_id
        if message.status != "success":
            form["status"] = message.status
    return form


def _role(message: BaseMessage) -> str:
    kind = message.type.removesuffix("MessageChunk").lower()
    return _ROLES.get(kind) or str(getattr(message, "role", "") or message.type)


def _blocks(message: BaseMessage) -> object:
    content = message.content
    if not content:
        return content
    try:
        return convert_to_openai_messages([message])[0]["content"] or content
    except Exception:  # noqa: BLE001 - a block that LangChain cannot convert is shown as it is
        return content


def _add_calls(message: AIMessage, form: dict[str, object]) -> None:
    calls = [_call(call, orjson.dumps(call["args"], default=repr).decode()) for call in message.tool_calls]
    calls += [_call(call, call["args"]) for call in message.invalid_tool_calls]
    if calls:
        form["tool_calls"] = calls
        form["content"] = form["content"] or None
    reasoning = message.additional_kwargs.get("reasoning_content")
    if reasoning:
        form["reasoning_content"] = reasoning
    audio = message.additional_kwargs.get("audio")
    if isinstance(audio, Mapping) and not form["content"]:
        form["content"] = audio.get("transcript")


def _call(call: Mapping[str, Any], arguments: str | None) -> dict[str, object]:
    return {"type": "function", "id": call["id"], "function": {"name": call["name"], "arguments": arguments}}


def answer(result: LLMResult) -> dict[str, object]:
    """What a model answered: ``{"choices": [{"index", "message", "finish_reason"}, …]}``."""
    choices: list[dict[str, object]] = []
    for batch in result.generations:
        for generation in batch:
            said = (
                chat_message(generation.message)
                if isinstance(generation, ChatGeneration)
                else {"role": "assistant", "content": generation.text}
            )
            choices.append({"index": len(choices), "message": said, "finish_reason": finish_reason(generation)})
    return {"choices": choices}


def finish_reason(generation: Generation) -> str | None:
    """Why the model stopped, under the names that providers use."""
    info = generation.generation_info
    metadata = generation.message.response_metadata if isinstance(generation, ChatGeneration) else None
    for place in (info, metadata):
        if place:
            found = place.get("finish_reason") or place.get("stop_reason") or place.get("done_reason")
            if found:
                return str(found)
    return None


def tools(definitions: object) -> list[dict[str, object]]:
    """Tool definitions as ``[{"type": "function", "function": {"name", "description", "parameters"}}, …]``.

    Providers nest them differently: OpenAI's chat form is kept, Anthropic's ``input_schema`` and the flat form of
    OpenAI's Responses API are moved into it; a provider's own tool (``{"type": "web_search"}``) is kept by its type.
    """
    if not isinstance(definitions, Sequence) or isinstance(definitions, str):
        return []
    return [_tool(definition) for definition in definitions if isinstance(definition, Mapping)]


def _tool(definition: Mapping[str, Any]) -> dict[str, object]:
    if isinstance(definition.get("function"), Mapping):
        return {"type": "function", "function": definition["function"]}
    function: dict[str, object] = {"name": definition.get("name") or definition.get("type") or "tool"}
    if definition.get("description"):
        function["description"] = definition["description"]
    parameters = definition.get("parameters") or definition.get("input_schema")
    if parameters:
        function["parameters"] = parameters
    return {"type": "function", "function": function}

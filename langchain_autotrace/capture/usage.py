"""Token usage and model names, under the many keys that providers give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult

_COUNTS: Final = {
    "input_tokens": ("input_tokens", "prompt_tokens", "prompt_token_count", "inputTokens"),
    "output_tokens": ("output_tokens", "completion_tokens", "candidates_token_count", "outputTokens"),
    "total_tokens": ("total_tokens", "total_token_count", "totalTokens"),
}
"""MLflow's name of a count (``mlflow.tracing.constant.TokenUsageKey``): the names that providers use."""

_DETAILS: Final = {
    "cache_read_input_tokens": (
        ("input_token_details", "cache_read"),
        ("prompt_tokens_details", "cached_tokens"),
        ("cache_read_input_tokens",),
        ("cached_content_token_count",),
    ),
    "cache_creation_input_tokens": (("input_token_details", "cache_creation"), ("cache_creation_input_tokens",)),
    "reasoning_tokens": (
        ("output_token_details", "reasoning"),
        ("completion_tokens_details", "reasoning_tokens"),
        ("reasoning_tokens",),
    ),
}
"""Our name of a part of the usage: the paths at which providers give it."""

_MODEL_KEYS: Final = ("model_name", "model", "model_id", "modelId")


class Usage(NamedTuple):
    """What a model's answer says of its cost."""

    counts: dict[str, int]
    """MLflow's ``mlflow.chat.tokenUsage``: input_tokens, output_tokens, total_tokens, and the cached parts if given."""
    reasoning: int
    """Output tokens spent on reasoning, part of output_tokens."""
    details: Mapping[str, Any]
    """The usage as the provider's integration gave it."""
    cached: bool
    """Whether the answer came from LangChain's cache: then it cost nothing and ``counts`` is empty."""


_NO_USAGE: Final = Usage({}, 0, {}, cached=False)


def usage(result: LLMResult) -> Usage:
    """Tokens of one model call, each counted once.

    ``usage_metadata`` of the message comes first (LangChain's own form, streamed answers included), then
    ``llm_output["token_usage"]`` and ``["usage"]`` (older integrations, text models). With several candidates
    (``n > 1``) every message repeats the usage of the whole call, so the first one counts.
    """
    details = _details(result)
    if not details:
        return _NO_USAGE
    if "total_cost" in details and details["total_cost"] == 0:  # langchain-core's mark of a cached answer
        return Usage({}, 0, details, cached=True)
    counts = {ours: count for ours, names in _COUNTS.items() if (count := _first(details, names)) is not None}
    if not counts:
        return Usage({}, 0, details, cached=False)
    parts = {ours: count for ours, paths in _DETAILS.items() if (count := _at(details, paths))}
    reasoning = parts.pop("reasoning_tokens", 0)
    whole = {"input_tokens": 0, "output_tokens": 0} | counts
    whole.setdefault("total_tokens", whole["input_tokens"] + whole["output_tokens"])
    return Usage(whole | parts, reasoning, details, cached=False)


def _details(result: LLMResult) -> Mapping[str, Any] | None:
    for batch in result.generations:
        for generation in batch:
            if isinstance(generation, ChatGeneration):
                message = generation.message
                if isinstance(message, AIMessage) and message.usage_metadata:
                    return message.usage_metadata
                if message.response_metadata and (found := _nested(message.response_metadata)):
                    return found
            if generation.generation_info and (found := _nested(generation.generation_info)):
                return found
    return _nested(result.llm_output) if result.llm_output else None


def _nested(metadata: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for name in ("token_usage", "usage", "usage_metadata"):
        found = metadata.get(name)
        if found and isinstance(found, Mapping):
            return found
    return None


def _first(details: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    return next((int(details[name]) for name in names if isinstance(details.get(name), int)), None)


def _at(details: Mapping[str, Any], paths: tuple[tuple[str, ...], ...]) -> int:
    for path in paths:
        found: Any = details
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
        if isinstance(found, int) and found:
            return found
    return 0


def model_that_answered(result: LLMResult) -> str | None:
    """The model named by the response, which may be a dated version of, or another than, the one asked for."""
    for batch in result.generations:
        for generation in batch:
            if isinstance(generation, ChatGeneration) and (found := _model(generation.message.response_metadata)):
                return found
            if found := _model(generation.generation_info):
                return found
    return _model(result.llm_output)


def _model(place: Mapping[str, Any] | None) -> str | None:
    if not place:
        return None
    for key in _MODEL_KEYS:
        found = place.get(key)
        if found and isinstance(found, str):
            return found
    return None


def model_asked_for(metadata: Mapping[str, Any], params: Mapping[str, Any]) -> str | None:
    """The model the program named."""
    named = metadata.get("ls_model_name")
    return str(named) if named else _model(params)


def provider(metadata: Mapping[str, Any], params: Mapping[str, Any]) -> str | None:
    """The model's provider: LangChain's ``ls_provider``, else the model's ``_type`` without its "chat"."""
    named = metadata.get("ls_provider")
    if named:
        return str(named)
    kind = params.get("_type")
    return kind.removesuffix("-chat").removeprefix("chat-") if isinstance(kind, str) else None

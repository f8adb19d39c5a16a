"""Token usage and model names, under the many keys that providers give them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from langchain_core.outputs import LLMResult

from langchain_autotrace.capture.messages import once

_COUNTS: Final = {
    "input_tokens": (
        *("input_tokens", "prompt_tokens", "prompt_token_count", "inputTokens", "inputTokenCount", "input_token_count"),
        *("promptTokenCount", "prompt_eval_count"),
    ),
    "output_tokens": (
        *("output_tokens", "completion_tokens", "candidates_token_count", "outputTokens", "outputTokenCount"),
        *("generated_token_count", "candidatesTokenCount", "eval_count"),
    ),
    "total_tokens": ("total_tokens", "total_token_count", "totalTokens", "totalTokenCount"),
}
"""MLflow's name of a count (``mlflow.tracing.constant.TokenUsageKey``): the names that providers use."""

_DETAILS: Final = {
    "cache_read_input_tokens": (
        # OpenAI's service tiers stand before the names.
        ("input_token_details", ("cache_read", "priority_cache_read", "flex_cache_read")),
        ("prompt_tokens_details", ("cached_tokens",)),
        ("input_tokens_details", ("cached_tokens",)),
        ("", ("cache_read_input_tokens",)),
        ("", ("cached_content_token_count",)),
        ("", ("cacheReadInputTokens",)),
        ("", ("cacheReadInputTokenCount",)),
        ("", ("prompt_cache_hit_tokens",)),
    ),
    "cache_creation_input_tokens": (
        ("input_token_details", ("cache_creation", "priority_cache_creation", "flex_cache_creation")),
        # Anthropic's by time to live: LangChain's total of them is then 0, so that none is counted twice.
        ("input_token_details", ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")),
        ("prompt_tokens_details", ("cache_write_tokens",)),
        ("input_tokens_details", ("cache_write_tokens",)),
        ("", ("cache_creation_input_tokens",)),
        ("", ("cacheWriteInputTokens",)),
        ("", ("cacheWriteInputTokenCount",)),
    ),
    "reasoning_tokens": (
        ("output_token_details", ("reasoning", "priority_reasoning", "flex_reasoning")),
        ("completion_tokens_details", ("reasoning_tokens",)),
        ("output_tokens_details", ("reasoning_tokens",)),
        ("", ("reasoning_tokens",)),
        ("", ("thoughts_token_count",)),
    ),
}
"""Our name of a part of the usage: where providers give it, and the names there, which add up. The first counts."""

_PLACES: Final = ("token_usage", "usage", "usage_metadata", "amazon-bedrock-invocationMetrics", "token_count")
_OWN_PLACES: Final = ("input_token_details", "output_token_details")
_OLLAMA: Final = ("prompt_eval_count", "eval_count")
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
    empty = _NO_USAGE
    for details, own in _found(result):
        if own and details.get("total_cost", 1) == 0:  # langchain-core's mark of a cached answer
            return Usage({}, 0, details, cached=True)
        counts = {ours: count for ours, names in _COUNTS.items() if (count := _first(details, names)) is not None}
        if counts:
            parts = {ours: count for ours, places in _DETAILS.items() if (count := _part(details, places, own=own))}
            reasoning = parts.pop("reasoning_tokens", 0)
            whole = {"input_tokens": 0, "output_tokens": 0} | counts
            whole.setdefault("total_tokens", whole["input_tokens"] + whole["output_tokens"])
            return Usage(whole | parts, reasoning, details, cached=False)
        if empty is _NO_USAGE:
            empty = Usage({}, 0, details, cached=False)
    return empty


def _found(result: LLMResult) -> Iterator[tuple[Mapping[str, Any], bool]]:
    """What may be usage, the best first, and whether it is LangChain's own form."""
    for batch in result.generations:
        for generation in batch:
            message = generation.__dict__.get("message")
            if message is not None:
                fields = message.__dict__
                spent = fields.get("usage_metadata")
                if spent and isinstance(spent, Mapping):
                    yield spent, True
                if fields.get("response_metadata"):
                    yield from _nested(fields["response_metadata"])
            if generation.generation_info:
                yield from _nested(generation.generation_info)
    if result.llm_output:
        yield from _nested(result.llm_output)


def _nested(metadata: object) -> Iterator[tuple[Mapping[str, Any], bool]]:
    if not isinstance(metadata, Mapping):
        return
    for name in _PLACES:
        found = metadata.get(name)
        if found and isinstance(found, Mapping):
            yield found, False
    if any(name in metadata for name in _OLLAMA):
        yield {name: metadata[name] for name in _OLLAMA if name in metadata}, False


def _count(value: object) -> int | None:
    """A count of tokens: providers give floats, None, and texts too."""
    if type(value) is int and 0 <= value < 2**63:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**63:
        return None
    return int(value)


def _first(details: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    for name in names:
        if name in details and (count := _count(details[name])) is not None:
            return count
    return None


def _part(details: Mapping[str, Any], places: tuple[tuple[str, tuple[str, ...]], ...], *, own: bool) -> int:
    for place, names in places:
        if own and place not in _OWN_PLACES:
            break
        found = details.get(place) if place else details
        if found and isinstance(found, Mapping):
            total = 0
            for name in names:
                if name in found:
                    total += _count(found[name]) or 0
            if total:
                return total
    return 0


def model_that_answered(result: LLMResult) -> str | None:
    """The model named by the response, which may be a dated version of, or another than, the one asked for."""
    for batch in result.generations:
        for generation in batch:
            fields = generation.__dict__
            message = fields.get("message")
            metadata = None if message is None else message.__dict__.get("response_metadata")
            for place in (metadata, fields.get("generation_info")):
                if place and (found := _model(place)):
                    return found
    return _model(result.llm_output) if result.llm_output else None


def _model(place: Mapping[str, Any]) -> str | None:
    if isinstance(place, Mapping):
        for key in _MODEL_KEYS:
            found = place.get(key)
            if found and isinstance(found, str):
                return once(found)
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

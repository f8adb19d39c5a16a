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
_MODEL_NAMES: Final = frozenset(_MODEL_KEYS)


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


def facts(result: LLMResult) -> tuple[Usage, str | None]:
    """What a model's answer says of its cost, each token counted once, and the model that gave it.

    ``usage_metadata`` of the message comes first (LangChain's own form, streamed answers included), then
    ``llm_output["token_usage"]`` and ``["usage"]`` (older integrations, text models). With several candidates
    (``n > 1``) every message repeats the usage of the whole call, so the first one counts.

    The model may be a dated version of, or another than, the one asked for.
    """
    # Where an answer may say so, the best first; True for LangChain's own form.
    found: list[tuple[Any, bool]] = []
    for batch in result.generations:
        for generation in batch:
            fields = generation.__dict__
            message = fields.get("message")
            if message is not None:
                own = message.__dict__
                if own.get("usage_metadata"):
                    found.append((own["usage_metadata"], True))
                if own.get("response_metadata"):
                    found.append((own["response_metadata"], False))
            if fields.get("generation_info"):
                found.append((fields["generation_info"], False))
    if result.llm_output:
        found.append((result.llm_output, False))
    if not found:
        return _NO_USAGE, None
    places = [(place, own) for place, own in found if isinstance(place, Mapping)]
    return _usage(places), _model_that_answered(places)


def _usage(places: list[tuple[Mapping[str, Any], bool]]) -> Usage:
    empty = _NO_USAGE
    for details, own in _candidates(places):
        if own and details.get("total_cost", 1) == 0:  # langchain-core's mark of a cached answer
            return Usage({}, 0, details, cached=True)
        counts = {ours: count for ours, names in _COUNTS.items() if (count := _first(details, names)) is not None}
        if counts:
            parts = {ours: count for ours, where in _DETAILS.items() if (count := _part(details, where, own=own))}
            reasoning = parts.pop("reasoning_tokens", 0)
            whole = {"input_tokens": 0, "output_tokens": 0} | counts
            whole.setdefault("total_tokens", whole["input_tokens"] + whole["output_tokens"])
            return Usage(whole | parts, reasoning, details, cached=False)
        if empty is _NO_USAGE:
            empty = Usage({}, 0, details, cached=False)
    return empty


def _candidates(places: list[tuple[Mapping[str, Any], bool]]) -> Iterator[tuple[Mapping[str, Any], bool]]:
    """What may be usage, the best first, and whether it is LangChain's own form."""
    for place, own in places:
        if own:
            yield place, True
            continue
        for name in _PLACES:
            found = place.get(name)
            if found and isinstance(found, Mapping):
                yield found, False
        if any(name in place for name in _OLLAMA):
            yield {name: place[name] for name in _OLLAMA if name in place}, False


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


def _model_that_answered(places: list[tuple[Mapping[str, Any], bool]]) -> str | None:
    for place, own in places:
        if not own and (found := model_named(place)):
            return found
    return None


def model_named(place: Mapping[str, Any]) -> str | None:
    """The model's name in its parameters or in the facts of its answer."""
    if _MODEL_NAMES.isdisjoint(place):
        return None
    for key in _MODEL_KEYS:
        found = place.get(key)
        if found and isinstance(found, str):
            return once(found)
    return None


def provider_named(params: Mapping[str, Any]) -> str | None:
    """The provider by a model's parameters, where LangChain does not say it: the ``_type`` without its "chat"."""
    kind = params.get("_type")
    return kind.removesuffix("-chat").removeprefix("chat-") if isinstance(kind, str) else None

"""Token usage and model names, from the various keys that providers use for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from langchain_autotrace.semconv import USAGE_PLACES
from langchain_autotrace.trace.chat import generations, once

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
"""MLflow's name of a count (``mlflow.tracing.constant.TokenUsageKey``) -> the names that providers use."""

_DETAILS: Final = {
    "cache_read_input_tokens": (
        # With OpenAI's service tiers, the name of the tier comes first.
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
        # Anthropic's, by time to live: LangChain then sets the total to 0, so that no token is counted twice.
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
"""Our name of a part of the usage -> places and the names there, whose counts add up. The first place counts."""

_OWN_PLACES: Final = ("input_token_details", "output_token_details")
_OLLAMA: Final = ("prompt_eval_count", "eval_count")
_MODEL_KEYS: Final = ("model_name", "model", "model_id", "modelId")
_MODEL_NAMES: Final = frozenset(_MODEL_KEYS)


class Usage(NamedTuple):
    """The token usage of a model call."""

    counts: dict[str, int]
    """Value of ``mlflow.chat.tokenUsage``: input_tokens, output_tokens, total_tokens, and the cache counts if given."""
    reasoning: int
    """Output tokens spent on reasoning; included in output_tokens."""
    details: Mapping[str, Any]
    """The usage as the provider's integration returned it."""
    cached: bool
    """Whether the answer came from LangChain's cache. It then cost nothing, and ``counts`` is empty."""


_NO_USAGE: Final = Usage({}, 0, {}, cached=False)


def usage_and_model(result: Mapping[str, Any]) -> tuple[Usage, str | None]:
    """Return the token usage of a model call, with each token counted once, and the name of the model that answered.

    The message's ``usage_metadata`` comes first (LangChain's own form, streamed answers included), then
    ``llm_output["token_usage"]`` and ``["usage"]`` (older integrations, text models). With several candidates
    (``n > 1``), every message repeats the usage of the whole call, so only the first one counts. The model may be
    another than the one requested, such as a dated version of it.

    Args:
        result: LangChain's ``LLMResult`` as JSON.
    """
    # Places to look in, the best first; True for LangChain's own form.
    found: list[tuple[Any, bool]] = []
    for generation in generations(result):
        message = generation.get("message")
        if isinstance(message, dict):
            found += [(message.get("usage_metadata"), True), (message.get("response_metadata"), False)]
        found.append((generation.get("generation_info"), False))
    found.append((result.get("llm_output"), False))
    places: list[tuple[Mapping[str, Any], bool]] = [(one, own) for one, own in found if one and isinstance(one, dict)]
    return _usage(places), _model_that_answered(places)


def _usage(places: list[tuple[Mapping[str, Any], bool]]) -> Usage:
    empty = _NO_USAGE
    for details, own in _candidates(places):
        if own and details.get("total_cost", 1) == 0:  # set by langchain-core for a cached answer
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
    """Yield dicts that may be usage, the best first, each with whether it is in LangChain's own form."""
    for place, own in places:
        if own:
            yield place, True
            continue
        for name in USAGE_PLACES:
            found = place.get(name)
            if found and isinstance(found, Mapping):
                yield found, False
        if any(name in place for name in _OLLAMA):
            yield {name: place[name] for name in _OLLAMA if name in place}, False


def _count(value: object) -> int | None:
    """Return a count of tokens as an int; None when it is not one: providers also return floats, None and strings."""
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
    """Return the model name in a model's parameters or in the metadata of its answer; None when there is none."""
    if _MODEL_NAMES.isdisjoint(place):
        return None
    for key in _MODEL_KEYS:
        found = place.get(key)
        if found and isinstance(found, str):
            return once(found)
    return None


def provider_named(params: Mapping[str, Any]) -> str | None:
    """Return the provider in a model's parameters, for models without ``ls_provider``: ``_type`` without "chat"."""
    kind = params.get("_type")
    return kind.removesuffix("-chat").removeprefix("chat-") if isinstance(kind, str) else None

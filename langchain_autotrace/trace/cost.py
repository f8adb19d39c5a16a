"""The cost of a model's call, from the price list in the package ``genai-prices``: without a network."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from langchain_autotrace.semconv import Attr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    PriceTable = Callable[[str | None, str, Mapping[str, int]], "dict[str, float] | None"]
    """(provider, model, token usage) -> cost, or None for a model that is not in the table."""

_HOSTS: Final = (("azure", "azure"), ("bedrock", "aws"), ("mantle", "aws"), ("vertex", "google"))
"""Part of LangChain's name of a provider -> the library's id, for those that offer models of other makers.

The library itself knows most names (``google_genai``, ``mistralai``, ``xai``), but takes the maker for the host where
one name has both (``anthropic_bedrock``)."""
_MAKERS: Final = frozenset({"openai", "anthropic", "google", "x-ai"})
"""Makers whose models cost the same at every provider, also at a gateway that the price list does not know."""
_BEFORE_NAME: Final = re.compile(r"^.*(/|\b(anthropic|openai)\.)")
"""The prefix of a model's name at gateways and Bedrock: ``anthropic/claude-3.5-sonnet``, ``eu.anthropic.claude-…``."""
_OPEN_WEIGHTS: Final = "gpt-oss"
"""Name of open-weight models of these makers: each provider sets its own price for them."""
_LOCAL: Final = frozenset(
    {"ollama", "llamacpp", "llamafile", "vllm", "gpt4all", "mlx", "mlxpipeline", "huggingfacepipeline", "ctransformers"}
)
_LARGEST_PLAIN_INPUT: Final = 128_000
"""Longer prompts may have another price for each token; 128,000 is the lowest limit that a provider has."""
_TIERS: Final = ("priority", "flex")
"""Service tiers by which langchain-openai names details of the usage (``priority_cache_read``)."""


def is_local(provider: object) -> bool:
    """Return whether the provider runs models on the user's own machine, where a call has no price."""
    return str(provider).lower() in _LOCAL


def cost_of(
    attributes: Mapping[str, Any], start_ns: int, preferred: PriceTable | None = None
) -> dict[str, float] | None:
    """Return the cost of a model's call in US dollars: ``input_cost``, ``output_cost`` and ``total_cost``.

    The model that answered is looked up first, then the one that was requested. None when neither has a price, when no
    usage is known, and for local models.

    Args:
        attributes: the attributes of the call's span.
        start_ns: start of the call in nanoseconds since the Unix epoch, as prices change.
        preferred: another price table, which counts before the library's for calls that it has no finer price for:
            without a service tier, audio, a cache of another lifetime, or a very long prompt.
    """
    counts, provider = attributes.get(Attr.TOKEN_USAGE), attributes.get(Attr.PROVIDER)
    if not isinstance(counts, dict) or is_local(provider):
        return None
    provider = str(provider) if provider else None
    counts = {name: _count(counts, name) for name in counts}
    details = attributes.get(Attr.USAGE_METADATA)
    tokens, finer = _tokens(counts), _finer_tokens(details if isinstance(details, dict) else {})
    if not tokens["input_tokens"] and not tokens["output_tokens"]:
        return None
    tier = _tier(details)
    is_plain = not finer and tier is None and tokens["input_tokens"] <= _LARGEST_PLAIN_INPUT
    named = (attributes.get(Attr.MODEL), attributes.get(Attr.REQUEST_MODEL))
    for model in dict.fromkeys(name for name in named if name and isinstance(name, str)):
        if preferred is not None and is_plain and (cost := preferred(provider, model, counts)) is not None:
            return cost
        if (cost := _listed(provider, model, [tokens | finer, tokens], start_ns, tier)) is not None:
            return cost
    return None


def _tokens(counts: Mapping[str, Any]) -> dict[str, int]:
    """Return a span's token counts under the names that ``genai-prices`` uses."""
    read, written = _count(counts, "cache_read_input_tokens"), _count(counts, "cache_creation_input_tokens")
    sent = _count(counts, "input_tokens")
    if read + written > sent:  # the provider counts cached tokens beside the others, the library among them
        sent += read + written
    return {
        "input_tokens": sent,
        "output_tokens": _count(counts, "output_tokens"),
        "cache_read_tokens": read,
        "cache_write_tokens": written,
    }


def _finer_tokens(details: Mapping[str, Any]) -> dict[str, int]:
    """Return the tokens with a price of their own, under the library's names, from LangChain's ``usage_metadata``."""
    sent, received = details.get("input_token_details"), details.get("output_token_details")
    found = {
        "cache_write_1h_tokens": _count(sent, "ephemeral_1h_input_tokens"),
        "input_audio_tokens": _count(sent, "audio"),
        "output_audio_tokens": _count(received, "audio"),
    }
    finer = {name: count for name, count in found.items() if count}
    # LangChain does not say which cached tokens are audio, and the library asks for it.
    return finer | {"cache_audio_read_tokens": 0} if "input_audio_tokens" in finer else finer


def _count(place: object, name: str) -> int:
    value = place.get(name) if isinstance(place, dict) else None
    return value if type(value) is int and value > 0 else 0


def _tier(details: object) -> str | None:
    """Return the service tier that LangChain's ``usage_metadata`` names; None for the standard one."""
    sent = details.get("input_token_details") if isinstance(details, dict) else None
    return next((tier for tier in _TIERS if isinstance(sent, dict) and tier in sent), None)


def _listed(
    provider: str | None, model: str, usages: list[dict[str, int]], start_ns: int, tier: str | None
) -> dict[str, float] | None:
    """Return the cost by the library's list, of the first usage that it takes; None for a model that it lacks."""
    import genai_prices  # noqa: PLC0415 - 0.2 s, and never on the program's thread

    at = datetime.fromtimestamp(start_ns / 1e9, UTC)
    context = {"service_tier": tier} if tier else None
    for name, host, makers in _references(provider, model):
        for usage in usages:
            try:
                found = genai_prices.calc_price(
                    genai_prices.Usage(**usage),
                    name,
                    provider_id=host,
                    genai_request_timestamp=at,
                    price_context=context,
                )
            except LookupError:
                break
            except ValueError:  # counts that contradict each other
                continue
            if makers is not None and found.provider.id not in makers:
                break
            return {
                "input_cost": float(found.input_price),
                "output_cost": float(found.output_price),
                "total_cost": float(found.total_price),
            }
    return None


def _references(provider: str | None, model: str) -> Iterator[tuple[str, str | None, frozenset[str] | None]]:
    """Yield model names to look up, each with the library's provider id, or without and the makers that count."""
    if provider is not None:
        name = provider.lower()
        yield model, next((host for part, host in _HOSTS if part in name), name), None
    bare = _BEFORE_NAME.sub("", model)
    if not bare.startswith(_OPEN_WEIGHTS):
        yield bare, None, _MAKERS

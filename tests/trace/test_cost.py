"""What a model's call costs, by the price list in ``genai-prices``."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, Final

import pytest

from langchain_autotrace.semconv import Attr
from langchain_autotrace.trace.cost import cost_of, is_local
from tests.trace.support import BEGIN

COUNTS: Final = {"input_tokens": 1_000, "output_tokens": 2_000, "total_tokens": 3_000}
MILLION: Final = 1e6
NOVEMBER: Final = BEGIN + 330 * 86_400 * 10**9
"""A time of which the library knows the prices of service tiers."""


def call(
    provider: str | None, model: str | None, requested: str | None = None, more: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The attributes of a model's call."""
    named = {Attr.PROVIDER: provider, Attr.MODEL: model, Attr.REQUEST_MODEL: requested}
    return {Attr.TOKEN_USAGE: COUNTS} | {name: one for name, one in named.items() if one is not None} | (more or {})


def prices(found: dict[str, float] | None) -> tuple[float, float] | None:
    """The prices of a million input tokens and a million output tokens."""
    if found is None:
        return None
    assert found["total_cost"] == pytest.approx(found["input_cost"] + found["output_cost"])
    assert sorted(found) == ["input_cost", "output_cost", "total_cost"]
    return round(found["input_cost"] * 1_000, 6), round(found["output_cost"] * 500, 6)


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        ("openai", "gpt-4o-mini", (0.15, 0.6)),
        ("openai", "gpt-4o-mini-2024-07-18", (0.15, 0.6)),
        ("openai", "text-embedding-3-small", (0.02, 0)),
        ("azure", "gpt-4o-2024-08-06", (2.5, 10)),
        ("azure_ai", "gpt-4o", (2.5, 10)),
        ("azure-openai", "gpt-4o", (2.5, 10)),
        ("anthropic", "claude-3-5-sonnet-20241022", (3, 15)),
        ("google_genai", "models/gemini-2.0-flash", (0.1, 0.4)),
        ("google_vertexai", "gemini-2.5-pro", (1.25, 10)),
        ("google_anthropic_vertex", "claude-sonnet-4@20250514", (3, 15)),
        ("amazon_bedrock", "eu.anthropic.claude-3-5-sonnet-20241022-v2:0", (3, 15)),
        ("amazon_bedrock", "anthropic.claude-3-haiku-20240307-v1:0", (0.25, 1.25)),
        ("amazon_bedrock", "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0", (0.06, 0.24)),
        ("anthropic-bedrock", "us.anthropic.claude-3-5-sonnet-20241022-v2:0", (3, 15)),
        ("anthropic-mantle", "anthropic.claude-sonnet-4-5", (3, 15)),
        ("mistral", "mistral-large-latest", (2, 6)),
        ("mistralai", "mistral-large-latest", (2, 6)),
        ("groq", "llama-3.3-70b-versatile", (0.59, 0.79)),
        ("xai", "grok-3", (3, 15)),
        ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", (0.88, 0.88)),
        ("openrouter", "anthropic/claude-3.5-sonnet", (3, 15)),
        ("litellm", "anthropic/claude-3-5-sonnet-20241022", (3, 15)),
        # OpenAI's client for a gateway, a company's own class of models, and no provider at all.
        ("openai", "anthropic/claude-3.5-sonnet", (3, 15)),
        ("acme", "gpt-4o-mini", (0.15, 0.6)),
        (None, "gpt-4o-mini", (0.15, 0.6)),
    ],
)
def test_a_model_of(provider: str | None, model: str, expected: tuple[float, float]) -> None:
    """Providers as LangChain names them, and models as they name themselves, have their price."""
    assert prices(cost_of(call(provider, model), BEGIN)) == expected


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("acme", "acme-1"),
        ("azure", "my-deployment"),
        ("openai", "meta-llama/Llama-3.1-8B-Instruct"),
        ("openai", "openai/gpt-oss-20b"),
        ("nvidia", "deepseek-r1"),
        ("ollama", "deepseek-r1"),
        ("ollama", "gpt-4o"),
        ("llamacpp", "gpt-4o"),
        (None, None),
        ("openai", None),
    ],
)
def test_no_price(provider: str | None, model: str | None) -> None:
    """Models that are unknown, served by anyone at any price, or local have no cost."""
    assert cost_of(call(provider, model), BEGIN) is None


@pytest.mark.parametrize(
    ("answered", "requested", "expected"),
    [
        ("gpt-4o-mini-2024-07-18", "gpt-4o", (0.15, 0.6)),
        ("gpt-unheard-of", "gpt-4o", (2.5, 10)),
        (None, "gpt-4o", (2.5, 10)),
        ("gpt-unheard-of", "deployment-7", None),
    ],
)
def test_a_model_that_was_requested(answered: str | None, requested: str, expected: tuple[float, float] | None) -> None:
    """The price of the model that was requested counts where the one that answered has none."""
    assert prices(cost_of(call("openai", answered, requested), BEGIN)) == expected


@pytest.mark.parametrize(
    ("model", "counts", "details", "expected"),
    [
        ("openai/gpt-4o", {"input_tokens": 100, "cache_read_input_tokens": 40}, {}, 60 * 2.5 + 40 * 1.25),
        (
            "anthropic/claude-sonnet-4-5",
            {"input_tokens": 100, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 50},
            {},
            10 * 3 + 40 * 0.3 + 50 * 3.75,
        ),
        (
            "anthropic/claude-sonnet-4-5",
            {"input_tokens": 100, "cache_creation_input_tokens": 50},
            {"input_token_details": {"ephemeral_1h_input_tokens": 50}},
            50 * 3 + 50 * 6,
        ),
        ("anthropic/claude-sonnet-4-5", {"input_tokens": 10, "cache_read_input_tokens": 40}, {}, 10 * 3 + 40 * 0.3),
        (
            "google_genai/gemini-2.5-flash",
            {"input_tokens": 100},
            {"input_token_details": {"audio": 30}},
            70 * 0.3 + 30 * 1.0,
        ),
        ("google_genai/gemini-2.5-pro", {"input_tokens": 300_000}, {}, 300_000 * 2.5),
        ("openai/gpt-5", {"input_tokens": 100}, {"input_token_details": {"priority": 100}}, 100 * 2.5),
        ("openai/gpt-5", {"input_tokens": 100}, {"input_token_details": {"flex": 100}}, 100 * 0.625),
        ("openai/gpt-4o-audio-preview", {"input_tokens": 9}, {"input_token_details": {"audio": 30}}, 9 * 2.5),
        ("openai/gpt-4o", {"input_tokens": 9}, {"input_token_details": "?", "output_token_details": None}, 9 * 2.5),
    ],
    ids=[
        *("cached", "read and written", "kept for an hour", "cached beside", "audio", "long prompt"),
        *("priority", "flex", "audio that contradicts", "details of another form"),
    ],
)
def test_finer_prices(model: str, counts: dict[str, int], details: dict[str, Any], expected: float) -> None:
    """Cached tokens, audio, long prompts and service tiers have prices of their own."""
    provider, _, name = model.partition("/")
    attributes = call(provider, name, more={Attr.TOKEN_USAGE: counts, Attr.USAGE_METADATA: details})

    assert cost_of(attributes, NOVEMBER) == pytest.approx(
        {"input_cost": expected / MILLION, "output_cost": 0, "total_cost": expected / MILLION}
    )


@pytest.mark.parametrize(
    "usage",
    [None, {}, "many", {"input_tokens": 0, "output_tokens": 0}, {"input_tokens": "9"}, {"input_tokens": -9}],
    ids=repr,
)
def test_no_usage(usage: object) -> None:
    """Without tokens that can be counted there is no cost: an answer from a cache has none."""
    assert cost_of(call("openai", "gpt-4o", more={Attr.TOKEN_USAGE: usage}), BEGIN) is None


def test_a_price_that_has_changed() -> None:
    """A call costs what the model's price was when it was made."""
    before, after = (cost_of(call("openai", "o3"), at) for at in (1_746_057_600 * 10**9, BEGIN))

    assert (prices(before), prices(after)) == ((10, 40), (2, 8))


def test_another_table() -> None:
    """Another table counts first, for each of the models, but not for a call that has a finer price."""
    asked: list[tuple[str | None, str]] = []

    def table(provider: str | None, model: str, counts: Any) -> dict[str, float] | None:
        asked.append((provider, model))
        return {"total_cost": 1.0} if model == "gpt-4o" and counts is not None else None

    attributes = call("openai", "gpt-unheard-of", "gpt-4o")
    finer = call("openai", "gpt-5", more={Attr.USAGE_METADATA: {"input_token_details": {"flex": 1_000}}})

    assert cost_of(attributes, BEGIN, table) == {"total_cost": 1.0}
    assert prices(cost_of(call("openai", "gpt-4o-mini"), BEGIN, table)) == (0.15, 0.6)
    assert prices(cost_of(finer, NOVEMBER, table)) == (0.625, 5)
    assert asked == [("openai", "gpt-unheard-of"), ("openai", "gpt-4o"), ("openai", "gpt-4o-mini")]


def test_local() -> None:
    """Local providers are told by LangChain's names of them, however they are written."""
    assert [is_local(one) for one in ("ollama", "Ollama", "openai", None)] == [True, True, False, False]


def test_no_network() -> None:
    """A price is found without a socket and without a thread, and the library is imported only then."""
    program = f"""
import socket, sys, threading
def refused(*_, **__):
    raise AssertionError("a socket")
socket.socket.connect = socket.getaddrinfo = refused
from langchain_autotrace.trace import cost, spans
assert "genai_prices" not in sys.modules
found = cost.cost_of({call("openai", "gpt-4o-mini")!r}, {BEGIN})
print(found["total_cost"], threading.active_count())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (done.stdout, done.returncode) == ("0.00135 1\n", 0), done.stderr

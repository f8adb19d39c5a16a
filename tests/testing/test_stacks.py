"""Every client that LangChain's models use records and replays, in every way to call a model."""

from __future__ import annotations

import asyncio
import inspect
import json
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
import requests
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage

from langchain_autotrace.testing import use_cassette
from tests.patience import PATIENCE
from tests.testing.conftest import KEYS
from tests.testing.fake_models import seen

pytestmark = [
    # The clients' own: sessions left to the garbage collector, a class that aiohttp would have otherwise.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

MODELS: dict[str, tuple[str, Callable[[str], dict[str, Any]]]] = {
    "openai": (
        "langchain_openai.ChatOpenAI",
        lambda host: {"model": "gpt-x", "base_url": f"{host}/v1", "http_async_client": httpx.AsyncClient()},
    ),
    "anthropic": ("langchain_anthropic.ChatAnthropic", lambda host: {"model": "claude-x", "base_url": host}),
    "gemini": (
        "langchain_google_genai.ChatGoogleGenerativeAI",
        lambda host: {"model": "gemini-x", "base_url": host},
    ),
    "mistral": ("langchain_mistralai.ChatMistralAI", lambda host: {"model": "m-x", "endpoint": f"{host}/v1"}),
    "ollama": ("langchain_ollama.ChatOllama", lambda host: {"model": "llama-x", "base_url": host}),
    "bedrock": (
        "langchain_aws.ChatBedrockConverse",
        lambda host: {
            "model": "anthropic.claude-x",
            "endpoint_url": host,
            "region_name": "us-east-1",
            "disable_streaming": False,
        },
    ),
}
"""The class of a provider's models, and its arguments for a server at an address."""
RETRYING = {"openai", "anthropic", "gemini", "bedrock"}


def _model(name: str, host: str) -> BaseChatModel:
    """A model of a provider; the test is skipped where its package is not installed."""
    path, arguments = MODELS[name]
    module, _, kind = path.rpartition(".")
    found = pytest.importorskip(module, reason="models of other providers than OpenAI are tried by: make check-kit")
    model: BaseChatModel = getattr(found, kind)(**arguments(host))
    return model


def _all_ways(name: str, host: str) -> list[str]:
    """What a model answers, called in every way."""
    model = _model(name, host)

    async def in_tasks() -> list[Any]:
        streamed = [chunk async for chunk in model.astream("hello astream")]
        answers = [
            await model.ainvoke("hello async"),
            *streamed,
            *await model.abatch(["jitter 0", "jitter 1", "jitter 4"]),
        ]
        await _close(model)
        return answers

    found: list[Any] = [model.invoke("hello"), *model.stream("hello stream"), *asyncio.run(in_tasks())]
    found += model.batch([f"jitter {number}" for number in range(5)])
    found += [model.invoke(f"retry of {name}")] if name in RETRYING else []
    same = sorted(map(_text, model.batch(["same"] * 4)))  # which thread is given which answer is open
    return [*map(_text, found), *same]


async def _close(model: BaseChatModel) -> None:
    """Close the connections of a model's asynchronous client in the loop that opened them."""
    for name in ("http_async_client", "async_client"):
        client = getattr(model, name, None)
        close = getattr(client, "aclose", getattr(client, "close", None))
        if callable(close) and inspect.isawaitable(closing := close()):
            await closing


def _text(message: BaseMessage) -> str:
    content = message.content
    if isinstance(content, str):
        return content
    return "".join(part if isinstance(part, str) else part.get("text", "") for part in content)


@pytest.mark.parametrize("name", MODELS)
def test_a_model(name: str, host: str, tmp_path: Path) -> None:
    """A model answers from the cassette what it answered when recorded, in every way, and no request is sent."""
    with use_cassette(name, folder=tmp_path, record_mode="rewrite", ignore_localhost=False):
        recorded = _all_ways(name, host)
    text = (tmp_path / f"{name}.yaml").read_text()
    before = seen()
    with use_cassette(name, folder=tmp_path, ignore_localhost=False, allow_playback_repeats=False) as cassette:
        replayed = _all_ways(name, host)

    assert replayed == recorded
    assert seen() == before + 1
    assert cassette.unused() == []
    assert [secret for secret in (*KEYS.values(), "COOKIE", "SECRET", "cf-ray", "req_0") if secret in text] == [
        "us-east-1"
    ] * ("us-east-1" in text)
    assert "base64" not in text
    assert "!!binary" not in text


def _in_threads(host: str) -> list[int]:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda i: _posted(f"{host}/echo", i), range(24)))


def _posted(uri: str, number: int) -> int:
    return int(requests.post(uri, json={"i": number}, timeout=PATIENCE).json()["n"])


def _with_aiohttp(host: str) -> list[int]:
    async def ask(session: aiohttp.ClientSession, number: int) -> int:
        sent: dict[str, Any] = {"json": {"i": number}} if number % 2 else {"data": json.dumps({"i": number})}
        async with session.post(f"{host}/echo", **sent) as response:
            return int((await response.json())["n"])

    async def all_at_once() -> list[int]:
        async with aiohttp.ClientSession() as session:
            return await asyncio.gather(*(ask(session, number) for number in range(8)))

    return asyncio.run(all_at_once())


def _with_httpx(module: Any) -> Callable[[str], list[int]]:
    def ask(host: str) -> list[int]:
        async def in_task() -> int:
            async with module.AsyncClient() as client:
                return int((await client.post(f"{host}/echo", json={"a": 2})).json()["n"])

        return [module.post(f"{host}/echo", json={"a": 1}).json()["n"], asyncio.run(in_task())]

    return ask


def _with_urllib(host: str) -> list[int]:
    with urllib.request.urlopen(f"{host}/echo", b"x=1") as response:
        return [json.loads(response.read())["n"]]


CLIENTS: dict[str, Callable[[str], list[int]]] = {
    "requests in threads": _in_threads,
    "aiohttp": _with_aiohttp,
    "httpx": _with_httpx(httpx),
    "httpx2": _with_httpx(httpx2),
    "urllib": _with_urllib,
}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client(client: str, host: str, tmp_path: Path) -> None:
    """A client is answered from the cassette what the server answered when recorded, and no request is sent."""
    with use_cassette("it", folder=tmp_path, record_mode="rewrite", ignore_localhost=False):
        recorded = CLIENTS[client](host)
    before = seen()
    with use_cassette("it", folder=tmp_path, ignore_localhost=False) as cassette:
        replayed = CLIENTS[client](host)

    assert replayed == recorded
    assert seen() == before + 1
    assert cassette.unused() == []

"""A server of fake models for all tests of this folder, and runs of pytest within a test."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from typing import Final

import openai  # noqa: F401 - what runs of pytest within a test need: they forget what they import
import pytest
import pytest_recording._vcr  # noqa: F401 - as openai
import requests  # noqa: F401 - as openai
import vcr  # noqa: F401 - as openai

import langchain_autotrace.testing.memory
import langchain_autotrace.testing.use  # noqa: F401 - as openai
from tests.testing.fake_models import serving

pytest_plugins = ["pytester"]

KEYS: Final = {
    "OPENAI_API_KEY": "sk-proj-" + "A1b2C3d4" * 6,
    "ANTHROPIC_API_KEY": "sk-ant-api03-" + "Z9y8X7w6" * 6,
    "GOOGLE_API_KEY": "AIza" + "S" * 35,
    "MISTRAL_API_KEY": "mistral" + "k3y" * 9,
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIK7MDENG",
    "AWS_SESSION_TOKEN": "FwoGZXIvYXdzEToken",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@pytest.fixture(scope="session")
def host() -> Iterator[str]:
    """The address of the fake models."""
    with serving() as address:
        yield address


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys as a developer has them, on no build server."""
    monkeypatch.delenv("CI", raising=False)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


Run = Callable[..., pytest.RunResult]

_HEAD: Final = """
import os, pytest, requests
HOST = {host!r}
def chat(prompt, **more):
    headers = {{"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}}
    data = {{"model": "m", "messages": [{{"role": "user", "content": prompt}}], **more}}
    return requests.post(HOST + "/v1/chat/completions", json=data, headers=headers).json()
"""
_CONFTEST: Final = """
import pytest
@pytest.fixture
def vcr_config():
    return {"ignore_localhost": False}
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, host: str) -> Run:
    """Run pytest on a test file, in this process: called with its text, arguments and another conftest."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(body: str, *args: str, conftest: str = _CONFTEST) -> pytest.RunResult:
        pytester.makepyfile(test_it=_HEAD.format(host=host) + textwrap.dedent(body))
        pytester.makeconftest(conftest)
        plugins = (
            "-p",
            "pytest_recording.plugin",
            "-p",
            "langchain_autotrace.testing.plugin",
            "-p",
            "no:cacheprovider",
        )
        return pytester.runpytest_inprocess(*plugins, "-W", "ignore", *args)

    return run

"""The client wants a key even where a recording answers."""

import os

import pytest


@pytest.fixture(autouse=True)
def key(monkeypatch):
    if "OPENAI_API_KEY" not in os.environ:
        monkeypatch.setenv("OPENAI_API_KEY", "no-key-is-needed")

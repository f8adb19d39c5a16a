"""Chains are built again in the process of the tests, which has all that is imported for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import orjson
import pytest

from langchain_autotrace.models import rebuild
from langchain_autotrace.ship import rebuild_process as asking


@pytest.fixture
def own_process() -> None:
    """Chains are built again in a process of their own, as the shipper has it done."""


@pytest.fixture(autouse=True)
def rebuilt_here(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Spare each delivery the start of a process; tests that ask for ``own_process`` have it."""

    def ask(self: asking.Rebuilding) -> None:
        self._answers = [orjson.dumps(rebuild.answer(asking._asked(model))) for model in self._models]

    if "own_process" not in request.fixturenames:
        monkeypatch.setattr(asking.Rebuilding, "_ask", ask)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(os.environ)
    yield
    for name in set(os.environ) - before:  # keys that are none, for building
        del os.environ[name]

"""A server to send traces to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.ship.rest.support import NotingServer
from tests.ship.server import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NotingServer]:
    """A server, and a home folder without credentials."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    noting = NotingServer(str(tmp_path))
    with running(noting):
        yield noting

"""Stores, folders and clocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.journal.support import new_folder
from tests.ship.support import Clock

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_autotrace.journal.folder import DestinationFolder


@pytest.fixture(autouse=True)
def no_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have MLflow load no prices from the network."""
    monkeypatch.setenv("MLFLOW_MODEL_CATALOG_URI", "")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The tracking URI of a file store."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return (tmp_path / "mlruns").as_uri()


@pytest.fixture(params=["store", "files"])
def uri(request: pytest.FixtureRequest) -> str:
    """The tracking URIs of both kinds of stores."""
    return str(request.getfixturevalue(request.param))


@pytest.fixture
def folder(tmp_path: Path) -> DestinationFolder:
    """A destination folder."""
    return new_folder(tmp_path)


@pytest.fixture
def clock() -> Clock:
    """A clock to turn."""
    return Clock()

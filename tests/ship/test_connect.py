"""Finding a destination again, with its password, and opening it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from langchain_autotrace import destination
from langchain_autotrace.errors import CredentialsNeeded, DestinationError, JournalError
from langchain_autotrace.journal.folder import DestinationFolder
from langchain_autotrace.redaction import without_password
from langchain_autotrace.ship.connect import CATALOG_VARIABLE, URI_VARIABLE, open_sink, tracking_uri

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "postgresql://me:s3cret@host/db"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin without the variables that name a destination, or prices."""
    for name in (URI_VARIABLE, "LANGCHAIN_AUTOTRACE_TRACKING_URI", "MLFLOW_TRACKING_URI", CATALOG_VARIABLE):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def folder_of(path: Path, uri: str) -> DestinationFolder:
    """The folder of a destination."""
    folder = DestinationFolder(path / destination.slug(uri))
    folder.create(without_password(uri))
    return folder


def test_without_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder says itself where it leads, whatever other destination the environment names."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://another")

    assert tracking_uri(folder_of(tmp_path, "http://host:5000")) == "http://host:5000"


@pytest.mark.parametrize("name", [URI_VARIABLE, "LANGCHAIN_AUTOTRACE_TRACKING_URI", "MLFLOW_TRACKING_URI"])
def test_with_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A password is taken from the variable that names the same destination."""
    folder = folder_of(tmp_path, SECRET)
    monkeypatch.setenv(URI_VARIABLE, "postgresql://me:s3cret@another/db")
    monkeypatch.setenv(name, SECRET)

    assert tracking_uri(folder) == SECRET
    assert not any("s3cret" in path.read_text() + str(path) for path in folder.path.iterdir())


def test_a_password_that_is_missing(tmp_path: Path) -> None:
    """Without the password the error says where to put it."""
    with pytest.raises(CredentialsNeeded) as refused:
        tracking_uri(folder_of(tmp_path, SECRET))

    assert str(refused.value) == (
        "postgresql://me:***@host/db needs its password: set MLFLOW_TRACKING_URI to the full URI."
    )


def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database whose file was named relative to the program's folder is found from another."""
    uri = destination.normalized("sqlite:///mlflow.db")
    folder = folder_of(tmp_path, uri)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")

    assert tracking_uri(folder) == uri == f"sqlite:///{tmp_path}/mlflow.db"


def test_no_destination(tmp_path: Path) -> None:
    """A folder of others leads nowhere."""
    with pytest.raises(JournalError):
        open_sink(DestinationFolder(tmp_path))


def test_no_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without MLflow, or what it needs, the error says what to install."""
    monkeypatch.setitem(sys.modules, "langchain_autotrace.ship.mlflow_sink", None)

    with pytest.raises(DestinationError, match=r"^MLflow cannot be imported \(.*\)\. Run: pip install mlflow-skinny"):
        open_sink(folder_of(tmp_path, "databricks"))


@pytest.mark.parametrize("place", ["database", "http://127.0.0.1:1"])
@pytest.mark.parametrize(("given", "kept"), [(None, ""), ("file:///prices", "file:///prices")])
def test_opening(
    tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch, place: str, given: str | None, kept: str
) -> None:
    """Opening a destination switches off that MLflow counts calls and downloads prices, unless the user wants them."""
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    if given is not None:
        monkeypatch.setenv(CATALOG_VARIABLE, given)
    open_sink(folder_of(tmp_path, store if place == "database" else place))

    assert (os.environ[CATALOG_VARIABLE], os.environ["MLFLOW_DISABLE_TELEMETRY"]) == (kept, "true")

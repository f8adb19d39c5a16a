"""Finding a destination again, with its password, and opening it."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from langchain_autotrace import destination
from langchain_autotrace.errors import CredentialsNeeded, DestinationError, JournalError
from langchain_autotrace.journal.folder import DestinationFolder
from langchain_autotrace.redaction import without_password
from langchain_autotrace.ship import prices
from langchain_autotrace.ship.connect import URI_VARIABLE, open_sink, tracking_uri
from langchain_autotrace.ship.prices import CATALOG_VARIABLE, Probe

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
        open_sink(folder_of(tmp_path, "http://host"))


@pytest.fixture
def catalog_host(monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    """A host that answers in place of the one that has the prices."""
    listening = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setattr(prices, "_HOST", listening.getsockname())
    return listening


def test_prices_that_can_be_loaded(catalog_host: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where prices can be loaded, MLflow loads them."""
    monkeypatch.setattr(prices, "_is_installed", lambda: False)
    Probe().settle()
    catalog_host.close()

    assert CATALOG_VARIABLE not in os.environ


def test_prices_that_cannot_be_loaded(catalog_host: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a network, MLflow goes without prices instead of waiting for them."""
    monkeypatch.setattr(prices, "_is_installed", lambda: False)
    catalog_host.close()
    Probe().settle()

    assert os.environ[CATALOG_VARIABLE] == ""


def test_prices_that_are_installed(catalog_host: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where MLflow brings prices, no network is asked for them."""
    monkeypatch.setattr(prices, "_is_installed", lambda: True)
    catalog_host.settimeout(0.05)
    Probe().settle()

    assert os.environ[CATALOG_VARIABLE] == ""
    with pytest.raises(TimeoutError):
        catalog_host.accept()
    catalog_host.close()


def test_prices_that_the_user_has_settled(catalog_host: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the user's variable says of prices stays as it is."""
    monkeypatch.setenv(CATALOG_VARIABLE, "file:///prices")
    catalog_host.close()
    Probe().settle()

    assert os.environ[CATALOG_VARIABLE] == "file:///prices"


def test_opening(tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening a database switches off that MLflow counts calls, and asks for prices; a server has its own."""
    monkeypatch.setattr(prices, "_is_installed", lambda: True)
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    open_sink(folder_of(tmp_path, "http://127.0.0.1:1"))
    before = CATALOG_VARIABLE in os.environ
    open_sink(folder_of(tmp_path, store))

    assert (before, os.environ[CATALOG_VARIABLE], os.environ["MLFLOW_DISABLE_TELEMETRY"]) == (False, "", "true")

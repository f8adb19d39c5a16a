"""Each test gets a working folder, a journal home and a switched-off tracer of its own."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from xdist import is_xdist_controller

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["LANGCHAIN_AUTOTRACE_STRICT"] = "1"
os.environ["MLFLOW_MODEL_CATALOG_URI"] = ""  # MLflow would fetch prices from the network
for name in ("LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
    os.environ.pop(name, None)

from tests import imported
from tests.full_server import full_python, tracking_server
from tests.uncovered import unseen


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Collect the tests; where coverage looks, with all imported before that they need."""
    if is_xdist_controller(session):  # the process that only hands the tests out to others
        return (yield)
    _calm_hypothesis()
    if sys.gettrace() is None:
        return (yield)
    imported.for_tests()
    with unseen():
        return (yield)


KNOWN_TABLES = (
    *("models/test_links.py", "ship/bulk/", "ship/test_sqlite_file.py::test_search_uses_the_statistics"),
    *("ship/test_template.py", "view/sql/"),
)
"""Tests of what is done by MLflow's tables, where these are known; with an older MLflow its API does it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of MLflow's tables where the installed MLflow has others."""
    from langchain_autotrace.ship import schema
    from langchain_autotrace.ship.bulk.revisions import known_revision

    if known_revision(schema._installed()[0]) is not None:
        return
    for item in items:
        if item.nodeid.removeprefix("tests/").startswith(KNOWN_TABLES):
            item.add_marker(pytest.mark.skip(reason="the installed MLflow has other tables: only its API writes them"))


def _calm_hypothesis() -> None:
    """How long an example takes says how busy the machine is."""
    from hypothesis import HealthCheck, settings

    settings.register_profile("calm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("calm")


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep tests apart: folders, settings, and what the process remembers."""
    from langchain_autotrace.capture import scope
    from langchain_autotrace.capture.guard import internal_errors
    from langchain_autotrace.control import shutdown

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LANGCHAIN_AUTOTRACE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LANGCHAIN_AUTOTRACE_LINGER", "0")
    monkeypatch.setattr(scope, "last_trace", scope.LastTrace())
    monkeypatch.setattr(internal_errors, "count", 0)  # a process says at its end how many it had, also on purpose
    yield
    shutdown()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """An SQLite file with MLflow's tables and nothing in them, made once for all processes of the tests."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "template"
    folder.mkdir(exist_ok=True)
    path = folder / "mlflow.db"
    with FileLock(folder / "lock"):
        if not path.exists():
            _make_database(folder / "new.db")
            (folder / "new.db").rename(path)
    return path


def _make_database(path: Path) -> None:
    from mlflow.tracing.client import TracingClient

    with unseen(), pytest.MonkeyPatch.context() as patch:
        patch.chdir(path.parent)
        store = TracingClient(f"sqlite:///{path}").store
        store.get_experiment("0")
        store.engine.dispose()  # whatever it holds is in the file before another process copies that


@pytest.fixture
def new_store(empty_database: Path) -> Callable[[Path], str]:
    """Makes empty databases: called with a folder, returns a tracking URI."""
    from tests.support import copies

    return copies(empty_database)


@pytest.fixture
def store(tmp_path: Path, new_store: Callable[[Path], str]) -> str:
    """The tracking URI of an empty database."""
    return new_store(tmp_path)


@pytest.fixture(scope="session")
def full_mlflow() -> str:
    """The Python of an environment that has the full mlflow, this package and its neighbours."""
    return full_python()


@pytest.fixture(scope="session")
def server(full_mlflow: str, empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a tracking server on SQLite."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(empty_database, folder / "mlflow.db")
    with tracking_server(full_mlflow, folder) as address:
        yield address

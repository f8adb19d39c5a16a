"""The destination and experiment that nobody gave: what MLflow was told."""

from __future__ import annotations

import multiprocessing
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from langchain_autotrace import destination
from tests.bridge.support import forked
from tests.patience import PATIENCE


def test_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default is MLflow's: its variable, else old runs where they may be used, else a file in the folder."""
    monkeypatch.delitem(sys.modules, "mlflow", raising=False)
    found = [destination.default_uri()]
    (tmp_path / "mlruns" / "0").mkdir(parents=True)
    (tmp_path / "mlruns" / "0" / "meta.yaml").touch()
    found.append(destination.default_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    found.append(destination.default_uri())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host")
    found.append(destination.default_uri())

    assert found == ["sqlite:///mlflow.db", "sqlite:///mlflow.db", "./mlruns", "http://host"]


def choose(said: Connection) -> None:
    """Choose in MLflow, and say what the defaults were before and are then."""
    import mlflow

    said.send((destination.default_uri(), destination.default_experiment()))
    mlflow.set_tracking_uri("sqlite:///mine.db")
    mlflow.set_experiment("chosen")
    said.send((destination.default_uri(), destination.default_experiment()))


def test_what_mlflow_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the program chose in MLflow comes before the environment, for destination and experiment."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other.db")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "named")
    heard, said = multiprocessing.Pipe(duplex=False)
    process = forked(choose, said)
    process.join(PATIENCE)

    assert process.exitcode == 0
    assert heard.recv() == ("sqlite:///other.db", ("named", None))
    assert heard.recv() == ("sqlite:///mine.db", (None, "1"))
    assert (tmp_path / "mine.db").exists()


@pytest.mark.parametrize(
    ("name", "number", "found"),
    [
        (None, None, (None, None)),
        ("a", None, ("a", None)),
        (None, "5", (None, "5")),
        ("a", "5", ("a", None)),
        ("", "", (None, None)),
    ],
)
def test_the_experiment(
    monkeypatch: pytest.MonkeyPatch, name: str | None, number: str | None, found: tuple[str | None, str | None]
) -> None:
    """The experiment is the one that MLflow's variables name, the name before the id."""
    for variable, value in (("MLFLOW_EXPERIMENT_NAME", name), ("MLFLOW_EXPERIMENT_ID", number)):
        monkeypatch.delenv(variable, raising=False)
        if value is not None:
            monkeypatch.setenv(variable, value)

    assert destination.default_experiment() == found

"""The destination and experiment that nobody gave: what MLflow was told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from langchain_autotrace import destination


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


def run(program: str, **environment: str) -> str:
    """Run a program; what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_mlflow_was_told(tmp_path: Path) -> None:
    """What the program chose in MLflow comes before the environment, for destination and experiment."""
    program = """
import mlflow
from langchain_autotrace import destination
print(destination.default_uri(), destination.default_experiment())
mlflow.set_tracking_uri("sqlite:///mine.db")
mlflow.set_experiment("chosen")
print(destination.default_uri(), destination.default_experiment())
"""
    printed = run(program, MLFLOW_TRACKING_URI="sqlite:///other.db", MLFLOW_EXPERIMENT_NAME="named")

    assert printed.splitlines() == ["sqlite:///other.db ('named', None)", "sqlite:///mine.db (None, '1')"]
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

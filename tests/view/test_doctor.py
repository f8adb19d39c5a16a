"""The doctor's findings."""

from __future__ import annotations

import shutil
import sqlite3
from typing import TYPE_CHECKING, NamedTuple

import pytest

from langchain_autotrace.view import doctor
from langchain_autotrace.view import store as store_module
from langchain_autotrace.view.doctor import Check
from tests.view.support import NOWHERE, ask, cli, cli_json, the_folder, traced

if TYPE_CHECKING:
    from pathlib import Path


def _checks(subject: str, *arguments: str) -> list[Check]:
    return [Check(**check) for check in cli_json("doctor", *arguments)["checks"] if check["subject"] == subject]


def test_healthy(store: str) -> None:
    """Where all is well each line is ok, and the exit status 0."""
    result = cli("doctor", "--tracking-uri", store)
    versions, checks = result.stdout.split("\n\n")
    assert result.exit_code == 0
    assert [line.split()[0] for line in versions.splitlines()][:3] == [
        "python",
        "langchain-autotrace",
        "langchain-core",
    ]
    assert {line.split()[0] for line in checks.splitlines() if not line.startswith(" ")} == {"ok"}


def test_json(store: str) -> None:
    """Programs are given the versions and each check."""
    found = cli_json("doctor", "--tracking-uri", store)
    assert found["versions"]["mlflow-skinny"].startswith("3.")
    assert {check["level"] for check in found["checks"]} == {"ok"}


def test_no_database_yet(tmp_path: Path) -> None:
    """A database that is still to be made is no fault, and is not made."""
    assert _checks("destination") == [
        Check("ok", "destination", f"sqlite:///{tmp_path}/mlflow.db will be created with the first trace")
    ]
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.parametrize(
    ("uri", "finding"),
    [
        (NOWHERE, "cannot reach the server (Connection refused)."),
        ("foo://x", "unknown scheme"),
        ("sqlite:///missing/x.db", "cannot write to"),
    ],
)
def test_bad_destination(uri: str, finding: str) -> None:
    """A destination that traces cannot go to is a problem, with exit status 1."""
    (check,) = _checks("destination", "--tracking-uri", uri)
    assert check.level == "problem"
    assert finding in check.finding
    assert cli("doctor", "--tracking-uri", uri).exit_code == 1


@pytest.mark.parametrize(
    ("revision", "fix"),
    [
        ("ffffffffffff", "it was created by a newer MLflow: pip install --upgrade mlflow-skinny"),
        ("451aebb31d03", "it was created by an older MLflow: back it up, then run: mlflow db upgrade "),
    ],
)
def test_schema(store: str, revision: str, fix: str) -> None:
    """A database of another MLflow version is told from a broken one, by the doctor and by who reads it."""
    with sqlite3.connect(store.removeprefix("sqlite:///")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    connection.close()
    (check,) = _checks("destination", "--tracking-uri", store)
    assert check.level == "problem"
    assert check.fix.startswith(fix)
    said = f"Error: {store} has a schema that the installed MLflow does not support; {fix}"
    assert said in cli("list", "--tracking-uri", store).stderr


def test_journal_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal folder that is none is a problem, and the variable that moves it is named."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LANGCHAIN_AUTOTRACE_HOME", str(tmp_path / "file" / "home"))
    (check,) = _checks("journal")
    assert (check.level, check.fix) == ("problem", "set LANGCHAIN_AUTOTRACE_HOME to a folder that you can write to")


@pytest.mark.parametrize(("free", "level"), [(5_000_000, "problem"), (200_000_000, "warning"), (10**9, "ok")])
def test_room(free: int, level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk with little room is warned of, one with none is a problem."""

    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free))
    assert [check.level for check in _checks("journal")] == [level]


def test_backlog(store: str) -> None:
    """What waits, was refused or cannot be read is found, each with what to do."""
    traced(ask, tracking_uri=store)
    folder = the_folder()
    folder.rejected.mkdir()
    (folder.rejected / "abc.jsonl").write_text('{"reason":"too large","time":0}\n')
    folder.segment("future", 1).write_text('{"kind":"process","version":99}\n')
    waiting, unreadable, refused = _checks("backlog")
    assert f"1 trace for {store} pending since " in waiting.finding
    assert (waiting.level, waiting.fix) == ("warning", "langchain-autotrace ship")
    assert unreadable.level == "problem"
    assert "format 99" in unreadable.finding
    assert refused.finding == f"{store} rejected 1 trace"


def test_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that switch tracing off, or cannot be understood, are found."""
    monkeypatch.setenv("LANGCHAIN_AUTOTRACE_DISABLE", "true")
    assert [check.finding for check in _checks("settings")] == ["LANGCHAIN_AUTOTRACE_DISABLE switches tracing off"]
    monkeypatch.setenv("LANGCHAIN_AUTOTRACE_DISABLE", "maybe")
    monkeypatch.setenv("LANGCHAIN_AUTOTRACE_SAMPLE_RATE", "7")
    assert [check.level for check in _checks("settings")] == ["problem", "problem"]


def test_other_tracers(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracers that trace the same runs too are noted."""
    from mlflow.utils import autologging_utils

    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    monkeypatch.setattr(autologging_utils, "autologging_is_disabled", lambda _: False)
    langsmith, mlflow = _checks("other tracers", "--tracking-uri", store)
    assert langsmith.finding == "LANGSMITH_TRACING is set: LangSmith also traces every run"
    assert mlflow.fix == "mlflow.langchain.autolog(disable=True)"


def test_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's two packages must be of one version, and what its database needs must be there."""
    known = {"mlflow": "3.1.0", "mlflow-skinny": "3.17.2"}
    monkeypatch.setattr(doctor, "_version", known.get)
    (package,) = _checks("packages")
    assert (package.level, package.fix) == ("problem", "pip install mlflow==3.1.0 mlflow-skinny==3.1.0")
    (database,) = _checks("destination")
    assert (database.level, database.fix) == ("problem", "pip install sqlalchemy alembic")
    known.clear()
    assert [check.fix for check in _checks("packages")] == ["pip install mlflow-skinny"]


def test_server(server: str) -> None:
    """A server that answers, with whatever, is there."""
    store_module.probe(server)

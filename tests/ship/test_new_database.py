"""New SQLite databases: nobody sees a part of their tables, whoever makes them."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from mlflow import MlflowClient

from langchain_autotrace.errors import SinkUnavailable
from langchain_autotrace.journal.folder import all_folders
from langchain_autotrace.ship import new_database
from langchain_autotrace.ship import schema as schema_module
from langchain_autotrace.ship.schema import schema
from langchain_autotrace.view import store as view_store
from tests.patience import PATIENCE
from tests.test_processes import count, run
from tests.uncovered import unmeasured

MAKER: Final = """
import sys
from mlflow.store.db import utils
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
upgrade = utils._upgrade_db
def wait(engine):
    print("half made", flush=True)
    sys.stdin.readline()
    upgrade(engine)
utils._upgrade_db = wait
SqlAlchemyStore(sys.argv[1], "mlruns").create_experiment("theirs")
"""
"""An MLflow that stops between the first tables and the last, until it gets a line."""


def maker(uri: str) -> subprocess.Popen[str]:
    """Start a process of MLflow that makes a database, and stops when it is half made."""
    process = subprocess.Popen(
        [sys.executable, "-c", MAKER, uri],
        env=unmeasured(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "half made\n"
    return process


def finish(process: subprocess.Popen[str]) -> None:
    """Have the process of MLflow make the rest."""
    _, err = process.communicate("\n", timeout=PATIENCE)
    assert process.returncode == 0, err


def experiments(uri: str) -> set[str]:
    """The names of the experiments."""
    return {one.name for one in MlflowClient(uri).search_experiments()}


def test_a_new_database(tmp_path: Path) -> None:
    """A database is there with all its tables or not at all, with its artifacts beside it wherever one works."""
    path = tmp_path / "data" / "new.db"
    path.parent.mkdir()
    seen: list[str] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.001):
            if path.exists():
                seen.append(schema(path)[0])

    observer = threading.Thread(target=look)
    observer.start()
    new_database.prepare(f"sqlite:///{path}")
    while not seen:
        time.sleep(0.001)
    ended.set()
    observer.join()
    assert set(seen) == {"current"}
    assert MlflowClient(f"sqlite:///{path}").get_experiment("0").artifact_location == f"{tmp_path}/data/mlruns/0"
    assert list(path.parent.iterdir()) == [path]


def test_what_a_killed_process_left(tmp_path: Path) -> None:
    """What was left of a database that nobody is making any more is removed, and nothing else."""
    names = ["new.db.0123abcd.part", "new.db.0123abcd.part-journal", "new.db.89abcdef.part", "new.db.mine.part"]
    for name in names:
        (tmp_path / name).touch()
    for name in names[:2]:
        os.utime(tmp_path / name, (0, 0))
    new_database.prepare(f"sqlite:///{tmp_path}/new.db")
    assert sorted(path.name for path in tmp_path.glob("new.db*")) == ["new.db", *sorted(names[2:])]


@pytest.mark.long
def test_mlflow_is_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who delivers or reads waits until MLflow has made its database, and then goes on with it."""
    uri = f"sqlite:///{tmp_path}/new.db"
    monkeypatch.setattr(schema_module, "_REST_SECONDS", 600.0)
    waits = threading.Semaphore(0)

    def sleep(_: float) -> None:
        waits.release()
        threading.Event().wait(0.01)

    monkeypatch.setattr(time, "sleep", sleep)
    process = maker(uri)
    found: list[str] = []

    def deliver() -> None:
        new_database.prepare(uri)
        found.append("made")

    def read() -> None:
        assert view_store.exists(uri)
        found.append("read")

    second = [threading.Thread(target=deliver), threading.Thread(target=read)]
    for thread in second:
        thread.start()
    for _ in range(20):
        assert waits.acquire(timeout=PATIENCE)
    assert found == []
    finish(process)
    for thread in second:
        thread.join(PATIENCE)
    assert sorted(found) == ["made", "read"]
    assert experiments(uri) == {"Default", "theirs"}


@pytest.mark.long
def test_mlflow_is_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database that MLflow has made meanwhile is kept, and the other one is removed."""
    uri = f"sqlite:///{tmp_path}/new.db"
    place = new_database._place

    def place_late(part: Path, path: Path) -> None:
        finish(maker(uri))
        place(part, path)

    monkeypatch.setattr(new_database, "_place", place_late)
    new_database.prepare(uri)
    assert experiments(uri) == {"Default", "theirs"}
    assert list(tmp_path.glob("*.part*")) == []


def test_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without hard links gets its database, and keeps one that is there."""

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    part, path = tmp_path / "part", tmp_path / "new.db"
    part.write_text("ours")
    new_database._place(part, path)
    assert (path.read_text(), part.exists()) == ("ours", False)
    part.write_text("second")
    new_database._place(part, path)
    assert path.read_text() == "ours"


@pytest.mark.long
def test_a_program_that_uses_mlflow(tmp_path: Path) -> None:
    """A program and its shipper that open a new database at the same moment both go on; the shipper logs nothing."""
    uri = f"sqlite:///{tmp_path}/new.db"
    program = f"""
        chain.invoke({{"topic": 1}})
        import mlflow
        mlflow.set_tracking_uri({uri!r})
        mlflow.set_experiment("theirs")
        assert langchain_autotrace.flush(90).ok
    """
    _, err, _ = run(program, uri, warnings="default")
    assert "Traceback" not in err
    assert "ERROR" not in err
    (folder,) = all_folders()
    assert folder.log_file.read_text() == ""
    assert count(uri) == 1
    assert experiments(uri) == {"Default", "theirs"}


def test_a_database_that_nobody_makes(tmp_path: Path, store: str) -> None:
    """A file without MLflow's tables has no schema, and a file that is no database is an error of its own."""
    assert schema(tmp_path / "none.db") == ("none", "")
    (tmp_path / "empty.db").touch()
    os.utime(tmp_path / "empty.db", (0, 0))
    assert not view_store.exists(f"sqlite:///{tmp_path}/empty.db")
    new_database.prepare(f"sqlite:///{tmp_path}/empty.db")
    assert schema(Path(store.removeprefix("sqlite:///")))[0] == "current"
    (tmp_path / "text.db").write_text("x" * 1000)
    with pytest.raises(SinkUnavailable, match=r"^sqlite:.*text\.db: DatabaseError: file is not a database$"):
        new_database.prepare(f"sqlite:///{tmp_path}/text.db")


@pytest.mark.parametrize(("revision", "state"), [("451aebb31d03", "older"), ("0f0f0f0f0f0f", "newer")])
def test_a_database_of_another_version(store: str, revision: str, state: str) -> None:
    """A database that an older or a newer MLflow has made is known as such."""
    path = Path(store.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    os.utime(path, (0, 0))
    assert schema(path) == (state, revision)
    assert schema_module.settled_schema(store) == state


def test_a_locked_database(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that stays locked is an error, in seconds."""
    monkeypatch.setattr(schema_module, "_READ_SECONDS", 0.1)
    monkeypatch.setattr(schema_module, "_LOCKED_SECONDS", 0.2)
    with closing(sqlite3.connect(store.removeprefix("sqlite:///"), isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SinkUnavailable, match=r"^sqlite:.*mlflow\.db: OperationalError: database is locked$"):
            new_database.prepare(store)

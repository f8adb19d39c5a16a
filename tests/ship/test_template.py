"""New databases are copies of one that MLflow has made: whatever happens to it, they are as MLflow makes them."""

from __future__ import annotations

import gzip
import os
import shutil
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import mlflow
import pytest
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from langchain_autotrace.ship import new_database, template
from langchain_autotrace.ship.bulk.bulk_writer import BulkWriter
from langchain_autotrace.ship.bulk.databases import database
from langchain_autotrace.ship.sqlite_file import ARTIFACT_ROOT
from tests.patience import PATIENCE
from tests.ship.bulk.support import bulk_sink, imported_by_delivery, no_public, tables
from tests.ship.mlflow_support import in_experiment
from tests.ship.support import end, finished, start
from tests.support import stored

TIMES: Final = ("creation_time", "last_update_time")
NAMES: Final = ("mine", "Ünïcode ☃", 'it\'s "quoted"', "a/b:c", " ", "x" * 500)


@pytest.fixture
def kept(tmp_path: Path, empty_database: Path) -> Path:
    """The template, kept of a database of MLflow's."""
    path = tmp_path / "made.db"
    shutil.copy(empty_database, path)
    template.keep(f"sqlite:///{path}", path, mlflow.__version__)
    path.unlink()
    (found,) = (tmp_path / "home" / "templates").iterdir()
    return found


@pytest.fixture
def no_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow must not make a database."""

    def refuse(*_: object) -> None:
        raise AssertionError("MLflow made a database")

    monkeypatch.setattr(new_database, "_make_by_mlflow", refuse)


def by_mlflow(folder: Path, *names: str) -> str:
    """The URI of a database with experiments, all made by MLflow."""
    uri = f"sqlite:///{folder}/mlflow.db"
    store = SqlAlchemyStore(uri, str(folder / "mlruns"))  # type: ignore[no-untyped-call]
    for name in names:
        store.create_experiment(name)  # type: ignore[no-untyped-call]
    store.engine.dispose()
    return uri


def contents(uri: str, folder: Path) -> tuple[dict[str, Any], list[Any], list[Any]]:
    """All rows without times and the folder, the tables and indexes, and what the file says of itself."""
    found = tables(uri)
    for row in found["experiments"]:
        assert all(abs(time.time() * 1000 - row.pop(key)) < 600_000 for key in TIMES)
        row["artifact_location"] = row["artifact_location"].replace(str(folder), "")
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as connection:
        names = ("page_size", "user_version", "application_id", "encoding", "auto_vacuum", "journal_mode")
        pragmas = [connection.execute(f"PRAGMA {name}").fetchone() for name in names]
        made = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 1, 2")
        # MLflow's migrations write the constraints of a table in the order of a set.
        lines = [(*names, sorted(line.strip(" \t,") for line in (sql or "").splitlines())) for *names, sql in made]
        return found, lines, pragmas


@pytest.mark.usefixtures("kept", "no_mlflow")
def test_a_copy(tmp_path: Path) -> None:
    """A new database and its new experiments are, column by column, those that MLflow makes."""
    folders = [tmp_path / name for name in ("theirs", "our own")]
    for folder in folders:
        folder.mkdir()
    theirs, ours = by_mlflow(folders[0], *NAMES), f"sqlite:///{folders[1]}/mlflow.db"
    new_database.prepare(ours)
    found = database(ours)
    assert found is not None
    BulkWriter(found).create_experiments(NAMES)

    files = [folder / "mlflow.db" for folder in folders]
    assert contents(ours, folders[1]) == contents(theirs, folders[0])
    assert files[0].stat().st_mode == files[1].stat().st_mode
    assert list(folders[1].iterdir()) == [files[1]]
    assert str(tmp_path / "template").encode() not in files[1].read_bytes()


@pytest.mark.usefixtures("kept")
def test_no_mlflow(tmp_path: Path) -> None:
    """Traces of a new experiment are stored in a new database without importing MLflow."""
    uri = f"sqlite:///{tmp_path}/new.db"
    assert imported_by_delivery(
        uri, start(1, 1, context=in_experiment(experiment="mine")), end(1, 1), start(2, 1), end(2, 1)
    ) == ("[]\n", "")
    assert [trace.info.experiment_id for trace in stored(uri)] == ["1", "0"]


@pytest.mark.usefixtures("no_mlflow")
def test_a_template_of_another_version(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When another version of MLflow is installed, it makes its own template, and only of its own databases."""
    path = tmp_path / "new.db"
    with monkeypatch.context() as patch:
        patch.setattr(template, "full_version", lambda: "3.17.99")
        assert not template.copy_to(f"sqlite:///{path}", path, str(tmp_path))
        template.keep(f"sqlite:///{path}", path, mlflow.__version__)
    assert list(kept.parent.iterdir()) == [kept]


def database_file(empty: Path, folder: Path, statement: str) -> bytes:
    """An empty database of MLflow's that was changed by a statement."""
    path = folder / "changed.db"
    shutil.copy(empty, path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)
    return path.read_bytes()


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:1000],
        lambda content: content[:5000] + b"x" + content[5001:],
        lambda content: b"text",
        lambda content: gzip.compress(b"text" * 1000),
        lambda content: gzip.compress(gzip.decompress(content)[:100_000]),
    ],
)
def test_a_damaged_template(kept: Path, tmp_path: Path, damage: Any) -> None:
    """A template that was cut short or damaged is not used, and leaves nothing behind."""
    kept.write_bytes(damage(kept.read_bytes()))
    path = tmp_path / "new.db"

    assert not template.copy_to(f"sqlite:///{path}", path, str(tmp_path))
    assert not path.exists()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE alembic_version SET version_num = 'another'",
        "UPDATE experiments SET experiment_id = 7",
        "INSERT INTO experiments (name, workspace) VALUES ('mine', 'default')",
    ],
)
def test_a_template_that_is_no_empty_database(kept: Path, empty_database: Path, tmp_path: Path, statement: str) -> None:
    """A database of another revision, or with something in it, is neither used nor kept as a template."""
    content = database_file(empty_database, tmp_path, statement)
    path, before = tmp_path / "new.db", kept.read_bytes()
    template.keep(f"sqlite:///{path}", tmp_path / "changed.db", mlflow.__version__)
    assert kept.read_bytes() == before
    kept.write_bytes(gzip.compress(content))

    assert not template.copy_to(f"sqlite:///{path}", path, str(tmp_path))
    assert not path.exists()


def test_a_damaged_template_is_made_anew(kept: Path, tmp_path: Path) -> None:
    """MLflow makes the database where the template is damaged, and a new template; what killed makers left goes."""
    whole = gzip.decompress(kept.read_bytes())
    kept.write_bytes(b"")
    left = kept.with_name(f"{kept.name}.01234567.part")
    left.touch()
    os.utime(left, (0, 0))
    new_database.prepare(f"sqlite:///{tmp_path}/new.db")

    assert len(gzip.decompress(kept.read_bytes())) == len(whole)
    assert list(kept.parent.iterdir()) == [kept]
    assert template.copy_to(f"sqlite:///{tmp_path}/second.db", tmp_path / "second.db", str(tmp_path))


def test_no_folder_for_the_template(empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the state folder cannot be written, nothing is kept, and MLflow makes each database."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("LANGCHAIN_AUTOTRACE_HOME", str(tmp_path / "file" / "home"))
    made, path = tmp_path / "made.db", tmp_path / "new.db"
    shutil.copy(empty_database, made)
    template.keep(f"sqlite:///{made}", made, mlflow.__version__)

    assert not template.copy_to(f"sqlite:///{path}", path, str(tmp_path))


@pytest.mark.parametrize("name", ["a#b", "a?b", "a;b", "a\\b", "../b", ""])
def test_a_folder_that_is_no_address(kept: Path, tmp_path: Path, name: str) -> None:
    """Where the folder's path is no URI as it is, or relative, MLflow makes the database."""
    assert kept.exists()
    path = tmp_path / "new.db"
    assert not template.copy_to(f"sqlite:///{path}", path, name and (name if name.startswith(".") else f"/x/{name}/y"))
    assert not path.exists()


@pytest.mark.parametrize("uri", ["sqlite:///{}?timeout=5", "sqlite+pysqlite:///{}"])
def test_a_database_with_options(kept: Path, tmp_path: Path, uri: str) -> None:
    """A database with options or a driver of its own is made by MLflow."""
    assert kept.exists()
    path = tmp_path / "new.db"
    assert not template.copy_to(uri.format(path), path, str(tmp_path))


def test_makers_at_once(kept: Path, tmp_path: Path) -> None:
    """While others keep their database as the template, again and again, every copy of it is whole."""
    made, ended = tmp_path / "made.db", threading.Event()
    made.write_bytes(gzip.decompress(kept.read_bytes()))

    def keep() -> None:
        while not ended.is_set():
            template.keep(f"sqlite:///{made}", made, mlflow.__version__)

    makers = [threading.Thread(target=keep) for _ in range(2)]
    for maker in makers:
        maker.start()
    paths = [tmp_path / f"{number}.db" for number in range(20)]
    copied = [template.copy_to(f"sqlite:///{path}", path, str(tmp_path)) for path in paths]
    ended.set()
    for maker in makers:
        maker.join(PATIENCE)

    assert copied == [True] * 20
    assert list(kept.parent.iterdir()) == [kept]
    assert kept.stat().st_mode & 0o777 == 0o600


def test_an_experiment_that_only_mlflow_creates(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow creates experiments whose artifacts go elsewhere, and refuses names that are too long."""
    monkeypatch.setenv(ARTIFACT_ROOT, "s3://bucket/x")
    sink = bulk_sink(store)
    sink.write([finished(start(1, 1, context=in_experiment(experiment="mine")), end(1, 1))])

    assert [row["artifact_location"] for row in tables(store)["experiments"]][1:] == ["s3://bucket/x/1"]
    assert sink.in_bulk == 1
    monkeypatch.delenv(ARTIFACT_ROOT)
    found = database(store)
    assert found is not None
    BulkWriter(found).create_experiments(["x" * 501])
    assert len(tables(store)["experiments"]) == 2


def test_experiments_of_an_unknown_table(store: str) -> None:
    """Experiments are left to MLflow where their table has another column."""
    with closing(sqlite3.connect(store.removeprefix("sqlite:///"))) as connection, connection:
        connection.execute("ALTER TABLE experiments ADD COLUMN more TEXT")
    found = database(store)
    assert found is not None
    BulkWriter(found).create_experiments(["mine"])

    assert [row["name"] for row in tables(store)["experiments"]] == ["Default"]


def test_an_experiment_that_is_there(store: str) -> None:
    """An experiment that exists, deleted or not, is left as it is; the traces go into one that is new, in bulk."""
    sink = bulk_sink(store, no_public)
    for number in (1, 2):
        sink.write([finished(start(number, 1, context=in_experiment(experiment="mine")), end(number, 1))])
    before = tables(store)["experiments"]
    sink._writer.create_experiments(["mine", "Default"])

    assert tables(store)["experiments"] == before
    assert [trace.info.experiment_id for trace in stored(store)] == ["1", "1"]

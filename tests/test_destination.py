"""Tracking URIs: what they name, what is wrong with them, and what of them may be seen."""

from __future__ import annotations

import importlib.util
import os
from importlib.metadata import version
from pathlib import Path

import pytest

from langchain_autotrace import destination
from langchain_autotrace.errors import DestinationError
from langchain_autotrace.redaction import without_password


@pytest.fixture(autouse=True)
def no_file_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin as MLflow does."""
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)


@pytest.mark.parametrize(
    ("uri", "public"),
    [
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db"),
        ("sqlite:////a/b:c@d.db", "sqlite:////a/b:c@d.db"),
        ("http://host:5000/a@b", "http://host:5000/a@b"),
        ("http://me:s3cret@host:5000", "http://me:***@host:5000"),
        ("https://me:s3@cret@host/path", "https://me:***@host/path"),
        ("https://s3cret@host", "https://***@host"),
        ("https://:s3cret@host", "https://:***@host"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("postgresql://me:s3cret@host/db", "postgresql://me:***@host/db"),
        ("postgresql+psycopg://me:s3/cret@host:5432/db", "postgresql+psycopg://me:***@host:5432/db"),
        ("postgresql://me:s3@cret@host/db", "postgresql://me:***@host/db"),
        ("mysql://me:s3 cret:@host/db", "mysql://me:***@host/db"),
        ("postgresql://host/db?user=me&password=s3cret&x=1", "postgresql://host/db?user=me&password=***&x=1"),
        (
            "mssql+pyodbc:///?odbc_connect=UID%3Dme%3BPWD%3Ds3cret%3BDATABASE%3Ddb",
            "mssql+pyodbc:///?odbc_connect=UID%3Dme%3BPWD%3D***%3BDATABASE%3Ddb",
        ),
        ("databricks://profile", "databricks://profile"),
        (
            "tried http://me:s3cret@host/a and mysql://me:s3cret@host/b",
            "tried http://me:***@host/a and mysql://me:***@host/b",
        ),
        ("no more than a text: with@signs", "no more than a text: with@signs"),
    ],
)
def test_passwords(uri: str, public: str) -> None:
    """A password is hidden wherever it stands, and nothing else is."""
    assert without_password(uri) == public
    assert without_password(public) == public


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("sqlite:////data/mlflow.db", "sqlite-mlflow.db"),
        ("sqlite:////data/a b/Größe!.db", "sqlite-Gr-e-.db"),
        ("http://host:5000", "http-host-5000"),
        ("https://Host/mlflow/", "https-host-mlflow"),
        ("postgresql+psycopg2://me:s3cret@host/db", "postgresql-host-db"),
        ("databricks", "databricks"),
        ("databricks://profile", "databricks-profile"),
        ("file:///data/mlruns", "file-mlruns"),
        (f"http://{'h' * 80}", f"http-{'h' * 43}"),
    ],
)
def test_names_of_folders(uri: str, name: str) -> None:
    """A folder's name says which destination it is, ends in a digest, and is a safe file name."""
    slug = destination.slug(uri)

    assert slug[:-13] == name
    assert slug.isascii()
    assert slug[-13] == "-"
    int(slug[-12:], 16)


@pytest.mark.parametrize("uri", ["http://me:s3cret@h", "https://s3cret@h", "mssql:///?odbc_connect=PWD%3Ds3cret"])
def test_names_without_passwords(uri: str) -> None:
    """A folder's name tells no password, and its digest is none of one."""
    assert destination.slug(uri) == destination.slug(uri.replace("s3cret", "***"))


def test_folders_are_told_apart() -> None:
    """Two destinations have two folders, one destination with two passwords has one."""
    uris = ["http://a/b", "http://a/c", "http://b/b", "https://a/b", "http://me@a/b", "http://a:80/b"]

    assert len({destination.slug(uri) for uri in uris}) == len(uris)
    assert destination.slug("mysql://me:one@h/d") == destination.slug("mysql://me:two@h/d")


@pytest.mark.parametrize(
    ("uri", "absolute"),
    [
        ("sqlite:///mlflow.db", "sqlite:///{here}/mlflow.db"),
        ("sqlite:///sub/mlflow.db?timeout=5", "sqlite:///{here}/sub/mlflow.db?timeout=5"),
        ("sqlite+pysqlite:///mlflow.db", "sqlite+pysqlite:///{here}/mlflow.db"),
        ("sqlite:///file:mlflow.db?uri=true", "sqlite:///file:{here}/mlflow.db?uri=true"),
        ("sqlite:////absolute.db", "sqlite:////absolute.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("sqlite://", "sqlite://"),
        ("./mlruns", "file://{here}/mlruns"),
        ("mlruns", "file://{here}/mlruns"),
        ("file:mlruns", "file://{here}/mlruns"),
        ("file:./my%20runs", "file://{here}/my%20runs"),
        ("file:///absolute", "file:///absolute"),
        ("http://host", "http://host"),
        ("databricks", "databricks"),
        ("postgresql://h/d", "postgresql://h/d"),
        ("", ""),
    ],
)
def test_relative_paths(tmp_path: Path, uri: str, absolute: str) -> None:
    """A relative path names the same place after the working folder has changed; all else stays as it is."""
    assert destination.normalized(uri) == absolute.replace("{here}", str(tmp_path))
    assert destination.normalized(destination.normalized(uri)) == destination.normalized(uri)


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("sqlite:////a/b.db?timeout=1", "/a/b.db"),
        ("sqlite:///file:/a/b.db?uri=true", "/a/b.db"),
        ("sqlite:///:memory:", None),
        ("sqlite:///file::memory:?uri=true", None),
        ("sqlite:///file:x?mode=memory&uri=true", None),
        ("sqlite://", None),
        ("http://a/b.db", None),
    ],
)
def test_files_of_databases(uri: str, path: str | None) -> None:
    """The file of a database is known, and that it has none."""
    assert destination.sqlite_path(uri) == (None if path is None else Path(path))


def driver_of(dialect: str) -> tuple[str, str]:
    """What SQLAlchemy imports for a dialect, and the package that has it."""
    new = tuple(map(int, version("sqlalchemy").split(".")[:2])) >= (2, 1)
    postgresql = ("psycopg", "psycopg[binary]") if new else ("psycopg2", "psycopg2-binary")
    return {"postgresql": postgresql, "mysql": ("MySQLdb", "mysqlclient"), "mssql": ("pyodbc", "pyodbc")}[dialect]


@pytest.mark.parametrize("dialect", ["postgresql", "mysql", "mssql"])
def test_a_driver_that_is_missing(dialect: str) -> None:
    """A database without its driver is refused with the package to install, and without the password."""
    module, package = driver_of(dialect)
    if importlib.util.find_spec(module):
        pytest.skip(f"{module} is installed")

    with pytest.raises(DestinationError) as refused:
        destination.check(f"{dialect}://me:s3cret@host/db")

    assert str(refused.value) == (
        f"tracking_uri '{dialect}://me:***@host/db': the driver '{module}' is not installed. "
        f"Run: pip install '{package}'."
    )


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("sqlite:///:memory:", "an in-memory database is lost when the process ends. Use 'sqlite:///mlflow.db'."),
        ("sqlite://", "an in-memory database is lost when the process ends. Use 'sqlite:///mlflow.db'."),
        (
            "sqlite:////missing/folder/a.db",
            "cannot write to /missing/folder/a.db. Create the folder, or choose a file that you can write to.",
        ),
        ("sqlite:///{here}", "cannot write to {here}. Create the folder, or choose a file that you can write to."),
        ("sqlite:///{here}/text", "{here}/text is not an SQLite database. Choose another file name."),
        (
            "mysql+mysqlconnector://me:s3cret@h/d",
            "the driver 'mysql.connector' is not installed. Run: pip install 'mysql-connector-python'.",
        ),
        ("mysql+unheard://h/d", "the driver 'unheard' is not installed. Run: pip install 'unheard'."),
        (
            "postgres://me:s3cret@h/d",
            "unknown scheme 'postgres'. Use one of sqlite, postgresql, mysql, mssql, http, https, databricks.",
        ),
    ],
)
def test_destinations_that_lose_traces(tmp_path: Path, uri: str, said: str) -> None:
    """What would lose every trace is refused, with what to do, and without the password."""
    (tmp_path / "text").write_text("no database")
    uri = uri.replace("{here}", str(tmp_path))

    with pytest.raises(DestinationError) as refused:
        destination.check(uri)

    public = uri.replace("s3cret", "***")
    assert str(refused.value) == f"tracking_uri {public!r}: {said.replace('{here}', str(tmp_path))}"


@pytest.mark.parametrize("uri", ["http://[::1", "http://host:port/"])
def test_what_is_no_uri(uri: str) -> None:
    """What cannot be read as a URI is refused, with a hint at the usual reason."""
    with pytest.raises(
        DestinationError, match=r"is not a valid URI \(.+\)\. In a password, write / as %2F and @ as %40\.$"
    ):
        destination.check(uri)


def test_file_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file store is refused as MLflow does, unless it was opted into."""
    uri = tmp_path.as_uri()
    with pytest.raises(DestinationError) as refused:
        destination.check(uri)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    destination.check(uri)

    assert str(refused.value) == (
        f"tracking_uri '{uri}' is a file store, which MLflow refuses: every trace would be lost. "
        "Use 'sqlite:///mlflow.db', or opt in with MLFLOW_ALLOW_FILE_STORE=true."
    )
    with pytest.raises(DestinationError, match=r"^tracking_uri is empty\. Use 'sqlite:///mlflow\.db'"):
        destination.check("")


def test_destinations_that_are_fine(tmp_path: Path, empty_database: Path) -> None:
    """Servers, Databricks, and database files that are there, empty or still to be made pass."""
    (tmp_path / "empty.db").touch()
    (tmp_path / "full.db").write_bytes(empty_database.read_bytes())
    for name in ("new", "empty", "full"):
        destination.check(f"sqlite:///{tmp_path}/{name}.db")
    for uri in ("http://me:s3cret@host:5000", "https://host/mlflow", "databricks", "databricks://profile"):
        destination.check(uri)


def test_a_file_that_may_not_be_written(tmp_path: Path) -> None:
    """A database file, or its folder, that this user may not write is refused."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.db").touch()
    (folder / "a.db").chmod(0o444)
    folder.chmod(0o555)
    if os.access(folder, os.W_OK):
        pytest.skip("root may write everything")

    for name in ("a.db", "b.db"):
        with pytest.raises(DestinationError, match="cannot write to"):
            destination.check(f"sqlite:///{folder / name}")

"""Folders and files that cannot be used: one clear error each, or a place that works."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import tempfile
import traceback
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from langchain_core.runnables import RunnableLambda

import langchain_autotrace
from langchain_autotrace import destination, get_trace, search_traces
from langchain_autotrace.control import shutdown
from langchain_autotrace.errors import AutotraceError, JournalClosed
from langchain_autotrace.journal import folder as folders
from langchain_autotrace.journal.folder import DestinationFolder, all_folders, state_dir
from langchain_autotrace.ship.connect import open_sink
from langchain_autotrace.ship.shipper import Shipper
from langchain_autotrace.view import backlog, doctor, traces
from langchain_autotrace.view.doctor import Check
from tests.patience import PATIENCE
from tests.ship.mlflow_support import searched
from tests.ship.server import EXPERIMENTS, Answer, FakeServer, running
from tests.support import deliver
from tests.view.support import cli, cli_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

USER: Final = 54_321
"""A user without a name."""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user or mount a disk")


def as_user(work: Callable[[], Any], user: int = USER) -> Any:
    """Call a function in a child process that is another user's, and return its result."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
            result = {"result": work()}
        except BaseException:  # noqa: BLE001 - it is shown by the parent
            result = {"error": traceback.format_exc()}
        os.write(writing, json.dumps(result).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = json.loads(pipe.read())
    os.waitpid(child, 0)
    assert "error" not in answer, answer["error"]
    return answer["result"]


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder in which everybody may write, below one that everybody may enter, unlike those of pytest."""
    base = Path(tempfile.mkdtemp())
    base.chmod(0o755)
    path = base / "shared"
    path.mkdir()
    path.chmod(0o777)
    yield path
    shutil.rmtree(base)


def trace_once(uri: str) -> str:
    """Trace one run to a journal, and return the path of its folder."""
    langchain_autotrace.autolog(tracking_uri=uri, shipper="external")
    RunnableLambda(str, name="chain").invoke(1)
    shutdown()
    return str(backlog.folder_of(destination.normalized(uri)).path)


def error_of(uri: str) -> str:
    """What ``autolog()`` raises, in one line."""
    try:
        langchain_autotrace.autolog(tracking_uri=uri, shipper="external")
    except AutotraceError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", ["a?b", "a#b", "a%20b", "50% of a", "Größe 1", "a&b=c;d+e@f:g", "C:\\data"])
@pytest.mark.parametrize("uri", ["sqlite:///mlflow.db", "sqlite:///file:mlflow.db?uri=true"])
def test_odd_folder(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch, name: str, uri: str) -> None:
    """A database in a folder of any name is the one that is written, read and examined, and no other is made."""
    path = tmp_path / name / "mlflow.db"
    path.parent.mkdir()
    shutil.copy(empty_database, path)
    monkeypatch.chdir(path.parent)
    complete = destination.normalized(uri)
    monkeypatch.chdir(tmp_path)
    trace_once(complete)
    deliver()

    assert destination.sqlite_path(complete) == path
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM trace_info").fetchall() == [(1,)]
    assert [row.name for row in traces.newest(complete, limit=5)] == ["chain"]
    assert {check.level for check in doctor.examine(complete) if check.subject == "destination"} == {"ok"}
    assert [found for found in tmp_path.rglob("*.db*") if found.is_file()] == [path]


def test_windows_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows, a drive's path is absolute, with either slash."""
    from pathlib import PureWindowsPath

    monkeypatch.setattr(destination, "Path", PureWindowsPath)
    for uri, path in (
        ("sqlite:///C:\\data\\my db\\mlflow.db", "C:/data/my db/mlflow.db"),
        ("sqlite:///C:/data/100%25/mlflow.db?timeout=5", "C:/data/100%/mlflow.db"),
    ):
        assert destination.normalized(uri) == uri
        assert str(destination.sqlite_path(uri)) == str(PureWindowsPath(path))


@needs_root
@pytest.mark.parametrize("home", ["missing", "read-only", "none"])
def test_no_home(shared: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, home: str) -> None:
    """A user without a home, or with one that cannot be written, has a private folder among temporary files."""
    monkeypatch.delenv("LANGCHAIN_AUTOTRACE_HOME")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(shared))
    if home == "none":
        monkeypatch.delenv("HOME")
    else:
        monkeypatch.setenv("HOME", str(shared.parent / home))
        if home == "read-only":
            (shared.parent / home).mkdir(mode=0o755)

    def work() -> list[Any]:
        path = trace_once(f"sqlite:///{shared}/mlflow.db")
        said = [text for text in caplog.messages if "home" in text]
        (check,) = doctor._journal()
        return [path, oct(Path(path).parent.stat().st_mode), said, check.level, len(all_folders())]

    path, mode, said, level, number = as_user(work)
    place = shared / f"langchain-autotrace-{USER}"
    assert (Path(path).parent, mode, level, number) == (place, "0o40700", "warning", 1)
    sentence = f"your home folder cannot be written: traces are kept in {place} until they are delivered."
    assert said == [f"{sentence} Set LANGCHAIN_AUTOTRACE_HOME to a folder that outlives this machine."]


@needs_root
def test_temporary_folder_of_another_user(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that somebody else has put where a user's private one should be is refused."""
    monkeypatch.delenv("LANGCHAIN_AUTOTRACE_HOME")
    monkeypatch.setattr(tempfile, "tempdir", str(shared))
    monkeypatch.setenv("HOME", "/nonexistent")
    trap = shared / f"langchain-autotrace-{USER}"
    trap.mkdir()
    trap.chmod(0o777)
    assert as_user(lambda: error_of(f"sqlite:///{shared}/mlflow.db")) == (
        f"{trap} belongs to another user. Set LANGCHAIN_AUTOTRACE_HOME to a folder that you can write to."
    )


@needs_root
def test_shared_home(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Users who share a home have a private folder each; root's commands see all of them."""
    monkeypatch.setenv("LANGCHAIN_AUTOTRACE_HOME", str(shared))
    uri = f"sqlite:///{shared}/mlflow.db"
    root = Path(trace_once(uri))
    first, second = (Path(as_user(lambda: trace_once(uri), user)) for user in (USER, USER + 1))

    assert (root.parent, first.parent, second.parent) == (
        shared, shared / f"user-{USER}", shared / f"user-{USER + 1}"
    )  # fmt: skip
    assert [oct(path.stat().st_mode) for path in (root, first, second)] == ["0o40700"] * 3
    assert [folder.path for folder in all_folders()] == sorted([root, first, second])
    assert as_user(lambda: [str(folder.path) for folder in backlog.folders(uri)]) == [str(first)]


def read_only_file(path: Path) -> None:
    """A file that its owner alone may write."""
    path.chmod(0o644)


def read_only_folder(path: Path) -> None:
    """A file that all may write, in a folder that they may not."""
    path.chmod(0o666)
    path.parent.chmod(0o755)


@needs_root
@pytest.mark.parametrize(
    ("how", "said"),
    [
        (read_only_file, "cannot write to {path}. Create the folder, or choose a file that you can write to."),
        (
            read_only_folder,
            (
                "cannot write to {folder}, where SQLite has its journal while it writes to mlflow.db. "
                "Make the folder writable, or choose a file in another one."
            ),
        ),
    ],
)
def test_database_that_cannot_be_written(
    shared: Path,
    new_store: Callable[[Path], str],
    monkeypatch: pytest.MonkeyPatch,
    how: Callable[[Path], None],
    said: str,
) -> None:
    """A database that may only be read is refused for tracing, a problem for the doctor, and read all the same."""
    monkeypatch.setenv("LANGCHAIN_AUTOTRACE_HOME", str(shared.parent / "home"))
    uri = new_store(shared)
    path = destination.sqlite_path(uri)
    assert path is not None
    trace_once(uri)
    deliver()
    how(path)
    monkeypatch.setenv("LANGCHAIN_AUTOTRACE_HOME", str(shared.parent / "other"))

    def work() -> list[Any]:
        problems = [check.finding for check in doctor._destination(uri)]
        by_python = [get_trace(tracking_uri=uri).name, *(one.name for one in search_traces(tracking_uri=uri))]
        return [error_of(uri), problems, [row.name for row in traces.newest(uri, limit=5)], by_python]

    expected = f"tracking_uri {uri!r}: {said.format(path=path, folder=path.parent)}"
    assert as_user(work) == [expected, [expected], ["chain"], ["chain", "chain"]]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with 2 MB."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(path)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a disk")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def test_full_disk_of_the_database(small_disk: Path, empty_database: Path) -> None:
    """A full disk keeps the traces in the journal, with what to do; they are stored when there is room again."""
    path = small_disk / "mlflow.db"
    shutil.copy(empty_database, path)
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    uri = f"sqlite:///{path}"
    folder = DestinationFolder(Path(trace_once(uri)))
    shipper = Shipper(folder, open_sink(folder))

    assert not shipper.drain(timeout=0.2)
    assert shipper.error == f"{uri}: the disk of the database is full. Free disk space."
    first = next(doctor._destination(uri))
    assert (first.level, first.fix) == ("problem", "free disk space, or move the database")
    ballast.unlink()
    assert shipper.drain(timeout=PATIENCE)
    assert len(searched(uri)) == 1


def cut_short(path: Path) -> None:
    """A copy that was interrupted."""
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def overwritten(path: Path) -> None:
    """A file with garbage in the middle."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"x" * (path.stat().st_size - 8192))


@pytest.mark.parametrize("how", [cut_short, overwritten])
def test_damaged_database(store: str, how: Callable[[Path], None]) -> None:
    """The doctor tells a damaged file from a healthy one and says what to do, and ``list`` fails in one line."""
    path = Path(store.removeprefix("sqlite:///"))
    how(path)
    fix = "Restore the file from a backup, or move it away: a new one is created with the next trace"
    assert list(doctor._destination(store)) == [
        Check("problem", "destination", f"{store}: the file is corrupt or was cut short", fix)
    ]
    result = cli("list", "--tracking-uri", store)
    assert (result.exit_code, result.stderr.count("\n"), fix in result.stderr) == (1, 1, True)


def test_locked_database(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor names the command that finds who keeps a database locked."""
    from langchain_autotrace.view import store as store_module

    monkeypatch.setattr(store_module, "PROBE_SECONDS", 0.1)
    path = store.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert list(doctor._destination(store)) == [
            Check(
                "problem",
                "destination",
                f"{store}: another program keeps the database locked",
                f"Wait for it or end it; to find it, run: fuser {path}",
            )
        ]


def test_server_that_refuses_the_user(tmp_path: Path) -> None:
    """The doctor names the variables of the password."""
    with running(FakeServer(str(tmp_path))) as server:
        server.answers[EXPERIMENTS.replace("get", "search")] = [Answer(401, "no", "text/plain")]
        (check,) = [one for one in cli_json("doctor", "--tracking-uri", server.url)["checks"] if one["level"] != "ok"]
    assert (check["finding"], check["fix"]) == (
        f"{server.url}: the server refuses the credentials (HTTP 401)",
        "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
    )


def test_no_temporary_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no folder can be written at all, there is one error that names the variable."""

    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.delenv("LANGCHAIN_AUTOTRACE_HOME")
    monkeypatch.setattr(folders, "_can_be_written", lambda _: False)
    monkeypatch.setattr(tempfile, "gettempdir", none)
    with pytest.raises(JournalClosed, match="Set LANGCHAIN_AUTOTRACE_HOME to a folder"):
        state_dir()

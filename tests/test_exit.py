"""The end of a program: whether it waits for delivery, and what it says, in real processes."""

from __future__ import annotations

import os
import shlex
import signal
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson
import pytest

from langchain_autotrace import lifetime
from langchain_autotrace.journal.folder import all_folders, replace
from langchain_autotrace.view import backlog
from tests.patience import PATIENCE, wait_until
from tests.ship.server import FakeServer, running
from tests.support import stored
from tests.test_processes import HEAD, all_quiet, count, run
from tests.uncovered import unmeasured

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_autotrace.journal.folder import DestinationFolder

NOWHERE: Final = "http://127.0.0.1:9"
REASON: Final = f"{NOWHERE}: cannot reach the server (Connection refused)"

UNTIL_REPORTED: Final = """
    from langchain_autotrace.journal.folder import all_folders
    def until_reported():
        until = time.monotonic() + 300
        while not all_folders()[0].read_status().get("error"):
            assert time.monotonic() < until
            time.sleep(0.05)
"""
"""Defines a function that waits until the shipper reports an error."""


def has_namespaces() -> bool:
    """Whether a container's process table can be made here."""
    command = ["unshare", "--pid", "--fork", "--mount-proc", "true"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


in_containers = pytest.mark.skipif(not has_namespaces(), reason="process namespaces cannot be made here")


def contained(command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of a shell as the first process of a process namespace, as a container does."""
    return subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", *shlex.split(command)],
        env=unmeasured(),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def python(tmp_path: Path, program: str) -> str:
    """Return the command that runs a program in a file of its own."""
    file = tmp_path / f"program{len(list(tmp_path.iterdir()))}.py"
    file.write_text(program)
    return f"{sys.executable} {file}"


def traced(uri: str, *, exit_timeout: float) -> str:
    """Return a program of one traced run."""
    call = f"langchain_autotrace.autolog(tracking_uri={uri!r}, exit_timeout={exit_timeout})"
    return f"{HEAD}{call}\nchain.invoke({{'topic': 1}})\n"


def folder_of(uri: str) -> DestinationFolder:
    """Return the destination's folder, made before any program is run."""
    folder = backlog.folder_of(uri)
    folder.create(uri)
    return folder


def end_shippers(home: Path) -> None:
    """Kill the shippers of folders below ``home``."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if f"langchain_autotrace.ship\0{home}".encode() in path.read_bytes():
                os.kill(int(path.parent.name), signal.SIGKILL)


@pytest.fixture
def locked(store: str) -> Iterator[sqlite3.Connection]:
    """A connection that has locked the store, until it is rolled back."""
    with closing(sqlite3.connect(store.removeprefix("sqlite:///"), isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield connection


def test_a_shipper_that_outlives_the_program(store: str, locked: sqlite3.Connection) -> None:
    """A program ends though its traces cannot be stored before it has, says nothing, and they are stored later."""
    _, err, _ = run("chain.invoke({'topic': 1})", store, LANGCHAIN_AUTOTRACE_EXIT_TIMEOUT="600")
    locked.execute("ROLLBACK")
    assert err == ""
    wait_until(lambda: count(store) == 1)
    wait_until(all_quiet)


def test_a_lock_that_the_shipper_reports(store: str, locked: sqlite3.Connection) -> None:
    """A database that another process has locked is no matter for a person: nothing is said."""
    folder = folder_of(store)
    with folder.shipper_lock():
        replace(folder.status_file, orjson.dumps({"error": "database is locked", "time": 2e9}))
        _, err, _ = run("chain.invoke({'topic': 1})", store)
    locked.execute("ROLLBACK")
    assert err == ""


def test_an_error_that_the_shipper_reports(tmp_path: Path) -> None:
    """What the shipper cannot deliver is said in one line with the reason, by each program while the error lasts."""
    program = textwrap.dedent(UNTIL_REPORTED) + "chain.invoke({'topic': 1}); until_reported()"
    try:
        _, first, _ = run(program, NOWHERE, LANGCHAIN_AUTOTRACE_PATIENCE="60")
        _, second, _ = run("chain.invoke({'topic': 2})", NOWHERE, LANGCHAIN_AUTOTRACE_PATIENCE="60")
    finally:
        end_shippers(tmp_path)
    kept = "kept in the journal for the next run, or deliver now with: langchain-autotrace ship."
    assert first == f"langchain-autotrace: 1 trace not delivered yet ({REASON}); {kept}\n"
    assert second == first


def test_an_error_of_before(store: str) -> None:
    """The error that the last shipper ended with is not reported by a program whose shipper has just started."""
    folder = folder_of(store)
    replace(folder.status_file, orjson.dumps({"error": "the store is down", "failing_since": 1.0, "time": 1.0}))
    _, err, _ = run("chain.invoke({'topic': 1})", store)
    assert err == ""
    wait_until(lambda: count(store) == 1 and all_quiet())
    assert folder.read_status()["error"] is None


def test_a_shipper_that_does_not_start(store: str) -> None:
    """Why the shipper does not start is said."""
    program = textwrap.dedent(UNTIL_REPORTED) + "chain.invoke({'topic': 1}); until_reported()"
    _, err, _ = run(program, store, LANGCHAIN_AUTOTRACE_LINGER="soon")
    assert err.startswith(
        "langchain-autotrace: 1 trace not delivered yet (LANGCHAIN_AUTOTRACE_LINGER='soon': use a number of seconds); "
    )


def test_a_shipper_that_crashes(store: str, tmp_path: Path) -> None:
    """Where the shipper ends before it can report anything, its log is named."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "filelock.py").write_text("raise ImportError('broken')")
    program = f"""
        os.environ["PYTHONPATH"] = {str(tmp_path / "broken")!r}
        sys.path.insert(0, os.environ["PYTHONPATH"])
        from langchain_autotrace.control import _served
        chain.invoke({{"topic": 1}})
        ((_, launcher),) = _served()
        until = time.monotonic() + 300
        while not launcher.has_failed:
            assert time.monotonic() < until
            time.sleep(0.05)
    """
    _, err, _ = run(program, store)
    (folder,) = all_folders()
    assert f"1 trace not delivered yet (the shipper did not start; see {folder.log_file});" in err
    assert "broken" in folder.log_file.read_text()


NO_THREADS: Final = """
    import threading
    def start(thread):
        raise RuntimeError("can't create new thread at interpreter shutdown")
    threading.Thread.start = start
    chain.invoke({"topic": 1})
"""
"""A program that has no threads, as at the end of every program on Python 3.12."""


def test_where_python_starts_no_thread_any_more(store: str) -> None:
    """With shipper="thread" the traces are delivered before the program ends, without a thread."""
    _, err, _ = run(NO_THREADS, store, LANGCHAIN_AUTOTRACE_SHIPPER="thread", LANGCHAIN_AUTOTRACE_EXIT_TIMEOUT="300")
    assert (err, count(store)) == ("", 1)


def test_a_server_where_python_starts_no_thread_any_more(tmp_path: Path) -> None:
    """The same with a tracking server, to which several traces are sent at a time else."""
    program = NO_THREADS + '    chain.invoke({"topic": 2})\n'
    with running(FakeServer(str(tmp_path))) as server:
        _, err, _ = run(
            program, server.url, LANGCHAIN_AUTOTRACE_SHIPPER="thread", LANGCHAIN_AUTOTRACE_EXIT_TIMEOUT="300"
        )
    assert (err, len(server.rows)) == ("", 2)


def test_a_dead_store_where_python_starts_no_thread_any_more() -> None:
    """The program waits its exit_timeout, and says what was not delivered."""
    _, err, _ = run(NO_THREADS, NOWHERE, LANGCHAIN_AUTOTRACE_SHIPPER="thread", LANGCHAIN_AUTOTRACE_EXIT_TIMEOUT="0.5")
    assert err.splitlines()[-1].startswith(f"langchain-autotrace: 1 trace not delivered yet ({REASON}")


WORKERS: Final = {
    "forked": """
        if os.fork() == 0:
            chain.invoke({"topic": 1})
            sys.exit()
        os.wait()
    """,
    "spawned": """
        import multiprocessing, worker
        process = multiprocessing.get_context("spawn").Process(target=worker.work)
        process.start()
        process.join()
    """,
}


@pytest.mark.parametrize("kind", sorted(WORKERS))
def test_a_worker(kind: str, tmp_path: Path) -> None:
    """A worker that a server or a pool ends prints nothing, though nobody delivers its traces."""
    work = "langchain_autotrace.autolog()\nchain.invoke({'topic': 1})"
    (tmp_path / "worker.py").write_text(f"{HEAD}def work():\n{textwrap.indent(work, '    ')}\n")
    _, err, _ = run(
        WORKERS[kind],
        NOWHERE,
        LANGCHAIN_AUTOTRACE_SHIPPER="external",
        MLFLOW_TRACKING_URI=NOWHERE,
        PYTHONPATH=str(tmp_path),
    )
    assert err == ""
    (folder,) = all_folders()
    assert backlog.count(folder).traces == 1


@in_containers
def test_a_container(store: str, tmp_path: Path) -> None:
    """A container that ends with the program ends when the traces are stored."""
    done = contained(f"sh -c '{python(tmp_path, traced(store, exit_timeout=100))}; true'")
    assert (done.returncode, done.stderr) == (0, "")
    assert [len(trace.data.spans) for trace in stored(store)] == [4]


@in_containers
def test_a_container_whose_store_is_busy(store: str, locked: sqlite3.Connection, tmp_path: Path) -> None:
    """A container does not end later than the exit timeout allows, and says what it leaves."""
    done = contained(python(tmp_path, traced(store, exit_timeout=0.1)))
    locked.execute("ROLLBACK")
    reason = "the shipper ends with this program and needs more than its exit_timeout of 0.1 s"
    assert done.stderr.startswith(f"langchain-autotrace: 1 trace not delivered yet ({reason}); kept in the journal")


LAUNCHER: Final = "python3 -c 'import subprocess, sys; subprocess.run(sys.argv[1:])' {}"
SUPERVISOR: Final = (
    """python3 -c 'import subprocess, sys; subprocess.Popen(["sleep", "60"]); subprocess.run(sys.argv[1:])' {}"""
)


@in_containers
@pytest.mark.parametrize(
    ("command", "ends"),
    [
        ("{}", True),
        ("sh -c '{}; true'", True),
        ("sh -c 'sleep 60 & {}; true'", True),
        ("sh -c 'timeout 60 {}; true'", True),
        (LAUNCHER, True),
        (SUPERVISOR, False),
        ("""script -qc "bash -ic '{}; true'" /dev/null""", False),
    ],
    ids=["first", "a shell", "a shell with a service", "timeout", "a launcher", "a supervisor", "a person's shell"],
)
def test_what_ends_with_the_program(command: str, tmp_path: Path, *, ends: bool) -> None:
    """A container ends with the program that its first process waits for, and not with what a person runs in it."""
    source = f"exec(open({lifetime.__file__!r}).read(), vars(module))"
    program = f"import types; module = types.ModuleType('m'); {source}; print(module.takes_all_along())"
    done = contained(command.format(python(tmp_path, program)))
    assert done.stdout.split()[-1:] == [str(ends)], done.stderr


def test_a_unit_of_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit ends with its main process, and with no other."""
    assert not lifetime.takes_all_along()
    monkeypatch.setenv("SYSTEMD_EXEC_PID", str(os.getppid()))
    assert not lifetime.takes_all_along()
    monkeypatch.setenv("SYSTEMD_EXEC_PID", str(os.getpid()))
    assert lifetime.takes_all_along()

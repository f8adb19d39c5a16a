"""Stores that refuse the user: the folder is left to a shipper with other credentials."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import pytest
import sqlalchemy.exc
from langchain_core.runnables import RunnableLambda

import langchain_autotrace
from langchain_autotrace import launch
from langchain_autotrace.errors import CredentialsRefused, PermissionRefused, SinkUnavailable
from langchain_autotrace.journal.folder import DestinationFolder, all_folders
from langchain_autotrace.records import PendingModel
from langchain_autotrace.ship import __main__ as ship
from langchain_autotrace.ship.mlflow_errors import mapped_errors
from langchain_autotrace.ship.mlflow_sink import MlflowSink
from langchain_autotrace.ship.shipper import Shipper
from langchain_autotrace.view import deliver
from langchain_autotrace.view.patience import Patience
from tests.full_server import passwords, tracking_server
from tests.journal.support import ROOT, new_journal
from tests.patience import PATIENCE
from tests.ship.mlflow_support import in_experiment
from tests.ship.server import HEALTH, Answer, FakeServer, running
from tests.ship.support import Clock, ScriptedSink, end, shipper_of, start, status_of, trace_id, whole, write
from tests.support import stored

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WAIT_SECONDS: Final = 120.0
"""Longer than anything here takes on a busy machine."""


class GuardedServer(FakeServer):
    """A tracking server that knows its users, whose passwords are their names reversed."""

    def __init__(self, artifacts: str) -> None:
        """Start with one user, who may do everything."""
        super().__init__(artifacts)
        self.users = {"ada"}
        self.refused = 0

    def answer(self, path: str, body: bytes, headers: Any) -> Answer:
        """Refuse, or do what the server does."""
        refusal = None if path == HEALTH else self._refusal(headers)
        self.refused += refusal is not None
        return refusal or super().answer(path, body, headers)

    def _refusal(self, headers: Any) -> Answer | None:
        scheme, _, code = headers.get("Authorization", "").partition(" ")
        user, _, password = base64.b64decode(code).decode().partition(":")
        if scheme != "Basic" or user not in self.users or password != user[::-1]:
            return Answer(401, "You are not authenticated.", "text/plain")
        return None


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[GuardedServer]:
    """A running server."""
    server = GuardedServer((tmp_path / "artifacts").as_uri())
    with running(server):
        yield server


def use(monkeypatch: pytest.MonkeyPatch, user: str, password: str | None = None) -> None:
    """Have this process use the credentials of a user."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", user[::-1] if password is None else password)


def served_folder(tmp_path: Path, server: FakeServer) -> DestinationFolder:
    """The folder of the server."""
    folder = DestinationFolder(tmp_path / "home" / "destination")
    folder.create(server.url)
    return folder


def ids(*numbers: int) -> set[str]:
    """The ids of traces as MLflow has them."""
    return {f"tr-{trace_id(number)}" for number in numbers}


def until(condition: Any) -> None:
    """Wait until something is so."""
    ends_at = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < ends_at
        time.sleep(0.02)


def test_wrong_password(tmp_path: Path, guarded: GuardedServer, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shipper whose password is wrong ends at once and says what to set; the next one delivers all."""
    folder = served_folder(tmp_path, guarded)
    journal = new_journal(folder)
    write(journal, *whole(1), *whole(2))
    use(monkeypatch, "ada", "wrong")
    shipper = shipper_of(folder, MlflowSink(guarded.url), clock)  # type: ignore[arg-type] # a real sink
    begun = clock()
    shipper.serve(linger=300.0, patience=300.0)

    assert (shipper.is_refused, clock() - begun < 1.0, guarded.rows) == (True, True, {})
    assert status_of(folder)["error"] == (
        f"{guarded.url}: the server refuses the credentials (HTTP 401). "
        "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."
    )
    use(monkeypatch, "ada")
    assert shipper_of(folder, MlflowSink(guarded.url), clock).drain(timeout=PATIENCE)  # type: ignore[arg-type]
    assert set(guarded.rows) == ids(1, 2)
    assert status_of(folder)["error"] is None
    journal.close()


def test_ship_with_a_wrong_password(tmp_path: Path, guarded: GuardedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command does not try again what is refused, and keeps the traces."""
    folder = served_folder(tmp_path, guarded)
    journal = new_journal(folder)
    write(journal, *whole(1))
    journal.close()
    use(monkeypatch, "eve")
    done = deliver.deliver(folder, guarded.url, patience=Patience(WAIT_SECONDS))

    assert (done.delivered, done.left, guarded.refused < 5) == (0, 1, True)
    assert "refuses the credentials (HTTP 401)" in str(done.error)
    use(monkeypatch, "ada")
    assert deliver.deliver(folder, guarded.url, patience=Patience(WAIT_SECONDS)).delivered == 1


def test_users_with_an_experiment_each(folder: DestinationFolder, clock: Clock) -> None:
    """Programs whose users may write to their own experiment alone are each delivered by their own shipper."""

    class Permitting(ScriptedSink):
        def __init__(self, experiment: str) -> None:
            super().__init__()
            self.experiment = experiment

        def write(self, batch: Any) -> None:
            if any((trace.context or {}).get("experiment_id") != self.experiment for trace in batch):
                raise PermissionRefused("HTTP 403")
            super().write(batch)

    journals = {"7": new_journal(folder), "8": new_journal(folder)}
    for experiment, journal in journals.items():
        for number in range(3):
            context = in_experiment(experiment_id=experiment)
            write(journal, start(10 * int(experiment) + number, 1, context=context))
            write(journal, end(10 * int(experiment) + number, 1))
    delivered = []
    for experiment in ("7", "8"):
        sink = Permitting(experiment)
        shipper = shipper_of(folder, sink, clock)
        shipper.drain(timeout=PATIENCE)
        delivered.append((shipper.is_refused, set(sink.spans), status_of(folder)["delivered"]))

    seventies, eighties = ({trace_id(first + number) for number in range(3)} for first in (70, 80))
    assert delivered == [(True, seventies, 3), (False, eighties, 6)]
    assert (status_of(folder)["rejected"], status_of(folder)["error"]) == (0, None)
    for journal in journals.values():
        journal.close()


def test_one_trace_that_is_forbidden(folder: DestinationFolder, clock: Clock) -> None:
    """A trace that a firewall forbids, among others of its experiment that are accepted, is rejected alone."""

    class Firewall(ScriptedSink):
        def write(self, batch: Any) -> None:
            if any(trace.trace_id == trace_id(2) for trace in batch):
                raise PermissionRefused("HTTP 403: looks like SQL")
            super().write(batch)

    journal, sink = new_journal(folder), Firewall()
    write(journal, *whole(1), *whole(2), *whole(3))
    shipper = shipper_of(folder, sink, clock)

    assert shipper.drain(timeout=PATIENCE)
    assert not shipper.is_refused
    assert set(sink.spans) == {trace_id(1), trace_id(3)}
    assert (status_of(folder)["rejected"], status_of(folder)["error"]) == (1, None)
    journal.close()


def test_standing_by(tmp_path: Path, guarded: GuardedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused shipper leaves the lock to others, tries again while a program needs it, and ends with the last one."""
    monkeypatch.setattr(ship, "STAND_BY_SECONDS", 0.05)
    monkeypatch.setattr(ship, "_configure", lambda: None)
    folder = served_folder(tmp_path, guarded)
    journal = new_journal(folder)
    write(journal, *whole(1))
    use(monkeypatch, "bob")
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(ship.main(str(folder.path))))
    thread.start()
    until(lambda: guarded.refused >= 2)
    lock = folder.shipper_lock()
    lock.acquire(timeout=WAIT_SECONDS)
    lock.release()
    assert thread.is_alive()
    guarded.users.add("bob")  # the server is told of the user
    until(lambda: set(guarded.rows) == ids(1))
    guarded.users.clear()
    write(journal, *whole(2))
    until(lambda: status_of(folder)["error"])
    journal.close()
    thread.join(WAIT_SECONDS)
    assert (results, set(guarded.rows), folder.has_shipper()) == ([0], ids(1), False)


def test_shipper_of_another_program_goes(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that has left delivery to another's shipper starts its own when that one is gone."""
    monkeypatch.setattr(launch, "_WATCH_SECONDS", 0.02)
    folder = DestinationFolder(all_folders_path(store))
    folder.create(store)
    with folder.shipper_lock():
        langchain_autotrace.autolog(tracking_uri=store, shipper="thread")
        RunnableLambda(str, name="chain").invoke(1)
        time.sleep(0.3)
        assert stored(store) == []
    until(lambda: folder.read_status().get("delivered") == 1)
    assert [trace.data.spans[0].name for trace in stored(store)] == ["chain"]


def all_folders_path(uri: str) -> Path:
    """The path of the folder that ``autolog()`` uses."""
    from langchain_autotrace.view.backlog import folder_of

    return folder_of(uri).path


def test_password_of_a_thread_is_corrected(guarded: GuardedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shipper in the program's own process uses the credentials that the program has by then."""
    monkeypatch.setattr(launch, "_STAND_BY_SECONDS", 0.05)
    use(monkeypatch, "ada", "old")
    langchain_autotrace.autolog(tracking_uri=guarded.url, shipper="thread")
    RunnableLambda(str, name="chain").invoke(1)
    until(lambda: guarded.refused >= 2)
    use(monkeypatch, "ada")
    assert langchain_autotrace.flush(timeout=WAIT_SECONDS).ok
    assert [name for _, name in guarded.spans] == ["chain"]


PROGRAM: Final = """
import sys
import langchain_autotrace
from langchain_core.runnables import RunnableLambda
langchain_autotrace.autolog(tracking_uri=sys.argv[1], exit_timeout=0)
RunnableLambda(str, name=sys.argv[2]).invoke(1)
if sys.argv[3] == "flush":
    assert langchain_autotrace.flush(timeout=300.0).ok
else:
    sys.stdin.readline()
"""


def program(uri: str, name: str, then: str, **environment: str) -> subprocess.Popen[str]:
    """A program that traces one run to a server, and then flushes, or waits for a line."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, uri, name, then],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def credentials(user: str, password: str) -> dict[str, str]:
    """The environment of a program."""
    return {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": password}


def check_two_programs(uri: str, user: str, password: str) -> None:
    """Run a program with the wrong password; while it lives, one with the right password delivers for both."""
    with program(uri, "wrong", "wait", **credentials(user, "wrong")) as wrong:
        until(lambda: any("401" in str(folder.read_status().get("error")) for folder in all_folders()))
        (folder,) = all_folders()
        until(lambda: not folder.has_shipper())
        with program(uri, "right", "flush", **credentials(user, password)) as right:
            _, complaint = right.communicate(timeout=WAIT_SECONDS)
        assert (right.returncode, complaint, wrong.poll()) == (0, "", None)
        until(lambda: folder.read_status()["delivered"] == 2)
        assert folder.read_status()["error"] is None
        wrong.communicate("\n", timeout=WAIT_SECONDS)


def test_two_programs(guarded: GuardedServer) -> None:
    """A wrong password in one program does not hold up another, whose shipper delivers for both."""
    check_two_programs(guarded.url, "ada", "ada"[::-1])
    assert sorted(name for _, name in guarded.spans) == ["right", "wrong"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('FATAL:  password authentication failed for user "ada"', CredentialsRefused),
        ("(1045, \"Access denied for user 'ada'@'localhost' (using password: YES)\")", CredentialsRefused),
        ("connection refused", SinkUnavailable),
    ],
)
def test_password_of_a_database(text: str, kind: type[Exception]) -> None:
    """A database that refuses the password is told from one that is down."""
    with pytest.raises(SinkUnavailable) as caught, mapped_errors("postgresql://ada:secret@db/x"):
        raise sqlalchemy.exc.OperationalError("", {}, Exception(text))
    assert type(caught.value) is kind
    assert str(caught.value).startswith("postgresql://ada:***@db/x: ")


def test_models_that_are_refused(folder: DestinationFolder) -> None:
    """A shipper that has stored all traces, but whose models are refused, leaves the folder as well."""

    class NoModels(ScriptedSink):
        def write(self, batch: Any) -> list[PendingModel]:  # type: ignore[override] # it has models
            super().write(batch)
            return [PendingModel(batch[0].trace_id, "0", "hash", None, [], None)]

        def log_models(self, _: object) -> None:
            raise CredentialsRefused("HTTP 401")

    journal, sink = new_journal(folder), NoModels()
    write(journal, *whole(1))
    shipper = Shipper(folder, sink)
    shipper.serve(linger=300.0, patience=300.0)

    assert (shipper.is_refused, set(sink.spans)) == (True, {trace_id(1)})
    journal.close()


@pytest.mark.server
def test_two_programs_and_a_real_server(full_mlflow: str, tmp_path: Path, empty_database: Path) -> None:
    """MLflow's own server with passwords: a wrong one in one program does not hold up another."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    with tracking_server(full_mlflow, tmp_path, "--app-name", "basic-auth", **passwords(tmp_path)) as uri:
        check_two_programs(uri, "ada", "secret-secret-1")
    assert sorted(trace.data.spans[0].name for trace in stored(f"sqlite:///{tmp_path}/mlflow.db")) == ["right", "wrong"]

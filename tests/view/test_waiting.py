"""Commands that come while somebody else delivers: they wait, wake it, and say what is true."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson
import pytest
from langchain_core.runnables import RunnableLambda

from langchain_autotrace.demo import run as demo_module
from langchain_autotrace.journal.folder import replace
from langchain_autotrace.ship.connect import open_sink
from langchain_autotrace.ship.shipper import Shipper
from tests.journal.support import ROOT
from tests.patience import PATIENCE, wait_until
from tests.view.support import NOWHERE, ask, cli, cli_json, environment, fail, the_folder, traced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langchain_autotrace.journal.folder import DestinationFolder


class Requests:
    """The requests to retry that commands make of the shipper of a folder."""

    def __init__(self, folder: DestinationFolder) -> None:
        """Begin with the requests that are still to come."""
        self._folder = folder
        self._last = folder.retry_requested_ns()

    def wait(self) -> None:
        """Wait for the next one: a command is waiting now."""
        wait_until(lambda: self._folder.retry_requested_ns() != self._last)
        self._last = self._folder.retry_requested_ns()


@contextmanager
def other_shipper(act: Callable[[DestinationFolder, Requests], None]) -> Iterator[None]:
    """Hold the shipper's place meanwhile, and act as the shipper in a thread."""
    folder = the_folder()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            act(folder, Requests(folder))
        except BaseException as error:  # noqa: BLE001 - raised in the test's thread
            failed.append(error)

    with folder.shipper_lock():
        thread = threading.Thread(target=run)
        thread.start()
        yield
        thread.join()
    assert failed == []


def drain(folder: DestinationFolder) -> None:
    """Deliver all, as a shipper does."""
    assert Shipper(folder, open_sink(folder)).drain(timeout=PATIENCE)


def report(folder: DestinationFolder, error: str, *, at: float | None = None) -> None:
    """Report an error as a shipper does."""
    status = {**folder.read_status(), "error": error, "failing_since": 1.0, "time": at or time.time()}
    replace(folder.status_file, orjson.dumps(status))


LOCKER: Final = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(uri: str) -> Iterator[str]:
    """Have another process lock a database against writes; yields the process as commands name it."""
    command = [sys.executable, "-c", LOCKER, uri.removeprefix("sqlite:///")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield f"process {process.pid} ({Path(f'/proc/{process.pid}/comm').read_text().strip()})"
        process.kill()


class TestReading:
    """`list`, `show` and `models`."""

    def test_right_after_a_run(self, tmp_path: Path) -> None:
        """Where a program has just ended, whose database does not exist yet, its trace is shown, and nothing else."""
        program = (
            "import langchain_autotrace\nfrom langchain_core.runnables import RunnableLambda\n"
            "langchain_autotrace.autolog()\nRunnableLambda(len, name='count').invoke('abc')\n"
        )
        ran = subprocess.run(
            [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True
        )
        command = [sys.executable, "-m", "langchain_autotrace.cli"]
        listed, shown = (
            subprocess.run([*command, *line], env=environment(), capture_output=True, text=True, check=False)
            for line in (["list"], ["show", "last"])
        )
        assert (ran.stdout, ran.stderr) == ("", "")
        assert (listed.returncode, listed.stderr) == (0, "")
        assert [line.split()[1:3] for line in listed.stdout.splitlines()[1:]] == [["count", "OK"]]
        assert (shown.returncode, shown.stderr) == (0, "")
        assert "count" in shown.stdout
        assert {path.name for path in tmp_path.iterdir()} <= {"mlflow.db", "home"}

    @pytest.mark.parametrize("command", [("list",), ("show", "last"), ("models", "list")])
    def test_another_shipper_is_at_it(self, command: tuple[str, ...], store: str) -> None:
        """What another shipper delivers is waited for, and shown."""
        traced(ask, tracking_uri=store)

        def act(folder: DestinationFolder, requests: Requests) -> None:
            requests.wait()
            report(folder, "the store was down", at=1.0)
            drain(folder)

        with other_shipper(act):
            result = cli(*command)
        assert (result.exit_code, result.stderr) == (0, "")
        assert command[0] == "models" or "ask" in result.stdout

    def test_a_program_that_goes_on(self, store: str) -> None:
        """What a program writes after the command was given is not waited for."""
        traced(ask, tracking_uri=store)

        def act(folder: DestinationFolder, requests: Requests) -> None:
            shipper = Shipper(folder, open_sink(folder))
            requests.wait()
            assert shipper.drain(timeout=PATIENCE)
            traced(fail, tracking_uri=store)

        with other_shipper(act):
            result = cli("list")
        assert (result.exit_code, result.stderr) == (0, "")
        assert "ask" in result.stdout

    def test_a_shipper_that_fails(self, store: str) -> None:
        """The error of the shipper's last attempt is said, not the one before, and the traces are known to exist."""
        traced(ask, tracking_uri=store)
        report(the_folder(), "the store is down", at=1.0)

        def act(folder: DestinationFolder, requests: Requests) -> None:
            requests.wait()
            report(folder, "the disk is full")

        with other_shipper(act):
            result = cli("list")
        assert result.stderr == "1 trace is not delivered yet and not shown (the disk is full).\n"
        assert result.stdout == f"no traces stored yet in {store}: 1 trace not delivered yet.\n"

    def test_a_shipper_that_waits_for_a_lock(self, store: str) -> None:
        """A shipper that another process has kept from writing for a while is not waited for; the process is named."""
        traced(ask, tracking_uri=store)
        with locked(store) as holder:
            folder = the_folder()
            replace(folder.status_file, orjson.dumps({"writing_since": time.time() - 60, "time": time.time()}))
            with folder.shipper_lock():
                result = cli("list")
        reason = f"the shipper waits for the database, which {holder} has locked"
        assert result.stderr == f"1 trace is not delivered yet and not shown ({reason}).\n"

    def test_a_run_that_is_open(self, store: str) -> None:
        """While the only run has not ended, it is said to be open."""
        said: list[str] = []

        def look(_: str) -> None:
            said.append(cli("list").stdout)

        traced(lambda: RunnableLambda(look).invoke("x"), tracking_uri=store)
        assert said == [f"no traces stored yet in {store}: 1 trace still open.\n"]

    def test_an_empty_experiment(self, store: str) -> None:
        """An experiment without traces is not taken for a store without traces."""
        traced(ask, tracking_uri=store, experiment="full")
        assert cli("list", "--experiment", "full").exit_code == 0
        result = cli("list", "--experiment", "Default")
        assert result.stdout == f"no traces in experiment 'Default' of {store}\n"

    def test_a_terminal(self, store: str) -> None:
        """On a terminal a spinner says what is waited for, on standard error; it is gone when the traces are shown."""
        traced(ask, tracking_uri=store)
        terminal, inside = pty.openpty()
        text = bytearray()

        def read() -> None:
            while True:
                try:
                    text.extend(os.read(terminal, 4096))
                except OSError:  # the command has ended
                    return

        def act(folder: DestinationFolder, _: Requests) -> None:
            wait_until(lambda: b"waiting for new traces" in text)
            drain(folder)

        reader = threading.Thread(target=read)
        with other_shipper(act):
            process = subprocess.Popen(
                [sys.executable, "-m", "langchain_autotrace.cli", "list"],
                env={**environment(), "TERM": "xterm"},
                stdin=inside,
                stdout=inside,
                stderr=inside,
            )
            os.close(inside)
            reader.start()
            assert process.wait(PATIENCE) == 0
        reader.join()
        os.close(terminal)
        assert b"ask" in text[text.rindex(b"waiting for new traces") :]

    def test_demo(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """The demo waits as long as the shipper works, however long that is."""
        monkeypatch.setattr(demo_module, "_FLUSH_SECONDS", 0.01)
        monkeypatch.setenv("LANGCHAIN_AUTOTRACE_SHIPPER", "thread")
        monkeypatch.setattr(
            "langchain_autotrace.demo.programs.PROGRAMS", {"joke_chain": lambda: str(RunnableLambda(len).invoke("abc"))}
        )
        done = demo_module.run(f"sqlite:///{tmp_path}/mlflow.db", lambda *_: None)
        assert (done.failed, done.error) == (0, None)


class TestShip:
    """`ship`."""

    def test_a_shipper_that_backs_off(self, store: str) -> None:
        """A shipper that would retry in ten minutes retries now."""
        traced(ask, tracking_uri=store)
        folder, path = the_folder(), Path(store.removeprefix("sqlite:///"))
        good = path.read_bytes()
        path.write_bytes(b"x" * 5000)
        program = (
            "import sys\nfrom langchain_autotrace.ship import __main__, shipper\n"
            "shipper._BACKOFFPATIENCE = (600.0, 600.0)\nsys.exit(__main__.main(sys.argv[1]))"
        )
        command = [sys.executable, "-c", program, str(folder.path)]
        with subprocess.Popen(
            command, env={**environment(), "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL
        ) as process:
            wait_until(lambda: bool(folder.read_status().get("error")))
            path.unlink()
            path.write_bytes(good)
            result = cli("ship", "--timeout", str(PATIENCE))
            process.kill()
        assert (result.exit_code, " ".join(result.stdout.split())) == (0, f"{store}: 1 trace delivered")
        assert folder.read_status()["error"] is None

    def test_a_store_that_comes_back(self, store: str) -> None:
        """An error that the shipper reports meanwhile does not end the wait before its time."""
        traced(ask, tracking_uri=store)

        def act(folder: DestinationFolder, requests: Requests) -> None:
            for _ in range(4):
                requests.wait()
                report(folder, "the store is down")
            drain(folder)

        with other_shipper(act):
            result = cli("ship", "--timeout", str(PATIENCE))
        assert (result.exit_code, " ".join(result.stdout.split())) == (0, f"{store}: 1 trace delivered")

    def test_the_error_of_before(self, store: str) -> None:
        """An error that was reported before is not what the command says; one that was reported meanwhile is."""
        traced(ask, tracking_uri=store)
        report(the_folder(), "the store was down", at=1.0)
        with the_folder().shipper_lock():
            silent = cli_json("ship", "--timeout", "0.3")["journals"]

        def act(folder: DestinationFolder, requests: Requests) -> None:
            requests.wait()
            report(folder, "the store is down")

        with other_shipper(act):
            failing = cli_json("ship", "--timeout", "1.5")["journals"]
        assert [one["error"] for one in silent + failing] == [
            "another shipper is delivering this folder",
            "the store is down",
        ]

    def test_what_status_says_then(self) -> None:
        """What the command could not do is in the status."""
        traced(ask, tracking_uri=NOWHERE)
        report(the_folder(), "the store was down", at=1.0)
        assert cli("ship", "--timeout", "0").exit_code == 1
        (one,) = cli_json("status")
        assert one["error"] == f"{NOWHERE}: cannot reach the server (Connection refused)."

    def test_a_shipper_that_is_started_meanwhile(self, store: str) -> None:
        """A shipper that starts while a command delivers takes over when the command has ended."""
        traced(ask, tracking_uri=store)
        folder, taken = the_folder(), []

        def take() -> None:
            lock = folder.take_shipper_lock(0.01)
            taken.append(lock is not None)

        with folder.shipper_lock():
            take()
            with folder.command_lock():
                thread = threading.Thread(target=take)
                thread.start()
                thread.join(0.5)
                assert taken == [False]
                assert folder.has_command()
        thread.join(PATIENCE)
        assert taken == [False, True]


class TestStatus:
    """`status`."""

    def test_a_lock_that_the_shipper_waits_for(self, store: str) -> None:
        """While the shipper waits for the database's lock, who holds it and since when is said."""
        traced(ask, tracking_uri=store)
        folder, before = the_folder(), time.time()
        command = [sys.executable, "-m", "langchain_autotrace.ship", str(folder.path)]
        with locked(store) as holder:
            shipper = subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL)
            wait_until(lambda: "writing_since" in folder.read_status())
            found, text = cli_json("status"), cli("status").stdout
        assert shipper.wait(PATIENCE) == 0
        (one,) = found
        assert before <= one["writing_since"] <= time.time()
        assert one["lock_holder"] == holder
        assert f"waiting for the database, which {holder} has locked, since " in " ".join(text.split())
        (after,) = cli_json("status")
        assert (after["waiting"]["traces"], after["writing_since"], after["error"]) == (0, None, None)

    def test_a_shipper_that_fails(self, store: str) -> None:
        """A failing shipper is known from its first failure on, with the moment when the trouble began."""
        traced(ask, tracking_uri=store)
        path = Path(store.removeprefix("sqlite:///"))
        path.write_bytes(b"x" * 5000)
        folder, before = the_folder(), time.time()
        shipper = Shipper(folder, open_sink(folder))
        while not shipper.error:
            shipper.step(everything=True)
        (one,) = cli_json("status")
        reason = "the file is not an SQLite database, or is corrupt"
        assert one["error"].startswith(f"{store}: {reason}. ")
        assert before <= one["failing_since"] <= time.time()
        again = Shipper(folder, open_sink(folder))
        assert cli_json("status")[0]["error"] is None
        while not again.error:
            again.step(everything=True)
        assert cli_json("status")[0]["error"] == one["error"]

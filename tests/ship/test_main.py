"""The shipper as a process: ``python -m langchain_autotrace.ship FOLDER``."""

from __future__ import annotations

import logging
import os
import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from langchain_autotrace import launch
from langchain_autotrace.journal.folder import DestinationFolder
from langchain_autotrace.ship import __main__ as ship
from langchain_autotrace.ship.connect import URI_VARIABLE
from tests.bridge.support import forked
from tests.journal.support import ROOT, new_journal
from tests.patience import PATIENCE, wait_until
from tests.ship.support import end, start, trace_id, whole, write
from tests.support import stored

if TYPE_CHECKING:
    from langchain_autotrace.ship.shipper import Shipper


PROGRAM: Final = """
import sys
from langchain_autotrace.ship import __main__ as ship
ship._spare_pandas()
sys.exit(ship.main(sys.argv[1]))
"""


@pytest.fixture(autouse=True)
def no_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have MLflow load no prices from the network."""
    monkeypatch.setenv("MLFLOW_MODEL_CATALOG_URI", "")


@pytest.fixture
def folder(tmp_path: Path, store: str) -> DestinationFolder:
    """The folder of a real store."""
    folder = DestinationFolder(tmp_path / "home" / "destination")
    folder.create(store)
    return folder


def serve(path: str) -> None:
    """What a shipper's process does, but that it does not come second."""
    sys.exit(ship.main(path))


def shipper_process(folder: DestinationFolder, **environment: str) -> subprocess.Popen[str]:
    """A shipper in a process of its own, that does not come second: other tests would keep it waiting for minutes."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder.path)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "LANGCHAIN_AUTOTRACE_LINGER": "0", **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


def files(folder: DestinationFolder) -> set[str]:
    """The files of the folder."""
    return {path.name for path in folder.path.iterdir()}


def stored_rows(uri: str) -> int:
    """How many traces the store has."""
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as database:
        return int(database.execute("SELECT count(*) FROM trace_info").fetchone()[0])


@pytest.mark.long
def test_a_shipper_that_is_killed_again_and_again(
    folder: DestinationFolder, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often a shipper is killed, exactly the traces and spans that were written are stored in the end."""
    monkeypatch.setenv("LANGCHAIN_AUTOTRACE_LINGER", "0")
    draw = random.Random(7)
    live, dead = new_journal(folder), new_journal(folder)
    for number in range(100):
        write(live if number % 2 else dead, *whole(number + 1, spans=3))
    write(dead, start(2_000, 1), start(2_000, 2, 1), end(2_000, 2))
    dead.close()
    for number in range(3):
        # A batch is stored at once: there have to be as many new traces as are waited for.
        write(live, *(record for one in range(25) for record in whole(1_000 + 25 * number + one, spans=3)))
        more = stored_rows(store) + draw.randint(1, 25)
        process = forked(serve, str(folder.path))
        while stored_rows(store) < more:
            assert process.exitcode is None
            time.sleep(0.01)
        time.sleep(draw.uniform(0.0, 0.2))
        process.kill()
        process.join(PATIENCE)
    live.close()
    process = forked(serve, str(folder.path))
    process.join(PATIENCE)

    assert process.exitcode == 0
    traces = stored(store)
    expected = dict.fromkeys((*range(1, 101), *range(1_000, 1_075)), 3) | {2_000: 2}
    assert {trace.info.trace_id: len(trace.data.spans) for trace in traces} == {
        f"tr-{trace_id(number)}": spans for number, spans in expected.items()
    }
    assert {trace.info.state.value for trace in traces[:-1]} == {"OK"}
    assert files(folder) == {"destination.json", "shipper.lock", "status.json"}


def test_two_shippers(folder: DestinationFolder) -> None:
    """A second shipper of a folder ends at once and does nothing."""
    with folder.shipper_lock(), shipper_process(folder) as process:
        _, complaint = process.communicate(timeout=PATIENCE)

    assert (process.returncode, complaint) == (0, "")
    assert files(folder) == {"destination.json", "shipper.lock"}
    with folder.shipper_lock():
        assert ship.serve(folder) is None


def test_a_process_that_comes_as_the_shipper_goes(
    folder: DestinationFolder, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that still saw a shipper, as it was about to end, is served."""
    monkeypatch.setenv("LANGCHAIN_AUTOTRACE_LINGER", "0")
    serve, served = ship.serve, []

    def serve_and_meet(folder: DestinationFolder) -> Shipper | None:
        shipper = serve(folder)
        served.append(shipper)
        if len(served) == 1:
            journal = new_journal(folder)
            write(journal, *whole(1))
            journal.close()
        return shipper

    monkeypatch.setattr(ship, "serve", serve_and_meet)

    assert ship.main(str(folder.path)) == 0
    assert len(served) == 2
    assert [trace.info.trace_id for trace in stored(store)] == [f"tr-{trace_id(1)}"]


def test_a_folder_of_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is none of ours is refused in one line."""
    assert ship.main(str(tmp_path)) == 1
    assert capsys.readouterr().err == (
        f"langchain-autotrace: {tmp_path} is not a journal folder of langchain-autotrace (FileNotFoundError).\n"
    )


@pytest.mark.parametrize(
    ("uri", "variable", "said"),
    [
        (
            "postgresql://me:***@host/db",
            "=",
            "postgresql://me:***@host/db needs its password: set MLFLOW_TRACKING_URI to the full URI.",
        ),
        (
            "http://host",
            "LANGCHAIN_AUTOTRACE_LINGER=soon",
            "LANGCHAIN_AUTOTRACE_LINGER='soon': use a number of seconds.",
        ),
        (
            "http://host",
            "LANGCHAIN_AUTOTRACE_PATIENCE=x",
            "LANGCHAIN_AUTOTRACE_PATIENCE='x': use a number of seconds.",
        ),
    ],
)
def test_a_shipper_that_cannot_begin(
    folder: DestinationFolder, capsys: pytest.CaptureFixture[str], uri: str, variable: str, said: str
) -> None:
    """What keeps a shipper from beginning is told to the programs that wait for one."""
    (folder.path / "destination.json").unlink()
    folder.create(uri)
    name, _, value = variable.partition("=")
    before = time.time()
    with pytest.MonkeyPatch.context() as patch:
        if name:
            patch.setenv(name, value)
        status = ship.main(str(folder.path))

    assert status == 1
    assert capsys.readouterr().err == f"langchain-autotrace: {said}\n"
    told = folder.read_status()
    assert told["error"] == said
    assert before <= told["failing_since"] <= told["time"]
    assert not folder.has_shipper()


def test_a_password(tmp_path: Path) -> None:
    """The password of a destination is neither in the log nor in the status of a shipper that cannot reach it."""
    folder = DestinationFolder(tmp_path / "folder")
    folder.create("http://me:***@127.0.0.1:1")
    journal = new_journal(folder)
    write(journal, *whole(1))
    journal.close()
    environment = {URI_VARIABLE: "http://me:s3cret@127.0.0.1:1", "LANGCHAIN_AUTOTRACE_PATIENCE": "0.5"}
    with shipper_process(folder, **environment) as process:
        _, log = process.communicate(timeout=PATIENCE)

    assert process.returncode == 0
    assert "http://me:***@127.0.0.1:1" in log
    written = "".join(path.read_text(errors="replace") for path in folder.path.iterdir())
    assert "http://me:***@127.0.0.1:1" in folder.read_status()["error"]
    assert "s3cret" not in log + written


def test_what_others_log() -> None:
    """A password that another library logs is not in the log."""
    record = logging.makeLogRecord({"msg": "trying %s", "args": ("http://me:s3cret@host/api",)})

    assert ship._Formatter("%(message)s").format(record) == "trying http://me:***@host/api"


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="the system does not group processes by session")
def test_comes_second(folder: DestinationFolder) -> None:
    """The shipper that is started for a program is behind it among processes and, in a session of its own, sessions."""
    own = Path("/proc/self/autogroup").read_text()
    new_journal(folder).append(start(1, 1))  # this process is there: the shipper stays
    process = launch._spawn(folder, folder.public_uri())
    try:
        group = Path(f"/proc/{process.pid}/autogroup")
        wait_until(lambda: group.read_text().endswith(" nice 10\n"))
        assert os.getpriority(os.PRIO_PROCESS, process.pid) >= os.getpriority(os.PRIO_PROCESS, 0) + 10
        assert Path("/proc/self/autogroup").read_text() == own
    finally:
        process.kill()
        process.wait()

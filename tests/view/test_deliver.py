"""What waits in the journals: counted by `status`, delivered by `ship`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import click
import orjson
from langchain_core.runnables import RunnableLambda

import langchain_autotrace
from langchain_autotrace import destination
from langchain_autotrace.errors import TraceRejected
from langchain_autotrace.journal.folder import DestinationFolder, replace, state_dir
from langchain_autotrace.journal.writer import Journal
from langchain_autotrace.records import ProcessInfo, Record, SpanEnd, SpanStart, TraceContext
from langchain_autotrace.semconv import Kind
from langchain_autotrace.ship.rejected import write_rejected
from langchain_autotrace.trace.join import Joiner
from langchain_autotrace.view import follow as follow_module
from tests.patience import PATIENCE
from tests.support import stored
from tests.view.support import NOWHERE, abandon, ask, cli, cli_json, environment, fail, the_folder, traced

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from click.testing import Result


class TestStatus:
    """`status`."""

    def test_nothing_traced(self, tmp_path: Path) -> None:
        """Without journals it says where it looked."""
        assert cli("status").stdout == f"nothing has been traced yet: no journals in {tmp_path}/home.\n"
        assert cli_json("status") == []

    def test_counts(self, store: str) -> None:
        """What is delivered, waits and is open is counted, and nothing is touched."""
        traced(ask, tracking_uri=store)
        assert len(cli_json("list")) == 1
        seen = []

        def look(_: str) -> None:
            seen.append((cli("status").stdout, cli_json("status"), _content()))
            assert _content() == seen[-1][2]

        traced(fail, abandon, lambda: RunnableLambda(look).invoke("open"), tracking_uri=store)
        text, (one,), _ = seen[0]
        assert (one["delivered"], one["waiting"]["traces"], one["waiting"]["open"], one["alive"]) == (1, 2, 1, 1)
        assert (one["destination"], one["has_shipper"], one["rejected"], one["error"]) == (store, False, 0, None)
        assert text.splitlines()[0] == store
        assert "pending    2 traces in the journal" in text

    def test_faults(self, store: str) -> None:
        """Rejections with their reasons, cut records, journals of other versions and errors are shown."""
        traced(ask, tracking_uri=store)
        folder = the_folder()
        folder.rejected.mkdir()
        head = {"reason": "TraceRejected: far too large", "process": "p", "time": time.time()}
        (folder.rejected / "abc.jsonl").write_bytes(orjson.dumps(head) + b"\n")
        folder.segment("future", 1).write_bytes(b'{"kind":"process","version":99}\n')
        status = {"torn": 2, "orphans": 5, "error": "the store is down", "failing_since": time.time(), "delivered": 7}
        replace(folder.status_file, orjson.dumps(status))
        shown = cli("status", "--tracking-uri", store).stdout
        for part in (
            "1 trace\n",
            "far too large",
            "2 records cut",
            "5 records of spans",
            "future: ",
            "format 99",
            "is down",
            "since ",
            "7 traces",
        ):
            assert part.strip() in shown

    def test_one_destination(self, store: str) -> None:
        """`--tracking-uri` shows one destination, if there is a journal for it."""
        traced(ask, tracking_uri=store)
        traced(ask, tracking_uri=NOWHERE)
        assert {one["destination"] for one in cli_json("status")} == {store, NOWHERE}
        assert [one["destination"] for one in cli_json("status", "--tracking-uri", store)] == [store]
        assert cli_json("status", "--tracking-uri", "http://other") == []


class TestShip:
    """`ship`."""

    def test_delivers(self, store: str) -> None:
        """All journals are emptied; the exit status is 0."""
        traced(ask, fail, tracking_uri=store)
        result = cli("ship")
        assert (result.exit_code, result.stdout) == (0, f"{store}: 2 traces delivered\n")
        assert len(stored(store)) == 2
        assert cli("ship").stdout == f"{store}: 0 traces delivered\n"

    def test_unreachable(self, store: str) -> None:
        """What cannot be delivered is said with the reason, holds up no other, and gives exit status 1."""
        traced(ask, tracking_uri=NOWHERE)
        traced(ask, tracking_uri=store)
        result = cli("ship", "--timeout", "3")
        assert result.exit_code == 1
        assert _said(result) == (
            f"{NOWHERE}: 0 traces delivered, 1 trace not delivered: cannot reach the server (Connection refused). "
            f"{store}: 1 trace delivered"
        )

    def test_another_shipper(self, store: str) -> None:
        """Where another shipper delivers, it waits for that one, and not for ever."""
        langchain_autotrace.autolog(tracking_uri=store, shipper="thread")
        ask()
        (one,) = cli_json("ship")["journals"]
        assert (one["left"], one["error"]) == (0, None)
        assert len(cli_json("list")) == 1
        langchain_autotrace.autolog(tracking_uri=store, shipper="external")

    def test_idle_shipper(self, store: str) -> None:
        """A shipper that does nothing is named as the reason."""
        traced(ask, tracking_uri=store)
        with the_folder().shipper_lock():
            result = cli("ship", "--timeout", "0.3")
        assert result.exit_code == 1
        reason = "another shipper is delivering this folder"
        assert _said(result) == f"{store}: 0 traces delivered, 1 trace not delivered: {reason}"

    def test_password(self, store: str) -> None:
        """A destination that needs its password is told so, and given with it is delivered to."""
        assert store
        traced(ask, tracking_uri="http://ada:secret@127.0.0.1:9/x")
        first = cli("ship", "--timeout", "0.3")
        assert "http://ada:***@127.0.0.1:9/x needs its password: set MLFLOW_TRACKING_URI" in _said(first)
        second = cli("ship", "--timeout", "0.3", "--tracking-uri", "http://ada:secret@127.0.0.1:9/x")
        assert "cannot reach the server (Connection refused)" in _said(second)
        assert "secret" not in first.output + second.output

    def test_rejected_once_more(self, store: str) -> None:
        """Traces that were set aside are offered again; what the store takes is removed, what it refuses stays."""
        traced(ask, tracking_uri=store)
        folder = the_folder()
        _reject(folder, *_records("1" * 32))
        _reject(folder, *_records("2" * 32, time_ns=_TOO_LATE))
        assert cli("ship").exit_code == 0
        result = cli("ship", "--rejected")
        assert result.exit_code == 1
        assert f"{store}: 1 previously rejected trace delivered" in _said(result)
        assert [path.stem for path in folder.rejected.iterdir()] == ["2" * 32]
        assert cli_json("show", "1" * 32)["trace"]["name"] == "again"
        (again,) = (one for one in stored(store) if one.info.trace_id == "tr-" + "1" * 32)
        assert again.info.trace_metadata["mlflow.source.name"] == _process().source

    def test_rejected_records_that_make_no_trace(self, store: str) -> None:
        """A trace that was set aside because its records make none stays, is said, and keeps back no other."""
        traced(ask, tracking_uri=store)
        folder = the_folder()
        _reject(folder, *_records("1" * 32, details={"truncated": 5}))
        _reject(folder, *_records("2" * 32))
        assert cli("ship").exit_code == 0
        result = cli("ship", "--rejected")
        assert (result.exit_code, type(result.exception)) == (1, SystemExit)
        assert f"{store}: 1 previously rejected trace delivered" in _said(result)
        assert [path.stem for path in folder.rejected.iterdir()] == ["1" * 32]

    def test_rejected_and_a_store_that_is_down(self) -> None:
        """Nothing is taken from the folder as long as the store does not answer."""
        traced(ask, tracking_uri=NOWHERE)
        folder = the_folder()
        _reject(folder, *_records("1" * 32))
        (one,) = cli_json("ship", "--rejected", "--timeout", "0.1")["rejected"]
        assert (one["delivered"], one["error"]) == (0, f"{NOWHERE}: cannot reach the server (Connection refused).")
        assert "not all were retried" in cli("ship", "--rejected", "--timeout", "0.1").stdout
        assert len(list(folder.rejected.iterdir())) == 1

    def test_refused(self, store: str) -> None:
        """A trace that the store refuses is set aside, the others are delivered, and the exit status is 1."""
        journal = Journal(DestinationFolder(state_dir() / destination.slug(store)), _process)
        journal.folder.create(store)
        for record in (*_records("1" * 32), *_records("2" * 32, time_ns=_TOO_LATE)):
            journal.append(record)
        journal.close()
        result = cli("ship")
        assert result.exit_code == 1
        said = f"{store}: 1 trace delivered, 1 trace rejected (see langchain-autotrace status)"
        assert _said(result) == said
        assert "retry: langchain-autotrace ship --rejected" in cli("status").stdout

    def test_unreadable(self, store: str) -> None:
        """A journal of another version is left alone, with exit status 1."""
        traced(ask, tracking_uri=store)
        segment = the_folder().segment("future", 1)
        segment.write_bytes(b'{"kind":"process","version":99}\n')
        result = cli("ship")
        assert (result.exit_code, segment.exists()) == (1, True)
        assert f"{store}: 1 trace delivered future was skipped: " in _said(result)

    def test_follow(self, tmp_path: Path) -> None:
        """A sidecar makes the database, delivers what comes, on SIGTERM what came last, and prints that alone."""
        uri = f"sqlite:///{tmp_path}/mlflow.db"
        waiting = f"waiting for traces in {tmp_path}/home; stop with Ctrl-C or SIGTERM"
        command = [sys.executable, "-m", "langchain_autotrace.cli", "ship", "--follow", "--json"]
        sidecar = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), text=True
        )
        langchain_autotrace.autolog(tracking_uri=uri, shipper="external")
        ask()
        assert langchain_autotrace.flush(PATIENCE).ok
        fail()
        sidecar.send_signal(signal.SIGTERM)
        out, err = sidecar.communicate(timeout=PATIENCE)
        assert (sidecar.returncode, err) == (0, f"{waiting}\ndelivering to {uri}\n")
        (one,) = json.loads(out)["journals"]
        assert (one["delivered"], one["left"]) == (2, 0)

    def test_follow_a_store_that_is_down(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A sidecar says once that a store is down, goes on trying, and leaves with exit status 1."""
        monkeypatch.setattr(follow_module, "_LAST_SECONDS", 0.1)
        before = signal.getsignal(signal.SIGINT)  # a shell that starts programs in the background ignores it
        traced(ask, tracking_uri=NOWHERE)
        lines: list[str] = []

        def on_line(line: str, **_: object) -> None:
            lines.append(line)
            if "delivery failed" in line:
                signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(click, "echo", on_line)
        result = cli("ship", "--follow")
        assert result.exit_code == 1
        assert lines[1] == f"delivering to {NOWHERE}"
        assert sum("delivery failed, retrying" in line for line in lines) == 1
        assert signal.getsignal(signal.SIGINT) is before


def _said(result: Result) -> str:
    """Standard output without the line breaks of a narrow terminal."""
    return " ".join(result.stdout.split())


def _content() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in the_folder().path.iterdir() if path.is_file()}


def _process() -> ProcessInfo:
    return ProcessInfo(1, "host", 0, "ada", "program.py", "", "0")


def _records(trace_id: str, *, time_ns: int | None = None, details: dict[str, Any] | None = None) -> list[Record]:
    """A trace of one run; ``time_ns`` and ``details`` of its start may be what no store takes."""
    now, context = time_ns or time.time_ns(), TraceContext(experiment=None, experiment_id=None, tags={}, metadata={})
    span_id = trace_id[:16]
    return [
        SpanStart(trace_id, span_id, None, now, Kind.CHAIN, "again", None, None, context, ["x"], details or {}),
        SpanEnd(trace_id, span_id, now + 1000, ["y"], {}),
    ]


_TOO_LATE: Final = 2**63
"""A time for which no database has room."""


def _reject(folder: DestinationFolder, *records: Record) -> None:
    """Leave a rejected trace as the shipper does."""
    joiner = Joiner()
    joiner.process = _process()
    for record in records:
        joiner.add(record, 0.0)
    (joined,) = joiner.take(0.0, everything=True)
    write_rejected(folder, "p", joined, TraceRejected("too large"))

"""Traces are stored first and their models follow: no trace waits for a model, or is rejected for one."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.entities import Trace

import langchain_autotrace
from langchain_autotrace.capture.careful import CarefulWriter
from langchain_autotrace.capture.guard import internal_errors
from langchain_autotrace.control import shutdown
from langchain_autotrace.errors import SinkUnavailable
from langchain_autotrace.journal import checkpoint
from langchain_autotrace.journal import folder as folder_files
from langchain_autotrace.journal.folder import DestinationFolder, all_folders
from langchain_autotrace.journal.rejections import rejections
from langchain_autotrace.records import PendingModel
from langchain_autotrace.ship import model_store, rebuild_process
from langchain_autotrace.ship.mlflow_sink import MlflowSink
from langchain_autotrace.ship.shipper import Shipper
from langchain_autotrace.ship.sink import Sink
from langchain_autotrace.view.backlog import Waiting, count
from tests.models.chains import CHAIN, chain
from tests.models.support import Logged, logged, models
from tests.patience import PATIENCE, wait_until
from tests.ship.bulk.support import bulk_sink
from tests.support import deliver, stored
from tests.uncovered import unmeasured

ROOT = Path(__file__).parent.parent.parent


def start(store: str, **settings: Any) -> None:
    """Log models; the test delivers."""
    langchain_autotrace.autolog(tracking_uri=store, shipper="external", log_models=True, **settings)


def links(traces: Sequence[Trace]) -> list[str | None]:
    """The model that each trace names."""
    return [trace.info.trace_metadata.get("mlflow.modelId") for trace in traces]


def notes() -> list[str]:
    """What the shipper noted."""
    (folder,) = all_folders()
    found: list[str] = folder.read_status().get("notes", [])
    return found


def test_one_chain_in_three_experiments(store: str) -> None:
    """A chain that runs twice in each of three experiments has six traces and three models, and nothing is rejected."""
    for experiment in ("a", "b", "c"):
        start(store, experiment=experiment)
        for topic in ("x", "y"):
            chain().invoke({"topic": topic})
        deliver()  # the next experiment comes when the chain is known
    for experiment in ("a", "b", "c"):
        found = mlflow.MlflowClient(store).get_experiment_by_name(experiment)
        assert found is not None
        assert logged(store, found.experiment_id) == [Logged(CHAIN, "READY", "true", 2)]
    (folder,) = all_folders()
    status = folder.read_status()
    assert (len(stored(store)), status["delivered"], status["rejected"], notes()) == (6, 6, 0, [])


def test_three_experiments_in_one_batch(store: str) -> None:
    """The same chain in several experiments at once is a model of each, and every trace names that of its own."""
    for experiment in ("a", "b", "c"):
        start(store, experiment=experiment)
        chain().invoke({"topic": "x"})
        chain().invoke({"topic": "y"})
    deliver()

    traces = stored(store)
    by_id = {model.model_id: model for trace in traces for model in models(store, str(trace.info.experiment_id))}
    assert len(by_id) == 3
    named = [by_id[str(model_id)].experiment_id for model_id in links(traces)]
    assert named == [trace.info.experiment_id for trace in traces]


# Faults: each makes one step of logging the model fail.


def refuse(store: str, *statements: str) -> None:
    """Change the database, so that it refuses a step."""
    with closing(sqlite3.connect(store.removeprefix("sqlite:///"))) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


def refusal(event: str, condition: str = "1") -> Callable[[str, Path, pytest.MonkeyPatch], None]:
    """Return a fault: the database refuses some writes."""

    def apply(store: str, _: Path, __: pytest.MonkeyPatch) -> None:
        refuse(
            store,
            f"CREATE TRIGGER refused BEFORE {event} WHEN {condition} BEGIN SELECT RAISE(ABORT, 'refused'); END",
        )

    return apply


def no_models(store: str, _: Path, __: pytest.MonkeyPatch) -> None:
    """Have a database in which models cannot be searched."""
    refuse(store, "DROP TABLE logged_model_tags")


def no_python(_: str, __: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no interpreter that rebuilds a chain."""
    monkeypatch.setattr(rebuild_process, "interpreter", lambda: "/nonexistent/python")


def an_interpreter(text: str) -> Callable[[str, Path, pytest.MonkeyPatch], None]:
    """Return a fault: the process that rebuilds a chain is a shell script."""

    def apply(_: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        script = tmp_path / "python"
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(0o700)
        monkeypatch.setattr(rebuild_process, "interpreter", lambda: str(script))

    return apply


def no_room_for_files(_: str, __: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a temporary folder that takes no files: only MLflow's own module for files is told so."""
    monkeypatch.setattr("tempfile.tempdir", "/nonexistent")


def no_artifacts(_: str, tmp_path: Path, __: pytest.MonkeyPatch) -> None:
    """Have no folder for artifacts: a file is in its place."""
    (tmp_path / "artifacts").write_text("no folder")


def our_fault(_: str, __: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a fault in this package, at the files of a model."""
    monkeypatch.delattr(model_store, "write_model")


def strange_form(_: str, __: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a description without the fields that a model needs."""
    monkeypatch.setattr(CarefulWriter, "model", lambda _, record: record._replace(form={"name": "odd"}))


READY = ["READY"]
FAULTS: dict[str, tuple[Callable[[str, Path, pytest.MonkeyPatch], None], str, list[str]]] = {
    "the search": (no_models, "search failed", []),
    "the description": (strange_form, "failed", []),
    "the start of the rebuild": (no_python, "FileNotFoundError", READY),
    "the rebuild, killed": (an_interpreter("kill -9 $$"), "exit status -9", READY),
    "the rebuild, silent": (an_interpreter("exit 0"), "exit status 0; no output", READY),
    "the rebuild, garbled": (an_interpreter("echo '{'"), "unreadable output", READY),
    "the creation": (refusal("INSERT ON logged_models"), "create failed", []),
    "the creation, at its tags": (refusal("INSERT ON logged_model_tags"), "create failed", []),
    "the files": (our_fault, "upload failed", []),
    "the folder of the files": (no_room_for_files, "upload failed", []),
    "the upload": (no_artifacts, "upload failed", []),
    "the output of the run": (refusal("INSERT ON inputs"), "finalize failed", []),
    "the end": (refusal("UPDATE OF status ON logged_models", "NEW.status = 2"), "finalize failed", []),
    "the end, and its deletion": (refusal("UPDATE ON logged_models"), "finalize failed", ["PENDING"]),
    "the registered model": (refusal("INSERT ON registered_models"), "could not be registered", READY),
    "the version": (refusal("INSERT ON model_versions"), "could not be registered", READY),
    "the links": (
        refusal("INSERT ON trace_request_metadata", "NEW.key = 'mlflow.modelId'"),
        "could not be linked",
        READY,
    ),
}


@pytest.mark.parametrize("step", FAULTS)
def test_a_fault_at_each_step(
    step: str, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_process: None
) -> None:
    """Whichever step fails, all traces are stored, none is rejected, and the fault is a note of the model."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    experiment = mlflow.MlflowClient(store).create_experiment("e", artifact_location=str(tmp_path / "artifacts" / "of"))
    start(store, experiment="e", registered_model_name="named")
    fault, expected, statuses = FAULTS[step]
    fault(store, tmp_path, monkeypatch)
    with mlflow.start_run(experiment_id=experiment):
        chain().invoke({"topic": "x"})
    chain().invoke({"topic": "y"})
    deliver()

    (folder,) = all_folders()
    status = folder.read_status()
    assert [len(trace.data.spans) for trace in stored(store)] == [4, 4]
    assert (status["delivered"], status["rejected"], status["error"], list(rejections(folder))) == (2, 0, None, [])
    assert [note for note in status["notes"] if expected in note] != []
    assert count(folder) == Waiting(0, 0, None, 0, 0, {})
    if step != "the search":  # its table is gone
        assert [model.status.value for model in models(store, experiment)] == statuses


def test_a_description_that_cannot_be_written(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain whose description cannot be scrubbed has its trace all the same, and the fault is counted."""
    monkeypatch.delenv("LANGCHAIN_AUTOTRACE_STRICT")
    monkeypatch.setattr(CarefulWriter, "model", lambda *_: 1 / 0)
    start(store)
    chain().invoke({"topic": "x"})
    deliver()

    assert [len(trace.data.spans) for trace in stored(store)] == [4]
    assert (stored(store)[0].info.state.value, models(store), internal_errors.count) == ("OK", [], 1)


def test_a_journal_folder_without_room(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the checkpoint that is to have the model cannot be written, nothing is lost: it is delivered again."""
    start(store)
    chain().invoke({"topic": "x"})
    (folder,) = all_folders()
    save = folder_files.replace

    def full(path: Path, *content: bytes, more: Iterable[bytes] = ()) -> None:
        if path.suffix == ".checkpoint":
            raise OSError(28, "No space left on device")
        save(path, *content, more=more)

    monkeypatch.setattr(checkpoint, "replace", full)
    with folder.shipper_lock():
        assert not Shipper(folder, MlflowSink(store)).drain(timeout=0.3)
    monkeypatch.setattr(checkpoint, "replace", save)
    deliver()

    assert logged(store) == [Logged(CHAIN, "READY", "true", 1)]
    assert (len(stored(store)), notes()) == (1, [])


# Crashes and order.


Way = Callable[[str], Sink]
"""A way to store traces: called with a tracking URI, returns the sink."""


@pytest.fixture(params=[bulk_sink, MlflowSink])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Way:
    """Each way to store traces, of a store that is down for models."""

    def fail(models: Sequence[PendingModel]) -> None:
        msg = "down for models"
        raise SinkUnavailable(msg)

    def opened(store: str) -> Sink:
        sink: Sink = request.param(store)
        monkeypatch.setattr(sink, "log_models", fail)
        return sink

    return opened


def without_models(folder: DestinationFolder, sink: Sink) -> None:
    """Deliver with a shipper that ends, as if it was killed, when the traces are stored and no model is logged."""
    with folder.shipper_lock():
        shipper = Shipper(folder, sink)
        assert not shipper.drain(timeout=0.3)
        shipper.close()


def test_a_shipper_that_ends_between_traces_and_models(store: str, way: Way) -> None:
    """The next shipper logs the models, in order, and links the traces, though the program has ended."""
    start(store)
    for name in ("a", "b"):
        chain(f"{name} {{topic}}").invoke({"topic": "x"})
        chain(f"{name} {{topic}}").invoke({"topic": "y"})
    (folder,) = all_folders()
    without_models(folder, way(store))
    assert (links(stored(store)), models(store)) == ([None] * 4, [])
    assert count(folder) == Waiting(0, 0, None, 0, 0, {}, models=2)
    shutdown()
    without_models(folder, way(store))  # the process is dead now: its journal stays for the models
    assert count(folder).models == 2
    deliver()

    first, second = models(store)
    assert links(stored(store)) == [first.model_id] * 2 + [second.model_id] * 2
    assert (folder.processes(), folder.read_status()["delivered"]) == (set(), 4)


def test_a_store_that_stays_down_for_models(store: str, way: Way) -> None:
    """When all processes have ended, the shipper loses patience and says why; the models stay in the journal."""
    start(store)
    chain().invoke({"topic": "x"})
    (folder,) = all_folders()
    shutdown()
    with folder.shipper_lock():
        shipper = Shipper(folder, way(store))
        shipper.serve(linger=0.0, patience=0.1)

    assert (shipper.error, count(folder).models, len(stored(store))) == ("down for models", 1, 1)
    deliver()
    assert logged(store) == [Logged(CHAIN, "READY", "true", 1)]


@pytest.fixture
def at_shutdown(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread for models starts, as at the end of a program on Python 3.12."""
    begin = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name in {"langchain-autotrace-models", "langchain-autotrace-rebuild"}:
            msg = "can't create new thread at interpreter shutdown"
            raise RuntimeError(msg)
        begin(thread)

    monkeypatch.setattr(threading.Thread, "start", start)


@pytest.mark.usefixtures("at_shutdown")
def test_models_at_the_end_of_a_program(store: str) -> None:
    """Where Python starts no thread any more, the models are logged without one."""
    start(store)
    chain().invoke({"topic": "x"})
    deliver()
    assert logged(store) == [Logged(CHAIN, "READY", "true", 1)]


@pytest.mark.usefixtures("at_shutdown")
def test_a_store_that_is_down_for_models_at_the_end_of_a_program(store: str, way: Way) -> None:
    """Where Python starts no thread any more and the store takes no models, they stay in the journal."""
    start(store)
    chain().invoke({"topic": "x"})
    (folder,) = all_folders()
    without_models(folder, way(store))
    assert (count(folder).models, len(stored(store))) == (1, 1)


def test_traces_that_are_stored_while_the_model_is_logged(store: str, way: Way) -> None:
    """Traces of a chain whose model another process has begun are linked to it, also those of runs that fail."""
    start(store)
    (folder,) = all_folders()
    for topic in ({"topic": "x"}, {}, {"topic": "y"}):
        if topic:
            chain().invoke(topic)
        else:
            with pytest.raises(KeyError):
                chain().invoke({})
        without_models(folder, way(store))
    deliver()
    chain().invoke({"topic": "z"})
    deliver()

    assert logged(store) == [Logged(CHAIN, "READY", "true", 4)]


def test_a_model_that_was_refused(store: str) -> None:
    """When another process runs a chain whose model was refused, the same shipper tries again."""
    refuse(store, "CREATE TRIGGER no BEFORE INSERT ON logged_models BEGIN SELECT RAISE(ABORT, 'refused'); END")
    start(store)
    chain().invoke({"topic": "x"})
    (folder,) = all_folders()
    with folder.shipper_lock():
        shipper = Shipper(folder, MlflowSink(store))
        assert shipper.drain(timeout=PATIENCE)
        refuse(store, "DROP TRIGGER no")
        chain().invoke({"topic": "y"})
        assert shipper.drain(timeout=PATIENCE)
        assert (models(store), len(notes())) == ([], 1)
        shutdown()
        start(store)
        chain().invoke({"topic": "z"})
        assert shipper.drain(timeout=PATIENCE)

    assert logged(store) == [Logged(CHAIN, "READY", "true", 3)]


SLOW = """
import pathlib, time
while not pathlib.Path({gate!r}).exists():
    time.sleep(0.01)
from tests.models.chains import CHAIN, chain
import mlflow
mlflow.models.set_model(chain())
"""


def test_traces_do_not_wait_for_the_rebuild(store: str, tmp_path: Path) -> None:
    """While a chain is rebuilt, traces are stored and flush() returns; killed then, the next shipper logs the model."""
    gate = tmp_path / "gate"
    (tmp_path / "code.py").write_text(SLOW.format(gate=str(gate)))
    program = f"""
import langchain_autotrace, time
from tests.models.chains import CHAIN, chain
langchain_autotrace.autolog(tracking_uri={store!r}, log_models=True, model_code="code.py")
for topic in ("x", "y"):
    chain().invoke({{"topic": topic}})
    result = langchain_autotrace.flush(300)
    assert (result.ok, result.error) == (True, None), result
waited = langchain_autotrace.flush(0.3, models=True)
assert waited[:5] == (False, 2, 0, 0, 0), waited
assert waited.error == "timed out; all traces are stored, the shipper is still logging models", waited
"""
    environment = {**unmeasured(), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.stderr, done.returncode) == ("", 0)
    assert (links(stored(store)), models(store)) == ([None, None], [])
    (folder,) = all_folders()
    kill_shipper(folder)
    gate.touch()
    deliver()

    assert logged(store) == [Logged(CHAIN, "READY", "true", 2)]


def kill_shipper(folder: DestinationFolder) -> None:
    """Kill the shipper of a folder."""
    for status in Path("/proc").glob("[0-9]*/cmdline"):
        words = status.read_bytes().split(b"\0") if status.exists() else []
        if b"langchain_autotrace.ship" in words and str(folder.path).encode() in words:
            os.kill(int(status.parent.name), signal.SIGKILL)
    wait_until(lambda: not folder.has_shipper())


def test_flush_with_models(store: str) -> None:
    """flush(models=True) returns when the models are logged and linked, each time."""
    langchain_autotrace.autolog(tracking_uri=store, shipper="thread", log_models=True)
    for number in range(3):
        chain(f"{number} {{topic}}").invoke({"topic": "x"})
        result = langchain_autotrace.flush(PATIENCE, models=True)
        assert result == langchain_autotrace.FlushResult(
            ok=True, delivered=number + 1, pending=0, rejected=0, dropped=0, error=None
        )
        assert sorted(filter(None, links(stored(store)))) == sorted(model.model_id for model in models(store))
        assert len(models(store)) == number + 1


def test_flush_after_a_rejection(store: str) -> None:
    """flush() is not ok when the store has rejected a trace, and says how many and why."""
    refuse(
        store,
        "CREATE TRIGGER no BEFORE INSERT ON spans WHEN NEW.content LIKE '%bad%' "
        "BEGIN SELECT RAISE(ABORT, 'no bad words'); END",
    )
    langchain_autotrace.autolog(tracking_uri=store, shipper="thread")
    for topic in ("good", "bad"):
        chain().invoke({"topic": topic})
    result = langchain_autotrace.flush(PATIENCE)

    assert result[:5] == (False, 1, 0, 1, 0)
    assert result.error is not None
    assert result.error.startswith("1 trace rejected by the store: ")
    assert "no bad words" in result.error


def test_a_model_that_is_deleted(store: str) -> None:
    """A deleted model is forgotten at once: traces do not name it, and the next run of the chain makes a new one."""
    start(store)
    one, sink = chain(), MlflowSink(store)
    (folder,) = all_folders()

    def run(times: int) -> None:
        """Run the chain, and deliver after each run: one shipper knows the model from the first."""
        for _ in range(times):
            one.invoke({"topic": "x"})
            with folder.shipper_lock():
                assert Shipper(folder, sink).drain(timeout=60.0)

    run(2)
    (first,) = models(store)
    mlflow.MlflowClient(store).delete_logged_model(first.model_id)
    run(2)

    (second,) = models(store)
    assert second.model_id != first.model_id
    assert links(stored(store)) == [first.model_id, first.model_id, second.model_id, second.model_id]

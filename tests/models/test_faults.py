"""What goes wrong between a chain and its model: nothing of it keeps a trace back, and no model stays half-made."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import mlflow
import pytest
from langchain_core.runnables import RunnableLambda

import langchain_autotrace
from langchain_autotrace.journal.folder import all_folders
from langchain_autotrace.models.encode import content_of
from langchain_autotrace.records import ModelForm, ModelSeen
from langchain_autotrace.semconv import Attr
from langchain_autotrace.ship.connect import open_sink
from langchain_autotrace.ship.rebuild_process import Rebuilding
from langchain_autotrace.ship.shipper import Shipper
from langchain_autotrace.view.backlog import Waiting, count
from tests.models.chains import CHAIN, chain
from tests.models.support import Logged, logged, models
from tests.patience import PATIENCE
from tests.ship.server import Answer, FakeServer, running
from tests.support import deliver, stored
from tests.uncovered import unmeasured


def start(store: str, **settings: Any) -> None:
    """Log models; the test delivers."""
    langchain_autotrace.autolog(tracking_uri=store, shipper="external", log_models=True, **settings)


def broken_experiment(store: str, tmp_path: Path) -> str:
    """Make an experiment whose artifacts cannot be written, and return its id."""
    (tmp_path / "file").write_text("no folder")
    return mlflow.MlflowClient(store).create_experiment("broken", artifact_location=f"{tmp_path}/file/artifacts")


def test_files_that_cannot_be_written(store: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without its files a model is none: its traces are stored, one warning names the step, and ``status`` says it."""
    experiment = broken_experiment(store, tmp_path)
    start(store, experiment="broken")
    chain().invoke({"topic": "x"})
    chain().invoke({"topic": "y"})
    deliver()

    assert models(store, experiment) == []
    assert ["mlflow.modelId" in trace.info.trace_metadata for trace in stored(store)] == [False, False]
    ours = [record for record in caplog.records if record.name == "langchain_autotrace.ship"]
    (warning,) = [record.getMessage() for record in ours if record.levelno == logging.WARNING]
    assert f"{CHAIN!r} could not be logged as a model (upload failed: Not a directory: " in warning
    assert "the experiment's artifact location is writable" in warning
    assert [folder.read_status()["notes"] for folder in all_folders()] == [[warning]]


MODELS = "/api/2.0/mlflow/logged-models/search"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    """A server, and no second tries on MLflow's own account."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with running(FakeServer(str(tmp_path))) as started:
        yield started


@pytest.mark.parametrize(
    "answer",
    [
        Answer(404, "<html>", "text/html"),
        Answer(404, '{"error_code": "ENDPOINT_NOT_FOUND", "message": "no"}'),
        Answer(403, '{"error_code": "PERMISSION_DENIED", "message": "no"}'),
    ],
)
def test_a_server_without_models(server: FakeServer, answer: Answer) -> None:
    """A server that knows no models, or none for us, gets the traces all the same."""
    server.answers[MODELS] = [answer] * 10
    start(server.url)
    chain().invoke({"topic": "x"})
    deliver()

    assert len(server.rows) == 1
    ((note,),) = [folder.read_status()["notes"] for folder in all_folders()]
    assert "could not be logged as a model (search failed" in note


def test_a_server_in_trouble(server: FakeServer) -> None:
    """While the server takes no models, traces are stored all the same, and the models wait; a shipper can end."""
    server.answers[MODELS] = [Answer(503, "busy", "text/plain")] * 2 + [Answer(404, "<html>", "text/html")] * 10
    start(server.url)
    chain().invoke({"topic": "x"})
    (folder,) = all_folders()
    with folder.shipper_lock():
        shipper = Shipper(folder, open_sink(folder))
        assert not shipper.drain(timeout=0.4)
        status = folder.read_status()
        assert (len(server.rows), status["error"], "503" in status["models_error"]) == (1, None, True)
        assert count(folder) == Waiting(0, 0, None, 0, 0, {}, models=1)
        shipper.close()
    deliver()
    assert (len(server.rows), count(folder).models) == (1, 0)


def test_said_at_exit(store: str, tmp_path: Path) -> None:
    """The program's last line says what was not logged."""
    broken_experiment(store, tmp_path)
    program = f"""
import langchain_autotrace
from tests.models.chains import CHAIN, chain
langchain_autotrace.autolog(
    tracking_uri={store!r}, experiment="broken", log_models=True, shipper="thread", exit_timeout=300
)
print(chain().invoke({{"topic": "x"}}))
"""
    root = Path(__file__).parent.parent.parent
    environment = {**unmeasured(), "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=PATIENCE
    )

    assert (done.stdout, done.returncode) == ("Yes.\n", 0)
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"langchain-autotrace: the chain {CHAIN!r} could not be logged as a model")


def test_a_model_that_was_begun(store: str) -> None:
    """What a shipper had begun when it was killed, the next one makes whole."""
    tags = {Attr.CONTENT_HASH: content_of(chain()).hash, "langchain_autotrace.loadable": "true"}
    begun = mlflow.MlflowClient(store).create_logged_model("0", name=CHAIN, tags=tags)
    start(store)
    chain().invoke({"topic": "x"})
    deliver()

    assert [model.model_id for model in models(store)] == [begun.model_id]
    assert logged(store) == [Logged(CHAIN, "READY", "true", 1)]


@pytest.mark.long
def test_another_day(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other processes, with journals of their own and at the same time, find the same model."""
    program = f"""
import langchain_autotrace
from tests.models.chains import CHAIN, chain
langchain_autotrace.autolog(tracking_uri={store!r}, log_models=True)
chain().invoke({{"topic": "x"}})
assert langchain_autotrace.flush(300, models=True).ok
"""
    root = Path(__file__).parent.parent.parent
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env={**unmeasured(), "PYTHONPATH": str(root), "LANGCHAIN_AUTOTRACE_HOME": str(tmp_path / f"home{number}")},
        )
        for number in range(2)
    ]
    assert [process.wait(PATIENCE) for process in processes] == [0, 0]
    start(store)
    chain().invoke({"topic": "x"})
    deliver()

    (model,) = logged(store)
    assert model == Logged(CHAIN, "READY", "true", 3)


def test_a_fork(store: str) -> None:
    """A child that was forked in the midst of a run logs its own chains."""
    start(store)
    read, write = os.pipe()

    def fork(topic: str) -> str:
        if topic == "fork" and (pid := os.fork()):
            os.waitpid(pid, 0)
        elif topic == "fork":
            chain("In a child: {topic}").invoke({"topic": "x"})
            os.write(write, b"done")
            os._exit(0)
        return topic

    RunnableLambda(fork).invoke("fork")
    assert os.read(read, 4) == b"done"
    deliver()

    assert logged(store) == [
        Logged(CHAIN, "READY", "true", 1),
        Logged("fork", "READY", "false", 1),
    ]


def seen(code: str | None = None, **form: Any) -> ModelSeen:
    """A chain as the journal has it."""
    content = content_of(chain())
    known: ModelForm = {
        "name": "chain",
        "steps": [],
        "chain": content.tree,
        "problems": [],
        "left_out": [],
        "secrets": [],
        "packages": content.packages,
        "params": {},
        "example": None,
        "signature": None,
        "code": None if code is None else [["chain.py", code, ""]],
        "code_paths": [],
        "search_path": [],
        "registered_model_name": None,
        "tags": {},
    }
    return ModelSeen("0" * 32, content.hash, cast("ModelForm", {**known, **form}))


PROBLEM = "first.func (m.f): a reason"


def test_building_again(own_process: None) -> None:
    """A chain is loadable when it comes back as it was; each reason why not is said, and none ends the others."""
    other = content_of(chain("Another {topic}")).tree
    problems = [[".first.func", "m.f", "a reason"]]
    asked = {
        None: seen(),
        "it builds a different chain from the one that ran": seen(chain=other),
        f"chain.py: building it raised SystemExit: 3; {PROBLEM}": seen("raise SystemExit(3)", problems=problems),
        f"chain.py: building it raised ZeroDivisionError: division by zero; {PROBLEM}": seen(
            "1 / 0", problems=problems
        ),
        f"chain.py: it does not call mlflow.models.set_model(chain); {PROBLEM}": seen("chain = 1", problems=problems),
        "'builtins:eval' is not trusted by default; pass allow=['builtins'] if you trust the source of this model": (
            seen(chain={"lc": 1, "type": "ref", "ref": "builtins:eval"})
        ),
        PROBLEM: seen(problems=problems),
        "the process that rebuilds it failed: exit status 7; no output": seen("import os; os._exit(7)"),
    }
    building = Rebuilding(list(asked.values()))

    assert {building.result(model).reason for model in asked.values()} == set(asked)
    whole = building.result(asked[None])
    assert [line.partition("==")[0] for line in whole.requirements] == ["langchain-core", "pydantic"]

"""MLflow's own spans ride the journal: in real processes, with crashes, forks and a dead backend."""

from __future__ import annotations

import base64
import inspect
import os
import random
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.tracing.attachments import Attachment
from mlflow.tracing.client import TracingClient

import langchain_autotrace
from tests.bridge.programs import helper, step
from tests.bridge.support import drawn, run
from tests.patience import PATIENCE
from tests.support import STRICT, deliver, stored
from tests.uncovered import unmeasured

HEAD = """
import os, sys, time
import langchain_autotrace
{autolog}
import mlflow
from langchain_core.runnables import RunnableLambda

@mlflow.trace
def helper(x):
    return x
"""


def start(
    program: str, uri: str, *, autolog: str = "", measured: bool = False, **environment: str
) -> subprocess.Popen[str]:
    """Start a program with ``autolog()`` on."""
    head = HEAD.format(autolog=autolog or f"langchain_autotrace.autolog(tracking_uri={uri!r})")
    return subprocess.Popen(
        [sys.executable, *STRICT, "-c", head + textwrap.dedent(program)],
        env={
            **(os.environ if measured else unmeasured()),
            "MLFLOW_TRACKING_URI": uri,
            "LANGCHAIN_AUTOTRACE_SHIPPER": "thread",
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], *, status: int = 0) -> tuple[str, str]:
    """What the program printed, and what it complained of."""
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == status, err
    return out, err


def call_often() -> None:
    """Call a function that is a span, many times, and do not flush."""
    for number in range(300):
        helper(number)


def test_a_program_without_langchain(store: str, tmp_path: Path) -> None:
    """Its traces arrive, however many there are at once."""
    assert len(run(call_often, store, tmp_path)) == 300


def test_kill(store: str) -> None:
    """Killed in the midst, what had ended is there, and what was open ends as lost, with its inputs."""
    process = start(
        """
        @mlflow.trace(span_type="TOOL")
        def hang(question):
            mlflow.update_current_trace(tags={"who": "me"})
            helper("ended")
            print("ready", flush=True)
            time.sleep(600)

        with mlflow.start_span("outer", attributes={"k": "v"}) as span:
            RunnableLambda(hang, name="chain").invoke("why")
        """,
        store,
        LANGCHAIN_AUTOTRACE_SHIPPER="external",
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.kill()
    process.communicate()
    deliver()

    (trace,) = stored(store)
    assert drawn(trace) == "outer ERROR\n  chain ERROR\n    hang ERROR\n      helper"
    spans = {span.name: span for span in trace.data.spans}
    assert spans["hang"].inputs == {"question": "why"}
    assert spans["hang"].span_type == "TOOL"
    assert spans["hang"].get_attribute("outcome") == spans["outer"].get_attribute("outcome") == "lost"
    assert trace.info.tags["who"] == "me"


def test_a_dead_backend(tmp_path: Path, store: str) -> None:
    """A program whose shipper is a thread ends within the deadline and says what it leaves."""
    uri = "http://127.0.0.1:9"
    process = start(
        "for number in range(50): RunnableLambda(helper, name='chain').invoke(number)",
        uri,
        LANGCHAIN_AUTOTRACE_EXIT_TIMEOUT="1",
        LANGCHAIN_AUTOTRACE_SHIPPER="thread",
    )
    _, err = finish(process)

    assert "50 traces not delivered yet" in err


def test_fork(store: str) -> None:
    """A child's spans are in the trace of the span that it was forked within, each once."""
    process = start(
        """
        with mlflow.start_span("outer") as outer:
            child = os.fork()
            if child == 0:
                helper("in the child")
                RunnableLambda(helper, name="chain").invoke(1)
                assert langchain_autotrace.flush(300).ok
                os._exit(0)
            os.waitpid(child, 0)
            helper("in the parent")
        assert langchain_autotrace.flush(300).ok
        """,
        store,
    )

    assert finish(process) == ("", "")
    (trace,) = stored(store)
    assert drawn(trace) == "outer\n  helper\n  chain\n    helper\n  helper"


def use_threads() -> None:
    """Twenty threads at once, each with traces of its own."""

    def work(number: int) -> None:
        with mlflow.start_span(f"outer {number}"):
            step("chain", helper).invoke(number)

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(work, range(120)))


def test_threads(store: str, tmp_path: Path) -> None:
    """None is lost and none doubled."""
    found = run(use_threads, store, tmp_path)

    assert sorted(trace.data.spans[0].name for trace in found) == sorted(f"outer {number}" for number in range(120))
    assert {drawn(trace).partition("\n")[2] for trace in found} == {"  chain\n    helper"}


def seed() -> None:
    """Seed Python's random numbers, as programs do."""
    random.seed(0)
    helper(1)


def test_ids_of_a_seeded_program(store: str, tmp_path: Path) -> None:
    """A program that seeds its random numbers has other ids at each run."""
    run(seed, store, tmp_path)

    assert len(run(seed, store, tmp_path)) == 2


@pytest.mark.parametrize("imported", ["before", "after", "long after"])
def test_when_mlflow_is_imported(store: str, imported: str) -> None:
    """It makes no difference whether MLflow is imported before ``autolog()``, after it, or after the first run."""
    autolog = f"langchain_autotrace.autolog(tracking_uri={store!r})"
    before = {
        "before": f"import mlflow\n{autolog}",
        "after": autolog,
        "long after": f"{autolog}\nfrom langchain_core.runnables import RunnableLambda\nRunnableLambda(str).invoke(1)",
    }
    program = "RunnableLambda(helper, name='chain').invoke(1); assert langchain_autotrace.flush(300).ok"

    assert finish(start(program, store, autolog=before[imported], measured=True)) == ("", "")
    assert drawn(stored(store)[-1]) == "chain\n  helper"


def send_files() -> None:
    """Put files into values."""
    with mlflow.start_span("span") as span:
        span.set_inputs({"image": f"data:image/png;base64,{base64.b64encode(b'pixels').decode()}"})
        span.set_outputs(Attachment(content_type="text/plain", content_bytes=b"words"))


def test_files(store: str, tmp_path: Path) -> None:
    """Images in values and attachments are where MLflow's pages look for them."""
    (trace,) = run(send_files, store, tmp_path)

    (span,) = trace.data.spans
    repository = TracingClient(store)._get_artifact_repo_for_trace(trace.info)
    found = {}
    for reference in (span.inputs["image"], span.outputs):
        parsed: Any = Attachment.parse_ref(reference)
        found[parsed["content_type"]] = repository.download_trace_attachment(parsed["attachment_id"])
    assert found == {"image/png": b"pixels", "text/plain": b"words"}


def link() -> None:
    """Link a span to another trace's."""
    kind: Any = mlflow.entities.Link  # which its types call abstract
    with mlflow.start_span("first") as first:
        pass
    with mlflow.start_span("second", links=[kind(first.trace_id, first.span_id, {"why": "retry"})]):
        pass


@pytest.mark.skipif(
    "links" not in inspect.signature(mlflow.start_span).parameters, reason="this version of MLflow has no links"
)
def test_links(store: str, tmp_path: Path) -> None:
    """A span's links arrive."""
    first, second = run(link, store, tmp_path)

    (found,) = second.data.spans[0].links
    assert (found.trace_id, found.span_id) == (first.info.trace_id, first.data.spans[0].span_id)
    assert found.attributes == {"why": "retry"}


def use_a_client_within_a_model() -> None:
    """Count tokens in a model's run, and again in the span of the client that it calls."""
    from langchain_core.language_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage

    usage: Any = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}

    class Model(GenericFakeChatModel):
        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            with mlflow.start_span("client") as span:
                span.set_attribute("mlflow.chat.tokenUsage", usage)
            return super()._generate(*args, **kwargs)

    Model(messages=iter([AIMessage("x", usage_metadata=usage)])).invoke("hi")


def test_tokens_are_counted_once(store: str, tmp_path: Path) -> None:
    """The usage of a span below a model's run is a part of the run's."""
    (trace,) = run(use_a_client_within_a_model, store, tmp_path)

    assert drawn(trace) == "Model\n  client"
    assert trace.info.token_usage == {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}


def stop_in_the_midst() -> None:
    """Raise what stops a program, within a span; a shell that starts programs in the background ignores Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def work(value: Any) -> Any:
        with mlflow.start_span("span"):
            signal.raise_signal(signal.SIGINT)
        return value

    try:
        step("chain", work).invoke(1)
    except KeyboardInterrupt:
        helper(1)


def test_an_interrupt(store: str, tmp_path: Path) -> None:
    """Ctrl-C within a span leaves a whole trace, and passes."""
    found = [drawn(trace) for trace in run(stop_in_the_midst, store, tmp_path)]

    assert found[0].split() == ["chain", "ERROR", "span", *found[0].split()[3:]]
    assert found[1] == "helper"


def test_flush_says_how_many(store: str) -> None:
    """``flush()`` counts traces that MLflow begins."""
    langchain_autotrace.autolog(tracking_uri=store, shipper="thread")
    helper(1)
    step("chain", helper).invoke(1)

    result = langchain_autotrace.flush(PATIENCE)

    assert (result.ok, result.delivered, result.pending) == (True, 2, 0)

"""Runs programs in processes of their own, and reads what they left in the store."""

from __future__ import annotations

import functools
import multiprocessing
import os
import traceback
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from mlflow.tracing.client import TracingClient

import langchain_autotrace
from tests.patience import PATIENCE
from tests.uncovered import unseen

if TYPE_CHECKING:
    from mlflow.entities import Trace

_processes: Final = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(
    [
        "tests.bridge.preloaded",
        "tests.bridge.programs",
        # What a process would import to find the program, to trace it, and to deliver.
        "tests.support",
        "tests.bridge.support",
        "langchain_autotrace.control",
        "langchain_autotrace.bridge.core",
        "langchain_autotrace.ship.mlflow_sink",
    ]
)


def run(program: Callable[[], Any], tracking_uri: str, folder: Path, **settings: Any) -> list[Trace]:
    """Run a program under ``autolog()``; the traces that are in the store then, in the order in which they began."""
    finished(_run, program, tracking_uri, folder, settings)
    return traces(tracking_uri)


def finished(program: Callable[..., Any], *arguments: Any) -> None:
    """Run a function to its end, in a process as ``forked`` starts it, and find that it raised nothing."""
    failed = _processes.Queue()
    process = forked(_report, failed, program, arguments)
    said = failed.get(timeout=PATIENCE)
    process.join(PATIENCE)
    assert process.exitcode == 0, process.exitcode
    assert said == "", said


def forked(program: Callable[..., Any], *arguments: Any) -> BaseProcess:
    """Start a function in a process of its own, as a child of this one, with MLflow imported, which takes seconds."""
    _start_forkserver()
    process = _processes.Process(target=_begin, args=(dict(os.environ), Path.cwd(), program, arguments))
    process.start()
    return process


def _begin(environment: dict[str, str], folder: Path, program: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    program(*arguments)


@functools.cache
def _start_forkserver() -> None:
    """Start the process that the others are forked from, with the package that is tested here, installed or not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        forkserver.ensure_running()


def _report(failed: Any, program: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        program(*arguments)
        failed.put("")
    except BaseException:
        failed.put(traceback.format_exc())
        raise


def _run(program: Callable[[], Any], tracking_uri: str, folder: Path, settings: dict[str, Any]) -> None:
    os.environ |= {"MLFLOW_TRACKING_URI": tracking_uri, "LANGCHAIN_AUTOTRACE_STRICT": "1"}
    os.chdir(folder)
    langchain_autotrace.autolog(shipper="thread", **settings)
    program()
    result = langchain_autotrace.flush(PATIENCE)
    assert result.ok, result


def traces(tracking_uri: str, experiments: tuple[str, ...] = ("0",)) -> list[Trace]:
    """The traces of a store, in the order in which they began."""
    with unseen():
        found = TracingClient(tracking_uri).search_traces(locations=list(experiments), max_results=500)
    return sorted(found, key=lambda one: one.data.spans[0].start_time_ns if one.data.spans else 0)


def drawn(trace: Trace) -> str:
    """The tree of a trace: a line for each span, indented below its parent, by the time they started."""
    spans = sorted(trace.data.spans, key=lambda span: span.start_time_ns)
    ids = {span.span_id for span in spans}
    assert [span.name for span in spans if span.parent_id is not None and span.parent_id not in ids] == []

    def lines(parent: str | None, depth: int) -> list[str]:
        found = []
        for span in spans:
            if span.parent_id == parent:
                status = span.status.status_code.value
                found.append("  " * depth + span.name + ("" if status == "OK" else f" {status}"))
                found += lines(span.span_id, depth + 1)
        return found

    return "\n".join(lines(None, 0))

"""``show --follow``: a trace of the journal while it grows."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from rich.console import Console

from langchain_autotrace.view import growing, terminal
from langchain_autotrace.view.traces import TraceTree
from tests.patience import PATIENCE
from tests.test_processes import start
from tests.uncovered import unmeasured
from tests.view.test_ui_live import Paused


def spans(tree: TraceTree) -> list[str]:
    """Name and status of each span."""
    return [f"{span.name} {span.status}" for span in tree.spans]


def running(uri: str) -> Iterator[TraceTree]:
    """Follow the last trace, once there is one."""
    ends_at = time.monotonic() + PATIENCE
    while (first := next(trees := growing.growth(uri, "last"), None)) is None:
        assert time.monotonic() < ends_at, "no trace has begun"
        time.sleep(0.01)
    return itertools.chain([first], trees)


def test_a_running_trace(store: str) -> None:
    """A trace is shown each time it has changed, from its running spans to its end; then there is nothing to follow."""
    paused, seen = Paused(), []
    with paused.runs(store):
        for tree in running(store):
            seen.append(spans(tree))
            for gate, name in zip(paused.gates, ("step 0", "step 1", "step 2"), strict=True):
                if f"{name} UNSET" in seen[-1]:
                    gate.set()
        assert list(growing.growth(store, "last")) == []
    assert seen[0][:1] == ["slow UNSET"]
    assert seen[-1] == ["slow OK", "step 0 OK", "step 1 OK", "step 2 OK"]
    assert ["slow UNSET", "step 0 OK", "step 1 UNSET"] in seen


def test_which_trace(store: str) -> None:
    """A trace is named by its first or last digits and experiment; of no other one anything is shown."""
    paused = Paused()
    with paused.runs(store):
        trace_id = next(running(store)).row.trace_id
        found = [
            [tree.row.trace_id for tree in [next(growing.growth(store, wanted, experiment), None)] if tree is not None]
            for wanted, experiment in (
                *((trace_id, None), (trace_id[3:15], None), (trace_id[-6:], None)),
                *(("tr-zz", None), ("last", "another")),
            )
        ]
    assert found == [[trace_id]] * 3 + [[]] * 2


def test_a_program_that_is_killed(store: str) -> None:
    """A trace whose program is killed ends: it is abandoned."""
    program = (
        'print("ready", flush=True)\nRunnableLambda(lambda _: print("in", flush=True) or time.sleep(999)).invoke(1)'
    )
    process = start(program, store, LANGCHAIN_AUTOTRACE_SHIPPER="external")
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == ["ready\n", "in\n"]
    trees = running(store)
    assert spans(next(trees)) == ["RunnableLambda UNSET"]
    process.kill()
    process.communicate()
    *_, last = trees
    assert [(span.status, span.outcome) for span in last.spans] == [("ERROR", "lost")]


def test_drawing(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the tree is drawn anew with each change, as much of its end as fits, and removed at the end."""
    out = Console(file=io.StringIO(), force_terminal=True, width=80, height=4)
    monkeypatch.setattr(terminal, "console", lambda: out)
    paused = Paused()
    with paused.runs(store):
        trees = running(store)
        for gate in paused.gates:
            gate.set()
        seen = list(trees)
    assert terminal.print_growth(seen) == seen[-1].row.trace_id
    assert isinstance(out.file, io.StringIO)
    drawn = out.file.getvalue()
    assert ("step 2" in drawn, drawn.rpartition("step 2")[2].count("\x1b[2K") >= 2) == (True, True)


def test_where_a_program_reads(store: str) -> None:
    """The command waits for the end of the trace and prints it once, from the store."""
    process = start("RunnableLambda(time.sleep).invoke(999)", store)
    next(running(store))
    command = [sys.executable, "-m", "langchain_autotrace.cli", "show", "last", "--follow", "--tracking-uri", store]
    shown = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=unmeasured())
    with pytest.raises(subprocess.TimeoutExpired):
        shown.communicate(timeout=1.0)
    process.kill()
    process.communicate()
    out, _ = shown.communicate(timeout=PATIENCE)
    assert out.count("sleep") == 2  # as the name of the trace and of its span

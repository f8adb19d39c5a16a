"""What many tests share: an observer to compare with, and traces as they stand in the store."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tracers.context import register_configure_hook
from mlflow.entities import Span, Trace
from mlflow.store.db import utils as db_utils
from mlflow.tracing.client import TracingClient

from langchain_autotrace.journal.folder import DestinationFolder, all_folders
from langchain_autotrace.ship.connect import open_sink
from langchain_autotrace.ship.shipper import Shipper
from tests.patience import PATIENCE
from tests.uncovered import unseen

_SCHEMA: Final = db_utils._get_latest_schema_revision()  # type: ignore[no-untyped-call] # MLflow's
# MLflow imports its sixty-odd migrations to find out, each time that it opens a database.
db_utils._get_latest_schema_revision = lambda: _SCHEMA


STRICT: Final = (
    *("-W", "error"),
    *("-W", "ignore:The ``noload``"),  # MLflow's own use of SQLAlchemy, in the shipper's thread
    *("-W", "ignore:'asyncio.iscoroutinefunction'"),  # langsmith's own use of Python 3.14
)
"""Options of a Python in which each warning is an error, but for what others' packages do themselves."""


class Observed(NamedTuple):
    """A run as LangChain announced it."""

    run_id: str
    parent_run_id: str | None
    name: str | None


class Observer(BaseCallbackHandler):
    """Notes every run with its parent, independently of the package."""

    run_inline = True

    def __init__(self) -> None:
        self.runs: list[Observed] = []

    def _note(
        self, *_: Any, run_id: UUID, parent_run_id: UUID | None = None, name: str | None = None, **__: Any
    ) -> None:
        self.runs.append(Observed(str(run_id), str(parent_run_id) if parent_run_id else None, name))

    on_chain_start = on_llm_start = on_chat_model_start = on_tool_start = on_retriever_start = _note


_observer: Final[ContextVar[Observer | None]] = ContextVar("observer", default=None)
register_configure_hook(_observer, inheritable=True)


@contextmanager
def observed() -> Iterator[Observer]:
    """Observe all runs that start in the block."""
    observer = Observer()
    token = _observer.set(observer)
    try:
        yield observer
    finally:
        _observer.reset(token)


def deliver() -> None:
    """Deliver all journals in this process, as ``langchain-autotrace ship`` does."""
    for folder in all_folders():
        drain(folder)


def drain(folder: DestinationFolder) -> None:
    """Deliver one folder's journals."""
    with folder.shipper_lock():
        assert Shipper(folder, open_sink(folder)).drain(timeout=PATIENCE)


def stored(uri: str) -> list[Trace]:
    """All traces of all experiments, oldest first, as MLflow reads them."""
    with unseen():
        client = TracingClient(uri)
        experiments = [one.experiment_id for one in client.store.search_experiments()]
        found = client.search_traces(locations=experiments, max_results=5000)
    return sorted(found, key=lambda trace: (trace.info.request_time, trace.info.trace_id))


Tree = tuple[str, str, str, list["Tree"]]


def tree(trace: Trace) -> Tree:
    """The trace as (name, type, status or outcome, children in the order of their starts)."""
    children: dict[str | None, list[Span]] = {}
    for span in sorted(
        trace.data.spans, key=lambda one: (one.start_time_ns, one.get_attribute("langchain.run_id") or "")
    ):
        children.setdefault(span.parent_id, []).append(span)

    def node(span: Span) -> Tree:
        how = span.get_attribute("outcome") or span.status.status_code.value
        return (span.name, span.span_type, how, [node(child) for child in children.get(span.span_id, [])])

    (root,) = children[None]
    assert sum(1 for _ in _flat(node(root))) == len(trace.data.spans), "a span hangs on no other"
    return node(root)


def _flat(one: Tree) -> Iterator[Tree]:
    yield one
    for child in one[3]:
        yield from _flat(child)


def assert_same_tree(traces: list[Trace], runs: list[Observed]) -> None:
    """Every observed run is one span, below the span of its parent, in one trace for each root."""
    spans = [span for trace in traces for span in trace.data.spans]
    by_run = {span.get_attribute("langchain.run_id"): span for span in spans}
    assert set(by_run) == {run.run_id for run in runs}
    assert len(spans) == len(runs)
    by_id = {(span.trace_id, span.span_id): span for span in spans}
    for run in runs:
        span = by_run[run.run_id]
        parent = by_id[span.trace_id, span.parent_id].get_attribute("langchain.run_id") if span.parent_id else None
        assert parent == run.parent_run_id
    assert len(traces) == sum(run.parent_run_id is None for run in runs)


def spans_named(trace: Trace, name: str) -> list[Span]:
    """The spans of that name, in the order of their starts."""
    return sorted((span for span in trace.data.spans if span.name == name), key=lambda one: one.start_time_ns)


def copies(source: Path) -> Callable[[Path], str]:
    """A maker of databases: copies one that has MLflow's tables, which take seconds to create."""
    numbers = itertools.count()

    def copy(folder: Path) -> str:
        target = folder / f"mlflow{next(numbers) or ''}.db"
        target.write_bytes(source.read_bytes())
        return f"sqlite:///{target}"

    return copy

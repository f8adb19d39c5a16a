"""Give a trace another id when the store has an earlier trace of the same one.

A program may give its runs their ids, and give one of them again after a restart. Within a process ``capture/runs.py``
tells such runs apart; here, the traces of several processes. LangChain's own ids are never the same: they are UUIDs of
version 7, made when the run started.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from langchain_autotrace.ids import TRACE_ID_PREFIX
from langchain_autotrace.semconv import Attr, TraceKey

if TYPE_CHECKING:
    from mlflow.entities import TraceInfo

    from langchain_autotrace.records import ProcessInfo
    from langchain_autotrace.trace.spans import Trace

_FRESH_MS: Final = 60_000


def with_unused_ids(batch: Sequence[Trace], stored: Callable[[str], TraceInfo | None]) -> list[Trace]:
    """Return the traces, with another id where a trace's id belongs to a trace of another process.

    The other id depends on the process alone: its late spans, and the trace when it is delivered again, get the same.

    Args:
        batch: traces, and late spans of traces.
        stored: returns the row of the trace with an id of MLflow's (``tr-…``), None when the store does not have it.
    """
    ids: dict[tuple[str, ProcessInfo | None], str] = {}
    for trace in sorted(batch, key=lambda one: one.root is None):  # a root decides for the late spans of its trace
        if (trace.trace_id, trace.process) not in ids:
            ids[trace.trace_id, trace.process] = _unused_id(trace, stored)
    return [_with_id(trace, ids[trace.trace_id, trace.process]) for trace in batch]


def _unused_id(trace: Trace, stored: Callable[[str], TraceInfo | None]) -> str:
    if is_new(trace):
        return trace.trace_id
    other = blake2b(f"{trace.trace_id} {trace.process}".encode(), digest_size=16).hexdigest()
    if trace.root is None:
        return trace.trace_id if stored(TRACE_ID_PREFIX + other) is None else other
    row = stored(TRACE_ID_PREFIX + trace.trace_id)
    # The row may be this trace's: it was delivered before, or spans of it from another process were, which leave a row
    # without a source.
    is_used = (
        row is not None
        and TraceKey.SOURCE_TYPE in row.trace_metadata
        and row.request_time != trace.root.start_ns // 1_000_000
    )
    return other if is_used else trace.trace_id


def is_new(trace: Trace) -> bool:
    """Return whether the trace's id was made when it started: by MLflow, or as a UUID of version 7.

    Such a UUID begins with the milliseconds.
    """
    if trace.root is not None and Attr.RUN_ID not in trace.root.attributes:
        return True
    started_ms = min(span.start_ns for span in trace.spans) // 1_000_000
    made_ms = int(trace.trace_id[:12], 16)
    return trace.trace_id[12] == "7" and abs(started_ms - made_ms) < _FRESH_MS


def _with_id(trace: Trace, trace_id: str) -> Trace:
    if trace_id == trace.trace_id:
        return trace
    spans = [span._replace(trace_id=trace_id) for span in trace.spans]
    root = None if trace.root is None else trace.root._replace(trace_id=trace_id)
    return trace._replace(trace_id=trace_id, root=root, spans=spans)

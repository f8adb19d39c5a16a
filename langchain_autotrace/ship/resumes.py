"""Names, on a trace that resumes an interrupted graph, the trace that it resumes.

Both are of one LangGraph thread, and mostly of different processes: a web server's next request. The interrupted one is
in the same batch, or in the store, which is asked only when a trace resumes a thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from langchain_autotrace.ids import TRACE_ID_PREFIX
from langchain_autotrace.redaction import error_line
from langchain_autotrace.semconv import Attr

if TYPE_CHECKING:
    from langchain_autotrace.trace.spans import Span, Trace

_logger: Final = logging.getLogger("langchain_autotrace.ship")

Found = tuple[str, str]
"""Ids of a trace, with MLflow's prefix, and of its root span."""


def with_resumed(batch: Sequence[Trace], stored: Callable[[Trace, str], Found | None]) -> list[Trace]:
    """Return the traces; one that resumes another has its id as an attribute of the root, and a link to it.

    Args:
        batch: traces, and late spans of traces.
        stored: returns the last trace of a thread in the store that was interrupted, and that started before a trace.
    """
    return [_with_resumed(trace, batch, stored) for trace in batch]


def _with_resumed(trace: Trace, batch: Sequence[Trace], stored: Callable[[Trace, str], Found | None]) -> Trace:
    if trace.root is None or trace.resumed_thread is None:
        return trace
    found = _in_batch(trace, trace.root, batch)
    if found is None:
        try:
            found = stored(trace, trace.resumed_thread)
        except Exception as error:  # noqa: BLE001 - a store that cannot be asked costs no trace
            _logger.warning("trace %s: cannot find the trace that it resumes: %s", trace.trace_id, error_line(error))
    return trace if found is None else _linked(trace, trace.root, found)


def _in_batch(trace: Trace, root: Span, batch: Sequence[Trace]) -> Found | None:
    """Return the last interrupted trace of the thread in the batch: what is stored by now has mostly come before."""
    roots = [
        other.root
        for other in batch
        if other.root is not None
        and other.root.attributes.get(Attr.INTERRUPTED_THREAD) == trace.resumed_thread
        and other.root.start_ns < root.start_ns
        and other.trace_id != trace.trace_id
        and _target(other) == _target(trace)
    ]
    last = max(roots, key=lambda one: one.start_ns, default=None)
    return None if last is None else (TRACE_ID_PREFIX + last.trace_id, last.span_id)


def _target(trace: Trace) -> tuple[str | None, str | None]:
    return (None, None) if trace.context is None else (trace.context["experiment"], trace.context["experiment_id"])


def _linked(trace: Trace, root: Span, found: Found) -> Trace:
    trace_id, span_id = found
    link: dict[str, Any] = {"trace_id": trace_id, "span_id": span_id, "attributes": {"type": "resumes"}}
    linked = root._replace(attributes={**root.attributes, Attr.RESUMES: trace_id}, links=[*root.links, link])
    spans = [linked if span.span_id == root.span_id else span for span in trace.spans]
    return trace._replace(root=linked, spans=spans)

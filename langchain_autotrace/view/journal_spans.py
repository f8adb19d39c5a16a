"""Turns traces of the journal into what the views show: rows and trees, before a store has them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from langchain_autotrace.trace import previews
from langchain_autotrace.view import captured
from langchain_autotrace.view.traces import TraceTree

if TYPE_CHECKING:
    from langchain_autotrace.trace.spans import Trace
    from langchain_autotrace.view.traces import TraceRow

_MAX_PREVIEW: Final = 1_000
RUNNING: Final = "IN_PROGRESS"


def preview(trace: Trace) -> tuple[str, str]:
    """Return question and answer of a trace, as far as they are known."""
    if trace.root is None:
        return "", ""
    asked = previews.request_preview(trace.root, _MAX_PREVIEW)
    return asked or "", previews.response_preview(trace.root, _MAX_PREVIEW) or ""


def tree(trace: Trace) -> TraceTree:
    """Return a trace that has a root as a tree; spans that have not ended have no duration."""
    found = captured.tree_of(trace)
    is_running = trace.root is not None and trace.root.end_ns is None
    return TraceTree(replace(found.row, status=RUNNING, duration_ms=None), found.spans) if is_running else found


def row(trace: Trace) -> TraceRow:
    """Return the facts of a trace that has a root."""
    return tree(trace).row

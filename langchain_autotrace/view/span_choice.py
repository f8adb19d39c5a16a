"""Chooses spans of a trace by name or id."""

from __future__ import annotations

import difflib
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from langchain_autotrace.errors import TraceNotFound
from langchain_autotrace.view.traces import TraceTree

if TYPE_CHECKING:
    from langchain_autotrace.view.traces import SpanNode

_LEAST_ID: Final = 4
"""Digits of an id that choose a span, at least."""
_MANY: Final = 8


def chosen(tree: TraceTree, wanted: str) -> TraceTree:
    """Return the spans with this name, or whose id begins with it, each with all below it, as trees of their own.

    Args:
        tree: the trace.
        wanted: a name, or an id or its first digits.

    Raises:
        TraceNotFound: there is no such span; the message has the nearest names.
    """
    found: list[SpanNode] = []
    top: int | None = None  # depth of the chosen span that the present one is below
    for span in tree.spans:
        if top is not None and span.depth <= top:
            top = None
        if top is None and _is_meant(span, wanted):
            top = span.depth
        if top is not None:
            found.append(replace(span, depth=span.depth - top))
    if not found:
        raise TraceNotFound(_none(tree, wanted))
    return TraceTree(tree.row, tuple(found))


def _is_meant(span: SpanNode, wanted: str) -> bool:
    return span.name == wanted or (len(wanted) >= _LEAST_ID and span.span_id.startswith(wanted))


def _none(tree: TraceTree, wanted: str) -> str:
    names = list(dict.fromkeys(span.name for span in tree.spans))
    near = difflib.get_close_matches(wanted, names, n=3) or names[:_MANY]
    return f"no span {wanted!r} in trace {tree.row.trace_id}; there are: {', '.join(map(repr, near))}"

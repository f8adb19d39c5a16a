"""Draws when spans started and how long they took, as bars for a terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_autotrace.view.traces import SpanNode

_STYLES: Final = {
    **dict.fromkeys(("CHAT_MODEL", "LLM"), "blue"),
    **dict.fromkeys(("RETRIEVER", "EMBEDDING", "RERANKER"), "green"),
    "AGENT": "magenta",
    "TOOL": "yellow",
}
_FULL: Final = "━"
_RUNNING: Final = "╍"


def bars(spans: Sequence[SpanNode], columns: int) -> list[Text]:
    """Return a bar for each span on one time scale, with two blanks behind it; empty texts without columns.

    Args:
        spans: of one trace, or a part of one.
        columns: width of the whole scale.
    """
    if not columns:
        return [Text()] * len(spans)
    start = min((span.start_ns for span in spans), default=0)
    end = max((span.start_ns + (span.duration_ns or 0) for span in spans), default=0)
    scale = columns / max(end - start, 1)
    return [_bar(span, (span.start_ns - start) * scale, columns, scale) for span in spans]


def _bar(span: SpanNode, left: float, columns: int, scale: float) -> Text:
    """Return a span's bar: at least one column, and up to the end of the scale for a span that is still open."""
    first = min(int(left), columns - 1)
    length = columns if span.duration_ns is None else span.duration_ns * scale
    last = min(max(math.ceil(round(left + length, 6)), first + 1), columns)
    drawn = (_RUNNING if span.duration_ns is None else _FULL) * (last - first)
    style = "red" if span.status == "ERROR" else _STYLES.get(span.type, "dim")
    return Text.assemble(" " * first, (drawn, style), " " * (columns - last + 2))

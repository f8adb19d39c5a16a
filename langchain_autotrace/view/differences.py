"""Compares two traces: their facts, their trees, and what went into and came out of the spans that both have."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from langchain_autotrace.view import text
from langchain_autotrace.view.content import clean, readable

if TYPE_CHECKING:
    from langchain_autotrace.view.traces import SpanNode, TraceRow, TraceTree

_STYLES: Final = {"-": "red", "+": "green"}
_CONTEXT: Final = 1
"""Unchanged lines around a difference."""
_INDENT: Final = "  "
_MAX_INDENT: Final = 30

Pair = tuple["SpanNode | None", "SpanNode | None"]
"""The same span in both traces; None where one has no such span."""


def facts(first: TraceRow, second: TraceRow) -> Table:
    """Return the facts of two traces beside each other, with the difference of those that are numbers."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", "A", "B", "B - A"):
        table.add_column(heading, overflow="fold")
    for name, values in _facts(first, second):
        table.add_row(Text(name, "dim"), *(Text(clean(value)) for value in values))
    return table


def _facts(first: TraceRow, second: TraceRow) -> Iterator[tuple[str, tuple[str, ...]]]:
    rows = (first, second)
    yield "trace", tuple(row.trace_id for row in rows)
    yield "name", tuple(row.name for row in rows)
    yield "status", tuple(row.status for row in rows)
    for name, values, shown in (
        ("duration", [row.duration_ms for row in rows], text.duration),
        ("tokens", [row.tokens.total for row in rows], text.count),
        ("cost", [row.cost_usd for row in rows], text.money),
    ):
        a, b = values
        if a is None and b is None:
            continue
        change = "" if a is None or b is None or a == b else f"{'+' if b > a else '-'}{shown(abs(b - a))}"  # type: ignore[arg-type] # each with its own values
        yield name, (shown(a), shown(b), change)  # type: ignore[arg-type] # as above


def aligned(first: TraceTree, second: TraceTree) -> list[Pair]:
    """Return the spans of two traces in pairs, in the order of the trees.

    A pair has the same place, name and type in both. Times do not count.
    """
    keys = [[(span.depth, span.name, span.type) for span in tree.spans] for tree in (first, second)]
    matcher = difflib.SequenceMatcher(None, keys[0], keys[1], autojunk=False)
    found: list[Pair] = []
    for kind, a_from, a_to, b_from, b_to in matcher.get_opcodes():
        olds, news = first.spans[a_from:a_to], second.spans[b_from:b_to]
        if kind == "equal":
            found += zip(olds, news, strict=True)
        else:
            found += [*((one, None) for one in olds), *((None, one) for one in news)]
    return found


def lines(pairs: list[Pair]) -> Iterator[Text]:
    """Yield the lines of both trees: ``-`` only in the first, ``+`` only in the second, ``~`` in both and different."""
    for old, new in pairs:
        span = old or new
        if span is None:
            continue
        indent = _INDENT * min(span.depth, _MAX_INDENT)
        found = [] if old is None or new is None else list(changes(old, new))
        mark = "+" if old is None else "-" if new is None else "~" if found else " "
        summary = f"{mark} {indent}{text.one_line(span.name)}  {text.one_line(span.type)}"
        yield Text(summary, _STYLES.get(mark, "bold" if found else "dim"))
        for change in (line for name, some in found for line in (f"{name}:", *some)):
            yield Text(f"  {indent}{_INDENT}{change}", _STYLES.get(change[0], "dim"))


def changes(old: SpanNode, new: SpanNode) -> Iterator[tuple[str, list[str]]]:
    """Yield what differs between two spans: the name of the value, and the lines of the difference."""
    for name, before, after in (
        ("status", old.outcome or old.status, new.outcome or new.status),
        ("error", old.error, new.error),
        ("model", old.model, new.model),
        ("input", old.inputs, new.inputs),
        ("output", old.outputs, new.outputs),
    ):
        # Values that differ only in what nobody reads, such as ids of messages, are equal here.
        found = list(_text_changes(before, after)) if before != after else []
        if found:
            yield name, found


def _text_changes(before: object, after: object) -> Iterator[str]:
    old, new = ([] if value is None else clean(readable(value)).split("\n") for value in (before, after))
    found = difflib.unified_diff(old, new, lineterm="", n=_CONTEXT)
    for line in list(found)[3:]:  # without the names of files and the first place
        yield "…" if line.startswith("@@") else line

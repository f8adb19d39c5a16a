"""Prints the output of commands: text for people, JSON for programs."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from langchain_autotrace.view import text
from langchain_autotrace.view.traces import folded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from langchain_autotrace.view.traces import TraceRow, TraceTree

_SPINNER_SECONDS: Final = 0.5
_WIDE: Final = 100
"""Width in columns from which a tree has bars beside it."""
_MAX_BAR: Final = 24
_PIPE_WIDTH: Final = 160
"""Width in columns if the output is not a terminal: a program that reads it wants nothing cut."""


def console() -> Console:
    """Return a console for standard output, with colours only on a terminal."""
    out = Console(highlight=False, emoji=False)
    if not out.is_terminal and not os.environ.get("COLUMNS"):
        out.width = _PIPE_WIDTH
    return out


@contextlib.contextmanager
def spinner(text: str) -> Iterator[None]:
    """Show a spinner on standard error while the block runs, from half a second on; only on a terminal."""
    out = Console(stderr=True)
    if not (out.is_terminal and sys.stdout.isatty()):
        yield
        return
    status = out.status(text)
    timer = threading.Timer(_SPINNER_SECONDS, status.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        status.stop()


def print_rows(rows: Sequence[TraceRow]) -> None:
    """Print the table of traces."""
    out = console()
    out.print(text.rows_table(rows, width=out.width))


def print_tree(
    tree: TraceTree, *, values: bool = False, full: bool = False, whole: bool = True, plumbing: bool = False
) -> None:
    """Print a trace as a tree of spans.

    Args:
        tree: the trace.
        values: include inputs and outputs.
        full: do not shorten values and error messages.
        whole: print the facts of the whole trace above the tree.
        plumbing: print the steps that LangChain and LangGraph made by themselves too.
    """
    out = console()
    shown, left_out = (tree, 0) if plumbing else folded(tree)
    if whole:
        out.print(text.header(tree.row))
        out.print()
    for line in text.tree_lines(shown, out, values=values, full=full, bar_columns=_bar_columns(out)):
        out.print(line, no_wrap=True, overflow="ignore", crop=False)
    if left_out:
        out.print(text.folded_line(left_out))


def print_growth(trees: Iterable[TraceTree], *, plumbing: bool = False) -> str | None:
    """Draw a trace anew each time it has changed, on a terminal; return its id when it has ended, None without a trace.

    The drawing is removed at the end, for the whole trace to be printed in its place.

    Args:
        trees: the trace, each time it has changed.
        plumbing: draw the steps that LangChain and LangGraph made by themselves too.
    """
    out, trace_id = console(), None
    with Live(console=out, transient=True, auto_refresh=False) if out.is_terminal else contextlib.nullcontext() as live:
        for tree in trees:
            trace_id = tree.row.trace_id
            if live is not None:
                shown = tree if plumbing else folded(tree)[0]
                lines = list(text.tree_lines(shown, out, bar_columns=_bar_columns(out)))
                live.update(Text("\n").join(lines[-max(out.height - 2, 1) :]), refresh=True)
    return trace_id


def _bar_columns(out: Console) -> int:
    """Return the width of the bars beside a tree: none where a program reads, or a terminal is narrow."""
    return min(out.width // 6, _MAX_BAR) if out.is_terminal and out.width >= _WIDE else 0


def print_lines(lines: Iterable[RenderableType]) -> None:
    """Print a sequence of rich renderables."""
    out = console()
    for line in lines:
        out.print(line)


def print_json(value: object) -> None:
    """Print a value as indented JSON."""
    sys.stdout.write(json_text(value))


def json_text(value: object) -> str:
    """Return a value as indented JSON that ends with a line feed."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=_plain) + "\n"


def row_json(row: TraceRow) -> dict[str, Any]:
    """Return a row as JSON, with its start as an ISO 8601 string (UTC) in addition."""
    start = datetime.fromtimestamp(row.start_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return {**dataclasses.asdict(row), "start": start}


def tree_json(tree: TraceTree) -> dict[str, Any]:
    """Return a trace and its spans, in the order of the tree, as JSON."""
    return {"trace": row_json(tree.row), "spans": [dataclasses.asdict(span) for span in tree.spans]}


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return str(value) if isinstance(value, Path) else repr(value)

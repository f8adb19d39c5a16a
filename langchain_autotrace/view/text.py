"""Formats traces for a terminal."""

from __future__ import annotations

import io
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from langchain_autotrace.view import span_bars
from langchain_autotrace.view.content import clean, readable, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from langchain_autotrace.view.traces import SpanNode, Tokens, TraceRow, TraceTree

_SHORT_ID: Final = 10
"""Digits of a trace id in a narrow table: the last ones, since ids of one moment begin with the same."""
"""Length of a shortened trace id in a narrow terminal; ``show`` accepts it."""
_GAP: Final = 2
_LEAST_NAME: Final = 12
_WIDE: Final = 110
"""Width in columns from which the list shows whole trace ids."""
_LEAST: Final = 30
"""Minimum width in columns for a span's text, however deep the span."""
MAX_DRAWN: Final = 30
"""Level of a tree from which on spans are no further indented: a thousand levels would fill megabytes with blanks."""
_STYLES: Final = {"OK": "green", "ERROR": "bold red"}
_UNUSUAL: Final = "yellow"
_SMALL: Final = 0.01
"""Amount in US dollars below which two digits are shown, wherever they are."""
_ERROR_LINES: Final = 4
_VALUE_LINES: Final = 10
_SEE_ALL: Final = ": --full"


def rows_table(rows: Sequence[TraceRow], *, width: int) -> Table:
    """Return the table of traces for a terminal of ``width`` columns; names are shortened to fit."""
    priced = any(row.cost_usd is not None for row in rows)
    headings = ("time", "name", "status", "duration", "tokens", *(["cost"] if priced else []), "trace id")
    cells = [_cells(row, priced=priced, id_digits=0 if width >= _WIDE else _SHORT_ID) for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(headings, *map(_plain, cells), strict=True)]
    room = width - sum(widths) + widths[1] - _GAP * (len(widths) - 1)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, needed in zip(headings, widths, strict=True):
        most = max(room, _LEAST_NAME) if heading == "name" else needed
        right = heading in {"duration", "tokens", "cost"}
        table.add_column(
            heading,
            justify="right" if right else "left",
            no_wrap=True,
            overflow="ellipsis",
            min_width=min(needed, most),
            max_width=most,
        )
    for row in cells:
        table.add_row(*row)
    return table


def _cells(row: TraceRow, *, priced: bool, id_digits: int) -> list[Text]:
    return [
        Text(moment(row.start_ms)),
        Text(one_line(row.name)),
        Text(row.status, _STYLES.get(row.status, _UNUSUAL)),
        Text(duration(row.duration_ms)),
        Text(count(row.tokens.total)),
        *([Text(money(row.cost_usd))] if priced else []),
        Text(row.trace_id[-id_digits:], "dim"),
    ]


def _plain(cells: Sequence[Text]) -> list[str]:
    return [cell.plain for cell in cells]


def header(row: TraceRow) -> Table:
    """Return the facts of the whole trace: id, name, status, time, tokens, cost, session, user and tags."""
    facts: list[tuple[str, RenderableType]] = [
        ("trace", Text(row.trace_id)),
        ("name", Text(one_line(row.name))),
        ("status", Text(row.status, _STYLES.get(row.status, _UNUSUAL))),
        ("started", moment(row.start_ms, whole=True)),
        ("duration", duration(row.duration_ms)),
        ("tokens", all_tokens(row.tokens)),
        ("cost", money(row.cost_usd)),
        ("session", Text(one_line(row.session or ""))),
        ("user", Text(one_line(row.user or ""))),
        ("tags", Text(one_line(", ".join(f"{key}={value}" for key, value in sorted(row.tags.items()))))),
    ]
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, fact in facts:
        if fact and str(fact) != "-":
            table.add_row(name, fact)
    return table


def tree_lines(
    tree: TraceTree, console: Console, *, values: bool = False, full: bool = False, bar_columns: int = 0
) -> Iterator[Text]:
    """Yield the lines of the tree of spans, each fitting the console.

    Args:
        tree: the trace.
        console: where it will be printed.
        values: include inputs and outputs.
        full: do not shorten values and error messages.
        bar_columns: width of the time scale on which each span has a bar; 0 leaves the bars out.
    """
    gutter = max((len(duration(_ms(span))) for span in tree.spans), default=1)
    branches = _branches(tree.spans, "├── ", "└── ", "│   ") if _is_utf(console) else _branches(tree.spans, *["  "] * 3)
    bars = span_bars.bars(tree.spans, bar_columns if _is_utf(console) else 0)
    for span, (first, rest, below), bar in zip(tree.spans, branches, bars, strict=True):
        time = Text.assemble((duration(_ms(span)).rjust(gutter) + "  ", "dim"), bar)
        margin = " " * time.cell_len
        room = max(console.width - len(margin) - len(first), _LEAST)
        for number, line in enumerate(_summary(span, room)):
            yield Text.assemble(*([(margin + rest, "dim")] if number else [time, (first, "dim")]), line)
        for line in _below(span, console, room - len(below), values=values, full=full):
            yield Text.assemble((margin + rest + below, "dim"), line)


def plain_lines(tree: TraceTree, *, width: int = 160) -> list[str]:
    """Return the lines of the tree of spans as plain text.

    Args:
        tree: the trace.
        width: columns that a line may have.
    """
    return [line.plain for line in tree_lines(tree, Console(file=io.StringIO(), width=width))]


def folded_line(left_out: int) -> Text:
    """Return what is said below a tree that leaves out plumbing.

    Args:
        left_out: how many spans.
    """
    steps, them = ("step", "it") if left_out == 1 else ("steps", "them")
    return Text(f"\n{count(left_out)} plumbing {steps} folded; --all shows {them}", "dim")


def level_mark(depth: int) -> str:
    """Return the level of what is drawn with the indentation of a higher one, as text before it; else an empty one."""
    return f"[level {depth}] " if depth > MAX_DRAWN else ""


def _is_utf(console: Console) -> bool:
    return console.encoding.startswith("utf")


def _branches(spans: Sequence[SpanNode], fork: str, last: str, bar: str) -> list[tuple[str, str, str]]:
    """Return the tree drawing left of each span: for its first line, its other lines, and those above its children.

    Spans below the deepest level that is drawn are drawn on it, each with its true level as a number.
    """
    found: list[tuple[str, str, str]] = []
    open_depths: set[int] = set()  # depths at which a later span continues the branch
    deeper = 0
    gap = " " * len(bar)
    for span in reversed(spans):
        depth = span.depth
        open_depths = {one for one in open_depths if one <= depth}
        above = "".join(bar if one in open_depths else gap for one in range(1, min(depth, MAX_DRAWN)))
        goes_on = depth in open_depths
        first = "" if depth == 0 else above + (fork if goes_on else last) + level_mark(depth)
        rest = "" if depth == 0 else above + (bar if goes_on else gap)
        found.append((first, rest, bar if depth < MAX_DRAWN and deeper > depth else gap))
        open_depths.add(depth)
        deeper = depth
    return found[::-1]


def _summary(span: SpanNode, room: int) -> Iterator[Text]:
    """Yield a span's name, type, state, model and tokens, on one line if they fit."""
    parts = [Text(one_line(span.name), "bold"), Text(span.type, "cyan"), _state(span)]
    if span.model:
        parts.append(Text(one_line(span.model)))
    if span.tokens.input is not None or span.tokens.output is not None:
        parts.append(Text(f"{count(span.tokens.input)} in, {count(span.tokens.output)} out", "dim"))
    line = parts[0]
    for part in parts[1:]:
        if line.cell_len + part.cell_len + 2 > room:
            yield line
            line = Text("    ")
        line = Text.assemble(line, "  " if line.plain.strip() else "", part)
    yield line


def _state(span: SpanNode) -> Text:
    if span.outcome:
        return Text(span.outcome, _STYLES["ERROR"] if span.status == "ERROR" else _UNUSUAL)
    state = "open" if span.duration_ns is None else span.status
    return Text(state, _STYLES.get(state, _UNUSUAL))


def _below(span: SpanNode, console: Console, room: int, *, values: bool, full: bool) -> Iterator[Text]:
    """Yield the lines under a span: its error, inputs and outputs."""
    if span.error:
        error = clean(span.error.strip())
        yield from _wrapped(error if full else shortened(error, _ERROR_LINES, hint=_SEE_ALL), console, room, "red")
    if not values:
        return
    for name, value in (("in ", span.inputs), ("out", span.outputs)):
        if value is None:
            continue
        text = clean(readable(value))
        lines = _wrapped(text if full else shortened(text, _VALUE_LINES, hint=_SEE_ALL), console, room - 5)
        for number, line in enumerate(lines):
            yield Text.assemble((f"{name if number == 0 else '   '}  ", "dim"), line)


def _wrapped(text: str, console: Console, room: int, style: str = "") -> Iterator[Text]:
    """Yield the lines of ``text``, wrapped with a hanging indent."""
    for line in text.split("\n"):
        stripped = line.lstrip(" ")
        indent = len(line) - len(stripped)
        for number, piece in enumerate(Text(stripped, style).wrap(console, max(room - indent - 2, _LEAST))):
            piece.rstrip()
            yield Text.assemble(" " * (indent + 2 * bool(number)), piece)


def all_tokens(tokens: Tokens) -> str:
    """Return token counts as text: the total, and its parts in brackets; ``-`` if none is known."""
    if tokens.total is None and tokens.input is None:
        return "-"
    named = (("in", tokens.input), ("out", tokens.output), ("cached", tokens.cached), ("reasoning", tokens.reasoning))
    parts = ", ".join(f"{number:,} {name}" for name, number in named if number is not None)
    return f"{count(tokens.total)} ({parts})"


def one_line(text: str) -> str:
    """Return a text in one line, without control characters."""
    return clean(" ".join(text.split()))


def _ms(span: SpanNode) -> float | None:
    return None if span.duration_ns is None else span.duration_ns / 1_000_000


def moment(ms: float, *, whole: bool = False) -> str:
    """Return a point in time as text in the local time zone, without the date if it is today.

    Args:
        ms: milliseconds since the Unix epoch.
        whole: with date, seconds and time zone in any case.
    """
    at, now = datetime.fromtimestamp(ms / 1000).astimezone(), datetime.now().astimezone()
    if whole:
        return at.strftime("%Y-%m-%d %H:%M:%S %Z")
    if at.date() == now.date():
        return at.strftime("%H:%M:%S")
    return at.strftime("%m-%d %H:%M" if at.year == now.year else "%Y-%m-%d")


def duration(ms: float | None) -> str:
    """Return a duration in milliseconds as text in a suitable unit; ``-`` for None."""
    if ms is None:
        return "-"
    if ms < 1:
        return "<1 ms"
    if ms < 1_000:  # noqa: PLR2004 - units
        return f"{ms:.0f} ms"
    if ms < 60_000:  # noqa: PLR2004
        return f"{ms / 1_000:.2f} s"
    minutes, seconds = divmod(round(ms / 1_000), 60)
    return f"{minutes} min {seconds:02} s"


def count(number: int | None) -> str:
    """Return a number with thousands separators; ``-`` for None."""
    return "-" if number is None else f"{number:,}"


def money(dollars: float | None) -> str:
    """Return a cost in US dollars as text, with more digits for small amounts; ``-`` for None."""
    if dollars is None:
        return "-"
    if dollars and dollars < _SMALL:
        return f"${Decimal(f'{dollars:.2g}'):f}"
    return f"${dollars:,.{2 if dollars >= 1 or not dollars else 4}f}"

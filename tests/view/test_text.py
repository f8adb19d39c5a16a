"""Traces as text, drawn from records."""

from __future__ import annotations

import io
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from langchain_autotrace.semconv import Attr
from langchain_autotrace.view import text
from langchain_autotrace.view.traces import SpanNode, Tokens, TraceRow, TraceTree, folded

if TYPE_CHECKING:
    from collections.abc import Sequence


def _span(name: str, depth: int, **more: Any) -> SpanNode:
    known: dict[str, Any] = {
        "span_id": name,
        "parent_id": None,
        "type": "CHAIN",
        "status": "OK",
        "start_ns": 0,
        "duration_ns": 2_000_000,
        "outcome": None,
        "error": None,
        "model": None,
        "tokens": Tokens(),
        "inputs": None,
        "outputs": None,
        "attributes": {},
        "events": [],
    }
    return SpanNode(name=name, depth=depth, **(known | more))


def _row(**more: Any) -> TraceRow:
    known: dict[str, Any] = {
        "trace_id": "tr-0123456789abcdef0123456789abcdef",
        "name": "chain",
        "status": "OK",
        "start_ms": 0,
        "duration_ms": 1,
        "tokens": Tokens(),
        "cost_usd": None,
        "experiment_id": "0",
        "session": None,
        "user": None,
        "tags": {},
    }
    return TraceRow(**(known | more))


def _drawn(spans: Sequence[SpanNode], width: int = 60, *, encoding: str = "utf-8", **how: bool) -> list[str]:
    console = Console(file=io.TextIOWrapper(io.BytesIO(), encoding=encoding), width=width)
    return [line.plain for line in text.tree_lines(TraceTree(_row(), tuple(spans)), console, **how)]


def test_guides() -> None:
    """Each span hangs on its parent, and guides run on as long as there are siblings."""
    depths = [0, 1, 2, 3, 2, 1, 2, 0, 1]
    assert _drawn([_span(str(number), depth) for number, depth in enumerate(depths)]) == [
        "2 ms  0  CHAIN  OK",
        "2 ms  ├── 1  CHAIN  OK",
        "2 ms  │   ├── 2  CHAIN  OK",
        "2 ms  │   │   └── 3  CHAIN  OK",
        "2 ms  │   └── 4  CHAIN  OK",
        "2 ms  └── 5  CHAIN  OK",
        "2 ms      └── 6  CHAIN  OK",
        "2 ms  7  CHAIN  OK",
        "2 ms  └── 8  CHAIN  OK",
    ]


def test_guides_in_ascii() -> None:
    """A terminal that has no lines to draw gets indents."""
    assert _drawn([_span("a", 0), _span("b", 1)], encoding="ascii") == ["2 ms  a  CHAIN  OK", "2 ms    b  CHAIN  OK"]


def test_narrow() -> None:
    """What does not fit goes to a line below, and no line is wider than the terminal."""
    model = _span(
        "ChatOpenAI", 1, model="gpt-4o-mini-2024-07-18", tokens=Tokens(input=1, output=2), inputs="word " * 30
    )
    lines = _drawn([_span("root", 0), model], 50, values=True)
    assert lines[:3] == [
        "2 ms  root  CHAIN  OK",
        "2 ms  └── ChatOpenAI  CHAIN  OK",
        "              gpt-4o-mini-2024-07-18  1 in, 2 out",
    ]
    assert max(map(len, lines)) <= 50


def test_states() -> None:
    """A span that is open, lost or handed over says so in place of its status."""
    spans = [
        _span("a", 0, status="UNSET", duration_ns=None),
        _span("b", 0, outcome="interrupted"),
        _span("c", 0, status="ERROR", outcome="lost", error="gone\x1b\nwith it"),
    ]
    assert _drawn(spans) == [
        "   -  a  CHAIN  open",
        "2 ms  b  CHAIN  interrupted",
        "2 ms  c  CHAIN  lost",
        "          gone�",
        "          with it",
    ]


@pytest.mark.parametrize(
    ("ms", "said"),
    [
        (None, "-"),
        (0.2, "<1 ms"),
        (1, "1 ms"),
        (999, "999 ms"),
        (1500, "1.50 s"),
        (60_000, "1 min 00 s"),
        (3_725_000, "62 min 05 s"),
    ],
)
def test_duration(ms: float | None, said: str) -> None:
    """A duration is given in the unit that suits it."""
    assert text.duration(ms) == said


@pytest.mark.parametrize(
    ("dollars", "said"),
    [
        (None, "-"),
        (0.0, "$0.00"),
        (12.345, "$12.35"),
        (1234.5, "$1,234.50"),
        (0.0123, "$0.0123"),
        (0.005, "$0.005"),
        (0.0001537, "$0.00015"),
        (0.000005, "$0.000005"),
        (7.5e-06, "$0.0000075"),
        (1.23e-09, "$0.0000000012"),
    ],
)
def test_money(dollars: float | None, said: str) -> None:
    """A cost keeps the digits that count."""
    assert text.money(dollars) == said


def test_moment() -> None:
    """A time of today needs no date, one of another year no clock."""
    now = datetime.now().astimezone()
    assert text.moment(now.timestamp() * 1000) == now.strftime("%H:%M:%S")
    assert text.moment(datetime(2001, 2, 3, 4, 5).astimezone().timestamp() * 1000) == "2001-02-03"
    assert text.moment(datetime(2001, 2, 3, 4, 5, 6).astimezone().timestamp() * 1000, whole=True).startswith(
        "2001-02-03 04:05:06 "
    )


def test_cost_in_the_list() -> None:
    """The list has a column for costs where one is known."""
    console = Console(file=io.StringIO(), width=80)
    console.print(text.rows_table([_row(cost_usd=0.5), _row()], width=80))
    out = console.file
    assert isinstance(out, io.StringIO)
    heading, first, second = out.getvalue().splitlines()
    assert heading.split() == ["time", "name", "status", "duration", "tokens", "cost", "trace", "id"]
    assert first.split()[-2:] == ["$0.5000", "6789abcdef"]
    assert second.split()[-2:] == ["-", "6789abcdef"]


def test_deep_tree() -> None:
    """From the thirtieth level on spans are no further indented, and say their level."""
    lines = _drawn([_span(f"s{depth}", depth) for depth in range(1_000)], width=200)

    assert lines[29].endswith(f"{' ' * 4 * 28}└── s29  CHAIN  OK")
    assert lines[30].endswith(f"{' ' * 4 * 29}└── s30  CHAIN  OK")
    assert lines[31].endswith(f"{' ' * 4 * 29}└── [level 31] s31  CHAIN  OK")
    assert lines[999].endswith(f"{' ' * 4 * 29}└── [level 999] s999  CHAIN  OK")
    assert sum(map(len, lines)) < 200_000


def test_deep_siblings() -> None:
    """Branches that go on are drawn beside what is too deep to be indented, with errors below their spans."""
    depths = [*range(32), 31, 30, 1]
    lines = _drawn([_span("s", depth, error="E: e" if depth == 31 else None) for depth in depths], width=200)

    bars = "│   " + "    " * 28
    assert [line[6:] for line in lines[30:]] == [
        f"{bars}├── s  CHAIN  OK",
        f"{bars}├── [level 31] s  CHAIN  OK",
        f"{bars}│       E: e",
        f"{bars}└── [level 31] s  CHAIN  OK",
        f"{bars}        E: e",
        f"{bars}└── s  CHAIN  OK",
        "└── s  CHAIN  OK",
    ]


def test_folding() -> None:
    """Plumbing is left out with its level, unless it is the first span of the trace or its parent is missing."""
    plumbing = {"attributes": {Attr.PLUMBING: True}}
    spans = [
        *(_span("root", 0, **plumbing), _span("a", 1, **plumbing), _span("b", 2, **plumbing), _span("c", 3)),
        *(_span("d", 2), _span("e", 1), _span("f", 2, **plumbing), _span("late", 0, **plumbing)),
    ]

    tree, left_out = folded(TraceTree(_row(), tuple(spans)))
    assert [(span.name, span.depth) for span in tree.spans] == [("root", 0), ("c", 1), ("d", 1), ("e", 1), ("late", 0)]
    assert left_out == 3
    assert text.folded_line(left_out).plain == "\n3 plumbing steps folded; --all shows them"
    assert text.folded_line(1).plain == "\n1 plumbing step folded; --all shows it"

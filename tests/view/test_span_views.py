"""Parts of a trace in the terminal, and bars beside its tree."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from langchain_autotrace.view import span_bars, terminal, text
from tests.view.browser import span, trace
from tests.view.support import ask, cli, cli_json, fail, traced

TREE = trace(
    span(
        "agent",
        span("model", type="CHAT_MODEL", ms=(0, 50)),
        span("tool", span("inner", ms=(50, 51)), type="TOOL", ms=(50, 75), status="ERROR", error="ValueError: no"),
        span("late", ms=(99, 99), status="UNSET", duration_ns=None),
        type="AGENT",
    )
)


def test_bars() -> None:
    """Each span has a bar from its start to its end on one scale; an open one has a broken one to the scale's end."""
    assert [bar.plain for bar in span_bars.bars(TREE.spans, 8)] == [
        "━━━━━━━━  ",
        "━━━━      ",
        "    ━━    ",
        "    ━     ",
        "       ╍  ",
    ]
    assert [bar.plain for bar in span_bars.bars(TREE.spans, 0)] == [""] * 5
    assert span_bars.bars((), 8) == []


def test_a_tree_with_bars() -> None:
    """The bars stand between the durations and the tree; what is below a span is indented past them."""
    console = Console(file=io.StringIO(), width=70)
    lines = [line.plain.rstrip() for line in text.tree_lines(TREE, console, bar_columns=8)]
    assert lines == [
        "100 ms  ━━━━━━━━  agent  AGENT  OK",
        " 50 ms  ━━━━      ├── model  CHAT_MODEL  OK",
        " 25 ms      ━━    ├── tool  TOOL  ERROR",
        "                  │   │   ValueError: no",
        "  1 ms      ━     │   └── inner  CHAIN  OK",
        "     -         ╍  └── late  CHAIN  open",
    ]


@pytest.mark.parametrize(("width", "bars"), [(120, 4), (90, 0)])
def test_bars_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int, bars: int
) -> None:
    """A wide terminal gets bars, a narrow one and a pipe do not."""
    monkeypatch.setenv("COLUMNS", str(width))
    terminal.print_tree(TREE)
    assert "━" not in capsys.readouterr().out
    monkeypatch.setenv("FORCE_COLOR", "1")
    terminal.print_tree(TREE)
    assert sum("━" in line for line in capsys.readouterr().out.splitlines()) == bars


def test_a_span_by_name_and_by_id(store: str) -> None:
    """`show --span` shows the spans that are meant and those below them, with what went in and came out."""
    traced(ask, tracking_uri=store)
    result = cli("show", "last", "--span", "StrOutputParser")
    assert result.stdout.splitlines()[0].split("  ")[1:] == ["StrOutputParser", "PARSER", "OK"]
    assert "out  It is 24 degrees in Lisbon." in result.stdout
    assert "ask" not in result.stdout.split()
    every = cli_json("show", "last")["spans"]
    by_id = cli_json("show", "last", "--span", every[1]["span_id"][:10])
    assert [one["name"] for one in by_id["spans"]] == ["GenericFakeChatModel"]
    assert by_id["spans"][0]["depth"] == 0
    assert cli_json("show", "last", "--span", "ask")["spans"] == every


def test_a_span_that_is_missing(store: str) -> None:
    """A name that no span has is answered with the nearest ones."""
    traced(fail, tracking_uri=store)
    trace_id = cli_json("list")[0]["trace_id"]
    result = cli("show", "last", "--span", "wether")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"Error: no span 'wether' in trace {trace_id}; there are: 'weather'\n"
    assert "there are: 'fail', 'weather'" in cli("show", "last", "--span", "xyz").stderr

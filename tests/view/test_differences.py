"""Two traces compared in the terminal."""

from __future__ import annotations

import io

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda
from rich.console import Console

from langchain_autotrace.view import differences
from langchain_autotrace.view.traces import Tokens
from tests.view.browser import span, trace
from tests.view.support import cli, cli_json, traced


def answer(text: str, *, shout: bool = False) -> None:
    """A chain that gives an answer; its last step is optional."""
    chain = GenericFakeChatModel(messages=iter([AIMessage(text)])) | StrOutputParser()
    end = RunnableLambda(str.upper, name="shout")
    (chain | end if shout else chain).with_config(run_name="answer").invoke("How warm is it?")


def test_two_runs_of_a_program(store: str) -> None:
    """`diff A B` marks the steps that only one trace has, and shows how values differ."""
    traced(lambda: answer("24 degrees"), lambda: answer("25 degrees", shout=True), tracking_uri=store)
    second, first = (row["trace_id"] for row in cli_json("list"))
    result = cli("diff", first, second)
    assert (result.exit_code, result.stderr) == (0, "")
    header, tree = result.stdout.split("\n\n")
    assert [line.split()[:3] for line in header.splitlines()[:4]] == [
        ["A", "B", "B"],
        ["trace", first, second],
        ["name", "answer", "answer"],
        ["status", "OK", "OK"],
    ]
    assert tree.splitlines() == [
        "~ answer  CHAIN",
        "    output:",
        "    -24 degrees",
        "    +25 DEGREES",
        "~   GenericFakeChatModel  CHAT_MODEL",
        "      output:",
        "      -assistant: 24 degrees",
        "      +assistant: 25 degrees",
        "~   StrOutputParser  PARSER",
        "      input:",
        "      -ai: 24 degrees",
        "      +ai: 25 degrees",
        "      output:",
        "      -24 degrees",
        "      +25 degrees",
        "+   shout  CHAIN",
    ]


def test_the_same_trace(store: str) -> None:
    """A trace does not differ from itself."""
    traced(lambda: answer("24 degrees"), tracking_uri=store)
    tree = cli("diff", "last", "last").stdout.split("\n\n")[1]
    assert [line[0] for line in tree.splitlines()] == [" ", " ", " "]


def test_facts() -> None:
    """Durations, tokens and costs have their difference beside them; what neither trace knows is left out."""
    first = trace(span("a", ms=(0, 100)), tokens=Tokens(total=100), cost_usd=0.5).row
    second = trace(span("b", ms=(0, 250)), tokens=Tokens(total=80), cost_usd=0.5).row
    console = Console(file=io.StringIO(), width=140)
    with console.capture() as capture:
        console.print(differences.facts(first, second))
    assert [line.split() for line in capture.get().splitlines()[4:]] == [
        ["duration", "100", "ms", "250", "ms", "+150", "ms"],
        ["tokens", "100", "80", "-20"],
        ["cost", "$0.5000", "$0.5000"],
    ]


def test_steps_that_failed() -> None:
    """A span that ended otherwise shows both endings."""
    first = trace(span("chain", span("tool", type="TOOL", outputs="ok")))
    second = trace(span("chain", span("tool", type="TOOL", status="ERROR", error="ValueError: no")))
    lines = [line.plain for line in differences.lines(differences.aligned(first, second))]
    assert lines == [
        "  chain  CHAIN",
        "~   tool  TOOL",
        "      status:",
        "      -OK",
        "      +ERROR",
        "      error:",
        "      +ValueError: no",
        "      output:",
        "      -ok",
    ]


def test_what_nobody_reads() -> None:
    """Values that differ only in the ids of their messages do not differ; distant changes stand apart."""
    old, new = ([{"role": "user", "content": "hi", "id": one}] for one in ("1", "2"))
    text = [f"line {number}" for number in range(9)]
    changed = ["first", *text[1:8], "last"]
    first = trace(span("a", inputs=old, outputs="\n".join(text)))
    second = trace(span("a", inputs=new, outputs="\n".join(changed)))
    lines = [line.plain.strip() for line in differences.lines(differences.aligned(first, second))]
    assert lines == ["~ a  CHAIN", "output:", "-line 0", "+first", "line 1", "…", "line 7", "-line 8", "+last"]

"""The trace page in a browser: what a person sees and does."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from langchain_autotrace.view.traces import Tokens, TraceTree
from tests.view.browser import Window, html, span, trace

Show = Callable[..., Window]

CALL = {"type": "function", "id": "c1", "function": {"name": "weather", "arguments": '{"city": "Lisbon"}'}}
ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How warm is it?"}]
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "content": "24 degrees", "tool_call_id": "c1"}
ANSWER = {"role": "assistant", "content": "It is **24** degrees."}
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters": {}}}]


def model(name: str, messages: list[Any], answer: Any, ms: tuple[float, float], **attributes: Any) -> Any:
    """A model's call."""
    return span(
        name,
        type="CHAT_MODEL",
        ms=ms,
        model="gpt-4o-mini-2024-07-18",
        tokens=Tokens(input=1200, output=34, total=1234, cached=1000, reasoning=20),
        inputs={"messages": messages},
        outputs={"choices": [{"index": 0, "message": answer, "finish_reason": "stop"}]},
        attributes={
            "mlflow.llm.provider": "openai",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.response.time_to_first_chunk": 0.005,
            "mlflow.llm.cost": {"total_cost": 0.00012},
            "mlflow.chat.tools": TOOLS,
            **attributes,
        },
    )


def agent() -> TraceTree:
    """An agent that asks a model, a tool, and the model again; one of its steps is plumbing."""
    tool = span(
        "weather",
        type="TOOL",
        ms=(40, 50),
        inputs={"city": "Lisbon"},
        outputs=RESULT,
        attributes={"langchain.tool_call_id": "c1"},
    )
    parts = [
        model("first", ASKED, CALLED, (10, 30)),
        span("RunnablePassthrough", tool, ms=(35, 55), attributes={"langchain_autotrace.plumbing": True}),
        model("second", [*ASKED, CALLED, RESULT], ANSWER, (60, 90), invocation_params={"temperature": 0.2}),
    ]
    state = {"messages": [*ASKED, CALLED, RESULT, ANSWER]}
    root = span("agent", *parts, type="AGENT", ms=(0, 100), inputs={"messages": ASKED}, outputs=state)
    row = {"tokens": Tokens(total=2468), "cost_usd": 0.00024, "session": "talk-1", "user": "ada"}
    return trace(root, **row, tags={"team": "north"}, metadata={"mlflow.source.git.commit": "abc"})


def failed() -> TraceTree:
    """A trace with two errors and a span that is still running."""
    attributes = {"exception.type": "ValueError", "exception.message": "no such city", "exception.stacktrace": "line 7"}
    event = {"name": "exception", "time_ns": 1_764_000_000_000_000_000, **attributes}
    tool = span("tool", type="TOOL", ms=(20, 40), status="ERROR", error="ValueError: no such city", events=[event])
    late = span("late", ms=(60, 60), status="UNSET", duration_ns=None)
    return trace(span("chain", tool, late, ms=(0, 80), status="ERROR", error="ValueError: no such city"))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_trace_and_its_spans(show: Show, theme: str) -> None:
    """The page shows the trace's facts, its key steps as a tree beside their bars, and the first span."""
    window = show(html(agent()), color_scheme=theme)
    assert window.page.title() == "agent · trace"
    facts = window.texts(".facts span")
    assert facts[:5] == ["100 ms", "2,468 tokens", "$0.00024", "session talk-1", "user ada"]
    assert window.names() == ["agent", "first", "weather", "second"]
    assert window.texts(".axis .names") == ["5 spans, 4 shown"]
    assert window.texts(".row .extra:not(.time)") == ["1.2k tok", "$0.00012", "1.2k tok", "$0.00012"]
    assert window.texts(".bar-text") == ["100 ms", "20 ms", "10 ms", "30 ms"]
    assert window.bars() == {"agent": (0, 100), "first": (10, 30), "weather": (40, 50), "second": (60, 90)}
    assert window.chosen() == "agent"
    assert "team: north" in window.section("Trace")
    assert window.page.evaluate("document.documentElement.dataset.theme") == theme


def test_bars_after_what_changes_the_page(show: Show) -> None:
    """The bars and the axis keep their places when the theme, the widths, or the address changes."""
    tree = agent()
    window = show(html(tree), f"#span={tree.spans[2].span_id}")
    places = {"agent": (0, 100), "first": (10, 30), "weather": (40, 50), "second": (60, 90)}
    ticks = ["0", "50 ms"]
    changes: list[Callable[[], object]] = [
        lambda: window.page.keyboard.press("t"),
        lambda: window.page.set_viewport_size({"width": 1000, "height": 500}),
        lambda: window.page.locator(".handle").press("ArrowRight"),
        lambda: window.page.evaluate(f"location.hash = 'span={tree.spans[4].span_id}'"),
        lambda: window.page.emulate_media(color_scheme="dark"),
    ]
    window.page.locator(".segment button", has_text="Key steps").click()
    for change in changes:
        change()
        assert window.bars() == places
        assert window.texts(".axis .tick") == ticks


def test_plumbing(show: Show) -> None:
    """Plumbing is folded until all spans are asked for; a search or a link that leads to it shows it."""
    tree = agent()
    window = show(html(tree))
    window.page.get_by_role("button", name="All", exact=True).click()
    assert window.names() == ["agent", "first", "RunnablePassthrough", "weather", "second"]
    window.page.keyboard.press("s")
    assert window.names() == ["agent", "first", "weather", "second"]
    window.page.get_by_role("searchbox").fill("passthrough")
    window.awaits(".count", "1 of 5")
    assert window.chosen() == "RunnablePassthrough"
    window.page.get_by_role("searchbox").press("Escape")
    assert window.chosen() == "agent"
    window.page.evaluate(f"location.hash = 'span={tree.spans[2].span_id}'")
    window.awaits(".detail h2", "RunnablePassthrough")
    assert "RunnablePassthrough" in window.names()


def test_the_conversation_of_a_model(show: Show) -> None:
    """A model's call is a conversation: tool calls hold their results, and a line tells what is new in this step."""
    tree = agent()
    window = show(html(tree), f"#span={tree.spans[4].span_id}")
    page = window.page
    assert window.texts(".role") == ["System", "User", "Assistant", "Assistant"]
    call = page.locator(".call")
    assert call.count() == 1
    assert window.texts(".call .body") == ["city: Lisbon", "result · new in this step\n24 degrees"]
    assert window.texts(".divider") == ["new in this step"]
    assert page.locator(".divider + .message .md b").inner_text() == "24"
    stats = dict(zip(window.texts(".stats dt"), window.texts(".stats dd"), strict=True))
    assert stats == {
        "Type": "chat model",
        "Duration": "30 ms",
        "Starts at": "+60 ms",
        "Model": "gpt-4o-mini-2024-07-18",
        "Tokens": "1,234 1,200 in (1,000 cached), 34 out (20 thinking)",
        "Cost": "$0.00012",
        "First token after": "5.0 ms",
    }
    call.get_by_role("button", name="Open span").click()
    assert window.chosen() == "weather"
    assert window.section("Input").endswith("city: Lisbon")


def test_a_call_without_its_result(show: Show) -> None:
    """A tool call whose result is no message of the conversation has that of the tool's span."""
    tree = agent()
    window = show(html(tree), f"#span={tree.spans[1].span_id}")
    assert window.texts(".call .result") == ["result, from the tool's span\n24 degrees"]


def test_a_long_conversation(show: Show) -> None:
    """Of a long conversation, what was known before this step is folded, but its beginning and its last message."""
    talk = [{"role": role, "content": f"turn {turn}"} for turn in range(10) for role in ("user", "assistant")]
    last = {"role": "user", "content": "and now?"}
    first = model("first", [ASKED[0], *talk[:-1]], talk[-1], (0, 10))
    second = model("second", [ASKED[0], *talk, last], ANSWER, (20, 30))
    tree = trace(span("chat", first, second))
    window = show(html(tree), f"#span={tree.spans[2].span_id}")
    assert window.texts(".role") == ["System", "Assistant", "User", "Assistant"]
    window.page.get_by_role("button", name="Show 19 earlier messages").click()
    assert len(window.texts(".role")) == 23
    assert window.texts(".message .md")[1:3] == ["turn 0", "turn 0"]


def test_the_request(show: Show) -> None:
    """A model's exact request can be copied as JSON and as a curl command that a shell takes as it is."""
    asked = [*ASKED, {"role": "user", "content": "it's $(touch /tmp/x) `y` \u202e"}]
    tree = trace(model("ask", asked, ANSWER, (0, 10), invocation_params={"temperature": 0.2, "stop": None}))
    window = show(html(tree), permissions=["clipboard-read", "clipboard-write"])
    window.page.get_by_role("button", name="Copy as JSON").click()
    body = json.loads(window.page.evaluate("navigator.clipboard.readText()"))
    assert body == {"model": "gpt-4o-mini", "messages": asked, "tools": TOOLS, "temperature": 0.2}
    window.page.get_by_role("button", name="Copy as curl").click()
    command = window.page.evaluate("navigator.clipboard.readText()")
    run = subprocess.run(
        ["/bin/bash", "-c", "curl() { printf '%s\\0' \"$@\"; }; " + command],
        env={"OPENAI_API_KEY": "sk-1", "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    *words, given, _ = run.stdout.split("\0")
    address, *headers = "https://api.openai.com/v1/chat/completions", "-H", "Authorization: Bearer sk-1"
    assert words == [address, *headers, "-H", "Content-Type: application/json", "-d"]
    assert json.loads(given) == body
    assert run.stderr == ""
    assert "\u202e" not in command


def test_errors(show: Show) -> None:
    """Errors are marked in the tree and counted at the top; a span that failed shows its exception in place."""
    window = show(html(failed()))
    assert window.texts(".facts .errors") == ["2 errors"]
    assert window.texts(".row.failed .label") == ["chain", "tool"]
    window.page.keyboard.press("e")
    assert window.chosen() == "tool"
    assert window.texts(".fault") == ["ValueError\nno such city\nStack trace"]
    window.page.get_by_text("Stack trace").click()
    assert window.texts(".fault pre") == ["line 7"]
    assert window.texts(".bar.live + .bar-text") == ["running"]


def test_a_trace_that_was_interrupted(show: Show) -> None:
    """A trace that ended otherwise than by returning or raising says so at the top, and so does its span."""
    window = show(html(trace(span("graph", span("ask", outcome="interrupted"), outcome="interrupted"))))
    assert window.texts(".pill") == ["Interrupted", "Interrupted"]


def test_documents(show: Show) -> None:
    """A retriever's documents are cards with their source, score and metadata."""
    found = [
        {"page_content": "Lisbon is warm.", "metadata": {"source": "guide.md", "score": 0.91, "page": 3}, "id": "1"},
        {"page_content": "Oslo is cold.", "metadata": {"source": "https://example.com/oslo"}, "id": None},
    ]
    window = show(html(trace(span("find", type="RETRIEVER", inputs="How warm?", outputs=found))))
    assert window.texts(".document") == [
        "1\nguide.md\n0.91\nLisbon is warm.\npage: 3",
        "2\nhttps://example.com/oslo\nOslo is cold.",
    ]
    assert window.texts('section[aria-label="Documents"] .note') == ["2 found"]


def test_search(show: Show) -> None:
    """A search finds names and values, marks them, and Enter goes from hit to hit."""
    window = show(html(agent()))
    window.page.keyboard.press("/")
    window.page.keyboard.type("24 DEGREES")
    window.awaits(".count", "3 of 5")
    assert window.texts(".row:not(.miss) .label") == ["agent", "weather", "second"]
    assert window.page.locator(".detail mark").first.inner_text() == "24 degrees"
    window.page.keyboard.press("Enter")
    assert window.chosen() == "weather"
    window.page.keyboard.press("Shift+Enter")
    assert window.chosen() == "agent"
    window.page.keyboard.press("Escape")
    assert window.texts(".count") == [""]


def test_the_keyboard(show: Show) -> None:
    """Arrow keys walk, close and open the tree; others zoom, change the theme, and list the keys."""
    window = show(html(agent()))
    press = window.page.keyboard.press
    seen = []
    for key in ("ArrowDown", "ArrowDown", "ArrowUp", "End", "Home", "ArrowLeft"):
        press(key)
        seen.append(window.chosen())
    assert seen == ["first", "weather", "first", "second", "agent", "agent"]
    assert window.names() == ["agent"]
    press("ArrowRight")
    assert window.names() == ["agent", "first", "weather", "second"]
    press("?")
    assert window.page.get_by_role("dialog").is_visible()
    press("Escape")
    before = window.page.evaluate("document.documentElement.dataset.theme")
    press("t")
    assert window.page.evaluate("document.documentElement.dataset.theme") != before


def test_zoom(show: Show) -> None:
    """The axis shows the part of the time that is zoomed to: by key, by wheel, by dragging over it; and all again."""
    window = show(html(agent()))
    press = window.page.keyboard.press
    press("End")
    press("z")  # 60 to 90 ms, and a margin
    assert window.bars() == {"agent": (0, 100), "second": (5, 95)}
    assert window.texts(".axis .tick") == ["60 ms", "70 ms", "80 ms"]
    window.page.get_by_role("button", name="Whole trace").click()
    assert window.bars()["second"] == (60, 90)
    box = window.page.locator(".axis .times").bounding_box()
    assert box
    window.page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 5)
    window.page.mouse.down()
    window.page.mouse.move(box["x"] + box["width"], box["y"] + 5)
    window.page.mouse.up()
    assert window.bars()["second"] == (20, 80)
    press("0")
    press("+")
    assert window.bars()["second"][1] - window.bars()["second"][0] == pytest.approx(48, abs=1)


def test_a_link_to_a_span(show: Show) -> None:
    """The address names the chosen span, and leads to it, also in a closed branch."""
    tree = agent()
    window = show(html(tree))
    window.page.locator(".row", has_text="second").click()
    assert window.page.url.endswith(f"#span={tree.spans[4].span_id}")
    window.page.keyboard.press("Home")
    window.page.keyboard.press("ArrowLeft")
    window.page.evaluate(f"location.hash = 'span={tree.spans[1].span_id}'")
    window.awaits(".detail h2", "first")
    assert window.page.locator(".row.on .label").inner_text() == "first"


def test_several_traces(show: Show) -> None:
    """A page of several traces has a menu of them; the address leads to a span of any."""
    trees = [agent(), failed()]
    window = show(html(*trees), f"#trace={trees[1].row.trace_id}&span={trees[1].spans[1].span_id}")
    assert window.names() == ["chain", "tool", "late"]
    assert window.chosen() == "tool"
    assert window.texts(".chooser option") == ["1 of 2: agent", "2 of 2: chain"]
    window.page.get_by_role("combobox").select_option("0")
    assert window.names() == ["agent", "first", "weather", "second"]
    window.page.locator(".rows").focus()
    window.page.keyboard.press("]")
    assert window.page.locator("h1").inner_text() == "chain"


def test_a_phone(show: Show) -> None:
    """On a phone's width the tree fills the page; a span's details take its place, and a button leads back."""
    window = show(html(agent()), viewport={"width": 390, "height": 800})
    page = window.page
    assert not page.locator(".right").is_visible()
    page.locator(".row", has_text="weather").click()
    assert not page.locator(".rows").is_visible()
    assert window.chosen() == "weather"
    page.get_by_role("button", name="Back to the tree").click()
    assert page.locator(".rows").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_a_long_text(show: Show) -> None:
    """A long text is cut, and shown whole when asked for; a fold of JSON is filled when it is opened."""
    text = "word " * 5000 + "end"
    window = show(html(trace(span("long", inputs=text, outputs={"rows": [{"n": n} for n in range(500)]}))))
    assert "end" not in window.section("Input")
    window.page.get_by_role("button", name="Show all 25,003 characters").click()
    assert window.section("Input").endswith("end")
    window.page.locator('section[aria-label="Output"] summary').first.click()
    window.page.get_by_role("button", name="Show 200 more of 500").click()
    assert window.page.locator('section[aria-label="Output"] details details').count() == 400


def test_copy_and_raw(show: Show) -> None:
    """A value can be seen and copied as it is."""
    window = show(html(trace(span("s", inputs={"a": [1, "x"]}))), permissions=["clipboard-read", "clipboard-write"])
    section = window.page.locator('section[aria-label="Input"]')
    section.get_by_role("button", name="JSON").click()
    assert json.loads(section.locator("pre").inner_text()) == {"a": [1, "x"]}
    section.get_by_role("button", name="Copy Input").click()
    assert json.loads(window.page.evaluate("navigator.clipboard.readText()")) == {"a": [1, "x"]}
    with window.page.expect_download() as download:
        window.page.get_by_role("button", name="Download as JSON").click()
    data = json.loads(download.value.path().read_text())
    assert data["spans"][0]["inputs"] == {"a": [1, "x"]}


MARKDOWN = """# Title
Some *soft* and `code`.
- one
  - inner
- two

| a | b |
|---|---|
| 1 | 2 |
```python
x = 1 < 2
```
[here](https://example.com/a) ![p](https://example.com/p.png) [bad](javascript:alert(1))"""


def test_markdown(show: Show) -> None:
    """Markdown that models write is drawn: headings, lists in lists, code, tables, links with their host."""
    window = show(html(trace(span("md", outputs=MARKDOWN))))
    md = window.page.locator(".md")
    assert window.texts(".md .heading") == ["Title"]
    assert window.texts(".md em, .md p code") == ["soft", "code"]
    assert window.texts(".md > ul > li > ul > li") == ["inner"]
    assert window.texts(".md > ul > li") == ["one\ninner", "two"]
    assert window.texts(".md td") == ["1", "2"]
    assert window.texts(".md pre") == ["x = 1 < 2"]
    assert [link.get_attribute("href") for link in md.locator("a").all()] == [
        "https://example.com/a",
        "https://example.com/p.png",
    ]
    assert window.texts(".md .host")[0] == "(example.com)"
    assert md.locator("img").count() == 0


def test_numbers_that_javascript_would_misread(show: Show) -> None:
    """Large integers are shown digit by digit, and NaN and infinities by name."""
    values = {"id": 1234567890123456789, "nan": float("nan"), "inf": float("-inf"), "small": 7, "yes": True}
    window = show(html(trace(span("s", inputs=values))))
    assert window.texts('section[aria-label="Input"] .leaf') == [
        "id: 1234567890123456789",
        "nan: nan",
        "inf: -inf",
        "small: 7",
        "yes: true",
    ]


def test_a_tree_with_gaps(show: Show) -> None:
    """Spans whose parent is missing, or that are their own ancestors, are shown once, at the top."""
    tree = trace(span("root", span("a"), span("b"), span("c")))
    root, a, b, c = tree.spans
    odd = (root, replace(a, parent_id="missing"), replace(b, parent_id=c.span_id), replace(c, parent_id=b.span_id))
    window = show(html(replace(tree, spans=odd)))
    assert sorted(window.names()) == ["a", "b", "c", "root"]


def test_no_spans(show: Show) -> None:
    """A trace of which no span is stored yet says so."""
    tree = trace(span("root"))
    window = show(html(replace(tree, spans=())))
    assert window.texts(".nothing") == ["This trace has no spans."]
    assert window.page.locator("h1").inner_text() == "root"

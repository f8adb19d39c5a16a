"""Sessions, the overview, the comparison and the models in the browser."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest

import langchain_autotrace
from langchain_autotrace.control import shutdown
from tests.models.chains import chain
from tests.patience import PATIENCE
from tests.view import ui_store
from tests.view.browser import Window
from tests.view.ui_site import Site, served

if TYPE_CHECKING:
    from playwright.sync_api import Route

Visit = Callable[..., Window]
MINUS = "\N{MINUS SIGN}"


def test_sessions(site: Site, visit: Visit) -> None:
    """Sessions are listed, the newest first, with their first question and sums; filters count there too."""
    window = visit(site, "/sessions").has(".sessions tbody tr", 8)
    cells = [text.split("\n") for text in window.texts(".sessions tbody tr:first-child td")]
    assert cells[:6] == [["thread-00", "grace"], ["What is a trace?"], ["3"], ["0"], ["833"], ["$0.0028"]]
    window.page.goto(f"{site.base}/sessions?user=ada")
    window.has(".sessions tbody tr", 4)
    window.page.locator(".sessions tbody tr").first.click()
    window.awaits("h1", "thread-03")


def test_a_session_is_a_conversation(site: Site, visit: Visit) -> None:
    """A session shows question and answer of each turn in order, as Markdown, each with a link into its trace."""
    window = visit(site, "/session?session=thread-03").has(".turn", 3)
    asked, answers = window.texts(".turn .message.user"), window.texts(".turn .message.assistant")
    assert asked == [f"User\n{question}" for question, _ in ui_store.TURNS]
    assert answers[0] == "Assistant\nA trace is everything that one request did, as a tree of spans."
    assert window.texts(".turn:nth-child(2) li") == ["a name", "a start and an end", "what went in and came out"]
    assert window.texts(".figure")[0].split("\n") == ["Turns", "3"]
    window.page.locator(".turn").nth(1).get_by_role("link").first.click()
    window.awaits(".top h1", "support_chat")
    assert "And what is a span?" in window.section("Conversation")
    window.page.get_by_role("link", name="thread-03").click()
    window.has(".turn", 3)


def test_long_and_failed_turns(new_store: Callable[[Path], str], tmp_path: Path, visit: Visit) -> None:
    """An answer that its preview cuts is shown whole; a failed turn says why."""
    uri, start = new_store(tmp_path), 1_764_000_000_000
    said = "word " * 900
    failed = ui_store.make_span(
        "fails", start + 5_000, 5, inputs="Why?", error="no answer", attributes={"session.id": "s"}
    )
    long = ui_store.turn(start, "Tell me.", said.strip(), session="s", user="u")
    ui_store.write(uri, long, ui_store.make_trace(failed))
    with served(uri) as site:
        window = visit(site, "/session?session=s").has(".turn .fault", 1)
        assert window.texts(".turn .fault") == ["ValueError: no answer"]
        assert window.texts(".turn .message.assistant")[0].count("word") == 900
        assert window.texts(".turn .message.user") == ["User\nTell me.", "User\nWhy?"]


def test_overview(site: Site, visit: Visit) -> None:
    """The overview counts traces, errors, tokens and cost, and draws them and the latency over time."""
    window = visit(site, "/overview").has(".plot canvas", 4).has(".by-model tbody tr", 2)
    figures = [text.replace("\n", " ") for text in window.texts(".figure")]
    assert figures == [
        "Traces 48",
        "Error rate 10 % 5 errors",
        "Tokens 17k 15k in, 2.3k out",
        "Cost $0.0478 $0.00100 a trace",
    ]
    assert window.texts(".chart h2") == ["Traces", "Latency", "Tokens", "Cost"]
    rows = [text.split("\t") for text in window.texts(".group:not(.periods) tbody tr")]
    assert [[row[0].strip(), *row[1:3]] for row in rows] == [
        ["support_chat", "24", "0"],
        ["weather_agent", "24", "5"],
        ["claude-sonnet-4-5", "43", "0"],
        ["gpt-4o-mini-2024-07-18", "24", "0"],
    ]
    window.page.locator(".periods summary").click()
    counts = [text.split("\t")[1] for text in window.texts(".periods tbody tr")]
    assert sum(map(int, counts)) == 48


def test_drill_down(site: Site, visit: Visit) -> None:
    """A click on a bar leads to the list of just its traces, with the filters that were set; so do names and errors."""
    window = visit(site, "/overview?name=weather_agent").has(".plot canvas", 4)
    plot = window.page.locator('.chart[aria-label="Traces"] .u-over')
    box = plot.bounding_box()
    assert box
    plot.hover(position={"x": box["width"] - 14, "y": box["height"] - 4})
    (tip,) = (text for text in window.texts(".tip") if text)
    plot.click(position={"x": box["width"] - 14, "y": box["height"] - 4})
    window.page.wait_for_selector(".list-box tbody tr")
    found = parse_qs(urlsplit(window.page.url).query)
    assert (found["name"], sorted(found)) == (["weather_agent"], ["name", "since", "until"])
    assert window.texts(".list-box tbody .asked") == ["How warm is it in Lisbon?"]
    assert tip.replace("\n", " ").endswith("All 1 Errors 0")
    window.page.goto(f"{site.base}/overview")
    window.page.locator(".group").first.get_by_role("link", name="5").click()
    window.has(".list-box tbody tr", 5)
    window.page.get_by_role("link", name="Overview").click()
    window.has(".plot canvas", 4)
    assert window.texts(".figure")[0].split("\n") == ["Traces", "5"]


def test_charts_are_drawn_anew(site: Site, visit: Visit) -> None:
    """Charts fill their place after a change of width and of the theme."""
    window = visit(site, "/overview").has(".plot canvas", 4)
    widths = """[...document.querySelectorAll('.plot')].map((one) =>
      [one.clientWidth, one.querySelector('.uplot').offsetWidth])"""
    for width in (900, 420):
        window.page.set_viewport_size({"width": width, "height": 800})
        window.page.wait_for_timeout(300)
        assert all(abs(place - drawn) <= 1 for place, drawn in window.page.evaluate(widths))
    window.page.get_by_role("button", name="Light or dark").click()
    window.has(".plot canvas", 4)
    assert window.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


BAR: Final = """() => {
  const chart = document.querySelector('.chart[aria-label="Traces"]');
  const [canvas, plot] = [chart.querySelector("canvas"), chart.querySelector(".u-over")];
  const { data, width } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const isBlue = (at) => data[at + 3] === 255 && data[at + 2] > data[at] + 80;
  const columns = [...data.keys()].filter((at) => at % 4 === 0 && isBlue(at)).map((at) => (at / 4) % width);
  const middle = (Math.min(...columns) + Math.max(...columns)) / 2 / devicePixelRatio;
  return middle - plot.offsetLeft - plot.offsetWidth / 2;
}"""


def test_traces_of_one_moment(two: tuple[str, list[str]], visit: Visit) -> None:
    """Where all traces began at once, their bar is in the middle of the chart."""
    uri, _ = two
    with served(uri) as site:
        window = visit(site, "/overview?text=Lisbon").has(".plot canvas", 4)
        assert abs(window.page.evaluate(BAR)) < 2


@pytest.mark.parametrize("path", ["/", "/sessions", "/overview", "/models"])
def test_a_store_that_takes_long(site: Site, visit: Visit, path: str) -> None:
    """Where data take long, the page says that they are being read, until they are there."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    window = visit(site, "/")
    window.page.route("**/api/**", hold)
    window.page.goto(f"{site.base}{path}")
    window.page.get_by_text("Reading…").wait_for(state="visible")
    window.page.unroute("**/api/**")
    for route in held:
        with contextlib.suppress(Exception):  # the browser was told to go on when nobody held them any more
            route.continue_()
    window.page.get_by_text("Reading…").wait_for(state="detached")


@pytest.fixture
def two(new_store: Callable[[Path], str], tmp_path: Path) -> tuple[str, list[str]]:
    """A store with two runs of an agent that differ in the city, and the second in failing."""
    uri = new_store(tmp_path)
    traces = [ui_store.agent(1_764_000_000_000, "Lisbon"), ui_store.agent(1_764_000_060_000, "Oslo", fails=True)]
    ui_store.write(uri, *traces)
    return uri, [f"tr-{trace.trace_id}" for trace in traces]


def test_compare(two: tuple[str, list[str]], visit: Visit) -> None:
    """Two chosen traces stand beside each other: what both have, what one lacks, and how prompts and answers differ."""
    uri, (first, second) = two
    with served(uri) as site:
        window = visit(site).has(".list-box tbody tr", 2)
        for box in window.page.get_by_label("Choose weather_agent").all():
            box.check()
        window.page.get_by_role("link", name="Compare").click()
        window.has(".pair", 4)
        assert parse_qs(urlsplit(window.page.url).query) == {"a": [first], "b": [second]}
        facts = {row.split("\t")[0]: row.split("\t")[1:] for row in window.texts(".facts-table tbody tr")}
        assert facts["Status"] == ["OK", "Error"]
        assert facts["Duration"] == ["960 ms", "940 ms", f"{MINUS}20 ms ({MINUS}2 %)"]
        heads = [text.split("\n") for text in window.texts(".pair-head")]
        assert [head[:2] for head in heads] == [
            ["weather_agent", "differs"],
            ["ChatAnthropic", "differs"],
            ["weather", "differs"],
            ["ChatAnthropic", "only in A"],
        ]
        changes = [text.split("\n") for text in window.texts(".pair:nth-child(3) .change-box")]
        assert changes[0] == ["status", MINUS, "OK", "+", "ERROR"]
        assert ["input", MINUS, "city: Lisbon", "+", "city: Oslo"] in changes
        assert window.texts(".pair:nth-child(3) .line.in b")[-1] == "Oslo"
        window.page.get_by_role("button", name="Swap").click()
        window.page.wait_for_selector("text=only in B")
        window.page.locator(".pair").nth(1).get_by_role("link").first.click()
        window.page.wait_for_selector(".detail")
        assert window.chosen() == "ChatAnthropic"


def test_compare_by_hand(two: tuple[str, list[str]], visit: Visit) -> None:
    """From a trace's page, the other one is named by hand; equal traces are said to be equal."""
    uri, (first, _) = two
    with served(uri) as site:
        window = visit(site, f"/trace/{first}")
        window.page.get_by_role("link", name="Compare with another trace").click()
        window.page.get_by_label("Second trace").fill(first)
        window.page.keyboard.press("Enter")
        window.has(".pair.same", 4)
        assert window.texts(".content > .note") == ["Both have the same steps, inputs and outputs."]
        window.page.get_by_role("button", name="Differences only").click()
        window.has(".pair", 0)
        window.page.goto(f"{site.base}/compare?a={first}&b=nothing")
        window.page.wait_for_selector(".problem-box")
        window.faults = [fault for fault in window.faults if "404" not in fault]


def test_models(store: str, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logged chains come into an open list; a model's page has its structure, its example, and leads to its traces."""
    with served(store) as site:
        window = visit(site, "/models").has(".nothing", 1)
        langchain_autotrace.autolog(tracking_uri=store, shipper="thread", log_models=True, log_input_examples=True)
        chain("Tell {what}").invoke({"what": "all"})
        assert langchain_autotrace.flush(PATIENCE, models=True).ok
        shutdown()
        window.has(".models tbody tr", 1)
        name = "PromptTemplate-FakeListChatModel-StrOutputParser"
        cells: list[Any] = [text.split("\n") for text in window.texts(".models tbody td")]
        assert (cells[0][0], cells[1]) == (name, ["Loadable"])
        window.page.locator(".models tbody a").click()
        window.awaits("h1", name)
        assert "Tell {what}" in window.section("Structure")
        assert '"what"' in window.section("Example")
        window.page.locator(".figures").get_by_role("link", name="1").click()
        window.has(".list-box tbody tr", 1)

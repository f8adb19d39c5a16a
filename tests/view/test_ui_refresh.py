"""Views of what is stored in the browser: they change by themselves when something new was stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from langchain_autotrace.trace.spans import Trace
from langchain_autotrace.view import catalog, catalog_api, catalog_sql
from tests.view import ui_store
from tests.view.browser import Window
from tests.view.ui_site import served

Visit = Callable[..., Window]
START: Final = 1_764_000_000_000
DASH: Final = "\N{EN DASH}"
MARK: Final = "(node) => { node.marked = true; }"


def turn(number: int, said: str = "Yes.", session: str = "first") -> Trace:
    """A turn of a session, one a minute."""
    return ui_store.turn(START + number * 60_000, f"Question {number}?", said, session=session, user="ada")


def test_sessions(store: str, visit: Visit) -> None:
    """A new session comes to the top of the open page; what is being typed and the place on the page stay."""
    ui_store.write(store, *[turn(number, session=f"session {number}") for number in range(40)])
    with served(store) as site:
        window = visit(site, "/sessions").has(".sessions tbody tr", 40)
        search = window.page.get_by_role("searchbox")
        search.type("quest")
        window.page.wait_for_url("**text=quest")
        window.page.evaluate("scrollTo(0, 300)")
        ui_store.write(store, turn(50, session="another"))
        window.has(".sessions tbody tr", 41)
        assert window.texts(".sessions tbody tr:first-child .name") == ["another"]
        assert window.page.evaluate("scrollY") == 300
        search.type("ion 3")
        assert search.input_value() == "question 3"


def test_a_session(store: str, visit: Visit) -> None:
    """A new turn is added to an open session, whose other turns stay as they are, with what is open in them."""
    long = "word " * 2_000
    ui_store.write(store, turn(1, long), turn(2))
    with served(store) as site:
        window = visit(site, "/session?session=first").has(".turn", 2)
        window.page.locator(".turn").first.get_by_role("button", name="Show all 10,000 characters").click()
        window.page.locator(".turn").first.evaluate(MARK)
        ui_store.write(store, turn(3), turn(4, session="other"))
        window.has(".turn", 3)
        assert window.texts(".turn .message.user") == [f"User\nQuestion {number}?" for number in (1, 2, 3)]
        assert window.texts(".figure")[0] == "Turns\n3"
        assert window.page.locator(".turn").first.evaluate("(node) => node.marked")
        assert window.texts(".turn:first-child .message.assistant")[0].count("word") == 2_000


def test_overview(store: str, visit: Visit) -> None:
    """Figures, charts and tables of an open overview change; what is open stays so, also while text is chosen."""
    ui_store.write(store, turn(1))
    with served(store) as site:
        window = visit(site, "/overview").has(".by-model tbody tr", 1)
        window.page.locator(".periods summary").click()
        ui_store.write(store, ui_store.agent(START + 90_000, "Oslo"))
        window.has(".by-model tbody tr", 2)
        assert window.texts(".figure")[0] == "Traces\n2"
        assert window.page.locator(".plot canvas").count() == 4
        assert window.page.locator(".periods tbody tr").first.is_visible()

        window.page.evaluate("getSelection().selectAllChildren(document.querySelector('.figure'))")
        ui_store.write(store, turn(3))
        window.page.wait_for_timeout(1_000)
        assert window.page.evaluate("getSelection().toString().trim()") != ""
        assert window.texts(".figure")[0] == "Traces\n2"
        window.page.evaluate("getSelection().removeAllRanges()")
        window.awaits(".figure >> nth=0", "Traces3")


def test_an_empty_store(store: str, visit: Visit) -> None:
    """Views that were opened before there was any trace show the first one."""
    with served(store) as site:
        windows = [
            visit(site, path).has(".nothing", 1) for path in ("/sessions", "/overview", "/session?session=first")
        ]
        ui_store.write(store, turn(1))
        for window, selector in zip(windows, (".sessions tbody tr", ".charts", ".turn"), strict=True):
            window.has(selector, 1)


def test_what_nobody_knows(store: str, visit: Visit) -> None:
    """Where no trace says its tokens and its cost, there is a dash, not a zero."""
    silent = ui_store.make_span("silent", START, 5, inputs="Why?", outputs="So.", attributes={"session.id": "s"})
    ui_store.write(store, ui_store.make_trace(silent))
    with served(store) as site:
        window = visit(site, "/session?session=s").has(".turn", 1)
        assert window.texts(".figure")[2:] == [f"Tokens\n{DASH}", f"Cost\n{DASH}"]
        window.page.goto(f"{site.base}/sessions")
        window.has(".sessions tbody tr", 1)
        assert window.texts(".sessions td.tokens, .sessions td.cost") == [DASH, DASH]
        window.page.goto(f"{site.base}/overview")
        window.has(".plot canvas", 2)
        assert window.texts(".chart h2") == ["Traces", "Latency"]
        assert window.texts(".figure")[2:] == [f"Tokens\n{DASH}", f"Cost\n{DASH}"]
        assert window.texts(".group:not(.periods) tbody td")[-2:] == [DASH, DASH]
        window.page.locator(".periods summary").click()
        assert window.texts(".periods tbody td")[-3:] == [DASH] * 3


def test_sums_over_the_newest_traces(store: str, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where MLflow's API gives only the newest traces, each view of sums says how many were counted."""
    monkeypatch.setattr(catalog_sql, "is_known", lambda _: False)
    for module in (catalog, catalog_api):
        monkeypatch.setattr(module, "MAX_TRACES", 4)
        monkeypatch.setattr(module, "MAX_WITH_SPANS", 2)
    ui_store.write(store, *[turn(number) for number in range(6)])
    with served(store) as site:
        window = visit(site, "/sessions").has(".sessions tbody tr", 1)
        said = "Only the newest {} traces are counted: this store cannot be asked for sums over more."
        assert window.texts(".results > .note") == [said.format(4)]
        window.page.goto(f"{site.base}/overview")
        window.has(".by-model tbody tr", 1)
        assert window.texts(".results > .note, .by-model > .note") == [said.format(4), said.format(2)]

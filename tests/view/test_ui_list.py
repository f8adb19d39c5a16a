"""The list of traces in the browser: filters, sort, pages, search, delete; and the address that holds it all."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.view import ui_store
from tests.view.browser import Window
from tests.view.ui_site import Site, served

Visit = Callable[..., Window]
HOUR = ui_store.HOUR_MS


def names(window: Window) -> list[str]:
    """The names of the listed traces."""
    return window.texts("table.traces tbody .name a")


def asked(window: Window) -> list[str]:
    """The questions of the listed traces."""
    return window.texts("table.traces tbody .asked")


def address(window: Window) -> dict[str, list[str]]:
    """The parameters of the address."""
    return parse_qs(urlsplit(window.page.url).query)


def settled(window: Window, count: int) -> Window:
    """Wait until that many traces are listed."""
    return window.has(".list-box tbody tr", count)


def test_a_row(site: Site, visit: Visit) -> None:
    """A row has name, session, user and tags, question and answer, time, duration, tokens and cost."""
    window = settled(visit(site), 48)
    cells = [text.split("\n") for text in window.texts(".list-box tbody tr:first-child td")]
    started = cells.pop(3)
    assert re.fullmatch(r"\d+ (s|min) ago", started[0])
    assert cells == [
        [""],
        ["support_chat", "thread-00", "grace", "release: 2.1"],
        ["Can you show one?", "`ask` → `ChatOpenAI`, 1.2 s, 240 tokens."],
        *(["760 ms"], ["257"], ["$0.00075"]),
    ]
    assert window.texts(".list-box th") == ["", "Name", "Question and answer", "Started↓", "Duration", "Tokens", "Cost"]
    assert window.texts(".pager span") == ["1\u201348 of 48"]
    assert window.page.title() == "Traces · autotrace"


def test_status(site: Site, visit: Visit) -> None:
    """The failed traces alone, by a click that a link repeats, and the way back."""
    window = settled(visit(site), 48)
    window.page.get_by_role("button", name="Error", exact=True).click()
    settled(window, 5)
    assert (set(names(window)), address(window)) == ({"weather_agent"}, {"status": ["ERROR"]})
    assert window.page.locator(".list-box .dot.ERROR").count() == 5
    assert names(settled(visit(site, "/?status=ERROR"), 5)) == names(window)
    window.page.go_back()
    settled(window, 48)


@pytest.mark.parametrize(
    ("field", "value", "count"),
    [
        ("Experiment", "support", 24),
        ("Name", "weather_agent", 24),
        ("Model", "claude-sonnet-4-5", 24),
        ("User", "ada", 12),
        ("Session", "thread-03", 3),
        ("Tag", "team=north", 24),
        ("Duration from", "1000", 16),
        ("Duration to", "800", 8),
        ("Cost from", "0.0012", 14),
        ("Cost to", "0.0006", 5),
    ],
)
def test_filters(site: Site, visit: Visit, field: str, value: str, count: int) -> None:
    """Each filter of the panel leaves what meets it, is named above the list, and can be removed there."""
    window = settled(visit(site), 48)
    window.page.get_by_role("button", name="Filters").click()
    window.page.get_by_label(field, exact=True).fill(value)
    window.page.keyboard.press("Enter")
    settled(window, count)
    assert window.texts(".chips.active .chip") == [f"{field}:\n{value}"]
    window.page.get_by_role("button", name=f"Remove {field} {value}").click()
    settled(window, 48)
    assert address(window) == {}


def test_filters_offer_what_there_is(site: Site, visit: Visit) -> None:
    """Experiments, names, models and users are offered while a filter is typed."""
    window = settled(visit(site), 48)
    window.page.get_by_role("button", name="Filters").click()
    window.page.wait_for_selector("datalist#choices-user option", state="attached")
    offered = "(id) => [...document.querySelectorAll(`#choices-${id} option`)].map((one) => one.value).sort()"
    assert [window.page.evaluate(offered, one) for one in ("experiment", "name", "model", "user")] == [
        ["Default", "agents", "support"],
        ["support_chat", "weather_agent"],
        sorted(ui_store.MODELS),
        ["ada", "grace"],
    ]


def test_time_range(site: Site, visit: Visit) -> None:
    """The last hours, chosen from a menu, stay relative in the link; a range of moments is possible too."""
    window = settled(visit(site), 48)
    window.page.get_by_label("Time range").select_option("24h")
    settled(window, 17)
    assert address(window) == {"since": ["24h"]}
    newest = site.ask("/api/traces?limit=1").json()["traces"][0]["start_ms"]
    window = settled(visit(site, f"/?since={newest - 9 * HOUR}&until={newest}"), 6)
    assert window.page.get_by_label("Time range").evaluate("(one) => one.selectedOptions[0].text") == "Chosen range"


def test_text_in_previews(site: Site, visit: Visit) -> None:
    """What is typed is looked for in questions and answers, in any case, and marked."""
    window = settled(visit(site), 48)
    window.page.keyboard.press("/")
    window.page.keyboard.type("LISBON")
    settled(window, 5)
    assert asked(window) == ["How warm is it in Lisbon?"] * 5
    assert window.texts(".list-box mark")[:2] == ["Lisbon", "Lisbon"]
    assert address(window) == {"text": ["LISBON"]}


def test_text_in_spans(site: Site, visit: Visit) -> None:
    """A text that previews do not have is found inside spans, on demand, with what was found as it came."""
    window = settled(visit(site, "/?text=I+look+it+up&name=weather_agent"), 0)
    window.page.get_by_role("button", name="Search inside all spans, too").click()
    window.awaits(".contents [role=status]", "24 traces")
    assert window.texts(".contents .name a") == ["weather_agent"] * 24
    assert window.page.get_by_role("button", name="Stop").count() == 0


@pytest.mark.parametrize(
    ("column", "first", "last"),
    [
        ("Duration", "1.07 s", "760 ms"),
        ("Tokens", "490", "240"),
        ("Cost", "$0.0012", "$0.00056"),
        ("Name", "weather_agent", "support_chat"),
    ],
)
def test_sort(site: Site, visit: Visit, column: str, first: str, last: str) -> None:
    """A click on a column's head sorts by it, the largest first; a second click turns it round."""
    window = settled(visit(site), 48)
    head = window.page.locator("thead").get_by_role("button", name=column)
    places = {"Duration": ".duration", "Tokens": ".tokens", "Cost": ".cost", "Name": ".name a"}
    for state, order in (("descending", [first, last]), ("ascending", [last, first])):
        head.click()
        window.page.wait_for_selector(f"th[aria-sort={state}] >> text={column}")
        shown = window.texts(f".list-box tbody {places[column]}")
        assert [shown[0], shown[-1]] == order


def test_pages(site: Site, visit: Visit) -> None:
    """Pages follow each other by buttons and by links, and a filter leads back to the first."""
    window = settled(visit(site, "/?limit=20"), 20)
    first = asked(window)
    window.page.get_by_role("button", name="Next page").click()
    window.awaits(".pager span", re.compile("21\u201340 of "))
    window.page.get_by_role("button", name="Next page").click()
    settled(window, 8)
    assert window.texts(".pager span") == ["41\u201348 of 48"]
    assert window.page.get_by_role("button", name="Next page").is_disabled()
    assert address(window) == {"limit": ["20"], "offset": ["40"]}
    window.page.get_by_role("button", name="OK", exact=True).click()
    settled(window, 20)
    assert address(window) == {"limit": ["20"], "status": ["OK"]}
    assert asked(settled(visit(site, "/?limit=20&offset=0"), 20)) == first


def test_keyboard(site: Site, visit: Visit) -> None:
    """Arrows go from row to row, Enter opens a trace; the way back leads to the list."""
    window = settled(visit(site), 48)
    for _ in range(3):
        window.page.keyboard.press("ArrowDown")
    window.page.keyboard.press("ArrowUp")
    focused = window.page.evaluate("document.activeElement.closest('tr').dataset.id")
    assert focused == site.ask("/api/traces").json()["traces"][1]["id"]
    window.page.keyboard.press("Enter")
    window.page.wait_for_url(f"**/trace/{focused}")
    assert window.names() == ["support_chat", "ChatOpenAI"]
    window.page.get_by_role("link", name="All traces").click()
    settled(window, 48)


def test_nothing_found(site: Site, visit: Visit) -> None:
    """Filters that nothing meets are said to be the reason, with the way out."""
    window = visit(site, "/?name=nobody")
    window.page.get_by_role("link", name="Show all traces").click()
    settled(window, 48)


def test_no_store_yet(visit: Visit, tmp_path: Path) -> None:
    """Without a store, every page says what there is to do; the store is not made by looking."""
    path = tmp_path / "none.db"
    with served(f"sqlite:///{path}") as site:
        window = visit(site)
        window.awaits(".nothing .big", "No traces yet.")
        for view in ("sessions", "overview", "models"):
            window.page.goto(f"{site.base}/{view}")
            window.page.wait_for_selector(".nothing")
    assert not path.exists()


def test_an_unreadable_store(visit: Visit, tmp_path: Path) -> None:
    """A file that is no database is named as the reason, on the page."""
    path = tmp_path / "bad.db"
    path.write_bytes(b"no database" * 1000)
    with served(f"sqlite:///{path}") as site:
        window = visit(site)
        # One step that waits: the page may draw it anew between two, as it tries again.
        assert str(path) in window.page.locator(".problem-box p").first.inner_text()
        window.faults = [fault for fault in window.faults if "503" not in fault]


@pytest.fixture
def own(new_store: Callable[[Path], str], tmp_path: Path) -> str:
    """A store with five traces of its own."""
    uri = new_store(tmp_path)
    ui_store.write(uri, *(ui_store.agent(1_764_000_000_000 + at * 1000, city) for at, city in enumerate("ABCDE")))
    return uri


def test_delete(own: str, visit: Visit) -> None:
    """Chosen traces are deleted after a question; the other answer keeps them."""
    with served(own) as site:
        window = settled(visit(site), 5)
        window.page.get_by_label("Choose weather_agent").nth(1).check()
        window.page.get_by_label("Choose weather_agent").nth(3).check()
        window.page.get_by_role("button", name="Delete").click()
        assert window.texts("dialog h2") == ["Delete 2 traces?"]
        assert window.page.evaluate("document.activeElement.textContent") == "Keep"
        window.page.keyboard.press("Enter")
        window.page.wait_for_selector("dialog", state="detached")
        settled(window, 5)
        window.page.get_by_role("button", name="Delete").click()
        window.page.locator("dialog").get_by_role("button", name="Delete").click()
        settled(window, 3)
        assert asked(window) == [f"How warm is it in {city}?" for city in "ECA"]
        assert window.page.locator(".chosen-bar").is_hidden()


def test_delete_from_the_trace(own: str, visit: Visit) -> None:
    """A trace is deleted from its own page, too; its address then says that it is not there."""
    with served(own) as site:
        (trace_id, *_) = [one["id"] for one in site.ask("/api/traces").json()["traces"]]
        window = visit(site, f"/trace/{trace_id}")
        window.page.get_by_role("button", name="Delete").click()
        window.page.locator("dialog").get_by_role("button", name="Delete").click()
        window.page.wait_for_url(site.base + "/")
        settled(window, 4)
        window.page.goto(f"{site.base}/trace/{trace_id}")
        window.awaits("h1", "There is no such page")
        window.faults = [fault for fault in window.faults if "404" not in fault]


def test_delete_of_what_is_gone(own: str, visit: Visit) -> None:
    """A trace that somebody else has deleted is no error, and leaves the list."""
    with served(own) as site:
        window = settled(visit(site), 5)
        ids = [one["id"] for one in site.ask("/api/traces").json()["traces"]]
        body = json.dumps({"ids": ids[:2]}).encode()
        answer = site.ask("/api/delete", method="POST", headers=site.page_headers(), body=body)
        assert answer.json() == {"deleted": 2}
        settled(window, 3)


def test_focus_stays(site: Site, visit: Visit) -> None:
    """Who works with the keyboard stays where they were when the list is drawn anew: a field, a button, a column."""
    window = settled(visit(site), 48)
    name = "(({ name, textContent }) => name || textContent)(document.activeElement)"
    window.page.get_by_role("button", name="Filters").click()
    window.page.get_by_label("User", exact=True).fill("ada")
    window.page.keyboard.press("Tab")
    settled(window, 12)
    assert window.page.evaluate(name) == "session"
    for role, key in (("OK", "OK"), ("Duration", "duration")):
        window.page.get_by_role("button", name=role, exact=True).press("Enter")
        window.page.wait_for_url("**status=OK*" if role == "OK" else "**sort=duration*")
        settled(window, 12)
        assert window.page.evaluate(name) == key

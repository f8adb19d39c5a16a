"""Hostile traces in every view of the server's pages; and the pages on narrow screens, and by axe-core."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest

from langchain_autotrace.trace.spans import Trace
from tests.view import ui_store
from tests.view.browser import Window, axe
from tests.view.test_page_safety import HOSTILE, VIOLATIONS, everywhere
from tests.view.ui_site import DRAWN, Site, served

Visit = Callable[..., Window]
HIDDEN = "x\u202ey\u200bz\x1b[31m"
TEXTS = (*HOSTILE, HIDDEN)
START = 1_764_000_000_000


def hostile(text: str, at: int) -> Iterator[Trace]:
    """Two traces with a text as name, input, output, model, session, user, tag and error."""
    text = text.encode("utf-8", "replace").decode()[:500]
    root = everywhere(text).spans[1]
    for number in range(2):
        span = ui_store.make_span(
            text,
            START + at * 10_000 + number,
            10,
            inputs=root.inputs,
            outputs={"answer": f"{text} {number}"},
            error=text,
            attributes={"session.id": text[:200], "user.id": text[:200], "mlflow.llm.model": text},
        )
        yield ui_store.make_trace(span, experiment="hostile", tags={"note": text})


@pytest.fixture(scope="module")
def hostile_site(empty_database: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The pages over a store of hostile traces."""
    from tests.support import copies

    folder = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANGCHAIN_AUTOTRACE_HOME", str(folder / "home"))
        uri = copies(empty_database)(folder)  # type: ignore[arg-type] # the fixture's path
        ui_store.write(uri, *(trace for at, text in enumerate(TEXTS) for trace in hostile(text, at)))
        with served(uri) as found:
            yield found


def views(site: Site) -> list[str]:
    """The address of each view, those of one trace for each text."""
    rows = site.ask("/api/traces?limit=100").json()["traces"]
    ids = [one["id"] for one in rows]
    pairs = zip(ids[::2], ids[1::2], strict=True)
    sessions = [one["session"] for one in site.ask("/api/sessions").json()["sessions"]]
    names = "&".join(
        f"{name}={quote(HOSTILE[0])}" for name in ("name", "user", "session", "model", "tag", "experiment")
    )
    return [
        *("/?limit=100", "/sessions", "/overview", "/models", f"/?{names}", f"/?text={quote('<')}", "/model?id=<b>"),
        *(f"/session?session={quote(one, safe='')}" for one in sessions),
        *(f"/compare?a={a}&b={b}" for a, b in pairs),
        *(f"/trace/{one}" for one in ids[::2]),
    ]


MADE = "iframe, object, embed, base, [onerror], [onload], [onclick], script:not([src], .trace), a[href^='java']"


@pytest.mark.long
def test_hostile_texts_in_every_view(hostile_site: Site, visit: Visit) -> None:
    """Whatever traces hold is text in every view: nothing runs, no element is made of it, nothing is loaded."""
    window = visit(hostile_site)
    page = window.page
    for path in views(hostile_site):
        page.goto(hostile_site.base + path)
        page.locator(DRAWN).first.wait_for()
        page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
        assert page.locator(f"body :is({MADE})").count() == 0, path
        assert page.evaluate("[window.ran, Object.prototype.polluted]") == [None, None], path
        outside = "[...document.querySelectorAll('.site-page a')].filter((a) => a.origin !== location.origin).length"
        if not path.startswith("/session?"):  # an answer may hold a link, which is one
            assert page.evaluate(outside) == 0, path
    kinds = ("ERR_INVALID_URL", "404", "503")
    window.faults = [fault for fault in window.faults if not any(kind in fault for kind in kinds)]


def test_hidden_characters(hostile_site: Site, visit: Visit) -> None:
    """Characters that reorder or hide are shown by number in each view, in the title too."""
    window = visit(hostile_site, "/?limit=2").has(".list-box tbody tr", 2)
    shown = "xU+202EyU+200BzU+001B[31m"
    assert window.texts(".list-box .name a") == [shown] * 2
    ids = [one["id"] for one in hostile_site.ask("/api/traces?limit=2").json()["traces"]]
    for path, selector in (
        ("/sessions", ".sessions .name a"),
        ("/overview", ".group th a"),
        (f"/compare?a={ids[0]}&b={ids[1]}", ".pair-head b"),
        (f"/session?session={quote(HIDDEN)}", "h1"),
    ):
        window.page.goto(hostile_site.base + path)
        window.page.locator(selector).first.wait_for()
        assert shown in window.texts(selector), path
    assert window.page.title() == "x[U+202E]y[U+200B]z[U+001B][31m · autotrace"


PATHS = (
    "/",
    "/?user=ada&name=support_chat",
    "/sessions",
    "/session?session=thread-00",
    "/overview",
    "/models",
    "/nothing",
)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_accessibility(site: Site, visit: Visit, theme: str) -> None:
    """axe-core finds nothing in any view, with open filters, a question, a running search, and on a phone."""
    source = axe()
    window = visit(site, color_scheme=theme, bypass_csp=True)
    page = window.page

    def check(where: str) -> None:
        page.evaluate(source)
        assert page.evaluate(VIOLATIONS) == [], where

    ids = [one["id"] for one in site.ask("/api/traces?limit=3").json()["traces"]]
    for path in (*PATHS, f"/compare?a={ids[0]}&b={ids[1]}", "/compare", f"/trace/{ids[0]}"):
        page.goto(site.base + path)
        page.locator(DRAWN).first.wait_for()
        page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
        check(path)
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(site.base + "/?text=trace")
    window.page.get_by_role("button", name="Filters").click()
    page.get_by_label("Choose support_chat").first.check()
    page.get_by_role("button", name="Search inside").click()
    page.locator(".contents tbody tr").first.wait_for()
    check("search")
    page.get_by_role("button", name="Delete").click()
    check("question")
    window.faults = [fault for fault in window.faults if "404" not in fault]


def test_narrow_screens(site: Site, visit: Visit) -> None:
    """On a phone no view is wider than the screen, and a row has all its facts."""
    window = visit(site, viewport={"width": 360, "height": 740})
    ids = [one["id"] for one in site.ask("/api/traces?limit=5").json()["traces"]]
    for path in (*PATHS, f"/compare?a={ids[0]}&b={ids[3]}", f"/trace/{ids[0]}"):
        window.page.goto(site.base + path)
        window.page.locator(DRAWN).first.wait_for()
        assert window.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    window.page.goto(site.base + "/?sort=duration")
    window.has(".list-box tbody tr", 48)
    (row,) = window.texts(".list-box tbody tr:first-child")
    window.faults = [fault for fault in window.faults if "404" not in fault]
    for part in ("support_chat", "And what is a span?", "1.07 s", "293", "$0.0010"):
        assert part in row

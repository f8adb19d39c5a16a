"""A browser, and traces for the page to draw."""

from __future__ import annotations

import itertools
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from langchain_autotrace.view import page_html
from langchain_autotrace.view.page_data import trace_data
from langchain_autotrace.view.traces import SpanNode, Tokens, TraceRow, TraceTree

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

START: Final = 1_764_000_000_000_000_000
_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "chrome")
_OWN: Final = ("file:", "data:", "blob:", "about:")


@contextmanager
def chromium() -> Iterator[Browser]:
    """The machine's Chromium, without a window."""
    api = pytest.importorskip("playwright.sync_api", reason="no Playwright here: pip install playwright")
    path = os.environ.get("AUTOTRACE_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        pytest.skip("no Chromium here: the tests of the trace page need one (apt-get install chromium)")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class Window:
    """A page in the browser, which notes what must not happen."""

    def __init__(self, browser: Browser, *, own: tuple[str, ...] = (), **options: Any) -> None:
        """Open a page; `own` are the servers that it may ask."""
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(60_000)
        self.faults: list[str] = []
        self.own = (*_OWN, *own)
        self.page.on("console", self._note_message)
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: self.faults.append(f"dialog: {dialog.message}"))
        self.context.on("request", self._note_request)

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.faults.append(f"console: {message.text}")

    def _note_request(self, request: Request) -> None:
        if not request.url.startswith(self.own):
            self.faults.append(f"request: {request.url}")

    def texts(self, selector: str) -> list[str]:
        """The texts that are seen in all elements that a selector finds, without empty lines."""
        return [re.sub(r"\n\s*\n", "\n", text).strip() for text in self.page.locator(selector).all_inner_texts()]

    def awaits(self, selector: str, text: str | re.Pattern[str]) -> None:
        """Wait until the text of an element is as given, or has a match."""
        from playwright.sync_api import expect

        expect(self.page.locator(selector)).to_have_text(text, timeout=60_000)

    def has(self, selector: str, count: int) -> Window:
        """Wait until a selector finds that many elements."""
        from playwright.sync_api import expect

        expect(self.page.locator(selector)).to_have_count(count, timeout=60_000)
        return self

    def names(self) -> list[str]:
        """The names of the spans that have rows, from the top."""
        return self.texts(".row .label")

    def chosen(self) -> str:
        """The name of the span whose details are shown."""
        return self.page.locator(".detail h2").inner_text()

    def section(self, title: str) -> str:
        """The text of a section of the details."""
        (text,) = self.texts(f'section[aria-label="{title}"]')
        return text

    def bars(self) -> dict[str, tuple[float, float]]:
        """Name -> left end and right end of its bar, in hundredths of the axis's width as it is drawn."""
        code = """() => {
          const axis = document.querySelector(".axis .times").getBoundingClientRect();
          return [...document.querySelectorAll(".row")].filter((row) => row.querySelector(".bar")).map((row) => {
            const bar = row.querySelector(".bar").getBoundingClientRect();
            const place = (x) => Math.round((x - axis.left) / axis.width * 100);
            return [row.querySelector(".label").textContent, [place(bar.left), place(bar.right)]];
          });
        }"""
        return {name: tuple(ends) for name, ends in self.page.evaluate(code)}


_ids = itertools.count(1)


def span(name: str, *below: SpanNode, type: str = "CHAIN", ms: tuple[float, float] = (0, 100), **more: Any) -> SpanNode:  # noqa: A002 - the field's name
    """A span with spans below it; ``ms`` is when it starts and ends. Parents are set by :func:`trace`."""
    node = SpanNode(
        span_id=more.pop("span_id", f"{next(_ids):016x}"),
        parent_id=None,
        depth=0,
        name=name,
        type=type,
        status=more.pop("status", "OK"),
        start_ns=START + int(ms[0] * 1e6),
        duration_ns=more.pop("duration_ns", int((ms[1] - ms[0]) * 1e6)),
        outcome=more.pop("outcome", None),
        error=more.pop("error", None),
        model=more.pop("model", None),
        tokens=more.pop("tokens", Tokens()),
        inputs=more.pop("inputs", None),
        outputs=more.pop("outputs", None),
        attributes=more.pop("attributes", {}),
        events=more.pop("events", []),
    )
    assert not more
    _below[node.span_id] = below
    return node


_below: dict[str, tuple[SpanNode, ...]] = {}


def trace(root: SpanNode, **row: Any) -> TraceTree:
    """The trace of a root span and all below it."""
    facts = {
        "trace_id": f"tr-{next(_ids):032x}",
        "name": root.name,
        "status": root.status,
        "start_ms": START // 1_000_000,
        "duration_ms": None if root.duration_ns is None else root.duration_ns // 1_000_000,
        "tokens": Tokens(),
        "cost_usd": None,
        "experiment_id": "0",
        "session": None,
        "user": None,
        "tags": {},
    }
    return TraceTree(TraceRow(**{**facts, **row}), tuple(_flat(root)))


def _flat(root: SpanNode) -> Iterator[SpanNode]:
    waiting: list[tuple[SpanNode, str | None, int]] = [(root, None, 0)]
    while waiting:
        node, parent, depth = waiting.pop()
        yield replace(node, parent_id=parent, depth=depth)
        waiting += [(child, node.span_id, depth + 1) for child in reversed(_below.pop(node.span_id, ()))]


def html(*trees: TraceTree) -> str:
    """The page of traces without files."""
    return page_html.page([trace_data(tree, {}) for tree in trees])


def axe() -> str:
    """The source of axe-core, which checks pages for what keeps people from using them."""
    path = os.environ.get("AUTOTRACE_AXE")
    if not path:
        pytest.skip("AUTOTRACE_AXE does not name axe-core's axe.min.js (npm pack axe-core)")
    return Path(path).read_text(encoding="utf-8")

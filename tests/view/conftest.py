"""What the tests of the views need beside what all tests need."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import copies
from tests.view import ui_store
from tests.view.browser import Window, chromium
from tests.view.ui_site import Site, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(autouse=True)
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of known width, and no price list from the network."""
    monkeypatch.setenv("MLFLOW_MODEL_CATALOG_URI", "")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def server() -> Iterator[str]:
    """A server that knows no page: its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Silent) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()
        thread.join()


class _Silent(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="package")  # while it is open, asyncio.run() fails in this thread: Playwright's loop runs in it
def browser() -> Iterator[Browser]:
    """The browser of this folder's tests."""
    with chromium() as found:
        yield found


@pytest.fixture(scope="session")
def site(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The pages over a store with traces of some days, which no test changes."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANGCHAIN_AUTOTRACE_HOME", str(folder / "home"))
        uri = copies(empty_database)(folder)
        ui_store.write(uri, *ui_store.some_days(int(time.time() * 1000)))
        with served(uri) as found:
            yield found


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Window]]:
    """Opens pages of a server: called with the site, a path and options of the browser, returns a window.

    After the test: nothing was said on a console, and no request went elsewhere.
    """
    windows: list[Window] = []

    def opened(site: Site, path: str = "/", **options: Any) -> Window:
        windows.append(site.open(browser, path, **options))
        return windows[-1]

    yield opened
    faults = [fault for window in windows for fault in window.faults]
    for window in windows:
        window.context.close()
    assert faults == []


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Window]]:
    """Opens pages: called with HTML, the address's fragment and options of the browser, returns a window.

    After the test: nothing was said on a console, and no request left a page.
    """
    windows: list[Window] = []

    def opened(html: str, fragment: str = "", **options: Any) -> Window:
        path = tmp_path / f"page{len(windows)}.html"
        path.write_text(html, encoding="utf-8")
        window = Window(browser, **options)
        windows.append(window)
        window.page.goto(path.as_uri() + fragment)
        return window

    yield opened
    faults = [fault for window in windows for fault in window.faults]
    for window in windows:
        window.context.close()
    assert faults == []

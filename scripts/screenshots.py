"""Makes the README's pictures of the pages: ``make screenshots``. Needs Chromium, as the tests of the pages do.

The traces are those of ``langchain-autotrace demo``, and the tests' chats and agents of some days.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.view import ui_store
from tests.view.browser import chromium
from tests.view.ui_site import DRAWN, served

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
VIEWS = {"list": "/", "overview": "/overview"}
SIZE = {"width": 1280, "height": 800}


def main() -> None:
    """Fill a store, open each view, and write its picture."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"LANGCHAIN_AUTOTRACE_HOME": f"{folder}/home", "MLFLOW_MODEL_CATALOG_URI": ""}
        place = Path(folder) / "demo"
        place.mkdir()
        uri = f"sqlite:///{place}/mlflow.db"
        fill(uri, place)
        take(uri)


def fill(uri: str, folder: Path) -> None:
    """Store the traces."""
    ui_store.write(uri, *ui_store.some_days(int(time.time() * 1000)))
    command = [sys.executable, "-m", "langchain_autotrace.cli", "demo", "--tracking-uri", uri]
    subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)


def take(uri: str) -> None:
    """Write the pictures."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with served(uri) as site, chromium() as browser:
        page = site.open(browser, "/", viewport=SIZE).page
        agent = site.ask("/api/traces?name=LangGraph").json()["traces"][0]["id"]
        for name, path in {**VIEWS, "trace": f"/trace/{agent}"}.items():
            page.goto(site.base + path)
            page.locator(DRAWN).first.wait_for()
            page.wait_for_timeout(500)
            page.screenshot(path=PICTURES / f"{name}.png")
            print(PICTURES / f"{name}.png")


if __name__ == "__main__":
    main()

"""Measures the pages of ``langchain-autotrace ui`` in Chromium: the first one, opening, scrolling, traces that run.

    python benchmarks/view_pages.py

Needs Chromium and Playwright, as the tests of the pages do (``AUTOTRACE_CHROMIUM`` names one). Prints a table: what was
measured, the median of three unless it says otherwise, beside what it is to be.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any, Final

from playwright.sync_api import Page, sync_playwright

from langchain_autotrace.view import deliver

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMES: Final = 3
SIZES: Final = {5_000: 600, 30_000: 3_000}
"""Spans of a trace -> milliseconds in which its page is to be drawn."""
SPANS_A_SECOND: Final = 100
RUNS_SECONDS: Final = 10
BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
MAKE: Final = "import sys; from mlflow import MlflowClient; MlflowClient(sys.argv[1]).get_experiment('0')"
PROGRAM: Final = """
import sys, time
from langchain_core.runnables import RunnableLambda
import langchain_autotrace

def steps(text, config):
    began = time.perf_counter()
    for number in range(int(sys.argv[2])):
        time.sleep(max(0, began + number / float(sys.argv[3]) - time.perf_counter()))
        RunnableLambda(str.upper, name=f"s{time.time_ns() // 1000}").invoke("x" * 200, config)

langchain_autotrace.autolog(tracking_uri=sys.argv[1], shipper="external")
RunnableLambda(steps).invoke("go")
"""
"""A trace with many spans, each with the microsecond of its start as its name."""
WATCH: Final = """() => {
  window.firstSeen = {};
  const rows = document.querySelector(".rows");
  const look = () => {
    rows.scrollTop = 1e9;
    for (const { textContent: name } of rows.querySelectorAll(".label")) window.firstSeen[name] ??= Date.now();
    requestAnimationFrame(look);
  };
  look();
}"""
SCROLL: Final = """() => new Promise((done) => {
  const rows = document.querySelector(".rows");
  const times = [];
  const next = (now) => {
    times.push(now);
    rows.scrollTop += 90;
    if (times.length > 180) done((times.length - 1) / (times.at(-1) - times[0]) * 1000);
    else requestAnimationFrame(next);
  };
  requestAnimationFrame(next);
})"""


def main() -> None:
    """Print the table."""
    print("| | measured | to be |\n|---|--:|--:|")
    with tempfile.TemporaryDirectory() as folder, browser_page() as page:
        os.environ["LANGCHAIN_AUTOTRACE_HOME"] = f"{folder}/home"
        uri = f"sqlite:///{folder}/mlflow.db"
        subprocess.run([sys.executable, "-c", MAKE, uri], check=True, cwd=folder, stderr=subprocess.DEVNULL)
        first_page(uri)
        for spans, most in SIZES.items():
            trace_id = stored(uri, spans)
            with served(uri) as (base, token, _):
                opening(page, f"{base}/trace/{trace_id}", token, spans, most)
        with served(uri) as (base, token, pid):
            growing(page, uri, base, token, pid)
            idle(pid)


def line(name: str, measured: str, wanted: str) -> None:
    """Print a line of the table."""
    print(f"| {name} | {measured} | {wanted} |", flush=True)


def first_page(uri: str) -> None:
    """Measure from the command to the first page and to its data."""
    pages: list[float] = []
    data: list[float] = []
    used: list[float] = []
    for _ in range(TIMES):
        began = time.perf_counter()
        with served(uri) as (base, token, pid):
            connection = http.client.HTTPConnection(base.removeprefix("http://"))
            connection.request("GET", f"/?token={token}")
            cookie = read(connection).headers["Set-Cookie"].split(";")[0]
            for address, times in (("/", pages), ("/api/traces", data)):
                connection.request("GET", address, headers={"Cookie": cookie})
                assert read(connection).status == http.HTTPStatus.OK
                times.append(time.perf_counter() - began)
            used.append(cpu(pid))
            connection.close()
    line("`ui`: first page after the command", f"{statistics.median(pages) * 1000:,.0f} ms", "700 ms")
    line("`ui`: data of the first page", f"{statistics.median(data) * 1000:,.0f} ms", "")
    line("`ui`: CPU of both", f"{statistics.median(used) * 1000:,.0f} ms", "")


def read(connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
    """Read a response to its end."""
    response = connection.getresponse()
    response.read()
    return response


def stored(uri: str, spans: int) -> str:
    """Store a trace with that many spans and return its id."""
    from langchain_autotrace import get_trace

    run_program(uri, spans, 1e9).wait()
    deliver.freshen(uri, timeout=600)
    return get_trace("last", tracking_uri=uri).trace_id


def opening(page: Page, address: str, token: str, spans: int, most: int) -> None:
    """Measure from the click to the drawn tree, and how fast it scrolls."""
    times = []
    for _ in range(TIMES):
        page.goto(f"{address}?token={token}")
        page.wait_for_url(address)
        page.locator(".row").first.wait_for()
        page.reload()
        page.locator(".row").first.wait_for()
        times.append(page.evaluate("performance.getEntriesByName('drawn')[0].startTime"))
    line(
        f"trace of {spans:,} spans: from the click to the drawn tree",
        f"{statistics.median(times):,.0f} ms",
        f"{most:,} ms",
    )
    line(f"trace of {spans:,} spans: scrolling", f"{page.evaluate(SCROLL):.0f} frames a second", "60")


def growing(page: Page, uri: str, base: str, token: str, pid: int) -> None:
    """Measure from the start of a span to its row in the page of its running trace."""
    page.goto(f"{base}/?token={token}")
    page.wait_for_url(f"{base}/")
    with run_program(uri, SPANS_A_SECOND * RUNS_SECONDS, SPANS_A_SECOND) as program:
        page.locator("tr.IN_PROGRESS .name a").click()
        page.locator(".row").first.wait_for()
        page.evaluate(WATCH)
        begins, used = time.time() * 1000 + 200, cpu(pid)
        program.wait()
        used = (cpu(pid) - used) / RUNS_SECONDS
    page.wait_for_timeout(2_000)
    seen = {int(name[1:]) / 1000: at for name, at in page.evaluate("window.firstSeen").items() if name[1:].isdecimal()}
    late = sorted(at - started for started, at in seen.items() if started > begins)
    p50, p95 = (late[int(share * len(late))] for share in (0.5, 0.95))
    line(f"new span of a running trace on screen, {SPANS_A_SECOND} spans a second: p50", f"{p50:,.0f} ms", "500 ms")
    line("the same: p95", f"{p95:,.0f} ms", "500 ms")
    line("the same: CPU of `ui`", f"{used:.0%}", "")


def idle(pid: int) -> None:
    """Measure the CPU of `ui` with a page open where nothing happens."""
    time.sleep(3)
    before = cpu(pid)
    time.sleep(10)
    line("CPU of `ui` with an open page, where nothing happens", f"{(cpu(pid) - before) / 10:.1%}", "")


def run_program(uri: str, spans: int, rate: float) -> subprocess.Popen[bytes]:
    """Start a program that makes spans, that many a second."""
    command = [sys.executable, "-c", PROGRAM, uri, str(spans), str(rate)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def served(uri: str) -> Iterator[tuple[str, str, int]]:
    """Run `ui`; its address, its token and its process id."""
    command = [sys.executable, "-c", "from langchain_autotrace.cli import main; main()", "ui", "--no-browser"]
    with subprocess.Popen(
        [*command, "--port", "0", "--tracking-uri", uri], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        found: Any = None
        while found is None:
            found = re.search(r"(http://[\w.:]+)/\?token=([\w-]+)", process.stdout.readline())
        try:
            yield found[1], found[2], process.pid
        finally:
            process.terminate()


def cpu(pid: int) -> float:
    """Return the seconds of CPU that a process has used."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:  # noqa: PTH123 - no file of ours
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def browser_page() -> Iterator[Page]:
    """Open a page of the machine's Chromium."""
    path = os.environ.get("AUTOTRACE_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(120_000)
        yield page
        browser.close()


if __name__ == "__main__":
    main()

"""Measures searches, sessions and sums over a large SQLite store, and the commands that read one.

    python benchmarks/view.py [TRACES] [--store FILE]

Makes a store in a temporary folder, or in FILE, which is kept and used again, and prints a table: milliseconds of wall
time and of CPU, the smallest of five (the first line: once), beside what the wall time is to be. What pages do in a
browser is measured by ``view_pages.py``.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from langchain_autotrace.view import catalog
from langchain_autotrace.view.catalog import Query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TIMES: Final = 5
LIMIT_MS: Final = 300
"""What the list, each filter, each sort, sessions and the overview are to take at most."""
LIMIT_BY_MODEL_MS: Final = 500
WEEK_MS: Final = 7 * 86_400_000
COMMANDS: Final = ("list", "show last", "status", "diff last last", "export last -o trace.html")
MAKE: Final = "import sys; from mlflow import MlflowClient; MlflowClient(sys.argv[1]).get_experiment('0')"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("traces", nargs="?", type=int, default=100_000)
    parser.add_argument("--store", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = (arguments.store or Path(folder, "mlflow.db")).absolute()
        uri = f"sqlite:///{path}"
        if not path.exists():
            subprocess.run([sys.executable, "-c", MAKE, uri], check=True, cwd=folder)
            subprocess.run(
                [sys.executable, str(Path(__file__).with_name("view_store.py")), path, str(arguments.traces)],
                check=True,
            )
        print("| | ms | ms of CPU | to be |\n|---|--:|--:|--:|")
        _print("by model, the first time", lambda: catalog.by_model(uri, Query()), None, times=1)
        for name, run in _searches(uri):
            _print(name, run, LIMIT_MS)
        for name, run in _others(uri):
            _print(name, run, LIMIT_BY_MODEL_MS if "by model" in name else None)
        for name, run in _commands(uri, folder):
            _print(name, run, None)


def _print(name: str, run: Callable[[], object], limit: int | None, times: int = TIMES) -> None:
    wall, cpu = _smallest(run, times)
    print(f"| {name} | {wall:,.0f} | {cpu:,.0f} | {limit or ''} |", flush=True)


def _searches(uri: str) -> Iterator[tuple[str, Callable[[], object]]]:
    newest = catalog.search(uri, Query()).traces[0].row
    for sort in ("time", "duration", "tokens", "cost", "name", "status"):
        yield f"list by {sort}", lambda sort=sort: catalog.search(uri, Query(), sort=sort)  # type: ignore[misc]
    yield "list, last page", lambda: catalog.search(uri, Query(), offset=catalog.search(uri, Query()).total - 50)
    for name, query in _queries(newest.start_ms).items():
        yield f"filter: {name}", lambda query=query: catalog.search(uri, query)  # type: ignore[misc]
    yield "sessions", lambda: catalog.sessions(uri, Query())
    week = Query(since_ms=newest.start_ms - WEEK_MS)
    yield "overview", lambda: catalog.overview(uri, Query(), models=False)
    yield "overview of a week", lambda: catalog.overview(uri, week, models=False)


def _others(uri: str) -> Iterator[tuple[str, Callable[[], object]]]:
    newest = catalog.search(uri, Query()).traces[0].row
    yield "by model", lambda: catalog.by_model(uri, Query())
    yield "by model, of a week", lambda: catalog.by_model(uri, Query(since_ms=newest.start_ms - WEEK_MS))
    yield "values for filters", lambda: catalog.choices(uri)
    yield "text in spans: first part", lambda: next(catalog.search_spans(uri, Query(), "refund"))
    yield "text in spans: no match", lambda: list(catalog.search_spans(uri, Query(), "absent"))


def _queries(newest_ms: int) -> dict[str, Query]:
    return {
        "status": Query(status="ERROR"),
        "name": Query(name="router"),
        "session": Query(session=f"session-{newest_ms // 600_000}-1"),
        "user": Query(user="user-3"),
        "tag": Query(tags={"environment": "production"}),
        "model": Query(model="gpt-4o"),
        "duration": Query(min_duration_ms=5_000),
        "cost": Query(min_cost_usd=0.01),
        "a week": Query(since_ms=newest_ms - WEEK_MS),
        "text (97 % match)": Query(text="refund"),
        "text (no match)": Query(text="absent"),
        "text (no match, not English)": Query(text="àbsent"),
        "all of them": Query(status="ERROR", name="router", user="user-3", model="gpt-4o", text="order"),
    }


def _commands(uri: str, folder: str) -> Iterator[tuple[str, Callable[[], object]]]:
    command = str(Path(sys.executable).with_name("langchain-autotrace"))
    environment = {**os.environ, "LANGCHAIN_AUTOTRACE_HOME": folder}
    for arguments in COMMANDS:
        call = [command, *arguments.split(), "--tracking-uri", uri]
        yield (
            f"`langchain-autotrace {arguments}`",
            lambda call=call: subprocess.run(call, check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL),  # type: ignore[misc]
        )


def _smallest(run: Callable[[], object], times: int) -> tuple[float, float]:
    """Return the least wall time and the least CPU time, children included, in milliseconds."""
    walls, cpus = [], []
    for _ in range(times):
        began, used = time.perf_counter(), _cpu()
        run()
        walls.append(time.perf_counter() - began)
        cpus.append(_cpu() - used)
    return min(walls) * 1_000, min(cpus) * 1_000


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main()

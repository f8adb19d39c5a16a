"""Measures MLflow's filters on SQLite stores, before and after ``ANALYZE spans``, alone and beside a live writer.

    python benchmarks/search.py [TRACES ...]

Makes a store of each size in a temporary folder and prints a table: milliseconds of one ``search_traces()`` for 50
traces without their spans, the smallest of three, or one that takes more than 2 s. A filter is stopped after 40 s.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT_SECONDS: Final = 40.0
FILTERS: Final = {
    "`trace.text ILIKE` (no match)": "trace.text ILIKE '%absent%'",
    "`trace.text ILIKE` (all match)": "trace.text ILIKE '%yes%'",
    "`span.name =` (no match)": "span.name = 'absent'",
    "`span.name =` (all match)": "span.name = 'FakeListChatModel'",
    "`span.content ILIKE` (no match)": "span.content ILIKE '%absent%'",
    "a tag that all traces have": "tag.team = 'search'",
}

FILL: Final = """
import sys, langchain_autotrace
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
langchain_autotrace.autolog(tracking_uri=sys.argv[1], extra_tags={"team": "search"})
chain = ChatPromptTemplate.from_template("{topic}") | FakeListChatModel(responses=["yes"]) | StrOutputParser()
for number in range(int(sys.argv[2])):
    chain.invoke({"topic": f"question {number}"})
assert langchain_autotrace.flush(600).ok
"""

WRITE: Final = """
import sys, mlflow
mlflow.set_tracking_uri(sys.argv[1])
while True:
    with mlflow.start_span("written meanwhile"):
        pass
    mlflow.flush_trace_async_logging()
    print(flush=True)
"""

SEARCH: Final = """
import sys, time
from mlflow import MlflowClient
client, times = MlflowClient(sys.argv[1]), []
for _ in range(3):
    began = time.perf_counter()
    client.search_traces(locations=["0"], filter_string=sys.argv[2], max_results=50, include_spans=False)
    times.append(time.perf_counter() - began)
    if times[0] > 2:
        break
print(min(times) * 1_000)
"""


def main(sizes: list[int]) -> None:
    """Print the table for stores of these numbers of traces."""
    columns = [
        (size, is_analyzed, has_writer)
        for size, has_writer, is_analyzed in itertools.product(sizes, (False, True), (False, True))
    ]
    heads = [f"{size:,}{' analyzed' * analyzed}{' + writer' * writer}" for size, analyzed, writer in columns]
    print("| filter |", " | ".join(heads), "|")
    print("|---|" + "--:|" * len(heads))
    with tempfile.TemporaryDirectory() as folder:
        stores = {size: _store(Path(folder, str(size)), size) for size in sizes}
        cells = [_column(stores[size], is_analyzed=analyzed, has_writer=writer) for size, analyzed, writer in columns]
    for index, name in enumerate(FILTERS):
        print(f"| {name} |", " | ".join(column[index] for column in cells), "|")


def _store(folder: Path, size: int) -> Path:
    folder.mkdir()
    path = folder / "mlflow.db"
    _python(FILL, f"sqlite:///{path}", str(size), env={**os.environ, "LANGCHAIN_AUTOTRACE_HOME": str(folder)})
    return path


def _column(path: Path, *, is_analyzed: bool, has_writer: bool) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ANALYZE spans" if is_analyzed else "DELETE FROM sqlite_stat1")
        connection.commit()
    with _writer(path) if has_writer else tempfile.TemporaryFile():
        return [_milliseconds(path, condition) for condition in FILTERS.values()]


@contextmanager
def _writer(path: Path) -> Iterator[None]:
    """Have another process write traces all the time."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE, f"sqlite:///{path}"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _milliseconds(path: Path, condition: str) -> str:
    try:
        return f"{float(_python(SEARCH, f'sqlite:///{path}', condition, timeout=LIMIT_SECONDS)):,.0f}"
    except subprocess.TimeoutExpired:
        return f"> {LIMIT_SECONDS * 1_000:,.0f}"


def _python(program: str, *arguments: str, timeout: float | None = None, env: dict[str, str] | None = None) -> str:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=timeout, env=env).stdout


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [1_000, 10_000])

"""Measures the shipper's memory while it delivers a long journal, as after an outage, and is killed in the middle.

    python benchmarks/outage.py [GIGABYTES]

A program fills a journal of that size (10 by default), with 2,000 traces open from its beginning to its end, and ends.
Then a shipper delivers it into a new SQLite file, is killed with SIGKILL at half of the traces, and another one goes
on. Prints the traces written and stored, the largest resident memory of each shipper, and what it took. Needs Linux,
and three times the size on disk.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Final

GIGABYTE: Final = 1_000_000_000
POLL_SECONDS: Final = 0.5
LIMIT_MB: Final = 300

FILL: Final = """
import random, sys
from pathlib import Path
import langchain_autotrace
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableGenerator

langchain_autotrace.autolog(tracking_uri=sys.argv[1], shipper="external")
chain = ChatPromptTemplate.from_template("{topic}") | FakeListChatModel(responses=["yes"]) | StrOutputParser()

def waits(topics):
    yield "begun"
    yield "ended"

opened = [RunnableGenerator(waits).stream(f"open {number}") for number in range(2_000)]
for one in opened:
    next(one)
number, text = len(opened), random.Random(4).randbytes(10_000).hex()
while number % 100 or sum(file.stat().st_size for file in Path(sys.argv[2]).rglob("*.jsonl")) < int(sys.argv[3]):
    number += 1
    chain.invoke({"topic": f"{number} {text}"})
for one in opened:
    assert list(one) == ["ended"]
print(number)
"""


def main(gigabytes: float) -> None:
    """Print what became of a journal of this size."""
    with tempfile.TemporaryDirectory() as place:
        home, store = Path(place, "home"), Path(place, "mlflow.db")
        environment = {**os.environ, "LANGCHAIN_AUTOTRACE_HOME": str(home)}
        command = [sys.executable, "-c", FILL, f"sqlite:///{store}", str(home), str(int(gigabytes * GIGABYTE))]
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        written, size = int(done.stdout), sum(file.stat().st_size for file in home.rglob("*.jsonl"))
        print(f"journal: {size / GIGABYTE:.1f} GB, {written:,} traces")
        (folder,) = (path.parent for path in home.rglob("destination.json"))
        _ship(folder, store, environment, until=written // 2)
        _ship(folder, store, environment, until=written + 1)
        different, spans = _counted(store, "SELECT count(DISTINCT trace_id), count(*) FROM spans")
        print(f"stored: {_traces(store):,} traces ({different:,} with spans), {spans:,} spans")
        print(f"left in the journal: {len(list(folder.glob('*.jsonl')))} files")


def _ship(folder: Path, store: Path, environment: dict[str, str], *, until: int) -> None:
    """Run a shipper until so many traces are stored or it ends, and print its memory."""
    began, before, peak = time.monotonic(), _traces(store), 0.0
    shipper = subprocess.Popen([sys.executable, "-m", "langchain_autotrace.ship", str(folder)], env=environment)
    while shipper.poll() is None and _traces(store) < until:
        peak = max(peak, _peak_mb(shipper.pid) or peak)
        time.sleep(POLL_SECONDS)
    took = time.monotonic() - began
    shipper.kill()
    shipper.wait()
    stored = _traces(store) - before
    print(f"shipper: {stored:,} traces in {took:.0f} s, at most {peak:.0f} MB resident (limit {LIMIT_MB})")


def _peak_mb(pid: int) -> float | None:
    """Return the largest resident memory of a process so far, in MB; None when it has ended."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return None


def _traces(store: Path) -> int:
    """Return how many traces the file has."""
    return _counted(store, "SELECT count(*) FROM trace_info")[0] if store.exists() else 0


def _counted(store: Path, query: str) -> tuple[int, ...]:
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=60)) as connection:
        counted: tuple[int, ...] = connection.execute(query).fetchone()
    return counted


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10)

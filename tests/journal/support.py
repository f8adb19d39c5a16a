"""Records to write, journals to write them to, and programs of their own to do it in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from langchain_autotrace.journal.checkpoint import Checkpoint
from langchain_autotrace.journal.folder import DestinationFolder
from langchain_autotrace.journal.reader import JournalReader
from langchain_autotrace.journal.writer import Journal
from langchain_autotrace.records import ProcessInfo, Record, SpanEvent
from tests.patience import PATIENCE

ROOT: Final = Path(__file__).parents[2]
INFO: Final = ProcessInfo(
    pid=7, host="host", started_ns=1_000, user="ada", source="program.py", folder="/work", package="0.1.0"
)


def describe() -> ProcessInfo:
    """The process that the journals of these tests name."""
    return INFO


def event(number: int, size: int = 0) -> SpanEvent:
    """A record that can be told from others, with ``size`` bytes of content."""
    return SpanEvent("0" * 32, "0" * 16, number, f"event {number}", {"content": "x" * size})


def numbers(records: list[Record]) -> list[int]:
    """The numbers of events."""
    return [record.time_ns for record in records if isinstance(record, SpanEvent)]


def new_folder(path: Path) -> DestinationFolder:
    """A destination folder."""
    folder = DestinationFolder(path / "home" / "destination")
    folder.create("sqlite:////data/mlflow.db")
    return folder


def new_journal(folder: DestinationFolder) -> Journal:
    """A journal of this process."""
    return Journal(folder, describe)


def reader_of(folder: DestinationFolder, process: str) -> JournalReader:
    """A reader of the whole journal."""
    return JournalReader(folder, process, Checkpoint().position)


def read_all(reader: JournalReader, *, finished: bool = True) -> list[Record]:
    """All records that the reader gives now."""
    found: list[Record] = []
    while records := reader.read(finished=finished):
        found += records
    return found


def journal_of(folder: DestinationFolder) -> list[Record]:
    """All records of the folder's one process, which is dead."""
    (process,) = folder.processes()
    return read_all(reader_of(folder, process))


def start_program(name: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a function of ``tests.journal.programs`` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.journal.programs", name, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_program(name: str, *arguments: object) -> str:
    """Run such a function to its end; what it printed."""
    with start_program(name, *arguments) as program:
        printed, complaint = program.communicate(timeout=PATIENCE)
    assert program.returncode == 0, complaint
    return printed

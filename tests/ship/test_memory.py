"""The shipper's memory: it holds one batch and the open traces, however long the journal is."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from langchain_autotrace.journal.checkpoint import Checkpoint, save
from langchain_autotrace.journal.reader import Position
from langchain_autotrace.ship.progress import Progress
from tests.journal.support import ROOT, new_folder, new_journal
from tests.patience import PATIENCE
from tests.ship.support import Clock, end, start, write
from tests.uncovered import unmeasured

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_autotrace.journal.folder import DestinationFolder

DELIVERY: Final = '''
import re, sys
from pathlib import Path
from langchain_autotrace.journal.folder import DestinationFolder
from langchain_autotrace.ship.bulk.rows import Place, trace_rows
from langchain_autotrace.ship.shipper import Shipper
from langchain_autotrace.ship.trace_values import trace_values

class Rows:
    """Makes the rows of a database, and stores none."""

    notes, in_bulk, batches = (), 0, []

    def write(self, batch):
        self.batches.append(len(batch))
        self.made = [trace_rows(trace_values(trace), Place(0, "/x"), has_metrics=False) for trace in batch]

    def log_models(self, models):
        raise AssertionError

def peak():
    return int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])

before = peak()
shipper = Shipper(DestinationFolder(Path(sys.argv[1])), sink := Rows())
shipper.serve(linger=0.0, patience=0.0)
print(sum(sink.batches), (peak() - before) // 1000)
'''
SPAN: Final = 100_000
TRACES: Final = 400
OPEN: Final = 1_500


def fill(folder: DestinationFolder) -> int:
    """A journal of traces of 400 kB each, and of open ones of 17 kB that began before; returns its bytes."""
    journal = new_journal(folder)
    text = '"quoted" é\\n' * (SPAN // 11)
    for number in range(OPEN):
        assert journal.append(start(TRACES + number, 1, inputs=text[:17_000]))
    for number in range(TRACES):
        write(journal, start(number, 1, inputs=text), start(number, 2, 1, inputs=text))
        write(journal, end(number, 2, outputs=text), end(number, 1, outputs=text))
    journal.close()
    return sum(path.stat().st_size for path in folder.path.glob("*.jsonl"))


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_a_long_journal(tmp_path: Path) -> None:
    """A journal of 180 MB, with 1,500 traces that stay open for all of it, takes less than 200 MB of memory."""
    folder = new_folder(tmp_path)
    size = fill(folder)
    done = subprocess.run(
        [sys.executable, "-c", DELIVERY, str(folder.path)],
        env={**unmeasured(), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    traces, grown = map(int, done.stdout.split())

    assert size > 180_000_000
    assert (traces, done.stderr) == (TRACES + OPEN, "")
    assert grown < 200


def test_segments_that_a_killed_shipper_has_left(tmp_path: Path) -> None:
    """Segments before the checkpoint, which a killed shipper had no time to delete, are deleted by the next one."""
    folder = new_folder(tmp_path)
    journal = new_journal(folder)
    for number in range(40):
        assert journal.append(start(number, 1, inputs="x" * 50_000))
    name = journal.process
    journal.close()
    before = folder.segments(name)
    save(folder, name, Checkpoint(position=Position(3, 0)))

    Progress(folder, name, Clock())
    assert before == [1, 2, 3, 4]
    assert folder.segments(name) == [3, 4]

"""Writing records: segments, threads, finalizers, full disks."""

from __future__ import annotations

import gc
import os
import threading
from typing import TYPE_CHECKING

import pytest

from langchain_autotrace.journal import codec, segment
from langchain_autotrace.journal.segment import SEGMENT_BYTES
from langchain_autotrace.journal.writer import Journal
from langchain_autotrace.records import Flush, ProcessInfo
from tests.journal.support import (
    INFO,
    event,
    journal_of,
    new_journal,
    numbers,
    read_all,
    reader_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_autotrace.journal.folder import DestinationFolder


def test_more_records_than_a_segment_takes(folder: DestinationFolder) -> None:
    """Records go on in a next segment, each begins with who writes it, and a closed one holds records only."""
    journal = new_journal(folder)
    opened: list[int] = []
    journal.on_segment = lambda: opened.append(len(folder.segments(journal.process)))
    for number in range(30):
        assert journal.append(event(number, size=50_000))
    process = journal.process
    journal.close()

    assert folder.segments(process) == [1, 2, 3]
    assert opened == [1, 2, 3]
    for number in (1, 2, 3):
        content = folder.segment(process, number).read_bytes()
        assert len(content) <= SEGMENT_BYTES
        assert b"\x00" not in content
        assert content.startswith(codec.encode(INFO))
    assert numbers(journal_of(folder)) == list(range(30))
    assert journal.dropped == 0


def test_a_record_larger_than_a_segment(folder: DestinationFolder) -> None:
    """A record of any size is kept whole."""
    journal = new_journal(folder)
    written = [event(1), event(2, size=5 * SEGMENT_BYTES), event(3)]

    assert [journal.append(record) for record in written] == [True, True, True]
    journal.close()

    assert journal_of(folder) == written


def test_a_kernel_that_cannot_put_pages_in_place(folder: DestinationFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older kernel refuses the advice; the segment is written all the same."""
    monkeypatch.setattr(segment, "_POPULATE_WRITE", 9999)
    journal = new_journal(folder)

    assert journal.append(event(1))
    journal.close()

    assert numbers(journal_of(folder)) == [1]


def test_permissions(folder: DestinationFolder) -> None:
    """Nobody but the user can look into the folder or any file of it, whatever the umask."""
    before = os.umask(0)
    try:
        journal = new_journal(folder)
        journal.append(event(1))
    finally:
        os.umask(before)

    modes = {path.suffix or path.name: path.stat().st_mode & 0o777 for path in [folder.path, *folder.path.iterdir()]}
    assert modes == {"destination": 0o700, ".json": 0o600, ".jsonl": 0o600, ".alive": 0o600}


def test_a_journal_that_is_closed_and_used_again(folder: DestinationFolder) -> None:
    """A record after the end of a journal begins another, with a name of its own."""
    journal = new_journal(folder)
    journal.append(event(1))
    first = journal.process
    journal.close()
    journal.append(event(2))
    second = journal.process
    journal.close()

    assert folder.processes() == {first, second}
    assert [numbers(read_all(reader_of(folder, name))) for name in (first, second)] == [[1], [2]]


def test_a_journal_without_records(folder: DestinationFolder) -> None:
    """A process that traces nothing leaves nothing, and has nothing to flush."""
    journal = new_journal(folder)

    assert (journal.request_flush(), journal.process) == (0, "")
    journal.close()
    assert [path.name for path in folder.path.iterdir()] == ["destination.json"]


def test_requests_for_delivery(folder: DestinationFolder) -> None:
    """Requests for delivery stand among the records, numbered from 1."""
    journal = new_journal(folder)
    journal.append(event(1))
    requested = [journal.request_flush(), journal.request_flush()]
    journal.close()

    assert requested == [1, 2]
    assert journal_of(folder) == [event(1), Flush(1), Flush(2)]


def test_twenty_threads(folder: DestinationFolder) -> None:
    """Records of threads that write at the same time are there once each, whole, and in each thread's order."""
    journal = new_journal(folder)
    barrier = threading.Barrier(20)

    def write(thread: int) -> None:
        barrier.wait()
        for number in range(200):
            journal.append(event(thread * 1_000 + number, size=number * 10))

    threads = [threading.Thread(target=write, args=(thread,)) for thread in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()

    found = journal_of(folder)
    assert [[number % 1_000 for number in numbers(found) if number // 1_000 == thread] for thread in range(20)] == [
        list(range(200))
    ] * 20
    assert all(
        record == event(number, size=number % 1_000 * 10) for record, number in zip(found, numbers(found), strict=True)
    )
    assert journal.dropped == 0


def test_a_write_in_the_middle_of_opening_a_segment(folder: DestinationFolder) -> None:
    """A record written by the same thread while it opens a segment is kept, and opens no other."""
    between = [10, 20]

    def describe_late() -> ProcessInfo:
        if between:
            assert journal.append(event(between.pop(0)))
        return INFO

    journal = Journal(folder, describe_late)
    opened: list[int] = []
    journal.on_segment = lambda: opened.append(len(folder.segments(journal.process)))
    journal.append(event(1))
    journal.append(event(2, size=SEGMENT_BYTES))
    journal.append(event(3))
    process = journal.process
    journal.close()

    assert folder.processes() == {process}
    assert folder.segments(process) == [1, 2, 3]
    assert numbers(journal_of(folder)) == [1, 10, 20, 2, 3]
    assert opened == [1, 2, 3]
    assert journal.dropped == 0


class Abandoned:
    """A cycle whose finalizer writes a record, as the stream has that nobody reads to its end."""

    def __init__(self, journal: Journal, number: int) -> None:
        """Write ``number`` when collected."""
        self.journal, self.number = journal, number
        self.itself = self

    def __del__(self) -> None:
        """Write."""
        self.journal.append(event(self.number))


@pytest.fixture
def eager_collector() -> Iterator[None]:
    """Have the garbage collector run at nearly every allocation."""
    before = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    yield
    gc.set_threshold(*before)


@pytest.mark.usefixtures("eager_collector")
def test_finalizers_that_write(folder: DestinationFolder) -> None:
    """Records of finalizers are there once each, wherever the garbage collector runs them."""
    journal = new_journal(folder)
    for number in range(300):
        Abandoned(journal, 1_000 + number)
        journal.append(event(number, size=3_000))
    gc.collect()
    journal.close()

    assert sorted(numbers(journal_of(folder))) == [*range(300), *range(1_000, 1_300)]

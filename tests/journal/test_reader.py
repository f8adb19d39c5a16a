"""Reading a journal: while it is written, after a crash, after damage."""

from __future__ import annotations

import random
import struct
import threading
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from langchain_autotrace.errors import JournalFormatError
from langchain_autotrace.journal import codec
from langchain_autotrace.journal.reader import JournalReader, Position
from langchain_autotrace.journal.segment import SEGMENT_BYTES
from tests.journal.support import (
    INFO,
    event,
    journal_of,
    new_journal,
    numbers,
    read_all,
    reader_of,
    start_program,
)
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_autotrace.journal.folder import DestinationFolder

HEADER = codec.encode(INFO)
PROCESS = "20260101T000000-7-abcdef"


def lines(*wanted: int) -> bytes:
    """Events as they stand in a file."""
    return b"".join(codec.encode(event(number)) for number in wanted)


def write(folder: DestinationFolder, content: bytes, number: int = 1) -> JournalReader:
    """A segment with that content, and a reader of the journal."""
    folder.segment(PROCESS, number).write_bytes(content)
    return reader_of(folder, PROCESS)


def test_a_writer_at_work(folder: DestinationFolder) -> None:
    """A reader gives each record of another process once, in order, while that process lives."""
    with start_program("slowly", folder.path, 200) as program:
        while not folder.processes():
            time.sleep(0.001)
        (process,) = folder.processes()
        reader = reader_of(folder, process)
        found: list[int] = []
        while len(found) < 200:
            found += numbers(reader.read(finished=False))
            assert program.poll() is None
        program.communicate(timeout=PATIENCE)
        found += numbers(read_all(reader))

    assert found == list(range(200))
    assert (reader.info, reader.torn) == (INFO, 0)
    assert len(folder.segments(process)) > 10


def test_threads_at_work(folder: DestinationFolder) -> None:
    """A reader gives each record of many threads once, also those written while another opens a segment."""
    journal = new_journal(folder)
    journal.append(event(0))
    reader = reader_of(folder, journal.process)
    sizes = [10, 3_000, 40_000, 100, 7, 90_000]

    def write(thread: int) -> None:
        for number in range(1, 101):
            journal.append(event(thread * 1_000 + number, size=sizes[number % len(sizes)]))

    threads = [threading.Thread(target=write, args=(thread,)) for thread in range(8)]
    found: list[int] = []
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        found += numbers(reader.read(finished=False))
    journal.close()
    found += numbers(read_all(reader))

    assert sorted(found) == sorted([0, *(thread * 1_000 + number for thread in range(8) for number in range(1, 101))])
    assert reader.torn == 0
    assert reader.position.segment > 20


@pytest.mark.parametrize("seed", range(6))
def test_a_writer_that_is_killed(folder: DestinationFolder, tmp_path: Path, seed: int) -> None:
    """Every record whose append had returned is read, and nothing that the kill left behind stops the reader."""
    counter = tmp_path / "counter"
    counter.write_bytes(bytes(8))
    with start_program("without_end", folder.path, counter) as program:
        while not any(counter.read_bytes()):
            time.sleep(0.001)
        time.sleep(random.Random(seed).uniform(0.0, 0.3))
        program.kill()

    (last,) = struct.unpack("<Q", counter.read_bytes())
    found = numbers(journal_of(folder))
    assert found in (list(range(1, last + 1)), list(range(1, last + 2)))


def test_a_hole_in_a_journal_that_is_being_written(folder: DestinationFolder) -> None:
    """Reading waits before a record that is not whole yet, and goes on when it is."""
    late = lines(2)
    content = HEADER + lines(1) + bytes(len(late)) + lines(3) + bytes(1_000)
    reader = write(folder, content)

    assert numbers(read_all(reader, finished=False)) == [1]
    write(folder, content.replace(bytes(len(late)), late[:20] + bytes(len(late) - 20), 1))
    assert numbers(read_all(reader, finished=False)) == []
    write(folder, content.replace(bytes(len(late)), late, 1))
    assert numbers(read_all(reader, finished=False)) == [2, 3]
    assert reader.torn == 0


def test_a_hole_in_a_segment_that_was_left(folder: DestinationFolder) -> None:
    """What a writer left behind when it went on in the next segment is not waited for."""
    reader = write(folder, HEADER + lines(1) + bytes(SEGMENT_BYTES) + lines(3))
    write(folder, HEADER + lines(4), number=2)

    assert numbers(read_all(reader, finished=False)) == [1, 3, 4]
    assert reader.torn == 1


@pytest.mark.parametrize(
    ("content", "found", "torn"),
    [
        (b"", [], 0),
        (bytes(5_000), [], 0),
        (HEADER, [], 0),
        (HEADER + lines(1) + lines(2)[:30], [1], 1),
        (HEADER + lines(1) + lines(2)[:30] + bytes(5_000), [1], 1),
        (HEADER + lines(1) + lines(2)[:-1], [1], 1),
        (HEADER + lines(1) + lines(2)[:30] + bytes(70) + lines(3, 4), [1, 3, 4], 1),
        (HEADER + lines(1) + bytes(70) + lines(3) + bytes(5_000), [1, 3], 1),
        (HEADER + bytes(300_000) + lines(3), [3], 1),
        (HEADER + b"garbage\n\n{}\n\xff\xfe\n" + lines(1), [1], 4),
        (HEADER[:30] + bytes(70) + lines(1), [1], 1),
        (b'{"kind":"process","version":2}\n' + lines(1), [1], 1),
        (lines(1, 2), [1, 2], 0),
    ],
)
def test_a_damaged_journal(folder: DestinationFolder, content: bytes, found: list[int], torn: int) -> None:
    """Of a dead process's journal everything whole is read; what is damaged is passed over and counted."""
    reader = write(folder, content)

    assert numbers(read_all(reader)) == found
    assert reader.torn == torn
    assert reader.position == Position(1, len(content))


def test_damage_does_not_reach_the_next_segment(folder: DestinationFolder) -> None:
    """A torn segment, an empty one and one that is missing do not keep the others from being read."""
    reader = write(folder, HEADER + lines(1) + lines(2)[:-5])
    write(folder, b"", number=2)
    write(folder, HEADER + lines(4), number=4)

    assert numbers(read_all(reader)) == [1, 4]
    assert (reader.torn, reader.position.segment) == (1, 4)


def test_a_segment_that_was_deleted_under_a_writer(folder: DestinationFolder) -> None:
    """A live journal is read on behind a segment that somebody has deleted."""
    reader = write(folder, HEADER + lines(1))
    write(folder, HEADER + lines(3) + bytes(100), number=3)

    assert numbers(read_all(reader, finished=False)) == [1, 3]


def test_all_segments_deleted(folder: DestinationFolder) -> None:
    """A journal that is gone has no records."""
    assert reader_of(folder, PROCESS).read(finished=False) == []
    assert reader_of(folder, PROCESS).read(finished=True) == []


def test_a_journal_of_another_version(folder: DestinationFolder) -> None:
    """A journal of another version is refused."""
    reader = write(folder, b'{"kind":"process","version":3,"new":true}\n{"kind":"new"}\n')

    with pytest.raises(JournalFormatError, match=r"^written in format 3; this version reads format 2\."):
        reader.read(finished=False)


def test_reading_on_from_a_position(folder: DestinationFolder) -> None:
    """A reader that begins in the middle of a segment knows who wrote it, and gives what stands behind."""
    write(folder, HEADER + lines(1, 2, 3))
    reader = JournalReader(folder, PROCESS, Position(1, len(HEADER + lines(1))))

    assert numbers(read_all(reader)) == [2, 3]
    assert reader.info == INFO


@pytest.mark.parametrize("number", [1, 30, 31, 32, 60, 61, 100, 200, 400])
def test_read_at_once(folder: DestinationFolder, number: int) -> None:
    """What is written, up to 64 kB, is read at once, and not far beyond: a batch is not cut into small ones."""
    content = HEADER + lines(*range(number))
    assert len(content) < 1 << 16
    reader = write(folder, content + bytes(SEGMENT_BYTES))

    assert numbers(reader.read(finished=False)) == list(range(number))
    assert reader.read(finished=False) == []


def test_a_large_backlog(folder: DestinationFolder) -> None:
    """A long journal is read in pieces, and a record larger than a piece comes whole."""
    journal = new_journal(folder)
    sizes = [1_000] * 900 + [3_000_000] + [1_000] * 300
    for number, size in enumerate(sizes):
        journal.append(event(number, size=size))
    reader = reader_of(folder, journal.process)
    pieces = []
    while piece := reader.read(finished=False):
        pieces.append(numbers(piece))
    journal.close()

    assert [number for piece in pieces for number in piece] == list(range(len(sizes)))
    assert len(pieces) > 5
    assert max(map(len, pieces)) < 300


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    parts=st.lists(st.sampled_from([HEADER, lines(1), lines(2)[:25], bytes(9), b"\n", b"{", b"}\n"]) | st.binary()),
    finished=st.booleans(),
)
def test_any_content(folder: DestinationFolder, parts: list[bytes], *, finished: bool) -> None:
    """Whatever stands in a file, reading comes to an end; that of a dead process at the file's end."""
    content = b"".join(parts)
    reader = write(folder, content)

    try:
        read_all(reader, finished=finished)
    except JournalFormatError:
        return
    assert reader.position.offset <= len(content)
    assert not finished or reader.position.offset == len(content)

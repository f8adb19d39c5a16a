"""Delivery for processes that come, stay and go."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from langchain_autotrace.journal import codec
from langchain_autotrace.ship.shipper import Shipper
from tests.journal.support import INFO, new_journal
from tests.journal.support import event as filler
from tests.ship.support import (
    DOWN,
    Clock,
    ScriptedSink,
    a_status,
    end,
    left_in,
    run,
    shipper_of,
    spans_of,
    start,
    status_of,
    trace_id,
    whole,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_autotrace.journal.folder import DestinationFolder


def test_processes_that_end(folder: DestinationFolder, clock: Clock) -> None:
    """What a dead process left is delivered to the end, lost spans too, and all its files go; a live one stays."""
    sink, journals = ScriptedSink(), [new_journal(folder) for _ in range(3)]
    for number, journal in enumerate(journals):
        write(journal, *whole(10 + number), start(20 + number, 1), filler(1))
    journals[0].close()
    journals[1].close()
    shipper = shipper_of(folder, sink, clock)
    run(shipper, clock, 1.0)

    assert folder.processes() == {journals[2].process}
    assert set(sink.spans) == {trace_id(number) for number in (10, 11, 12, 20, 21)}
    assert status_of(folder) == a_status(5, orphans=3)
    journals[2].close()
    run(shipper, clock, 1.0)
    assert left_in(folder) == set()
    assert set(sink.spans) == {trace_id(number) for number in (10, 11, 12, 20, 21, 22)}
    assert status_of(folder) == a_status(6, orphans=3)


@pytest.fixture
def few_files() -> Iterator[None]:
    """Let this process open a few files more, and no others."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 16, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="it counts the open files as Linux tells them")
@pytest.mark.usefixtures("few_files")
def test_many_processes(folder: DestinationFolder, clock: Clock) -> None:
    """A backlog of more processes than a process may open files is delivered."""
    for number in range(200):
        line = b"".join(map(codec.encode, [INFO, *whole(number)]))
        folder.segment(f"p{number}", 1).write_bytes(line)
    sink = ScriptedSink()

    assert shipper_of(folder, sink, clock).drain(timeout=100.0)
    assert len(sink.spans) == 200
    assert left_in(folder) == set()


def test_one_process_that_writes_much(folder: DestinationFolder, clock: Clock) -> None:
    """A process whose journal is long does not keep the others' traces waiting."""
    journals = [new_journal(folder), new_journal(folder)]
    for journal in journals:
        write(journal, filler(1))
    much, little = sorted(journals, key=lambda journal: journal.process)
    for number in range(10_000):
        write(much, *whole(number, spans=1))
    write(little, *whole(10_000))
    sink = ScriptedSink()
    shipper = shipper_of(folder, sink, clock)
    while trace_id(10_000) not in sink.spans:
        shipper.step()

    assert len(sink.spans) < 1_000


def test_serving_until_nothing_is_left(folder: DestinationFolder, clock: Clock) -> None:
    """A shipper stays while a process lives, and a while after the last one is gone."""
    sink, journal = ScriptedSink(), new_journal(folder)
    write(journal, *whole(1))
    ends_at = clock() + 50.0

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if clock() >= ends_at and journal.process:
            journal.close()

    Shipper(folder, sink, clock=clock, sleep=sleep).serve(linger=5.0, patience=300.0)

    assert 1_055.0 <= clock() < 1_056.0
    assert sink.spans == spans_of(whole(1))
    assert left_in(folder) == set()


def test_a_process_that_comes_while_a_shipper_lingers(folder: DestinationFolder, clock: Clock) -> None:
    """A shipper that waits for the next process serves it, and begins to wait anew."""
    sink = ScriptedSink()

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if clock() >= 1_004.0 and not sink.spans:
            journal = new_journal(folder)
            write(journal, *whole(1))
            journal.close()

    Shipper(folder, sink, clock=clock, sleep=sleep).serve(linger=5.0, patience=300.0)

    assert sink.spans == spans_of(whole(1))
    assert 1_009.0 <= clock() < 1_010.0


def test_a_process_that_comes_at_the_last_moment(folder: DestinationFolder, clock: Clock) -> None:
    """A shipper that is about to go looks once more whether somebody has come."""
    sink = ScriptedSink()
    shipper = shipper_of(folder, sink, clock)
    shipper.step()
    journal = new_journal(folder)
    write(journal, *whole(1))
    journal.close()
    shipper.serve(linger=0.0, patience=0.0)

    assert sink.spans == spans_of(whole(1))


def test_draining(folder: DestinationFolder, clock: Clock) -> None:
    """Draining delivers what has ended, the lost traces of the dead, and tells whether a store was there."""
    alive, dead = new_journal(folder), new_journal(folder)
    write(alive, *whole(1), start(2, 1), start(2, 2, 1), end(2, 1), start(3, 1))
    write(dead, start(4, 1))
    dead.close()
    sink = ScriptedSink([DOWN] * 3)

    assert not shipper_of(folder, sink, clock).drain(timeout=1.0)
    assert shipper_of(folder, sink, clock).drain(timeout=10.0)
    assert set(sink.spans) == {trace_id(1), trace_id(2), trace_id(4)}
    assert folder.processes() == {alive.process}
    alive.close()

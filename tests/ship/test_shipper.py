"""Delivery: batches, faults, crashes, processes that come and go."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from langchain_autotrace.journal import checkpoint
from langchain_autotrace.journal.folder import DestinationFolder
from langchain_autotrace.semconv import Attr, Outcome, Status
from langchain_autotrace.ship.shipper import Shipper
from langchain_autotrace.ship.sink import MemorySink
from tests.journal.support import INFO, new_journal
from tests.ship.support import (
    DOWN,
    Clock,
    ScriptedSink,
    a_status,
    end,
    event,
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
    from pathlib import Path

    from langchain_autotrace.records import Record, SpanEnd
    from langchain_autotrace.trace.spans import Trace


def test_batches(folder: DestinationFolder, clock: Clock) -> None:
    """Traces go to the sink by five hundred and what one more read gives; fewer wait a moment for others."""
    sink, journal = ScriptedSink(), new_journal(folder)
    records = [record for number in range(1_250) for record in whole(number)]
    write(journal, *records)
    shipper = shipper_of(folder, sink, clock)
    run(shipper, clock, 0.3)
    at_once = list(sink.batches)
    write(journal, *whole(1_250))
    run(shipper, clock, 0.19)
    before = list(sink.batches)
    run(shipper, clock, 0.05)

    assert (sum(at_once), len(at_once)) == (1_250, 3)
    assert min(at_once[:2]) >= 500
    assert before == at_once
    assert sink.batches == [*at_once, 1]
    assert sink.spans == spans_of([*records, *whole(1_250)])
    assert status_of(folder) == a_status(1_251)


@pytest.mark.parametrize("dead", [False, True])
def test_batches_that_somebody_waits_for(folder: DestinationFolder, clock: Clock, *, dead: bool) -> None:
    """Batches are full, too, where a process has ended or waits for its traces: not what one read of 64 kB gave."""
    sink, journal = ScriptedSink(), new_journal(folder)
    for number in range(700):
        write(journal, *whole(number))
    if dead:
        journal.close()
    else:
        journal.request_flush()
    run(shipper_of(folder, sink, clock), clock, 0.1)

    assert sum(sink.batches) == 700
    assert 500 <= sink.batches[0] <= 700
    assert len(sink.batches) <= 2


def test_batches_of_large_traces(folder: DestinationFolder, clock: Clock) -> None:
    """A batch has eight megabytes of records at most, and what one more read gives."""
    sink, journal = ScriptedSink(), new_journal(folder)
    for number in range(30):
        write(journal, start(number, 1, inputs="x" * 500_000), end(number, 1, outputs="y" * 500_000))
    run(shipper_of(folder, sink, clock), clock, 0.3)

    assert sum(sink.batches) == 30
    assert 7 <= max(sink.batches) <= 10


def test_who_wrote_a_trace(folder: DestinationFolder, clock: Clock) -> None:
    """A trace says which process it is from, also after another shipper has begun in the middle of the journal."""
    seen: list[Trace] = []

    class Watching(MemorySink):
        def write(self, batch: list[Trace]) -> None:  # type: ignore[override] # what the shipper gives
            seen.extend(batch)

    journal = new_journal(folder)
    for number in (1, 2):
        write(journal, *whole(number))
        shipper_of(folder, Watching(), clock).drain(timeout=1.0)

    assert [(trace.trace_id, trace.process) for trace in seen] == [(trace_id(1), INFO), (trace_id(2), INFO)]


def test_a_flush(folder: DestinationFolder, clock: Clock) -> None:
    """A request for delivery is answered when everything before it is stored, at once, and not before."""
    sink, journal = ScriptedSink([DOWN, DOWN]), new_journal(folder)
    records: list[Record] = [start(1, 1), start(1, 2, 1), end(1, 1), *whole(2), start(3, 1)]
    write(journal, *records)
    mark = journal.request_flush()
    shipper = shipper_of(folder, sink, clock)
    answers: list[tuple[int, int]] = []
    while len(answers) < 300 and checkpoint.glance(folder, journal.process).flushed < mark:
        answers.append((checkpoint.glance(folder, journal.process).flushed, len(sink.spans)))
        if not shipper.step():
            clock.sleep(0.01)

    assert set(answers) == {(0, 0)}
    assert clock() < 1_002.0
    assert sink.spans == spans_of(records[:-1])
    assert checkpoint.load(folder, journal.process).unfinished == (start(3, 1), start(1, 2, 1))


def test_a_flush_under_a_load_that_never_ends(folder: DestinationFolder, clock: Clock) -> None:
    """A request for delivery is answered though more traces come than the store takes, and segments go."""
    journal = new_journal(folder)
    numbers_of_traces = iter(range(1, 10**6))

    class Busy(ScriptedSink):
        def write(self, batch: list[Trace]) -> None:  # type: ignore[override] # what the shipper gives
            super().write(batch)
            for _ in range(700):
                write(journal, *whole(next(numbers_of_traces)))

    write(journal, *whole(0))
    mark = journal.request_flush()
    shipper = shipper_of(folder, Busy(), clock)
    for _ in range(100):
        shipper.step()

    assert checkpoint.load(folder, journal.process).flushed == mark
    assert min(folder.segments(journal.process)) > 1


def test_a_trace_that_goes_on_for_long(folder: DestinationFolder, clock: Clock) -> None:
    """Segments are removed though a trace that began in them is still open, and it is whole in the end."""
    sink, journal = ScriptedSink(), new_journal(folder)
    long: list[Record] = [start(1, 1, inputs="x" * 1_000), start(1, 2, 1), event(1, 2)]
    write(journal, *long)
    segments = []
    for number in range(10, 40):
        write(journal, start(number, 1, inputs="x" * 100_000), end(number, 1))
        run(shipper_of(folder, sink, clock), clock, 0.5)
        segments.append(folder.segments(journal.process))
    write(journal, end(1, 2), end(1, 1))
    run(shipper_of(folder, sink, clock), clock, 0.5)

    assert [len(one) for one in segments] == [1] * 30
    assert segments[-1][0] > 5
    assert sink.spans[trace_id(1)] == spans_of([*long, end(1, 2), end(1, 1)])[trace_id(1)]
    assert len(sink.spans) == 31


def failed(span: int, *classes: str) -> SpanEnd:
    """The end of a run of the first trace that an exception of these classes has left."""
    return end(1, span, outputs=None)._replace(details={"error": {"classes": [*classes], "message": ""}})


@pytest.mark.parametrize("restarts", [False, True])
def test_a_stream_that_was_closed_before_its_steps(folder: DestinationFolder, clock: Clock, *, restarts: bool) -> None:
    """Steps that closing a stream has cancelled are no errors, also when another shipper delivers them."""
    sink, journal = ScriptedSink(), new_journal(folder)
    first = shipper_of(folder, sink, clock)
    write(journal, start(1, 1), start(1, 2, 1), failed(1, "GeneratorExit", "BaseException"))
    assert first.drain(timeout=1.0)
    write(journal, failed(2, "asyncio.exceptions.CancelledError", "BaseException"))
    assert (shipper_of(folder, sink, clock) if restarts else first).drain(timeout=1.0)

    assert [(span.status, span.attributes) for span in sink.spans[trace_id(1)].values()] == [
        (Status.OK, {Attr.OUTCOME: Outcome.ABANDONED})
    ] * 2


class SlowFolder(DestinationFolder):
    """A folder in which a checkpoint takes half a second."""

    clock: Clock

    def checkpoint(self, process: str) -> Path:
        """Take time."""
        self.clock.sleep(0.5)
        return super().checkpoint(process)


def test_a_checkpoint_that_takes_long(folder: DestinationFolder, clock: Clock) -> None:
    """Where writing down the open traces takes time, it is done seldom; at once for a flush, and when told to stop."""
    slow = SlowFolder(folder.path)
    slow.clock = clock
    sink, journal = ScriptedSink(), new_journal(folder)
    shipper = shipper_of(slow, sink, clock)
    saved: list[int] = []

    def deliver_one(number: int) -> None:
        write(journal, *whole(number))
        run(shipper, clock, 0.3)
        saved.append(checkpoint.glance(folder, journal.process).delivered)

    for number in range(100):
        deliver_one(number)
    mark = journal.request_flush()
    run(shipper, clock, 0.1)
    flushed = checkpoint.glance(folder, journal.process)
    deliver_one(100)
    shipper.serve(linger=0.0, patience=0.0, stop=lambda: True)

    assert sum(sink.batches) == 101
    assert 3 <= len(set(saved)) <= 6
    assert (flushed.flushed, flushed.delivered, saved[-1]) == (mark, 100, 100)
    assert checkpoint.glance(folder, journal.process).delivered == 101
    journal.close()


def test_a_journal_written_all_the_while(folder: DestinationFolder) -> None:
    """Traces of threads that never pause are all delivered once, while the shipper works beside them."""
    sink, journal = ScriptedSink(), new_journal(folder)
    shipper = Shipper(folder, sink)

    def work(first: int) -> None:
        for number in range(first, first + 300):
            write(journal, *whole(number))

    threads = [threading.Thread(target=work, args=(first,)) for first in (0, 300, 600)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        shipper.step()
    journal.close()
    shipper.serve(linger=0.0, patience=0.0)

    assert sink.spans == spans_of(record for number in range(900) for record in whole(number))
    assert status_of(folder) == a_status(900)


def test_a_note_about_a_model(folder: DestinationFolder, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the sink notes is in the status before the checkpoint says that the trace is stored: no reader misses it."""
    sink, journal = ScriptedSink(), new_journal(folder)
    sink.notes.append("the chain 'x' could not be logged as a model")
    write(journal, *whole(1))
    noted: list[object] = []
    save = checkpoint.save

    def saved(*given: Any) -> None:
        noted.append(folder.read_status().get("notes"))
        save(*given)

    monkeypatch.setattr(checkpoint, "save", saved)
    shipper_of(folder, sink, clock).drain(timeout=1.0)

    assert noted == [sink.notes]

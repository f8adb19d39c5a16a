"""Delivery: batches, faults, crashes, processes that come and go."""

from __future__ import annotations

import re
import resource
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pytest

from langchain_autotrace.errors import SinkUnavailable, TraceRejected
from langchain_autotrace.journal import checkpoint, codec
from langchain_autotrace.ship.shipper import Shipper
from langchain_autotrace.ship.sink import MemorySink
from langchain_autotrace.span import Outcome, Record
from tests.journal.support import INFO, new_folder, new_journal
from tests.journal.support import event as filler
from tests.ship.support import Clock, ScriptedSink, end, event, joined, start, trace_id, whole, write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_autotrace.journal.folder import DestinationFolder
    from langchain_autotrace.ship.assemble import FinishedTrace

DOWN = SinkUnavailable("the store is down")


@pytest.fixture
def folder(tmp_path: Path) -> DestinationFolder:
    """A destination folder."""
    return new_folder(tmp_path)


@pytest.fixture
def clock() -> Clock:
    """A clock to turn."""
    return Clock()


def shipper_of(folder: DestinationFolder, sink: MemorySink, clock: Clock) -> Shipper:
    """A shipper whose time the test makes."""
    return Shipper(folder, sink, clock=clock, sleep=clock.sleep)


def run(shipper: Shipper, clock: Clock, seconds: float) -> None:
    """Let a shipper work for some time, as ``serve`` does."""
    end_at = clock() + seconds
    while clock() < end_at:
        if not shipper.step():
            clock.sleep(0.01)


def left_in(folder: DestinationFolder) -> set[str]:
    """The files of processes that are there."""
    return {
        path.suffix for path in folder.path.iterdir() if path.suffix in {".jsonl", ".alive", ".checkpoint", ".part"}
    }


def status_of(folder: DestinationFolder) -> dict[str, object]:
    """The status, without its times."""
    return {key: value for key, value in folder.read_status().items() if "time" not in key and "since" not in key}


def a_status(delivered: int, **fields: object) -> dict[str, object]:
    """A status without trouble."""
    return {
        "delivered": delivered, "rejected": 0, "torn": 0, "orphans": 0, "error": None, "unreadable": {}, **fields
    }  # fmt: skip


def test_batches(folder: DestinationFolder, clock: Clock) -> None:
    """Traces go to the sink a hundred at a time; fewer wait a moment for others."""
    sink, journal = ScriptedSink(), new_journal(folder)
    records = [record for number in range(250) for record in whole(number)]
    write(journal, *records)
    shipper = shipper_of(folder, sink, clock)
    run(shipper, clock, 0.3)
    at_once = list(sink.batches)
    write(journal, *whole(250))
    run(shipper, clock, 0.19)
    before = list(sink.batches)
    run(shipper, clock, 0.05)

    assert (sum(at_once), max(at_once)) == (250, 100)
    assert before == at_once
    assert sink.batches == [*at_once, 1]
    assert sink.spans == joined([*records, *whole(250)])
    assert status_of(folder) == a_status(251)


def test_who_wrote_a_trace(folder: DestinationFolder, clock: Clock) -> None:
    """A trace says which process it is from, also after another shipper has begun in the middle of the journal."""
    seen: list[FinishedTrace] = []

    class Watching(MemorySink):
        def write(self, batch: list[FinishedTrace]) -> None:  # type: ignore[override] # what the shipper gives
            seen.extend(batch)

    journal = new_journal(folder)
    for number in (1, 2):
        write(journal, *whole(number))
        shipper_of(folder, Watching(), clock).drain(timeout=1.0)

    assert [(trace.trace_id, trace.process) for trace in seen] == [(trace_id(1), INFO), (trace_id(2), INFO)]


class Timed(ScriptedSink):
    """Notes when it was written to."""

    def __init__(self, clock: Clock, faults: list[Exception | None]) -> None:
        """``faults`` as for a scripted sink."""
        super().__init__(faults)
        self.clock = clock
        self.times: list[float] = []

    def write(self, batch: list[FinishedTrace]) -> None:  # type: ignore[override] # what the shipper gives
        """Note the time, and do as told."""
        self.times.append(self.clock())
        super().write(batch)


def test_a_store_that_is_down(folder: DestinationFolder, clock: Clock) -> None:
    """While a store is down it is tried again after ever longer pauses, everything is kept, and the status says why."""
    sink, journal = Timed(clock, [DOWN] * 9), new_journal(folder)
    write(journal, *whole(1))
    shipper = shipper_of(folder, sink, clock)
    run(shipper, clock, 30.0)
    status = folder.read_status()

    assert sink.spans == {}
    assert status_of(folder) == a_status(0, error="the store is down")
    assert abs(status["failing_since"] - time.time()) < 60
    write(journal, *whole(2))
    run(shipper, clock, 150.0)
    pauses = [round(later - sooner, 1) for sooner, later in zip(sink.times, sink.times[1:], strict=False)]
    assert pauses[:9] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    assert sink.spans == joined([*whole(1), *whole(2)])
    assert folder.read_status()["failing_since"] is None
    assert status_of(folder) == a_status(2)


def test_a_store_that_is_down_for_days(folder: DestinationFolder, clock: Clock) -> None:
    """However often a store was tried, it is tried again."""
    sink, journal = Timed(clock, [DOWN] * 1_200), new_journal(folder)
    write(journal, *whole(1))
    shipper = shipper_of(folder, sink, clock)
    for _ in range(1_300):
        clock.sleep(30.0)
        shipper.step()
        shipper.step()

    assert sink.spans == joined(whole(1))


def test_an_error_of_yesterday(folder: DestinationFolder, clock: Clock) -> None:
    """A shipper that finds nothing to deliver takes back what the last one complained of."""
    folder.status_file.write_bytes(orjson.dumps(a_status(7, error="it was down", failing_since=1.0)))
    shipper_of(folder, MemorySink(), clock).drain(timeout=1.0)

    assert status_of(folder) == a_status(7)


@pytest.mark.parametrize("poison", [0, 42, 99])
def test_a_trace_that_is_refused(folder: DestinationFolder, clock: Clock, poison: int) -> None:
    """One trace among a hundred that the store refuses is set aside alone, whole and with the reason."""
    sink, journal = ScriptedSink(poison=[poison]), new_journal(folder)
    records: list[Record] = [record for number in range(100) if number != poison for record in whole(number)]
    bad: list[Record] = [start(poison, 1), start(poison, 2, 1), event(poison, 2), end(poison, 2), end(poison, 1)]
    for number in range(100):
        write(journal, *(bad if number == poison else whole(number)))
    shipper = shipper_of(folder, sink, clock)

    assert shipper.drain(timeout=10.0)
    assert sink.spans == joined(records)
    (path,) = folder.rejected.iterdir()
    head, *lines = path.read_bytes().splitlines()
    said = orjson.loads(head)
    assert path.name == f"{trace_id(poison)}.jsonl"
    assert (said["reason"], said["process"]) == (f"1 traces with {trace_id(poison)[-3:]}", journal.process)
    assert joined(map(codec.decode, lines)) == joined(bad)
    assert (path.stat().st_mode & 0o777, folder.rejected.stat().st_mode & 0o777) == (0o600, 0o700)
    assert status_of(folder) == a_status(99, rejected=1)
    assert checkpoint.load(folder, journal.process)[1:4] == (0, 99, 1)


def test_a_fault_while_a_refused_trace_is_looked_for(folder: DestinationFolder, clock: Clock) -> None:
    """A store that goes down in the middle of it has every trace stored or set aside once in the end, and counted."""
    refused = TraceRejected("one of them")
    sink = ScriptedSink([refused, None, DOWN, refused, None, refused, DOWN, refused, None, refused])
    journal = new_journal(folder)
    records = [record for number in range(8) for record in whole(number)]
    write(journal, *records)
    shipper_of(folder, sink, clock).drain(timeout=100.0)

    (path,) = folder.rejected.iterdir()
    assert sorted([*sink.spans, path.stem]) == [trace_id(number) for number in range(8)]
    assert status_of(folder) == a_status(7, rejected=1)


def test_late_spans_of_a_refused_trace(folder: DestinationFolder, clock: Clock) -> None:
    """Spans that come after the rest of their trace was set aside are set aside beside it, the same ones once."""
    sink, journal = ScriptedSink(poison=[1]), new_journal(folder)
    shipper = shipper_of(folder, sink, clock)
    records: list[Record] = [start(1, 1), start(1, 2, 1), end(1, 1), event(1, 2), end(1, 2)]
    write(journal, *records[:3])
    shipper.drain(timeout=1.0)
    write(journal, *records[3:])
    shipper.drain(timeout=1.0)

    (path,) = folder.rejected.iterdir()
    _, *lines = path.read_bytes().splitlines()
    found = [codec.decode(line) for line in lines]
    assert found == [start(1, 1), end(1, 1), start(1, 2, 1), event(1, 2), end(1, 2)]


def test_a_flush(folder: DestinationFolder, clock: Clock) -> None:
    """A request for delivery is answered when everything before it is stored, at once, and not before."""
    sink, journal = ScriptedSink([DOWN, DOWN]), new_journal(folder)
    records: list[Record] = [start(1, 1), start(1, 2, 1), end(1, 1), *whole(2), start(3, 1)]
    write(journal, *records)
    mark = journal.flush_mark()
    shipper = shipper_of(folder, sink, clock)
    answers: list[tuple[int, int]] = []
    while len(answers) < 300 and checkpoint.glance(folder, journal.process).flushed < mark:
        answers.append((checkpoint.glance(folder, journal.process).flushed, len(sink.spans)))
        if not shipper.step():
            clock.sleep(0.01)

    assert set(answers) == {(0, 0)}
    assert clock() < 1_002.0
    assert sink.spans == joined(records[:-1])
    assert checkpoint.load(folder, journal.process).unfinished == (start(3, 1), start(1, 2, 1))


def test_a_flush_under_a_load_that_never_ends(folder: DestinationFolder, clock: Clock) -> None:
    """A request for delivery is answered though more traces come than the store takes, and segments go."""
    journal = new_journal(folder)
    numbers_of_traces = iter(range(1, 10**6))

    class Busy(ScriptedSink):
        def write(self, batch: list[FinishedTrace]) -> None:  # type: ignore[override] # what the shipper gives
            super().write(batch)
            for _ in range(150):
                write(journal, *whole(next(numbers_of_traces)))

    write(journal, *whole(0))
    mark = journal.flush_mark()
    shipper = shipper_of(folder, Busy(), clock)
    for _ in range(100):
        shipper.step()

    assert checkpoint.load(folder, journal.process).flushed == mark
    assert min(folder.segments(journal.process)) > 1


class Crash(BaseException):
    """Ends a shipper at a certain moment."""


class Crashing(MemorySink):
    """Stores, and ends the shipper with every third write."""

    def write(self, batch: list[FinishedTrace]) -> None:  # type: ignore[override] # what the shipper gives
        """Store, and maybe crash."""
        super().write(batch)
        if self.writes % 3 == 1:
            raise Crash


def test_a_crash_between_store_and_checkpoint(folder: DestinationFolder, clock: Clock) -> None:
    """After a crash, what was stored and not written down is delivered again, the same spans, and nothing is lost."""
    sink, journal = Crashing(), new_journal(folder)
    records: list[Record] = [record for number in range(450) for record in whole(number)]
    records += [start(900, 1), start(900, 2, 1), end(900, 1)]
    write(journal, *records)
    journal.close()
    crashes = 0
    while folder.processes():
        shipper = shipper_of(folder, sink, clock)
        try:
            shipper.serve(linger=0.0, patience=0.0)
        except Crash:
            crashes += 1

    assert crashes >= 4
    stored = {trace: spans for trace, spans in sink.spans.items() if trace != trace_id(900)}
    assert stored == joined(records[:-3])
    late = sink.spans[trace_id(900)]
    assert [span.end and orjson.loads(span.end.attributes) for span in late.values()] == [{}, {"outcome": Outcome.LOST}]
    assert left_in(folder) == set()


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
    assert sink.spans[trace_id(1)] == joined([*long, end(1, 2), end(1, 1)])[trace_id(1)]
    assert len(sink.spans) == 31


def test_a_journal_of_another_version(folder: DestinationFolder, clock: Clock) -> None:
    """A journal, or a checkpoint, of another version is left as it is, and the status says so; others are delivered."""
    new, saved = folder.segment("new", 1), folder.checkpoint("saved")
    new.write_bytes(b'{"kind":"process","version":9}\n{"kind":"what"}\n')
    saved.write_bytes(b'{"version":8,"segment":1,"offset":0}\n')
    folder.segment("saved", 1).write_bytes(b"")
    before = {path: path.read_bytes() for path in (new, saved)}
    journal = new_journal(folder)
    write(journal, *whole(1))
    journal.close()
    sink = ScriptedSink()
    shipper = shipper_of(folder, sink, clock)
    shipper.serve(linger=0.0, patience=0.0)

    assert sink.spans == joined(whole(1))
    assert {path: path.read_bytes() for path in before} == before
    assert status_of(folder)["unreadable"] == {
        "new": "written in format 9; this version reads format 1. Use the version that wrote it.",
        "saved": f"{saved} was written in format 8; this version reads format 1.",
    }
    assert shipper.unserved() == set()


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


def test_a_torn_journal(folder: DestinationFolder, clock: Clock) -> None:
    """Torn records are counted, in the checkpoint and in the status."""
    journal = new_journal(folder)
    write(journal, *whole(1))
    with folder.segment(journal.process, 1).open("r+b") as file:
        content = file.read()
        file.seek(content.index(b"\x00"))
        file.write(b'{"kind":"start","tra')
    journal._segment = None
    journal.close()
    shipper_of(folder, MemorySink(), clock).drain(timeout=1.0)

    assert status_of(folder) == a_status(1, torn=1)
    assert left_in(folder) == set()


def test_a_large_backlog_and_no_store(folder: DestinationFolder, clock: Clock) -> None:
    """While a store is down only a part of a large journal is read; all of it is delivered when the store is back."""
    journal = new_journal(folder)
    for number in range(20_000):
        journal.append(start(number, 1))
        journal.append(end(number, 1))
    sink = ScriptedSink([DOWN] * 6)
    shipper = shipper_of(folder, sink, clock)
    run(shipper, clock, 20.0)

    assert 100 <= len(shipper._waiting) <= 400
    run(shipper, clock, 100.0)
    assert sorted(sink.spans) == [trace_id(number) for number in range(20_000)]
    assert status_of(folder) == a_status(20_000)
    assert len(folder.segments(journal.process)) == 1


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
    much, little = new_journal(folder), new_journal(folder)
    for number in range(10_000):
        write(much, *whole(number, spans=1))
    write(little, *whole(10_000))
    sink = ScriptedSink()
    shipper = shipper_of(folder, sink, clock)
    while trace_id(10_000) not in sink.spans:
        shipper.step()

    assert len(sink.spans) < 3_000


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
    assert sink.spans == joined(whole(1))
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

    assert sink.spans == joined(whole(1))
    assert 1_009.0 <= clock() < 1_010.0


def test_losing_patience(folder: DestinationFolder, clock: Clock) -> None:
    """When all processes are gone a store that stays down is given up, and the journal stays."""
    journal = new_journal(folder)
    write(journal, *whole(1))
    journal.close()
    sink = ScriptedSink([DOWN] * 1_000)
    shipper = shipper_of(folder, sink, clock)
    shipper.serve(linger=5.0, patience=300.0)

    assert 1_300.0 <= clock() < 1_301.0
    assert shipper.error == "the store is down"
    assert shipper_of(folder, MemorySink(), clock).drain(timeout=1.0)


def test_a_live_process_keeps_a_shipper(folder: DestinationFolder, clock: Clock) -> None:
    """While a process lives its shipper does not give up a store that is down."""
    journal = new_journal(folder)
    write(journal, *whole(1))
    shipper_of(folder, ScriptedSink([DOWN] * 10_000), clock).serve(
        linger=0.0, patience=1.0, stop=lambda: clock() > 2_000.0
    )

    assert clock() > 2_000.0
    journal.close()


def test_stopping(folder: DestinationFolder, clock: Clock) -> None:
    """A shipper that is told to stop does so, and has written down what it has delivered."""
    sink, journal = ScriptedSink(), new_journal(folder)
    write(journal, *whole(1))
    shipper_of(folder, sink, clock).serve(linger=0.0, patience=0.0, stop=lambda: bool(sink.spans))

    assert checkpoint.load(folder, journal.process).delivered == 1
    journal.close()


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


def test_a_folder_that_cannot_be_written_for_a_while(folder: DestinationFolder, clock: Clock) -> None:
    """A folder that takes no checkpoint is said and tried again, and then nothing is missing."""
    sink, journal = ScriptedSink(), new_journal(folder)
    write(journal, *whole(1))
    obstacle = folder.checkpoint(journal.process)
    obstacle.mkdir()
    shipper = shipper_of(folder, sink, clock)
    run(shipper, clock, 5.0)
    said = status_of(folder)["error"]
    obstacle.rmdir()
    run(shipper, clock, 60.0)

    assert re.match(rf"the journal folder {folder.path}: .*Is a directory", str(said))
    assert sink.spans == joined(whole(1))
    assert status_of(folder) == a_status(1)
    assert checkpoint.load(folder, journal.process).delivered == 1


def test_a_checkpoint_that_takes_long(folder: DestinationFolder) -> None:
    """With so many open traces that writing them down takes time, that is done seldom, but at once for a flush."""
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 0.01  # each look at the clock takes as long as the work between two
        return now

    journal, sink = new_journal(folder), ScriptedSink()
    shipper = Shipper(folder, sink, clock=clock, sleep=lambda _: None)
    saved = set()
    for number in range(300):
        write(journal, *whole(number))
        shipper.step()
        saved.add(checkpoint.glance(folder, journal.process).position)
    seldom, before = len(saved), checkpoint.glance(folder, journal.process).flushed
    mark = journal.flush_mark()
    for _ in range(5):
        shipper.step()

    assert 3 <= seldom <= len(sink.batches)
    assert (before, checkpoint.glance(folder, journal.process).flushed) == (0, mark)


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

    assert sink.spans == joined(record for number in range(900) for record in whole(number))
    assert status_of(folder) == a_status(900)

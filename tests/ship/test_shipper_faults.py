"""Delivery when something is wrong: stores that are down or refuse, crashes, folders that cannot be written."""

from __future__ import annotations

import itertools
import re
import time
from random import Random
from typing import TYPE_CHECKING

import orjson
import pytest

from langchain_autotrace.errors import TraceRejected
from langchain_autotrace.journal import checkpoint, codec
from langchain_autotrace.semconv import Attr, Outcome
from langchain_autotrace.ship.sink import MemorySink
from tests.journal.support import INFO, new_journal
from tests.ship.support import (
    DOWN,
    Clock,
    ScriptedSink,
    a_status,
    end,
    event,
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
    from langchain_autotrace.journal.folder import DestinationFolder
    from langchain_autotrace.records import Record
    from langchain_autotrace.trace.spans import Trace


class Timed(ScriptedSink):
    """Notes when it was written to."""

    def __init__(self, clock: Clock, faults: list[Exception | None]) -> None:
        """``faults`` as for a scripted sink."""
        super().__init__(faults)
        self.clock = clock
        self.times: list[float] = []

    def write(self, batch: list[Trace]) -> None:  # type: ignore[override] # what the shipper gives
        """Note the time, and do as told."""
        self.times.append(self.clock())
        super().write(batch)


def test_a_store_that_is_down(folder: DestinationFolder, clock: Clock) -> None:
    """While a store is down it is tried again after ever longer pauses, everything is kept, and the status says why."""
    before = time.time()
    sink, journal = Timed(clock, [DOWN] * 9), new_journal(folder)
    write(journal, *whole(1))
    shipper = shipper_of(folder, sink, clock)
    run(shipper, clock, 30.0, longest=0.025)
    status = folder.read_status()

    assert sink.spans == {}
    assert status_of(folder) == a_status(0, error="the store is down")
    assert before <= status["failing_since"] <= time.time()
    write(journal, *whole(2))
    run(shipper, clock, 150.0, longest=0.025)
    times = sorted(set(sink.times))
    pauses = [round(later - sooner, 1) for sooner, later in itertools.pairwise(times)]
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0]
    assert sink.spans == spans_of([*whole(1), *whole(2)])
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

    assert sink.spans == spans_of(whole(1))


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
    assert sink.spans == spans_of(records)
    (path,) = folder.rejected.iterdir()
    head, *lines = path.read_bytes().splitlines()
    said = orjson.loads(head)
    assert path.name == f"{trace_id(poison)}.jsonl"
    assert (said["reason"], said["process"]) == (f"1 traces with {trace_id(poison)[-3:]}", journal.process)
    assert codec.decode(lines[0]) == INFO
    assert spans_of(map(codec.decode, lines[1:])) == spans_of(bad)
    assert (path.stat().st_mode & 0o777, folder.rejected.stat().st_mode & 0o777) == (0o600, 0o700)
    assert status_of(folder) == a_status(99, rejected=1)
    assert checkpoint.load(folder, journal.process)[1:4] == (0, 99, 1)


@pytest.mark.parametrize("trouble", [[0], [42], [99], [0, 50], [98, 99], range(40, 60)])
def test_a_trace_at_which_the_store_is_out_of_order(
    folder: DestinationFolder, clock: Clock, trouble: list[int]
) -> None:
    """A server that answers 500 to a trace, each time, does not keep the others waiting; the trace is set aside."""
    sink, journal = ScriptedSink(trouble=trouble, poison=[7]), new_journal(folder)
    write(journal, *(record for number in range(150) for record in whole(number)))
    shipper = shipper_of(folder, sink, clock)
    run(shipper, clock, 60.0)

    gone = {trace_id(number) for number in [*trouble, 7]}
    assert sink.spans.keys() == {trace_id(number) for number in range(150)} - gone
    assert {path.stem for path in folder.rejected.iterdir()} == gone
    head = (folder.rejected / f"{trace_id(trouble[0])}.jsonl").read_bytes().splitlines()[0]
    assert orjson.loads(head)["reason"] == "the store accepts other traces but not this one: error 500"
    assert status_of(folder) == a_status(150 - len(gone), rejected=len(gone))


def test_one_trace_at_which_the_store_is_out_of_order(folder: DestinationFolder, clock: Clock) -> None:
    """Alone it is kept and tried again; it is set aside when a later one shows that the store is well."""
    sink, journal = ScriptedSink(trouble=[1]), new_journal(folder)
    write(journal, *whole(1))
    shipper = shipper_of(folder, sink, clock)
    run(shipper, clock, 100.0)
    assert status_of(folder) == a_status(0, error="error 500")

    write(journal, *whole(2))
    run(shipper, clock, 40.0)
    assert sink.spans == spans_of(whole(2))
    assert status_of(folder) == a_status(1, rejected=1)


@pytest.mark.parametrize("fails", range(1, 12))
def test_a_store_that_goes_down_while_traces_are_tried_alone(
    folder: DestinationFolder, clock: Clock, fails: int
) -> None:
    """No trace is set aside for a store that went down meanwhile."""
    faults = [DOWN] * 4 + [None] * fails + [DOWN] * 3
    sink, journal = ScriptedSink(faults), new_journal(folder)
    records = [record for number in range(6) for record in whole(number)]
    write(journal, *records)
    run(shipper_of(folder, sink, clock), clock, 200.0)

    assert sink.spans == spans_of(records)
    assert status_of(folder) == a_status(6)


@pytest.mark.parametrize("seed", range(20))
def test_one_of_two_servers_that_is_down(folder: DestinationFolder, clock: Clock, seed: int) -> None:
    """No trace is set aside where every second request fails, or any that happens to."""
    random = Random(seed)
    every_second = itertools.islice(itertools.cycle([DOWN, None] if seed % 2 else [None, DOWN]), 200)
    faults = [DOWN] * 4 + (list(every_second) if seed < 2 else [random.choice([None, DOWN]) for _ in range(200)])
    sink, journal = ScriptedSink(faults), new_journal(folder)
    records = [record for number in range(20) for record in whole(number)]
    write(journal, *records)
    run(shipper_of(folder, sink, clock), clock, 1_000.0)

    assert sink.spans == spans_of(records)
    assert status_of(folder) == a_status(20)


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


def test_records_that_make_no_trace(folder: DestinationFolder, clock: Clock) -> None:
    """A trace whose records only look like ours is set aside, whole and with the reason, and the others are stored."""
    sink, journal = ScriptedSink(), new_journal(folder)
    bad: list[Record] = [start(1, 1)._replace(details={"truncated": 5}), end(1, 1)]
    write(journal, *whole(2), *bad, *whole(3))
    shipper_of(folder, sink, clock).drain(timeout=1.0)

    assert sink.spans == spans_of([*whole(2), *whole(3)])
    (path,) = folder.rejected.iterdir()
    head, *lines = path.read_bytes().splitlines()
    assert path.stem == trace_id(1)
    assert orjson.loads(head)["reason"].startswith("its records do not form a trace (TypeError: 'int' object")
    assert [codec.decode(line) for line in lines] == [INFO, *bad]
    assert status_of(folder) == a_status(2, rejected=1)


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
    assert found == [INFO, *records]


class Crash(BaseException):
    """Ends a shipper at a certain moment."""


class Crashing(MemorySink):
    """Stores, and ends the shipper with every third write."""

    def write(self, batch: list[Trace]) -> None:  # type: ignore[override] # what the shipper gives
        """Store, and maybe crash."""
        super().write(batch)
        if self.writes % 3 == 1:
            raise Crash


def test_a_crash_between_store_and_checkpoint(folder: DestinationFolder, clock: Clock) -> None:
    """After a crash, what was stored and not written down is delivered again, the same spans, and nothing is lost."""
    sink, journal = Crashing(), new_journal(folder)
    records: list[Record] = [record for number in range(3_000) for record in whole(number)]
    records += [start(9_000, 1), start(9_000, 2, 1), end(9_000, 1)]
    write(journal, *records)
    journal.close()
    crashes = 0
    while folder.processes():
        shipper = shipper_of(folder, sink, clock)
        try:
            shipper.serve(linger=0.0, patience=0.0)
        except Crash:
            crashes += 1

    assert crashes >= 3
    stored = {trace: spans for trace, spans in sink.spans.items() if trace != trace_id(9_000)}
    assert stored == spans_of(records[:-3])
    late = sink.spans[trace_id(9_000)]
    assert [span.attributes for span in late.values()] == [{}, {Attr.OUTCOME: Outcome.LOST}]
    assert left_in(folder) == set()


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

    assert sink.spans == spans_of(whole(1))
    assert {path: path.read_bytes() for path in before} == before
    assert status_of(folder)["unreadable"] == {
        "new": "written in format 9; this version reads format 2. Use the version that wrote it.",
        "saved": f"{saved} was written in format 8; this version reads format 2.",
    }
    assert shipper.unserved() == set()


def test_a_torn_journal(folder: DestinationFolder, clock: Clock) -> None:
    """Torn records are counted, in the checkpoint and in the status."""
    journal = new_journal(folder)
    write(journal, *whole(1))
    with folder.segment(journal.process, 1).open("r+b") as file:
        content = file.read()
        file.seek(content.index(b"\x00"))
        file.write(b'["start","000')
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
    sink = ScriptedSink([DOWN] * 1_000)
    shipper = shipper_of(folder, sink, clock)
    run(shipper, clock, 20.0)

    assert 500 <= len(shipper._waiting) <= 800
    sink.faults.clear()
    run(shipper, clock, 100.0)
    assert sorted(sink.spans) == [trace_id(number) for number in range(20_000)]
    assert status_of(folder) == a_status(20_000)
    assert len(folder.segments(journal.process)) == 1


def test_many_processes_and_no_store(folder: DestinationFolder, clock: Clock) -> None:
    """While a store is down little is read of a backlog, of however many processes it is."""
    for number in range(100):
        records = [record for trace in range(50) for record in whole(100 * number + trace)]
        folder.segment(f"p{number}", 1).write_bytes(b"".join(map(codec.encode, [INFO, *records])))
    shipper = shipper_of(folder, ScriptedSink([DOWN] * 100), clock)
    run(shipper, clock, 5.0)

    assert 500 <= len(shipper._waiting) <= 600


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

    assert re.match(rf"cannot use the journal folder {folder.path}: .*Is a directory", str(said))
    assert sink.spans == spans_of(whole(1))
    assert status_of(folder) == a_status(1)
    assert checkpoint.load(folder, journal.process).delivered == 1

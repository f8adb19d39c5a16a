"""Traces in memory: capture and the stage ``trace/``, with a list in place of the journal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Unpack

from langchain_autotrace import settings
from langchain_autotrace.capture.recorder import Recorder
from langchain_autotrace.control import captured_by
from langchain_autotrace.journal import codec
from langchain_autotrace.records import Flush, ProcessInfo, TraceRecord
from langchain_autotrace.settings import CaptureSettings
from langchain_autotrace.trace.join import Joiner
from langchain_autotrace.trace.spans import trace_of
from langchain_autotrace.view.captured import InMemory
from langchain_autotrace.view.trace_objects import Trace, TraceList

__all__ = ["CapturedTraces", "capture_traces"]

_NOWHERE: Final = "memory:"
"""Tracking URI of traces that are stored nowhere."""


class MemoryJournal:
    """A journal that keeps its lines in a list.

    Attributes:
        lines: those lines.
        put: appends a line.
    """

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.put: Callable[[bytes], object] = self.lines.append

    def write(self, line: bytes) -> bool:
        """Keep a line."""
        self.lines.append(line)
        return True


class CapturedTraces(TraceList):
    """The traces that have finished so far, as a sequence of :class:`~langchain_autotrace.testing.Trace`.

    A trace has finished when its root span has ended. What was recorded is read when it is asked for.
    """

    def __init__(self, journal: MemoryJournal) -> None:
        super().__init__()
        self._journal = journal
        self._read = 0
        self._records: dict[str, list[TraceRecord]] = {}
        self._traces: dict[str, Trace | None] = {}
        """By their ids, in the order in which they started; None while the root is open."""

    def _all(self) -> list[Trace]:
        changed: dict[str, None] = {}
        lines = self._journal.lines
        for line in lines[self._read : (end := len(lines))]:
            record = codec.decode(line.rstrip(b"\n"))
            if not isinstance(record, ProcessInfo | Flush):
                self._records.setdefault(record.trace_id, []).append(record)
                self._traces.setdefault(record.trace_id, None)
                changed[record.trace_id] = None
        self._read = end
        for trace_id in changed:
            self._traces[trace_id] = _joined(self._records[trace_id])
        return [trace for trace in self._traces.values() if trace is not None]

    def _why_none(self) -> str:
        started = len(self._traces)
        return f", but {started} that started and did not end." if started else ": nothing ran, or not in the block."


def _joined(records: list[TraceRecord]) -> Trace | None:
    """Return the trace of these records; None while its root is open."""
    joiner = Joiner()
    for record in records:
        joiner.add(record, 0.0)
    found = joiner.take(0.0, everything=True)
    if not found or found[0].root is None:
        return None
    source = InMemory(trace_of(found[0]))
    return Trace(source, source.tree().row)


@contextmanager
def capture_traces(**given: Unpack[CaptureSettings]) -> Iterator[CapturedTraces]:
    """Collect the traces of all runs within the block, in memory.

    No file is written, no process started, nothing sent: ``autolog()`` and ``AutotraceHandler()`` within the block only
    check their arguments, and record here. The block holds for the whole process, threads and tasks included; of nested
    blocks the inner one collects. Environment variables of this package's settings are not read.

    Args:
        **given: the settings of ``autolog()`` that concern what is captured: ``capture_content``, ``extra_tags``,
            ``max_file_bytes``, ``max_value_bytes``, ``redact``, ``redact_patterns``, ``sample_rate``.

    Yields:
        The traces that have finished so far, whenever it is looked at.

    Raises:
        SettingsError: a setting is invalid or does not exist.
    """
    journal = MemoryJournal()
    recorder = Recorder(settings.checked(tracking_uri=_NOWHERE, **given), codec.encode, journal)
    with captured_by(recorder):
        yield CapturedTraces(journal)

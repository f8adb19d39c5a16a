"""How far one process's journal is read, joined, delivered and written down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from langchain_autotrace.journal import checkpoint as checkpoints
from langchain_autotrace.journal.checkpoint import Checkpoint
from langchain_autotrace.journal.reader import JournalReader
from langchain_autotrace.ship.assemble import Assembler, FinishedTrace
from langchain_autotrace.span import Flush

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_autotrace.journal.folder import DestinationFolder

_SAVING_SHARE: Final = 20
"""A checkpoint holds all open traces: it is written again after this many times the time that writing it took."""


class Progress:
    """One journal that is being delivered.

    Attributes:
        dead: its process is known to have ended.
        done: all of it has been read, and what it left open was ended.
        delivered: traces stored.
        rejected: traces set aside.
    """

    def __init__(self, folder: DestinationFolder, name: str, clock: Callable[[], float]) -> None:
        """Go on from the checkpoint.

        Raises:
            JournalFormatError: it was written by another version.
        """
        self.name = name
        self.dead = self.done = False
        self._folder = folder
        self._clock = clock
        saved = checkpoints.load(folder, name)
        self._saved = saved._replace(unfinished=())
        self._save_again_at = float("-inf")
        self.delivered, self.rejected = saved.delivered, saved.rejected
        self._flush_asked = saved.flushed
        self._reader = JournalReader(folder, name, saved.position)
        self._reader.torn = saved.torn
        self._assembler = Assembler()
        for record in saved.unfinished:
            self._assembler.add(record, 0.0)
        self._assembler.orphans = saved.orphans

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for what was read: the process has asked for it, or is dead."""
        return self.dead or self._flush_asked > self._saved.flushed

    def read(self, *, everything: bool) -> tuple[bool, list[FinishedTrace]]:
        """Read on; whether there was anything, and the traces that can be delivered.

        Args:
            everything: do not wait for stragglers.

        Raises:
            JournalFormatError: the journal was written in a format of another version.
        """
        dead = self.dead
        records = self._reader.read(finished=dead)
        now, asked = self._clock(), self._flush_asked
        self._assembler.process = self._reader.info
        for record in records:
            if isinstance(record, Flush):
                self._flush_asked = max(self._flush_asked, record.number)
            else:
                self._assembler.add(record, now)
        if dead and not records:
            self.done = True
            return False, self._assembler.finish()
        return bool(records), self._assembler.take(now, everything=everything or self._flush_asked > asked)

    def save(self, *, at_once: bool) -> tuple[int, int] | None:
        """Write down that all that was read is delivered, and remove the segments that are not needed any more.

        Args:
            at_once: also when it was done a moment ago.

        Returns:
            How many torn records and orphans are new; None when there is nothing to write down, or not yet.
        """
        saved, now = self._saved, self._clock()
        if self._state() == saved or (now < self._save_again_at and not at_once and not self.is_awaited):
            return None
        current = self._state()._replace(unfinished=tuple(self._assembler.unfinished()))
        checkpoints.save(self._folder, self.name, current)
        self._saved = current._replace(unfinished=())
        self._save_again_at = now + _SAVING_SHARE * (self._clock() - now)
        if current.position.segment > saved.position.segment:
            for number in self._folder.segments(self.name):
                if number < current.position.segment:
                    self._folder.segment(self.name, number).unlink(missing_ok=True)
        return current.torn - saved.torn, current.orphans - saved.orphans

    def _state(self) -> Checkpoint:
        return Checkpoint(
            position=self._reader.position,
            flushed=self._flush_asked,
            delivered=self.delivered,
            rejected=self.rejected,
            torn=self._reader.torn,
            orphans=self._assembler.orphans,
        )

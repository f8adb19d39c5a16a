"""The shipper's progress in one process's journal: reading, joining, and the checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from langchain_autotrace.journal import checkpoint as checkpoints
from langchain_autotrace.journal.checkpoint import Checkpoint
from langchain_autotrace.journal.reader import JournalReader
from langchain_autotrace.records import Flush, PendingModel
from langchain_autotrace.trace.join import JoinedTrace, Joiner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from langchain_autotrace.journal.folder import DestinationFolder

_SAVING_SHARE: Final = 20
"""Writing a checkpoint, which contains all open traces, may take one part in this many of the time."""


class Progress:
    """The delivery of one journal.

    Attributes:
        name: name of the process that writes the journal.
        dead: whether the process is known to have ended.
        done: whether the whole journal has been read, and the spans that were still open have been ended as lost.
        delivered: number of traces stored.
        rejected: number of traces rejected.
        models: models to log, whose traces were stored.
    """

    def __init__(self, folder: DestinationFolder, name: str, clock: Callable[[], float]) -> None:
        """Start at the process's checkpoint.

        Raises:
            JournalFormatError: the checkpoint was written by another version.
        """
        self.name = name
        self.dead = self.done = False
        self._folder = folder
        self._clock = clock
        saved = checkpoints.load(folder, name)
        self._saved = saved._replace(unfinished=())
        # A shipper that was killed between writing its checkpoint and deleting has left them.
        self._remove_segments(one for one in folder.segments(name) if one < saved.position.segment)
        self._save_again_at = float("-inf")
        self.models = list(saved.models)
        self.delivered, self.rejected = saved.delivered, saved.rejected
        self._flush_asked = saved.flushed
        self._reader = JournalReader(folder, name, saved.position)
        self._reader.torn = saved.torn
        self._joiner = Joiner()
        for record in saved.unfinished:
            self._joiner.add(record, 0.0)
        self._joiner.orphans = saved.orphans

    @property
    def bytes_read(self) -> int:
        """Number of bytes of the journal that were read, from where reading began."""
        return self._reader.bytes_read

    @property
    def is_awaited(self) -> bool:
        """Whether what was read is to be delivered at once: the process has requested a flush, or has ended."""
        return self.dead or self._has_flush

    @property
    def _has_flush(self) -> bool:
        """Whether the process waits for a checkpoint that answers its flush request."""
        return self._flush_asked > self._saved.flushed

    def read(self, *, everything: bool) -> tuple[bool, list[JoinedTrace]]:
        """Read the next records; return whether there were any, and the traces that can be delivered now.

        Args:
            everything: do not wait for late spans.

        Raises:
            JournalFormatError: the journal was written in a format of another version.
        """
        dead = self.dead
        records = self._reader.read(finished=dead)
        now, flush_before = self._clock(), self._flush_asked
        self._joiner.process = self._reader.info
        for record in records:
            if isinstance(record, Flush):
                self._flush_asked = max(self._flush_asked, record.number)
            else:
                self._joiner.add(record, now)
        if dead and not records:
            self.done = True
            return False, self._joiner.finish()
        return bool(records), self._joiner.take(now, everything=everything or self._flush_asked > flush_before)

    def add_model(self, model: PendingModel) -> PendingModel:
        """Add a model to log to the checkpoint, and return it as added."""
        # Not the last request that was read: the model's run may have ended before it.
        added = model._replace(flushed=self._saved.flushed)
        self.models.append(added)
        return added

    def remove_model(self, model: PendingModel) -> None:
        """Remove a model that was logged, or noted as failed."""
        self.models = [other for other in self.models if other is not model]

    def save(self, *, at_once: bool) -> tuple[int, int] | None:
        """Write the checkpoint, and delete the segments before its position. All that was read must be delivered.

        Args:
            at_once: write it even if the last one was written only a moment ago.

        Returns:
            How many torn records and orphans were added since the last checkpoint; None when none was written, because
            nothing has changed or because it is too early.
        """
        saved, now = self._saved, self._clock()
        if self._state() == saved or (now < self._save_again_at and not at_once and not self._has_flush):
            return None
        current = self._state()._replace(unfinished=tuple(self._joiner.unfinished()))
        checkpoints.save(self._folder, self.name, current)
        self._saved = current._replace(unfinished=())
        self._save_again_at = now + _SAVING_SHARE * (self._clock() - now)
        self._remove_segments(range(saved.position.segment, current.position.segment))
        return current.torn - saved.torn, current.orphans - saved.orphans

    def _remove_segments(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._folder.segment(self.name, number).unlink(missing_ok=True)

    def _state(self) -> Checkpoint:
        return Checkpoint(
            position=self._reader.position,
            flushed=self._flush_asked,
            models_flushed=min((model.flushed for model in self.models), default=self._flush_asked),
            delivered=self.delivered,
            rejected=self.rejected,
            torn=self._reader.torn,
            orphans=self._joiner.orphans,
            pending_models=len(self.models),
            models=tuple(self.models),
        )

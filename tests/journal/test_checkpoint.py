"""What the shipper writes down of its work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from langchain_autotrace.errors import JournalFormatError
from langchain_autotrace.journal import checkpoint
from langchain_autotrace.journal.checkpoint import Checkpoint
from langchain_autotrace.journal.reader import Position
from tests.journal.support import event
from tests.journal.test_codec import records

if TYPE_CHECKING:
    from langchain_autotrace.journal.folder import DestinationFolder

PROCESS = "20260101T000000-7-abcdef"
counts = st.integers(0, 2**40)
checkpoints = st.builds(
    Checkpoint,
    position=st.builds(Position, counts, counts),
    flushed=counts,
    delivered=counts,
    rejected=counts,
    torn=counts,
    orphans=counts,
    unfinished=st.lists(records, max_size=4).map(tuple),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(written=checkpoints)
def test_any_checkpoint(folder: DestinationFolder, written: Checkpoint) -> None:
    """A checkpoint is read as it was written, and at a glance without its records."""
    checkpoint.save(folder, PROCESS, written)

    assert checkpoint.load(folder, PROCESS) == written
    assert checkpoint.glance(folder, PROCESS) == written._replace(unfinished=())
    assert [path.name for path in folder.path.glob("*.part")] == []


def test_no_checkpoint(folder: DestinationFolder) -> None:
    """Without a checkpoint, delivery begins with the first segment that is there."""
    folder.segment(PROCESS, 12).touch()
    folder.segment(PROCESS, 3).touch()

    assert checkpoint.load(folder, PROCESS) == Checkpoint(Position(3, 0))
    assert checkpoint.load(folder, "another") == Checkpoint(Position(1, 0))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"garbage",
        b"[]",
        b'{"version":2}',
        b'{"version":2,"segment":1,"offset":5,"unknown":2}',
        b'{"version":2,"segment":1,"offset":5}\ngarbage',
    ],
)
def test_a_damaged_checkpoint(folder: DestinationFolder, content: bytes) -> None:
    """With a checkpoint that cannot be read, delivery begins anew."""
    folder.checkpoint(PROCESS).write_bytes(content)

    assert checkpoint.load(folder, PROCESS) == Checkpoint(Position(1, 0))


def test_a_checkpoint_of_another_version(folder: DestinationFolder) -> None:
    """A checkpoint of another format is refused with its file and both versions named."""
    checkpoint.save(folder, PROCESS, Checkpoint(unfinished=(event(1),)))
    path = folder.checkpoint(PROCESS)
    path.write_bytes(path.read_bytes().replace(b'"version":2', b'"version":3'))

    with pytest.raises(JournalFormatError) as refused:
        checkpoint.load(folder, PROCESS)

    assert str(refused.value) == f"{path} was written in format 3; this version reads format 2."

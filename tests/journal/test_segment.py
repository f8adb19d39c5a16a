"""A segment's file, written through a memory map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from langchain_autotrace.errors import JournalClosed
from langchain_autotrace.journal.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIZE = 16


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the segment's file is to be."""
    return tmp_path / "p-000001.jsonl"


def test_lines_that_fit_and_one_that_does_not(path: Path) -> None:
    """Lines stand one behind the other; one that does not fit leaves the file as it is, and one that does goes in."""
    segment = Segment(path, SIZE)
    segment.put(b"0123456789\n")
    for _ in range(2):
        with pytest.raises(ValueError, match=r"."):
            segment.put(b"12345\n")
    assert path.read_bytes() == b"0123456789\n" + bytes(5)
    segment.put(b"1234\n")
    segment.put(b"")
    assert path.read_bytes() == b"0123456789\n1234\n"
    segment.close()


def test_sealed_and_unsealed(path: Path) -> None:
    """A sealed segment takes nothing, and goes on behind its last line once it is unsealed."""
    segment = Segment(path, SIZE)
    put = segment.put
    put(b"ab\n")
    segment.seal()
    with pytest.raises(ValueError, match=r"."):
        put(b"c")
    segment.unseal()
    put(b"cd\n")
    assert path.read_bytes() == b"ab\ncd\n" + bytes(10)
    segment.close()


def test_closed(path: Path) -> None:
    """A segment that was closed takes nothing, and its file ends with its last line."""
    segment = Segment(path, SIZE)
    put = segment.put
    put(b"ab\n")
    segment.close()
    with pytest.raises(ValueError, match=r"."):
        put(b"c")
    with pytest.raises(ValueError, match=r"."):
        segment.unseal()
    assert path.read_bytes() == b"ab\n"


def test_closed_when_the_file_is_gone(path: Path) -> None:
    """A segment whose file somebody has deleted can be closed, and makes no file."""
    segment = Segment(path, SIZE)
    path.unlink()
    segment.close()

    assert not path.exists()


def test_abandoned(path: Path) -> None:
    """A segment that a forked child abandons takes nothing from it, and its file stays as it is."""
    segment = Segment(path, SIZE)
    put = segment.put
    put(b"ab\n")
    segment.abandon()
    with pytest.raises(ValueError, match=r"."):
        put(b"c")
    assert path.read_bytes() == b"ab\n" + bytes(13)


def test_what_is_no_line(path: Path) -> None:
    """A text is an error, and leaves the file as it is."""
    segment = Segment(path, SIZE)
    put: Callable[[Any], object] = segment.put
    with pytest.raises(TypeError):
        put("text")
    assert path.read_bytes() == bytes(SIZE)
    segment.close()


def test_file_that_is_there_already(path: Path) -> None:
    """A file that is there is left as it is, and the segment's folder is named."""
    path.write_bytes(b"another's")
    with pytest.raises(JournalClosed, match=rf"^cannot write to the journal at {path.parent} \(File exists\)$"):
        Segment(path, SIZE)
    assert path.read_bytes() == b"another's"

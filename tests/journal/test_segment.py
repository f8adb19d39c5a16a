"""What writes into a segment's map: of Python, and of C."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from langchain_autotrace.capture.compiled import map_writer
from langchain_autotrace.journal.segment import MapWriter, Writer

SIZE = 16


@pytest.fixture(params=["python", "c"])
def writer_class(request: pytest.FixtureRequest) -> Callable[[mmap.mmap], Writer]:
    """Each of the two classes."""
    found = MapWriter if request.param == "python" else map_writer()
    return found or pytest.skip("not compiled, or not wanted")


@pytest.fixture
def target() -> Iterator[mmap.mmap]:
    """A map of 16 bytes; a test has to let go of it."""
    made = mmap.mmap(-1, SIZE)
    yield made
    made.close()


def test_put(writer_class: Callable[[mmap.mmap], Writer], target: mmap.mmap) -> None:
    """Lines stand one behind the other; one that does not fit leaves the map as it is, and one that does goes in."""
    writer = writer_class(target)
    writer.put(b"0123456789\n")
    for _ in range(2):
        with pytest.raises(ValueError, match=r"."):
            writer.put(b"12345\n")
    assert target[:] == b"0123456789\n" + bytes(5)
    writer.put(b"1234\n")
    writer.put(b"")
    assert target[:] == b"0123456789\n1234\n"
    writer.release()


def test_seal(writer_class: Callable[[mmap.mmap], Writer], target: mmap.mmap) -> None:
    """A sealed map takes nothing, and goes on where it is told once it is unsealed."""
    writer = writer_class(target)
    put = writer.put
    put(b"ab\n")
    writer.seal()
    with pytest.raises(ValueError, match=r"."):
        put(b"c")
    writer.unseal(3)
    put(b"cd\n")
    assert target[:6] == b"ab\ncd\n"
    for outside in (-1, SIZE + 1):
        with pytest.raises(ValueError, match=r"."):
            writer.unseal(outside)
    writer.release()


def test_release(writer_class: Callable[[mmap.mmap], Writer]) -> None:
    """A map that was let go of can be closed, and takes nothing; once more does no harm."""
    target = mmap.mmap(-1, SIZE)
    writer = writer_class(target)
    put = writer.put
    for _ in range(2):
        writer.release()
    target.close()
    with pytest.raises(ValueError, match=r"."):
        put(b"a")
    with pytest.raises(ValueError, match=r"."):
        writer.unseal(0)


def test_wrong(writer_class: Callable[[mmap.mmap], Writer], target: mmap.mmap) -> None:
    """What is no line, no map, or one that cannot be written, is an error."""
    writer, wrong = writer_class(target), _any(writer_class)
    with pytest.raises(TypeError):
        _any(writer.put)("text")
    with pytest.raises(TypeError):
        wrong()
    writer.release()
    if wrong is not MapWriter:
        for no_map in (None, b"read only"):
            with pytest.raises((TypeError, BufferError)):
                wrong(no_map)


def _any(value: Any) -> Any:
    return value

"""Journals on disks that are full, and in folders that are gone."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from langchain_autotrace.journal.folder import DestinationFolder
from langchain_autotrace.journal.segment import SEGMENT_BYTES
from langchain_autotrace.journal.writer import Journal
from tests.journal.support import (
    describe,
    event,
    journal_of,
    new_folder,
    new_journal,
    numbers,
    run_program,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_a_disk_that_is_full_for_a_while(folder: DestinationFolder) -> None:
    """A full disk turns capture off with one warning for each time, counts, and is tried again after 30 seconds."""
    *warnings, result = run_program("full_disk", folder.path).splitlines()

    assert json.loads(result) == {
        "kept": [False, False, False, True, True, False, True],
        "dropped": 4,
    }
    warning = (
        f"WARNING cannot write to the journal at {folder.path} (File too large): tracing is off until the journal is "
        "writable again. The program continues."
    )
    assert warnings == [warning, warning]
    assert numbers(journal_of(folder)) == [4, 5, 7]
    assert len(list(folder.path.glob("*.jsonl"))) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with 3 MB."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", path], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("only root can mount a disk")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def test_a_disk_without_room(small_disk: Path) -> None:
    """When the disk has no room left, what was kept before is whole, and no part of a segment stays behind."""
    folder = new_folder(small_disk)
    result = json.loads(run_program("no_space", folder.path))

    assert result["kept"] + result["dropped"] == 100
    assert 20 <= result["kept"] <= 30
    assert result["free"] < SEGMENT_BYTES
    assert numbers(journal_of(folder)) == list(range(result["kept"]))


@pytest.mark.parametrize("what", ["missing", "a file"])
def test_a_folder_that_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture, what: str) -> None:
    """A folder that is gone or none at all turns capture off, and nothing is raised."""
    path = tmp_path / "folder"
    if what == "a file":
        path.write_text("")
    journal = Journal(DestinationFolder(path), describe)

    assert [journal.append(event(1)), journal.append(event(2))] == [False, False]
    journal.close()

    assert (journal.dropped, journal.process) == (2, "")
    (warning,) = caplog.messages
    assert str(path) in warning
    assert path.exists() == (what == "a file")


def test_a_folder_that_goes_away(folder: DestinationFolder) -> None:
    """A folder that is deleted while it is written costs its records, and nothing is raised."""
    journal = new_journal(folder)
    journal.append(event(1))
    for path in folder.path.iterdir():
        path.unlink()
    folder.path.rmdir()

    assert journal.append(event(2))
    assert not journal.append(event(3, size=SEGMENT_BYTES))
    journal.close()

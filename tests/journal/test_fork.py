"""Journals of processes that fork."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.journal.support import new_folder, numbers, read_all, reader_of, run_program

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("first", "own", "other"), [("child", [1, 2], [100]), ("parent", [100, 101], [1])])
def test_a_fork(tmp_path: Path, first: str, own: list[int], other: list[int]) -> None:
    """Parent and child have a journal each, and each is alive as long as its process, whoever exits first."""
    folder = new_folder(tmp_path)
    alive, last = map(json.loads, run_program("fork", folder.path, first).splitlines())

    written = {process: numbers(read_all(reader_of(folder, process))) for process in folder.processes()}
    assert alive == {"alive": [last["self"]]}
    (gone,) = set(last["processes"]) - {last["self"]}
    assert written == {last["self"]: own, gone: other}
    assert [folder.is_alive(process) for process in written] == [False, False]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers(tmp_path: Path, method: str) -> None:
    """Workers of multiprocessing have a journal each, and leave their parent's as it was."""
    folder = new_folder(tmp_path)
    run_program("workers", folder.path, method)

    written = sorted(numbers(read_all(reader_of(folder, process))) for process in folder.processes())
    assert written == [[0, 3], [1], [2]]
    assert [folder.is_alive(process) for process in folder.processes()] == [False, False, False]

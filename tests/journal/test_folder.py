"""A destination's folder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock, Timeout

from langchain_autotrace.errors import JournalClosed, JournalError
from langchain_autotrace.journal import folder as folders
from langchain_autotrace.journal.folder import DestinationFolder
from tests.journal.support import event, new_journal

if TYPE_CHECKING:
    from pathlib import Path


def names(folder: DestinationFolder) -> set[str]:
    """The files that are there."""
    return {path.name for path in folder.path.iterdir()}


def test_where_the_folders_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Journals are where the variable says, also when the working folder changes, else in the user's state folder."""
    monkeypatch.setenv("LANGCHAIN_AUTOTRACE_HOME", "here")
    assert folders.state_dir() == tmp_path / "here"
    monkeypatch.delenv("LANGCHAIN_AUTOTRACE_HOME")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert folders.state_dir().name == "langchain-autotrace"


def test_all_destinations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every destination that was traced to is found, and nothing else."""
    monkeypatch.setenv("LANGCHAIN_AUTOTRACE_HOME", str(tmp_path))
    assert folders.all_folders() == []
    for name in ("b", "a"):
        DestinationFolder(tmp_path / name).create(f"http://{name}")
    (tmp_path / "other").mkdir()

    assert [folder.public_uri() for folder in folders.all_folders()] == ["http://a", "http://b"]


def test_a_folder_made_twice(folder: DestinationFolder) -> None:
    """A folder keeps what it says first, and is private even where it was not."""
    folder.path.chmod(0o755)
    folder.create("http://another")

    assert folder.public_uri() == "sqlite:////data/mlflow.db"
    assert folder.path.stat().st_mode & 0o777 == 0o700


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """An error names the folder and the variable that moves it."""
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "destination"

    with pytest.raises(JournalClosed) as refused:
        DestinationFolder(path).create("http://a")

    assert str(refused.value) == (
        f"cannot write to the journal folder {path} (Not a directory). Set LANGCHAIN_AUTOTRACE_HOME to a folder that "
        "you can write to."
    )


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[]", b"\xff"])
def test_a_folder_of_others(tmp_path: Path, content: bytes | None) -> None:
    """A folder that does not say its destination is named as none of ours."""
    if content is not None:
        (tmp_path / "destination.json").write_bytes(content)

    with pytest.raises(JournalError, match=rf"^{tmp_path} is not a journal folder of langchain-autotrace"):
        DestinationFolder(tmp_path).public_uri()


def test_files_of_others(folder: DestinationFolder) -> None:
    """Files that are no segments are taken for none."""
    for name in (
        "notes.jsonl",
        "notes-today.jsonl",
        "-000001.jsonl",
        "p-1.jsonl",
        "p-000001.jsonl.part",
        "p-000002.txt",
    ):
        (folder.path / name).write_text("")
    folder.segment("a-b", 1).touch()
    folder.segment("a-b", 1_000_000).touch()

    assert folder.processes() == {"a-b"}
    assert folder.segments("a-b") == [1, 1_000_000]


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    """A folder that is not there has no processes."""
    folder = DestinationFolder(tmp_path / "gone")

    assert (folder.processes(), folder.segments("p"), folder.is_alive("p")) == (set(), [], False)


def test_who_is_alive(folder: DestinationFolder) -> None:
    """A process is alive while it holds its journal, and asking leaves no trace."""
    journal = new_journal(folder)
    journal.append(event(1))
    process = journal.process
    before = names(folder)

    assert [folder.is_alive(process), folder.is_alive("another")] == [True, False]
    journal.close()
    assert folder.is_alive(process) is False
    assert names(folder) == before


def test_who_ships(folder: DestinationFolder) -> None:
    """A folder has a shipper while somebody holds its lock."""
    assert not folder.has_shipper()
    with folder.shipper_lock():
        assert folder.has_shipper()
    assert not folder.has_shipper()


def test_forgetting_a_process(folder: DestinationFolder) -> None:
    """Nothing of a forgotten process stays, and everything of the others."""
    for name in ("a", "a-1"):
        folder.segment(name, 1).touch()
        folder.segment(name, 2).touch()
        folder.checkpoint(name).touch()
        (folder.path / f"{name}.alive").touch()

    folder.forget("a")

    assert names(folder) == {"destination.json", "a-1-000001.jsonl", "a-1-000002.jsonl", "a-1.checkpoint", "a-1.alive"}


def test_sweeping(folder: DestinationFolder) -> None:
    """What crashes left behind is removed; what is young, in use, or somebody else's is not."""
    journal = new_journal(folder)
    journal.append(event(1))
    kept = names(folder) | {"young.alive", "status.json.00000000.part"}
    for name in ("dead.alive", "dead.checkpoint", "status.json.12345678.part", f"{journal.process}.checkpoint"):
        (folder.path / name).touch()
    for path in folder.path.iterdir():
        os.utime(path, (0, 0))
    for name in ("young.alive", "status.json.00000000.part"):
        (folder.path / name).touch()

    folder.sweep()

    assert names(folder) == kept | {f"{journal.process}.checkpoint"}
    journal.close()


def test_replacing_a_file(tmp_path: Path) -> None:
    """A file is replaced whole, and only its owner can read it."""
    path = tmp_path / "status.json"
    folders.replace(path, b"old")
    folders.replace(path, b"new")

    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"status.json": b"new"}
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [None, b"", b"{", b"[1]"])
def test_no_status(folder: DestinationFolder, content: bytes | None) -> None:
    """Without a status that can be read, there is none."""
    if content is not None:
        folder.status_file.write_bytes(content)

    assert folder.read_status() == {}


def test_a_command_that_ends_as_a_shipper_gives_up(folder: DestinationFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shipper takes the folder also when a command ends in the moment in which the wait for the lock has ended."""
    held, command = folder.shipper_lock(), folder.command_lock()
    held.acquire()
    command.acquire()

    class EndsThen(FileLock):
        """A lock whose wait ends just before the command does."""

        def acquire(self, *args: Any, **kwargs: Any) -> Any:
            try:
                return super().acquire(*args, **kwargs)
            except Timeout:
                command.release()
                held.release()
                raise

    path = folder.path / "shipper.lock"
    monkeypatch.setattr(DestinationFolder, "shipper_lock", lambda _: EndsThen(path, timeout=0, thread_local=False))
    taken = folder.take_shipper_lock(0.01)

    assert taken is not None
    taken.release()

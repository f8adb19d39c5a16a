"""The folder of one destination: which files are in it, and who holds it.

::

    <home>/<destination>/                0700; every file 0600
        destination.json                 the tracking URI, without its password
        <process>-000001.jsonl …         the journal of a process, in segments
        <process>.alive                  locked by that process while it lives
        <process>.checkpoint             what of it is delivered (written by the shipper)
        shipper.lock  shipper.log        the one shipper of this folder
        status.json                      what the shipper last did
        rejected/<trace id>.jsonl        traces that the store refused, and why

``<home>`` is ``LANGCHAIN_AUTOTRACE_HOME`` or ``langchain-autotrace`` in the user's state folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import platformdirs
from filelock import FileLock, Timeout, lock_descriptor

from langchain_autotrace.errors import JournalClosed, JournalError

if TYPE_CHECKING:
    from collections.abc import Iterator

HOME_VARIABLE: Final = "LANGCHAIN_AUTOTRACE_HOME"

_STALE_SECONDS: Final = 60.0
_SEGMENT: Final = re.compile(r"(?P<process>.+)-(?P<number>\d{6,})\.jsonl")


def home() -> Path:
    """Where all journals of this user are."""
    named = os.environ.get(HOME_VARIABLE)
    return Path(named).absolute() if named else platformdirs.user_state_path("langchain-autotrace", appauthor=False)


def all_folders() -> list[DestinationFolder]:
    """The folders of every destination this user has traced to, by name."""
    return [DestinationFolder(path.parent) for path in sorted(home().glob("*/destination.json"))]


class DestinationFolder:
    """One destination's folder. Knows names and permissions, reads and writes no records."""

    def __init__(self, path: Path) -> None:
        """``path`` need not exist."""
        self.path = path
        self.rejected = path / "rejected"
        self.status_file = path / "status.json"
        self.log_file = path / "shipper.log"
        self._destination = path / "destination.json"

    def create(self, public_uri: str) -> None:
        """Make the folder, private to the user, and say in it where it leads.

        Args:
            public_uri: the tracking URI without its password.

        Raises:
            JournalClosed: the place cannot be written; names it, and the variable that moves it.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
            if not self._destination.exists():
                replace(self._destination, json.dumps({"tracking_uri": public_uri}).encode())
            if not os.access(self.path, os.W_OK):
                raise PermissionError(13, "Permission denied")
        except OSError as error:
            msg = f"the journal folder {self.path} cannot be written ({error.strerror}). Set {HOME_VARIABLE}."
            raise JournalClosed(msg) from error

    def public_uri(self) -> str:
        """The destination's tracking URI, without its password.

        Raises:
            JournalError: the folder is no destination folder.
        """
        try:
            return str(json.loads(self._destination.read_bytes())["tracking_uri"])
        except (OSError, ValueError, LookupError, TypeError) as error:
            msg = f"{self.path} is not a journal folder of langchain-autotrace ({type(error).__name__})."
            raise JournalError(msg) from error

    def segment(self, process: str, number: int) -> Path:
        """The file of a process's ``number``-th segment, counted from 1."""
        return self.path / f"{process}-{number:06d}.jsonl"

    def segments(self, process: str) -> list[int]:
        """Numbers of a process's segments that are still here, in order."""
        return sorted(int(found["number"]) for found in self._segment_names(process) if found["process"] == process)

    def processes(self) -> set[str]:
        """Names of all processes that have a journal here."""
        return {found["process"] for found in self._segment_names()}

    def _segment_names(self, begin: str = "") -> Iterator[re.Match[str]]:
        try:
            with os.scandir(self.path) as entries:
                names = [entry.name for entry in entries if entry.name.startswith(begin)]
        except FileNotFoundError:
            return
        yield from filter(None, map(_SEGMENT.fullmatch, names))

    def checkpoint(self, process: str) -> Path:
        """The file in which the shipper keeps what it has delivered of a process."""
        return self.path / f"{process}.checkpoint"

    def alive_lock(self, process: str) -> FileLock:
        """The lock a process holds while it lives. The system lets go of it however the process ends."""
        return FileLock(self.path / f"{process}.alive", timeout=0, mode=0o600, thread_local=False)

    def shipper_lock(self) -> FileLock:
        """The lock the folder's one shipper holds."""
        return FileLock(self.path / "shipper.lock", timeout=0, mode=0o600, thread_local=False)

    def has_shipper(self) -> bool:
        """Whether a shipper serves this folder now."""
        # Somebody else who looks at this moment holds the lock too, for an instant.
        return all(is_held(self.shipper_lock(), wait=wait) for wait in (0.0, 0.01, 0.02))

    def is_alive(self, process: str) -> bool:
        """Whether the process that writes this journal still lives."""
        # Not with a FileLock, which takes 30 times as long: the shipper asks often, and for every process.
        try:
            descriptor = os.open(self.path / f"{process}.alive", os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            return not lock_descriptor(descriptor, blocking=False)
        except OSError:  # a file system without such locks, where a FileLock has other means
            return is_held(self.alive_lock(process))
        finally:
            os.close(descriptor)

    def forget(self, process: str) -> None:
        """Remove what a dead and wholly delivered process left."""
        for number in self.segments(process):
            self.segment(process, number).unlink(missing_ok=True)
        self.checkpoint(process).unlink(missing_ok=True)
        (self.path / f"{process}.alive").unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what processes and shippers left that were killed in the midst of it. Only for the shipper."""
        known, now = self.processes(), time.time()
        for path in list(self.path.iterdir()):
            stale = path.suffix == ".part" or (path.suffix in {".alive", ".checkpoint"} and path.stem not in known)
            with contextlib.suppress(OSError):
                # What is young may be in the making.
                if stale and now - path.stat().st_mtime > _STALE_SECONDS and not self.is_alive(path.stem):
                    path.unlink()

    def read_status(self) -> dict[str, Any]:
        """What the shipper last wrote of itself; empty when there was none."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            return dict(json.loads(self.status_file.read_bytes()))
        return {}


def is_held(lock: FileLock, *, wait: float = 0.0) -> bool:
    """Whether somebody else holds ``lock``, asked after ``wait`` seconds."""
    time.sleep(wait)
    try:
        with lock:
            return False
    except Timeout:
        return True


def replace(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old or the new content, never a part."""
    with _temporary(path) as part:
        descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        part.replace(path)


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)

"""The journal folder of one destination: its files and its locks.

::

    <state dir>/<destination>/           0700; every file 0600
        destination.json                 the tracking URI, without its password
        <process>-000001.jsonl …         journal of a process, in segments
        <process>.alive                  locked by that process while it runs
        <process>.checkpoint             how far that journal is delivered (written by the shipper)
        shipper.lock  shipper.log        lock and log of the folder's only shipper
        command.lock                     locked by a command that delivers in place of a shipper
        status.json                      the shipper's last status
        retry                            written to have a shipper that is backing off retry now
        rejected/<trace id>.jsonl        traces that the store rejected, with the reason

``<state dir>`` is ``LANGCHAIN_AUTOTRACE_HOME``, else ``langchain-autotrace`` in the user's state folder; see
:func:`state_dir` for users who have none, or share one.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import secrets
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import platformdirs
from filelock import FileLock, Timeout, lock_descriptor

from langchain_autotrace.errors import JournalClosed, JournalError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_logger: Final = logging.getLogger("langchain_autotrace")

HOME_VARIABLE: Final = "LANGCHAIN_AUTOTRACE_HOME"

_STALE_SECONDS: Final = 60.0
_COMMAND_SECONDS: Final = 1.0
"""Seconds to wait for the lock: longer than any process holds it just to check whether it is free."""
_SEGMENT: Final = re.compile(r"(?P<process>.+)-(?P<number>\d{6,})\.jsonl")


def state_dir() -> Path:
    """Return the folder that contains all journals of this user.

    A folder named by the variable that belongs to another user is shared: each user has a private folder in it. Where
    the user has no home, or one that cannot be written, it is a folder for temporary files.

    Raises:
        JournalClosed: the folder for temporary files is another user's.
    """
    named = os.environ.get(HOME_VARIABLE)
    if named:
        path = Path(named).absolute()
        return path / f"user-{_user_id()}" if _owner(path) not in {None, _user_id()} else path
    try:
        path = platformdirs.user_state_path("langchain-autotrace", appauthor=False)
    except RuntimeError:  # neither HOME nor an entry in the list of users
        return _temporary_dir()
    return path if path.is_absolute() and _can_be_written(path) else _temporary_dir()


def all_folders() -> list[DestinationFolder]:
    """Return the folder of every destination this user has traced to, sorted by name.

    In a shared folder these include the folders of other users that this one may write to, as root may.
    """
    places = {state_dir(), *([Path(named).absolute()] if (named := os.environ.get(HOME_VARIABLE)) else [])}
    found = {path.parent for place in places for path in _destinations(place)}
    return [DestinationFolder(path) for path in sorted(found, key=lambda path: (path.name, path))]


def is_temporary(path: Path) -> bool:
    """Return whether the journals at ``path`` are among temporary files, as the user's home cannot be written."""
    return not os.environ.get(HOME_VARIABLE) and path.name == _temporary_name()


def _destinations(place: Path) -> Iterator[Path]:
    for pattern in ("*/destination.json", "user-*/*/destination.json"):
        for path in place.glob(pattern):
            if os.access(path.parent, os.W_OK | os.X_OK):
                yield path


def _user_id() -> int | None:
    return os.geteuid() if hasattr(os, "geteuid") else None


def _owner(path: Path) -> int | None:
    """Return the id of the user a folder belongs to; None when there is no such folder, or no such ids."""
    try:
        return path.stat().st_uid if hasattr(os, "geteuid") else None
    except OSError:
        return None


def _can_be_written(path: Path) -> bool:
    """Return whether the folder, or the first one above it that exists, can be written."""
    there = next((one for one in (path, *path.parents) if os.path.lexists(one)), None)
    return there is not None and there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def _temporary_name() -> str:
    return f"langchain-autotrace-{_user_id()}"


def _temporary_dir() -> Path:
    try:
        path = Path(tempfile.gettempdir()).absolute() / _temporary_name()
        path.mkdir(mode=0o700, exist_ok=True)
        is_own = path.lstat().st_uid == _user_id() if hasattr(os, "geteuid") else True
    except OSError as error:
        msg = f"there is no folder for journals ({error}). Set {HOME_VARIABLE} to a folder that you can write to."
        raise JournalClosed(msg) from error
    if not is_own:
        msg = f"{path} belongs to another user. Set {HOME_VARIABLE} to a folder that you can write to."
        raise JournalClosed(msg)
    return path


class DestinationFolder:
    """The folder of one destination. Handles names, permissions and locks; reads and writes no records."""

    def __init__(self, path: Path) -> None:
        """Use the folder at ``path``, which need not exist yet."""
        self.path = path
        self.rejected = path / "rejected"
        self.status_file = path / "status.json"
        self.log_file = path / "shipper.log"
        self._retry = path / "retry"
        self._destination = path / "destination.json"

    def create(self, public_uri: str) -> None:
        """Create the folder, private to the user, with a file that names the destination.

        Args:
            public_uri: the tracking URI without its password.

        Raises:
            JournalClosed: the folder cannot be written. The message gives its path and the variable that moves it.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
            if not self._destination.exists():
                replace(self._destination, json.dumps({"tracking_uri": public_uri}).encode())
            if not os.access(self.path, os.W_OK):
                raise PermissionError(13, "Permission denied")
            if is_temporary(self.path.parent):
                _logger.warning(
                    "your home folder cannot be written: traces are kept in %s until they are delivered. Set %s to a "
                    "folder that outlives this machine.",
                    self.path.parent,
                    HOME_VARIABLE,
                )
        except OSError as error:
            msg = (
                f"cannot write to the journal folder {self.path} ({error.strerror}). Set {HOME_VARIABLE} to a folder "
                "that you can write to."
            )
            raise JournalClosed(msg) from error

    def public_uri(self) -> str:
        """Return the destination's tracking URI, without its password.

        Raises:
            JournalError: the folder is not a destination folder.
        """
        try:
            return str(json.loads(self._destination.read_bytes())["tracking_uri"])
        except (OSError, ValueError, LookupError, TypeError) as error:
            msg = f"{self.path} is not a journal folder of langchain-autotrace ({type(error).__name__})."
            raise JournalError(msg) from error

    def segment(self, process: str, number: int) -> Path:
        """Return the path of a process's ``number``-th segment, counted from 1."""
        return self.path / f"{process}-{number:06d}.jsonl"

    def segments(self, process: str) -> list[int]:
        """Return the numbers of a process's segments that still exist, in order."""
        return sorted(int(found["number"]) for found in self._segment_names(process) if found["process"] == process)

    def processes(self) -> set[str]:
        """Return the names of all processes that have a journal in the folder."""
        return {found["process"] for found in self._segment_names()}

    def _segment_names(self, begin: str = "") -> Iterator[re.Match[str]]:
        try:
            with os.scandir(self.path) as entries:
                names = [entry.name for entry in entries if entry.name.startswith(begin)]
        except FileNotFoundError:
            return
        yield from filter(None, map(_SEGMENT.fullmatch, names))

    def checkpoint(self, process: str) -> Path:
        """Return the path of a process's checkpoint, which the shipper writes."""
        return self.path / f"{process}.checkpoint"

    def alive_lock(self, process: str) -> FileLock:
        """Return the lock that a process holds while it runs. The system releases it however the process ends."""
        return FileLock(self.path / f"{process}.alive", timeout=0, mode=0o600, thread_local=False)

    def shipper_lock(self) -> FileLock:
        """Return the lock that the folder's only shipper holds."""
        return FileLock(self.path / "shipper.lock", timeout=0, mode=0o600, thread_local=False)

    def take_shipper_lock(self, timeout: float) -> FileLock | None:
        """Return the shipper lock, acquired; None when another shipper holds it.

        A command holds it only for a moment: it is waited for, as nobody would serve the folder after it.

        Args:
            timeout: seconds to wait for another process than a command.
        """
        lock = self.shipper_lock()
        while True:
            # Also asked before: the command may end between the time-out and the second question.
            had_command = self.has_command()
            try:
                lock.acquire(timeout=timeout)
            except Timeout:
                if not had_command and not self.has_command():
                    return None
            else:
                return lock

    def command_lock(self) -> FileLock:
        """Return the lock that a command holds while it delivers, in addition to the shipper lock."""
        return FileLock(self.path / "command.lock", timeout=_COMMAND_SECONDS, mode=0o600, thread_local=False)

    def has_command(self) -> bool:
        """Return whether a command delivers in place of a shipper."""
        path = self.path / "command.lock"
        return path.exists() and is_held(FileLock(path, timeout=0, mode=0o600, thread_local=False))

    def request_retry(self) -> None:
        """Have a shipper that is backing off retry now."""
        with contextlib.suppress(OSError):  # it retries later
            replace(self._retry, b"")

    def retry_requested_ns(self) -> int:
        """Return when a retry was last requested, as a file time; 0 before the first request."""
        try:
            return self._retry.stat().st_mtime_ns
        except OSError:
            return 0

    def has_shipper(self) -> bool:
        """Return whether a shipper is serving this folder."""
        # Ask three times: another process that checks at the same moment also holds the lock, for an instant.
        return all(is_held(self.shipper_lock(), wait=wait) for wait in (0.0, 0.01, 0.02))

    def is_alive(self, process: str) -> bool:
        """Return whether the process that writes this journal is still running."""
        # Not with a FileLock, which takes 30 times as long: the shipper asks often, for every process.
        try:
            descriptor = os.open(self.path / f"{process}.alive", os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            return not lock_descriptor(descriptor, blocking=False)
        except OSError:  # the file system has no such locks; FileLock has a fallback
            return is_held(self.alive_lock(process))
        finally:
            os.close(descriptor)

    def forget(self, process: str) -> None:
        """Remove the files of a process that has ended and is fully delivered."""
        for number in self.segments(process):
            self.segment(process, number).unlink(missing_ok=True)
        self.checkpoint(process).unlink(missing_ok=True)
        (self.path / f"{process}.alive").unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove files left by processes and shippers that were killed. Only the shipper may call it."""
        known, now = self.processes(), time.time()
        for path in list(self.path.iterdir()):
            stale = path.suffix == ".part" or (path.suffix in {".alive", ".checkpoint"} and path.stem not in known)
            with contextlib.suppress(OSError):
                # A recent file may belong to a process that is just starting, or to a write that is not finished.
                if stale and now - path.stat().st_mtime > _STALE_SECONDS and not self.is_alive(path.stem):
                    path.unlink()

    def read_status(self) -> dict[str, Any]:
        """Return the last status that the shipper wrote; empty when there is none."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            return dict(json.loads(self.status_file.read_bytes()))
        return {}


def is_held(lock: FileLock, *, wait: float = 0.0) -> bool:
    """Return whether another holder has ``lock``, checked after ``wait`` seconds."""
    time.sleep(wait)
    try:
        with lock:
            return False
    except Timeout:
        return True


def replace(path: Path, *content: bytes, more: Iterable[bytes] = ()) -> None:
    """Write a file atomically: a reader sees the old content or the new, never a part.

    Args:
        path: the file.
        content: what it is to contain.
        more: what follows, made while it is written: the whole of it need not fit into memory.
    """
    with _temporary(path) as part:
        descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(content)
            file.writelines(more)
        part.replace(path)


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)

"""Empties the journals at a command, so that what is read afterwards is all there is."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from filelock import Timeout

from langchain_autotrace import destination
from langchain_autotrace.errors import AutotraceError, SinkError, TraceRejected
from langchain_autotrace.journal import codec
from langchain_autotrace.ship import connect
from langchain_autotrace.ship.assemble import Assembler, FinishedTrace
from langchain_autotrace.ship.shipper import Shipper
from langchain_autotrace.span import ProcessInfo
from langchain_autotrace.view import backlog, store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from langchain_autotrace.journal.folder import DestinationFolder
    from langchain_autotrace.ship.sink import Sink
    from langchain_autotrace.span import Record

_POLL_SECONDS: Final = 0.1
_FAILING_SECONDS: Final = 2.0
"""How long another shipper that reports a failing store is given to be wrong about it."""


class Delivery(NamedTuple):
    """What became of a folder's journals."""

    destination: str
    """The tracking URI, without its password."""
    delivered: int
    """Traces stored meanwhile, by whichever shipper."""
    rejected: int
    """Traces set aside meanwhile."""
    left: int
    """Finished traces that are still in the journal."""
    open: int
    """Traces that go on; their processes hold them."""
    unreadable: dict[str, str]
    """Journals that this version does not read, and why."""
    error: str | None
    """Why something is left."""

    @property
    def is_incomplete(self) -> bool:
        """Whether there is a trace that should be in the store and is not."""
        return bool(self.left or self.rejected or self.unreadable)


class Offered(NamedTuple):
    """What became of traces that had been set aside."""

    destination: str
    """The tracking URI, without its password."""
    delivered: int
    refused: list[backlog.Rejected]
    """Those the store refused again, with its reason of now."""
    error: str | None
    """Why the rest was not offered."""

    @property
    def is_incomplete(self) -> bool:
        """Whether there is a trace that is still set aside."""
        return bool(self.refused or self.error)


def deliver(folder: DestinationFolder, uri: str | None = None, *, timeout: float) -> Delivery:
    """Deliver what is in the folder's journals, here or by waiting for the shipper that serves it.

    Args:
        folder: a destination's folder.
        uri: its whole tracking URI where it is known; otherwise from the environment, when it has a password.
        timeout: seconds after which to give up.

    Raises:
        JournalError: it is no destination folder.
    """
    before, error = folder.read_status(), None
    folder.public_uri()
    try:
        with known(uri):
            error = _deliver(folder, time.monotonic() + timeout)
    except (AutotraceError, OSError) as raised:
        error = store.reason(raised) if isinstance(raised, OSError) else str(raised)
    return outcome(folder, before, error)


def outcome(folder: DestinationFolder, before: Mapping[str, Any], error: str | None) -> Delivery:
    """How the folder stands now.

    Args:
        folder: a destination's folder.
        before: its status when it began.
        error: why something may be left.
    """
    after, waiting = folder.read_status(), backlog.count(folder)
    return Delivery(
        folder.public_uri(),
        delivered=after.get("delivered", 0) - before.get("delivered", 0),
        rejected=after.get("rejected", 0) - before.get("rejected", 0),
        left=waiting.traces,
        open=waiting.open,
        unreadable=waiting.unreadable,
        error=(error or after.get("error") or "it takes longer") if waiting.traces else None,
    )


def freshen(uri: str, *, timeout: float) -> str | None:
    """Deliver what waits for ``uri``, if anything does; one line on what could not be delivered, else None."""
    for folder in backlog.folders(uri):
        if not backlog.count(folder).traces:
            continue
        done = deliver(folder, uri, timeout=timeout)
        if done.left:
            return f"{traces(done.left)} still in the journal and not shown ({done.error})."
    return None


def offer_rejected(folder: DestinationFolder, uri: str | None = None, *, timeout: float) -> Offered:
    """Offer the store again what it refused, one by one; what it takes is removed from the folder.

    Args:
        folder: a destination's folder.
        uri: as for :func:`deliver`.
        timeout: seconds after which to give up.
    """
    public, deadline, delivered = folder.public_uri(), time.monotonic() + timeout, 0
    refused: list[backlog.Rejected] = []
    waiting = backlog.rejected_traces(folder)
    if not waiting:
        return Offered(public, 0, [], None)
    try:
        with known(uri), at_home(folder):
            sink = connect.open_sink(folder)
            _until_reachable(connect.tracking_uri(folder), deadline)
            for one in waiting:
                if time.monotonic() > deadline:
                    return Offered(public, delivered, refused, "it takes longer")
                reason = _offer(folder, one.trace_id, sink)
                if reason is None:
                    delivered += 1
                else:
                    refused.append(dataclasses.replace(one, reason=reason))
    except AutotraceError as error:
        return Offered(public, delivered, refused, str(error))
    return Offered(public, delivered, refused, None)


def traces(number: int) -> str:
    """``3 traces``, ``1 trace``."""
    return f"{number:,} trace{'s' if number != 1 else ''}"


def _deliver(folder: DestinationFolder, deadline: float) -> str | None:
    """Why it could not be done; None when nothing is left."""
    lock = folder.shipper_lock()
    failing_since: float | None = None
    while True:
        with contextlib.suppress(Timeout):
            lock.acquire()
        if lock.is_locked:
            try:
                return _drain(folder, deadline)
            finally:
                lock.release()
        if not backlog.count(folder).traces:
            return None
        now, error = time.monotonic(), folder.read_status().get("error")
        failing_since = (failing_since or now) if error else None
        if now >= deadline or (failing_since is not None and now - failing_since > _FAILING_SECONDS):
            return error or "another shipper is at it"
        time.sleep(_POLL_SECONDS)


def _drain(folder: DestinationFolder, deadline: float) -> str | None:
    """Deliver in this process; the caller holds the lock."""
    if backlog.count(folder).traces:
        _until_reachable(connect.tracking_uri(folder), deadline)
    with at_home(folder):
        shipper = Shipper(folder, connect.open_sink(folder))
        # The shipper needs a moment to see that a process is dead, and only then ends what it left open.
        while not _emptied(folder, shipper, deadline) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        if shipper.error is None:
            # What the store took just after the deadline has still to be written down, or it comes again.
            shipper.step(everything=True)
    return shipper.error


def _emptied(folder: DestinationFolder, shipper: Shipper, deadline: float) -> bool:
    shipper.drain(timeout=max(deadline - time.monotonic(), _POLL_SECONDS))
    return not backlog.count(folder).traces


def _until_reachable(uri: str, deadline: float) -> None:
    """Wait for the server, which MLflow would do for minutes, and not to be stopped."""
    while True:
        try:
            return store.probe(uri)
        except SinkError:
            if time.monotonic() + store.PROBE_SECONDS > deadline:
                raise
            time.sleep(_POLL_SECONDS * 5)


def _offer(folder: DestinationFolder, trace_id: str, sink: Sink) -> str | None:
    """Why a trace was refused again; None when it is stored."""
    path = folder.rejected / f"{trace_id}.jsonl"
    _, *lines = path.read_bytes().splitlines()
    try:
        sink.write(_joined([codec.decode(line) for line in lines]))
    except TraceRejected as error:
        return str(error)
    path.unlink()
    return None


def _joined(records: Iterable[Record]) -> list[FinishedTrace]:
    assembler = Assembler()
    for record in records:
        if isinstance(record, ProcessInfo):
            assembler.process = record
        else:
            assembler.add(record, 0.0)
    return assembler.take(0.0, everything=True) or assembler.finish()


@contextlib.contextmanager
def known(uri: str | None) -> Iterator[None]:
    """Let ``ship.connect`` know the whole tracking URI, password included, inside the block."""
    before = os.environ.get(connect.URI_VARIABLE)
    if uri is not None:
        os.environ[connect.URI_VARIABLE] = uri
    try:
        yield
    finally:
        if uri is not None:
            os.environ.pop(connect.URI_VARIABLE)
            if before is not None:
                os.environ[connect.URI_VARIABLE] = before


def at_home(folder: DestinationFolder) -> contextlib.AbstractContextManager[None]:
    """Work in the folder of a database that is still to be made: MLflow puts its artifacts into the working folder."""
    path = destination.sqlite_path(connect.tracking_uri(folder))
    if path is None or path.exists() or not path.parent.is_dir():
        return contextlib.nullcontext()
    return contextlib.chdir(path.parent)

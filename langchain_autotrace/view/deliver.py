"""Delivers the journals on demand, so that a command that reads the store next sees every trace."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from filelock import Timeout

from langchain_autotrace import destination
from langchain_autotrace.errors import AutotraceError, JournalFormatError, SinkError, SinkUnavailable, TraceRejected
from langchain_autotrace.journal import codec
from langchain_autotrace.redaction import error_line
from langchain_autotrace.ship import connect
from langchain_autotrace.ship.rejected import formed
from langchain_autotrace.ship.shipper import Shipper
from langchain_autotrace.ship.status import report_failure
from langchain_autotrace.trace.join import Joiner
from langchain_autotrace.view import backlog, store
from langchain_autotrace.view.patience import OtherShipper, Patience

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from langchain_autotrace.journal.folder import DestinationFolder
    from langchain_autotrace.records import Record
    from langchain_autotrace.ship.sink import Sink
    from langchain_autotrace.trace.spans import Trace

_POLL_SECONDS: Final = 0.1
_SLICE_SECONDS: Final = 1.0


class Delivery(NamedTuple):
    """Result of delivering a folder's journals."""

    destination: str
    """The tracking URI, without its password."""
    delivered: int
    """Traces stored meanwhile, by this or another shipper."""
    rejected: int
    """Traces that the store refused meanwhile."""
    left: int
    """Traces that could be delivered and are still in the journal."""
    open: int
    """Traces whose root run is still open."""
    unreadable: dict[str, str]
    """Journals in a format that this version does not read: process -> reason."""
    error: str | None
    """Why traces are left in the journal; None if none are left."""

    @property
    def is_incomplete(self) -> bool:
        """Whether a trace is missing from the store that should be there."""
        return bool(self.left or self.rejected or self.unreadable)


class Offered(NamedTuple):
    """Result of offering rejected traces to the store again."""

    destination: str
    """The tracking URI, without its password."""
    delivered: int
    refused: list[backlog.Rejected]
    """Traces that the store refused again, each with the new reason."""
    error: str | None
    """Why the remaining traces were not offered; None if all were."""

    @property
    def is_incomplete(self) -> bool:
        """Whether any trace is still rejected."""
        return bool(self.refused or self.error)


def deliver(folder: DestinationFolder, uri: str | None = None, *, patience: Patience) -> Delivery:
    """Deliver what is in the journals of a folder, in this process or by the shipper that serves it.

    Args:
        folder: a destination's folder.
        uri: its complete tracking URI, password included. If None, a URI with a password comes from the environment.
        patience: how long to wait.

    Raises:
        JournalError: the folder is not a destination folder.
    """
    before, error = folder.read_status(), None
    folder.public_uri()
    wanted = backlog.count(folder).trace_ids
    try:
        with known(uri):
            error = _deliver(folder, wanted, patience)
    except (AutotraceError, OSError) as raised:
        error = error_line(raised) if isinstance(raised, OSError) else str(raised)
    return outcome(folder, before, error, wanted)


def outcome(
    folder: DestinationFolder, before: Mapping[str, Any], error: str | None, wanted: frozenset[str] | None = None
) -> Delivery:
    """Return the result of a delivery that ends now.

    Args:
        folder: a destination's folder.
        before: the folder's status when the delivery began.
        error: the error that ended the delivery, if any; reported if traces are left.
        wanted: ids of the traces that were to be delivered; None for all. A live program may have written more.
    """
    after, waiting = folder.read_status(), backlog.count(folder)
    left = len(waiting.trace_ids if wanted is None else waiting.trace_ids & wanted)
    return Delivery(
        folder.public_uri(),
        delivered=after.get("delivered", 0) - before.get("delivered", 0),
        rejected=after.get("rejected", 0) - before.get("rejected", 0),
        left=left,
        open=waiting.open,
        unreadable=waiting.unreadable,
        error=(error or after.get("error") or "timed out") if left else None,
    )


def freshen(uri: str, *, timeout: float, models: bool = False) -> str | None:
    """Deliver the journals for a tracking URI; return a line about traces that are left, or None.

    Args:
        uri: a tracking URI.
        timeout: seconds after which to give up where there is no progress.
        models: whether to deliver, or wait, if only models are left.
    """
    for folder in backlog.folders(uri):
        waiting = backlog.count(folder)
        if not waiting.traces and not (models and waiting.models):
            continue
        done = deliver(folder, uri, patience=Patience(timeout, reading=True, models=models))
        if done.left:
            verb = "is" if done.left == 1 else "are"
            return f"{traces(done.left)} {verb} not delivered yet and not shown ({done.error})."
    return None


def freshened(uri: str, *, timeout: float, models: bool = False) -> tuple[bool, str | None]:
    """Deliver the journals for a store that is to be read; return whether it exists, and :func:`freshen`'s line.

    The arguments are those of :func:`freshen`.

    Raises:
        DestinationError: there can be no store at ``uri``.
        SinkUnavailable: the store cannot be read.
    """
    destination.check(uri, writes=False)
    store.probe(uri)
    left = freshen(uri, timeout=timeout, models=models)
    return store.exists(uri), left


def offer_rejected(folder: DestinationFolder, uri: str | None = None, *, timeout: float) -> Offered:
    """Offer the rejected traces to the store again, one by one; those that it accepts are removed from the folder.

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
                    return Offered(public, delivered, refused, "timed out")
                reason = _offer(folder, one.trace_id, sink)
                if reason is None:
                    delivered += 1
                else:
                    refused.append(dataclasses.replace(one, reason=reason))
    except AutotraceError as error:
        return Offered(public, delivered, refused, str(error))
    return Offered(public, delivered, refused, None)


def traces(number: int) -> str:
    """Return a number of traces as text: ``3 traces``, ``1 trace``."""
    return f"{number:,} trace{'s' if number != 1 else ''}"


def _deliver(folder: DestinationFolder, wanted: frozenset[str], patience: Patience) -> str | None:
    """Deliver the journals here or wait for another shipper; return why traces are left, or None."""
    lock, wait = folder.shipper_lock(), OtherShipper(folder, patience)
    while True:
        with contextlib.suppress(Timeout):
            lock.acquire()
        if lock.is_locked:
            try:
                with folder.command_lock():
                    return _drain(folder, wanted, patience)
            finally:
                lock.release()
        waiting = backlog.count(folder)
        left = len(waiting.trace_ids & wanted)
        if not left and not (patience.models and waiting.models):
            return None
        if wait.is_over(left):
            return wait.reason()
        time.sleep(_POLL_SECONDS)


def _drain(folder: DestinationFolder, wanted: frozenset[str], patience: Patience) -> str | None:
    """Deliver in this process and return the store's error, if any; the caller holds the shipper lock."""
    try:
        if wanted:
            seconds = 0.0 if patience.reading else patience.timeout
            _until_reachable(connect.tracking_uri(folder), time.monotonic() + seconds)
        with at_home(folder):
            shipper = Shipper(folder, connect.open_sink(folder))
            _drain_with(shipper, folder, wanted, patience)
    except AutotraceError as error:
        if not patience.reading:
            report_failure(folder, error)
        raise
    return shipper.error


def _drain_with(shipper: Shipper, folder: DestinationFolder, wanted: frozenset[str], patience: Patience) -> None:
    left, deadline = len(wanted), time.monotonic() + patience.timeout
    while True:
        is_drained = shipper.drain(timeout=max(min(deadline - time.monotonic(), _SLICE_SECONDS), _POLL_SECONDS))
        # The shipper needs a moment to see that a process is dead; only then does it end the traces left open.
        before, left = left, len(backlog.count(folder).trace_ids & wanted)
        if not left and (is_drained or not patience.models):
            break
        if patience.reading and left < before:
            deadline = time.monotonic() + patience.timeout
        if time.monotonic() >= deadline or shipper.is_refused or (patience.reading and shipper.error):
            break
        time.sleep(_POLL_SECONDS)
    if shipper.error is None:
        # Save the checkpoint of traces stored just after the deadline, or they are delivered a second time.
        shipper.step(everything=True)
    shipper.close()


def _until_reachable(uri: str, deadline: float) -> None:
    """Wait for the server until the deadline: MLflow's own retries take minutes and cannot be stopped.

    Raises:
        SinkError: the server does not answer.
    """
    while True:
        try:
            return store.probe(uri)
        except SinkError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_POLL_SECONDS * 5)


def _offer(folder: DestinationFolder, trace_id: str, sink: Sink) -> str | None:
    """Offer a rejected trace to the sink; return why it was refused again, or None if it was stored."""
    path = folder.rejected / f"{trace_id}.jsonl"
    _, *lines = path.read_bytes().splitlines()
    try:
        traces = _traces_of(map(codec.decode, lines))
        if not traces:
            return "its file has no spans"
        models = sink.write(traces)
    except (TraceRejected, JournalFormatError) as error:
        return str(error)
    try:
        sink.log_models(models or ())
    except SinkUnavailable as error:
        return f"the trace is stored, its model is not logged yet: {error}"
    path.unlink()
    return None


def _traces_of(records: Iterable[Record]) -> list[Trace]:
    joiner = Joiner()
    for record in records:
        joiner.add(record, 0.0)
    return list(map(formed, joiner.take(0.0, everything=True) or joiner.finish()))


@contextlib.contextmanager
def known(uri: str | None) -> Iterator[None]:
    """Give ``ship.connect`` the complete tracking URI, password included, within the block."""
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
    """Change to the folder of an SQLite database that does not exist yet, within the block.

    MLflow places the artifact folder of a new database in the working directory.
    """
    path = destination.sqlite_path(connect.tracking_uri(folder))
    if path is None or path.exists() or not path.parent.is_dir():
        return contextlib.nullcontext()
    return contextlib.chdir(path.parent)

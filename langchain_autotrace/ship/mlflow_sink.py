"""The sink that stores traces in a database, tracking server, Databricks or files, through MLflow's tracing client."""

from __future__ import annotations

import functools
import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final

import sqlalchemy
from mlflow.entities import LifecycleStage, Span, TraceData, TraceInfo
from mlflow.exceptions import MlflowException, RestException
from mlflow.store.tracking.rest_store import RestStore
from mlflow.tracing.client import TracingClient

from langchain_autotrace import destination
from langchain_autotrace.errors import SinkError, SinkUnavailable, TraceRejected
from langchain_autotrace.ids import TRACE_ID_PREFIX
from langchain_autotrace.records import PendingModel, TraceContext
from langchain_autotrace.redaction import error_line, without_password
from langchain_autotrace.semconv import Attr
from langchain_autotrace.ship import new_database
from langchain_autotrace.ship.known_models import KnownModels
from langchain_autotrace.ship.mlflow_entities import MlflowTrace, mlflow_trace
from langchain_autotrace.ship.mlflow_errors import is_not_found, mapped_errors, unavailable
from langchain_autotrace.ship.model_log import ModelLog
from langchain_autotrace.ship.pending_models import StoredTrace
from langchain_autotrace.ship.reach import check_answers
from langchain_autotrace.ship.resumes import with_resumed
from langchain_autotrace.ship.reused_ids import with_unused_ids
from langchain_autotrace.ship.server_client import ServerClient
from langchain_autotrace.ship.sqlite_file import DatabaseFile, SpanStatistics, artifacts_beside, close_database
from langchain_autotrace.ship.store_faults import fault_of
from langchain_autotrace.ship.trace_values import trace_tags

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_autotrace.ship.model_links import Link
    from langchain_autotrace.trace.spans import Trace

_DEFAULT_EXPERIMENT: Final = "0"
_REACH_SECONDS: Final = 10.0
_CONNECTIONS: Final = 4
"""Number of parallel requests to a server, which mostly wait for the response."""


class MlflowSink:
    """A sink that stores traces at one MLflow tracking URI."""

    def __init__(self, tracking_uri: str) -> None:
        """Store to ``tracking_uri``. The first batch connects, and creates the database if it is missing."""
        self._uri = tracking_uri
        self._experiments: dict[tuple[str | None, str | None], str] = {}
        self._kind = destination.kind(tracking_uri)
        self._takes_spans = {"sqlite": True, "database": True, "server": None}.get(self._kind or "", False)
        """Whether the store itself stores spans; in others they are a file beside the trace. None: not known yet."""
        self._models = ModelLog(tracking_uri, KnownModels())
        self._opening = threading.Lock()
        path = destination.sqlite_path(tracking_uri)
        self._file = None if path is None else DatabaseFile(path, self._reopen)
        self._statistics = SpanStatistics()
        self.in_bulk = 0

    @property
    def notes(self) -> Sequence[str]:
        """One line of text for each model that could not be logged, with the reason."""
        return self.known_models.failures

    @property
    def known_models(self) -> KnownModels:
        """The models that were logged or found, or could not be logged."""
        return self._models.known

    @functools.cached_property
    def _client(self) -> TracingClient:
        with self._opening:  # traces are written in one thread, and models logged in another
            return self._open()

    def _open(self) -> TracingClient:
        if self._kind == "database":
            # Connect here first: MLflow would retry a database that is down for 100 seconds before it raises.
            with sqlalchemy.create_engine(self._uri, poolclass=sqlalchemy.NullPool).connect():
                pass
        new_database.prepare(self._uri)
        with nullcontext() if self._file is None else artifacts_beside(self._file.path):
            return ServerClient(self._uri) if self._kind == "server" else TracingClient(self._uri)

    def _reopen(self) -> None:
        """Forget all that is known of a database whose file was replaced."""
        close_database(self._uri)
        self.__dict__.pop("_client", None)
        self._experiments.clear()
        self._statistics = SpanStatistics()
        self._models = ModelLog(self._uri, KnownModels(self.known_models.failures))

    def log_models(self, models: Sequence[PendingModel], link: Link | None = None) -> None:
        """Log models, and link traces to them.

        Args:
            models: the models and traces.
            link: a faster way to link traces than MLflow's API.

        Raises:
            SinkUnavailable: the store does not answer now.
        """
        with nullcontext() if self._file is None else self._file.held():
            with mapped_errors(self._uri):
                self._check_answers()
                self._client  # noqa: B018 - MLflow itself would make a database that is missing, in parts
            self._models.log(models, link)

    def write(self, batch: Sequence[Trace]) -> list[PendingModel]:
        """Store each new trace's row, then the spans of all traces, in one call for each experiment.

        Returns:
            The models to log, and the traces to link to them, now that the traces are stored.

        Raises:
            SinkUnavailable: the store is down, busy or refuses the credentials, or the experiment was deleted.
            TraceRejected: the store refuses the content.
        """
        with mapped_errors(self._uri), nullcontext() if self._file is None else self._file.held():
            stored = self._store_again(batch)
            if self._file is not None:
                self._statistics.update(self._client.store.engine)
        return self.known_models.pending(stored)

    def _store_again(self, batch: Sequence[Trace]) -> list[StoredTrace]:
        """Store the traces; once more if that fails because an experiment has another id now, as in a restored backup.

        Raises:
            SinkUnavailable: an experiment was deleted meanwhile.
        """
        try:
            with mapped_errors(self._uri):
                return self._store(batch)
        except SinkError as error:
            is_missing = is_not_found(error.__cause__)
            if not is_missing and not isinstance(error, TraceRejected):
                raise
            if not self._has_changed_experiments(batch) and not (is_missing and self._file):
                raise
        return self._store(batch)

    def _has_changed_experiments(self, batch: Sequence[Trace]) -> bool:
        """Look up the experiments of traces again, and return whether one has another id than before."""
        before, self._experiments = self._experiments, {}
        with mapped_errors(self._uri):
            for trace in batch:
                if trace.root is not None:
                    self._experiment(trace.context)
        return any(before.get(key, found) != found for key, found in self._experiments.items())

    def prepare(self, contexts: Sequence[TraceContext | None]) -> None:
        """Create the database and the experiments of traces, where they are missing.

        Raises:
            SinkUnavailable: it is down, or an experiment was deleted.
        """
        with mapped_errors(self._uri), nullcontext() if self._file is None else self._file.held():
            for context in contexts:
                self._experiment(context)

    def _store(self, batch: Sequence[Trace]) -> list[StoredTrace]:
        given = batch
        self._check_answers()
        batch = with_unused_ids(batch, self._stored_row)
        experiment_ids = self._experiment_ids(batch)
        batch = with_resumed(batch, lambda trace, thread: self._interrupted(trace, thread, experiment_ids))
        made = [mlflow_trace(trace, experiment_ids[trace.trace_id]) for trace in batch]
        stored = [
            StoredTrace(trace, part.trace_id, part.metadata, experiment_ids[new.trace_id])
            for trace, new, part in zip(given, batch, made, strict=True)
        ]
        self._models.link(stored)
        by_experiment: dict[str, list[MlflowTrace]] = defaultdict(list)
        for part, trace in zip(made, batch, strict=True):
            by_experiment[experiment_ids[trace.trace_id]].append(part)
        for experiment, parts in by_experiment.items():
            traces = _merged(parts)
            rows = self._start_all([trace.info for trace in traces if trace.info is not None])
            if self._takes_spans is not False:
                self._takes_spans = self._log_spans(experiment, [span for trace in traces for span in trace.spans])
            if not self._takes_spans:
                self._upload_spans(traces, rows)
            self._upload_files(traces, rows)
        for trace in batch:
            if trace.root is None and trace.update:
                self._set_tags(trace)
        return stored

    def _check_answers(self) -> None:
        """Check that a server answers: MLflow's client would retry for minutes.

        Raises:
            SinkUnavailable: it does not.
        """
        if self._kind == "server":
            check_answers(self._uri, timeout=_REACH_SECONDS)

    def _experiment_ids(self, batch: Sequence[Trace]) -> dict[str, str]:
        """Return trace id -> experiment id."""
        found: dict[str, str] = {}
        for trace in batch:
            if trace.root is not None:
                found[trace.trace_id] = self._experiment(trace.context)
            elif trace.trace_id not in found:
                found[trace.trace_id] = self._experiment_of_late_spans(trace)
        return found

    def _start_all(self, infos: Sequence[TraceInfo]) -> dict[str, TraceInfo]:
        """Write the rows of traces, one call each, as MLflow has no call for many; return trace id -> stored row."""
        if self._kind not in {"server", "databricks"}:
            return {info.trace_id: self._start(info) for info in infos}
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            return dict(zip([info.trace_id for info in infos], pool.map(self._start, infos), strict=True))

    def _start(self, info: TraceInfo) -> TraceInfo:
        """Write the trace's row, and return it as stored."""
        try:
            return self._client.start_trace(info)
        except Exception:
            # A file store fails when a trace that it has is written again.
            if self._takes_spans or (row := self._stored_row(info.trace_id)) is None:
                raise
            return row

    def _interrupted(self, trace: Trace, thread: str, experiment_ids: Mapping[str, str]) -> tuple[str, str] | None:
        """Return the last trace of a LangGraph thread that was interrupted before a trace, and its root span."""
        started_ms = min(span.start_ns for span in trace.spans) // 1_000_000
        quote = '"' if "'" in thread else "'"
        filters = (
            f"metadata.`{Attr.INTERRUPTED_THREAD}` = {quote}{thread}{quote}",
            f"trace.timestamp_ms <= {started_ms}",
        )
        found = self._client.search_traces(
            locations=[experiment_ids[trace.trace_id]],
            filter_string=" AND ".join(filters),
            max_results=2,
            order_by=["timestamp_ms DESC"],
        )
        roots = (span for one in found for span in one.data.spans if span.parent_id is None)
        own = TRACE_ID_PREFIX + trace.trace_id  # when it is delivered again
        return next(((span.trace_id, span.span_id) for span in roots if span.trace_id != own), None)

    def _stored_row(self, trace_id: str) -> TraceInfo | None:
        try:
            row: TraceInfo = self._client.store.get_trace_info(trace_id)
        except MlflowException as error:
            if not is_not_found(error):
                raise
            return None
        return row

    def _log_spans(self, experiment: str, spans: list[Span]) -> bool:
        """Write the spans and return True; return False when the store does not store spans itself."""
        try:
            self._client.log_spans(experiment, spans)
        except NotImplementedError as error:
            if "version" in str(error) and "less than" not in str(error):
                # The server did not report its version, and MLflow would cache that for the life of the process.
                RestStore._get_server_version.cache_clear()  # noqa: SLF001 - no public way
                raise ConnectionError(str(error)) from error
            return False
        except RestException as error:
            # The error of a server with a file store.
            if "REST OTLP span logging is not supported" in error.message:
                return False
            raise
        return True

    def _upload_spans(self, traces: Sequence[MlflowTrace], rows: Mapping[str, TraceInfo]) -> None:
        """Write each trace's spans to the file where MLflow looks for them, as its own exporter does."""
        for trace in traces:
            row, kept = rows.get(trace.trace_id), {}
            if row is None:  # late spans: keep the spans that are stored
                stored = self._client.get_trace(trace.trace_id)
                row, kept = stored.info, {span.span_id: span for span in stored.data.spans}
            kept |= {span.span_id: span for span in trace.spans}
            self._client._upload_trace_data(row, TraceData(list(kept.values())))  # noqa: SLF001 - no public way

    def _upload_files(self, traces: Sequence[MlflowTrace], rows: Mapping[str, TraceInfo]) -> None:
        """Upload the files that values refer to, as attachments of the trace."""
        for trace in traces:
            if trace.files:
                row = rows.get(trace.trace_id) or self._client.store.get_trace_info(trace.trace_id)
                repository = self._client._get_artifact_repo_for_trace(row)  # noqa: SLF001 - no public way
                for file_id, content in trace.files.items():
                    repository.upload_attachment(file_id, content)

    def _set_tags(self, trace: Trace) -> None:
        """Set tags that the program has set after the trace was stored, or in another process than the root's."""
        for key, value in trace_tags(trace.update.get("tags", {})).items():
            self._client.store.set_trace_tag(TRACE_ID_PREFIX + trace.trace_id, key, value)

    def _experiment_of_late_spans(self, trace: Trace) -> str:
        """Return the experiment id for spans without their root: that of the stored trace.

        Part of a trace whose root is in another process may come before the root, and then has a context of its own.
        """
        try:
            return str(self._client.store.get_trace_info(TRACE_ID_PREFIX + trace.trace_id).experiment_id)
        except MlflowException as error:
            if not is_not_found(error):
                raise
            if trace.context is not None:
                return self._experiment(trace.context)
            msg = "the store does not have the trace that these spans belong to"
            raise TraceRejected(msg) from error

    def _experiment(self, context: TraceContext | None) -> str:
        key = (context["experiment"], context["experiment_id"]) if context else (None, None)
        if key not in self._experiments:
            try:
                self._experiments[key] = self._resolve(*key)
            except MlflowException as error:
                if fault_of(error) is not None:
                    raise unavailable(self._uri, error) from error
                # Never the trace's fault, whatever the error code: the user has to choose or restore an experiment.
                msg = (
                    f"{without_password(self._uri)}: experiment {key[0] or key[1] or 'Default'!r}: {error_line(error)}"
                )
                raise SinkUnavailable(msg) from error
        return self._experiments[key]

    def _resolve(self, name: str | None, experiment_id: str | None) -> str:
        """Return the id of the experiment; create it when it does not exist."""
        store = self._client.store
        if name is None:
            found = store.get_experiment(experiment_id or _DEFAULT_EXPERIMENT)
        elif (found := store.get_experiment_by_name(name)) is None:
            try:
                return str(store.create_experiment(name))
            except MlflowException:  # another process was faster
                found = store.get_experiment_by_name(name)
                if found is None:
                    raise
        if found.lifecycle_stage == LifecycleStage.DELETED:
            msg = (
                f"the experiment {found.name!r} was deleted. Restore it with "
                f"`mlflow experiments restore -x {found.experiment_id}`, or choose another."
            )
            raise SinkUnavailable(msg)
        return str(found.experiment_id)


def _merged(parts: Sequence[MlflowTrace]) -> list[MlflowTrace]:
    """Return each trace once, with the last version of each span: PostgreSQL takes no row twice in one statement."""
    joined: dict[str, MlflowTrace] = {}
    for part in parts:
        before = joined.get(part.trace_id, MlflowTrace(part.trace_id, None, [], {}))
        spans = {span.span_id: span for span in (*before.spans, *part.spans)}
        info, files = part.info or before.info, before.files | part.files
        joined[part.trace_id] = MlflowTrace(part.trace_id, info, list(spans.values()), files)
    return list(joined.values())

"""Stores traces through MLflow's own tracing client: in a database, a tracking server, Databricks, files."""

from __future__ import annotations

import functools
import socket
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import orjson
import requests
import sqlalchemy
from mlflow.entities import LifecycleStage, Span, TraceData, TraceInfo
from mlflow.exceptions import MlflowException, RestException
from mlflow.store.tracking.rest_store import RestStore
from mlflow.tracing.client import TracingClient
from mlflow.tracing.constant import TraceMetadataKey

from langchain_autotrace import destination
from langchain_autotrace.destination import without_password
from langchain_autotrace.errors import SinkError, SinkUnavailable, TraceRejected
from langchain_autotrace.ship.mlflow_errors import mapped_errors, reason
from langchain_autotrace.ship.mlflow_form import MlflowTrace, mlflow_trace, trace_tags
from langchain_autotrace.ship.model_log import ModelLog
from langchain_autotrace.span import TRACE_ID_PREFIX, TraceContext

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_autotrace.ship.assemble import FinishedTrace

_DEFAULT_EXPERIMENT: Final = "0"
_REACH_SECONDS: Final = 10.0
_CONNECTIONS: Final = 4
"""Requests to a server at a time: most of each is waiting for the answer."""


class MlflowSink:
    """Writes batches of traces to one MLflow tracking URI."""

    def __init__(self, tracking_uri: str) -> None:
        """Connects with the first batch, and creates the database then if there is none."""
        self._uri = tracking_uri
        self._experiments: dict[tuple[str | None, str | None], str] = {}
        self._kind = destination.kind(tracking_uri)
        self._takes_spans = {"sqlite": True, "database": True, "server": None}.get(self._kind or "", False)
        """Whether the store keeps spans itself; others keep them as a file beside the trace. None: not known yet."""
        self._models = ModelLog(tracking_uri)

    @property
    def notes(self) -> Sequence[str]:
        """Models that could not be logged, and why."""
        return self._models.failures

    @functools.cached_property
    def _client(self) -> TracingClient:
        if self._kind == "database":
            # MLflow tries a database that is down for 100 seconds before it says so.
            with sqlalchemy.create_engine(self._uri, poolclass=sqlalchemy.NullPool).connect():
                pass
        return TracingClient(self._uri)

    def write(self, batch: Sequence[FinishedTrace]) -> None:
        """Store the batch: each new trace's row, then the spans of all traces of an experiment in one call.

        Raises:
            SinkUnavailable: the store is down, busy, refuses the credentials, or lost the experiment.
            TraceRejected: the store refuses the content.
        """
        try:
            with mapped_errors(self._uri):
                self._store(batch)
        except SinkError as error:
            if isinstance(error, TraceRejected) or _is_not_found(error.__cause__):
                # MLflow may mean that an experiment was deleted meanwhile: look again, which says so.
                self._experiments.clear()
                with mapped_errors(self._uri):
                    for trace in batch:
                        if trace.root is not None:
                            self._experiment(trace.root.trace)
            raise

    def _store(self, batch: Sequence[FinishedTrace]) -> None:
        if self._kind == "server":
            _reach(self._uri)
        self._models.prepare(model for trace in batch for model in trace.models)
        homes: dict[str, str] = {}
        for trace in batch:
            if trace.root is not None:
                homes[trace.trace_id] = self._experiment(trace.root.trace)
            elif trace.trace_id not in homes:
                homes[trace.trace_id] = self._experiment_of_late(trace)
        by_experiment = self._linked([(mlflow_trace(trace, homes[trace.trace_id]), trace) for trace in batch], homes)
        for experiment, parts in by_experiment.items():
            traces = _joined(parts)
            rows = self._start_all([trace.info for trace in traces if trace.info is not None])
            if self._takes_spans is not False:
                self._takes_spans = self._log_spans(experiment, [span for trace in traces for span in trace.spans])
            if not self._takes_spans:
                self._upload_spans(traces, rows)
            self._upload_files(traces, rows)
        for trace in batch:
            if trace.root is None and trace.update is not None:
                self._set_tags(trace)

    def _linked(
        self, parts: Sequence[tuple[MlflowTrace, FinishedTrace]], homes: Mapping[str, str]
    ) -> dict[str, list[MlflowTrace]]:
        """The traces by experiment, with their models, which are logged first."""
        by_experiment: dict[str, list[MlflowTrace]] = defaultdict(list)
        for part, trace in parts:
            run_id = part.info.trace_metadata.get(TraceMetadataKey.SOURCE_RUN) if part.info else None
            for model in trace.models:
                self._models.log(model, homes[trace.trace_id], run_id)
            by_experiment[homes[trace.trace_id]].append(part)
        self._models.link(part.info for part, _ in parts if part.info is not None)
        return by_experiment

    def _start_all(self, infos: Sequence[TraceInfo]) -> dict[str, TraceInfo]:
        """Write the rows of traces, by their ids; MLflow has no call for many."""
        if self._kind not in {"server", "databricks"}:
            return {info.trace_id: self._start(info) for info in infos}
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            return dict(zip([info.trace_id for info in infos], pool.map(self._start, infos), strict=True))

    def _start(self, info: TraceInfo) -> TraceInfo:
        """Write the trace's row; as the store has it then."""
        try:
            return self._client.start_trace(info)
        except Exception:
            # A file store takes a trace once, and breaks down when it comes again.
            if self._takes_spans or (row := self._stored(info.trace_id)) is None:
                raise
            return row

    def _stored(self, trace_id: str) -> TraceInfo | None:
        try:
            row: TraceInfo = self._client.store.get_trace_info(trace_id)
        except MlflowException:
            return None
        return row

    def _log_spans(self, experiment: str, spans: list[Span]) -> bool:
        """Whether the store has taken them."""
        try:
            self._client.log_spans(experiment, spans)
        except NotImplementedError as error:
            if "version" in str(error) and "less than" not in str(error):
                # The server did not say its version, and MLflow would remember that for as long as the process lives.
                RestStore._get_server_version.cache_clear()  # noqa: SLF001 - no public way
                raise ConnectionError(str(error)) from error
            return False
        except RestException as error:
            # How a server says it that has a file store.
            if "REST OTLP span logging is not supported" in error.message:
                return False
            raise
        return True

    def _upload_spans(self, traces: Sequence[MlflowTrace], rows: Mapping[str, TraceInfo]) -> None:
        """Write each trace's spans into the one file where MLflow looks for them, as its own exporter does."""
        for trace in traces:
            row, kept = rows.get(trace.trace_id), {}
            if row is None:  # spans that came late: beside those of their trace
                stored = self._client.get_trace(trace.trace_id)
                row, kept = stored.info, {span.span_id: span for span in stored.data.spans}
            kept |= {span.span_id: span for span in trace.spans}
            self._client._upload_trace_data(row, TraceData(list(kept.values())))  # noqa: SLF001 - no public way

    def _upload_files(self, traces: Sequence[MlflowTrace], rows: Mapping[str, TraceInfo]) -> None:
        """Put the files that values name where MLflow's pages look for them."""
        for trace in traces:
            if trace.files:
                row = rows.get(trace.trace_id) or self._client.store.get_trace_info(trace.trace_id)
                repository = self._client._get_artifact_repo_for_trace(row)  # noqa: SLF001 - no public way
                for file_id, content in trace.files.items():
                    repository.upload_attachment(file_id, content)

    def _set_tags(self, trace: FinishedTrace) -> None:
        """Tags that were set when the trace was stored already, or in another process than its root's."""
        tags = trace_tags(orjson.loads(trace.update.fields).get("tags", {}) if trace.update else {})
        for key, value in tags.items():
            self._client.store.set_trace_tag(TRACE_ID_PREFIX + trace.trace_id, key, value)

    def _experiment_of_late(self, trace: FinishedTrace) -> str:
        """The experiment of spans without their root: wherever their trace is.

        A part of a trace whose root is in another process may be there before it, and says where it wants to be.
        """
        try:
            return str(self._client.store.get_trace_info(TRACE_ID_PREFIX + trace.trace_id).experiment_id)
        except MlflowException as error:
            if not _is_not_found(error):
                raise
            contexts = [span.start.trace for span in trace.spans if span.start.parent_id and span.start.trace]
            if contexts:
                return self._experiment(contexts[0])
            msg = "the store does not have the trace that these spans belong to"
            raise TraceRejected(msg) from error

    def _experiment(self, context: TraceContext | None) -> str:
        key = (context.experiment, context.experiment_id) if context else (None, None)
        if key not in self._experiments:
            try:
                self._experiments[key] = self._resolve(*key)
            except MlflowException as error:
                # Never the fault of a trace, whatever MLflow calls it: another choice, or its name, mends it.
                msg = f"{without_password(self._uri)}: experiment {key[0] or key[1] or 'Default'!r}: {reason(error)}"
                raise SinkUnavailable(msg) from error
        return self._experiments[key]

    def _resolve(self, name: str | None, experiment_id: str | None) -> str:
        """The id of the experiment, created when it does not exist."""
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


def _joined(parts: Sequence[MlflowTrace]) -> list[MlflowTrace]:
    """Each trace once, and each of its spans as it came last: PostgreSQL takes no row twice in one statement."""
    joined: dict[str, MlflowTrace] = {}
    for part in parts:
        before = joined.get(part.trace_id, MlflowTrace(part.trace_id, None, [], {}))
        spans = {span.span_id: span for span in (*before.spans, *part.spans)}
        info, files = part.info or before.info, before.files | part.files
        joined[part.trace_id] = MlflowTrace(part.trace_id, info, list(spans.values()), files)
    return list(joined.values())


def _reach(uri: str) -> None:
    """Find out whether somebody listens there: MLflow tries for minutes, unless it is told not to."""
    if requests.utils.get_environ_proxies(uri):
        return
    parts = urlsplit(uri)
    address = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    socket.create_connection(address, timeout=_REACH_SECONDS).close()


def _is_not_found(error: BaseException | None) -> bool:
    return isinstance(error, MlflowException) and error.error_code in {"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"}

"""Writes new traces into MLflow's database, a batch in one transaction."""

from __future__ import annotations

import functools
import posixpath
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlparse, urlunparse

from langchain_autotrace.ids import TRACE_ID_PREFIX
from langchain_autotrace.semconv import TraceKey
from langchain_autotrace.ship.bulk.bulk_links import link_stored
from langchain_autotrace.ship.bulk.known_tables import has_columns, has_tables, named_revision
from langchain_autotrace.ship.bulk.new_experiments import create_experiments
from langchain_autotrace.ship.bulk.revisions import SPANS
from langchain_autotrace.ship.bulk.rows import Place, TableRows, trace_rows
from langchain_autotrace.ship.pending_models import StoredTrace, stored_trace
from langchain_autotrace.ship.trace_values import trace_values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from langchain_autotrace.records import TraceContext
    from langchain_autotrace.ship.bulk.databases import Database
    from langchain_autotrace.ship.bulk.revisions import Revision
    from langchain_autotrace.ship.known_models import KnownModels
    from langchain_autotrace.trace.spans import Trace

_DEFAULT_EXPERIMENT: Final = "0"
_EXPERIMENT: Final = (
    "SELECT experiment_id, artifact_location, lifecycle_stage, workspace FROM experiments WHERE {column} = {mark}"
)
_STORED: Final = "SELECT request_id FROM trace_info WHERE request_id IN ({marks})"
_CONTENTS: Final = "SELECT trace_id, span_id, content FROM spans WHERE trace_id IN ({marks})"
_MODEL: Final = "SELECT 1 FROM logged_models WHERE model_id = {mark} AND lifecycle_stage <> 'deleted'"
_PAGE: Final = 500


class Written(NamedTuple):
    """What became of a batch's traces."""

    stored: list[StoredTrace]
    known: list[StoredTrace]
    """Those that were stored before, with the same spans: by a shipper that was killed before its checkpoint."""
    homeless: list[Trace]
    """Those whose experiment, or the whole database, does not exist yet."""
    left: list[Trace]
    """The others, which only MLflow can store."""


class _Made(NamedTuple):
    """A trace, ready to be inserted."""

    as_stored: StoredTrace
    rows: TableRows

    @property
    def trace(self) -> Trace:
        """The trace that is written."""
        return self.as_stored.trace


class BulkWriter:
    """A writer for one database."""

    def __init__(self, database: Database) -> None:
        """Write to ``database``. Whether its tables are known is looked at in each batch."""
        self._database = database
        self._checked: Revision | None = None

    def write(self, batch: Sequence[Trace], models: KnownModels) -> Written:
        """Store the traces that can be stored in bulk, all or none.

        Args:
            batch: whole traces, each once.
            models: the models to link them to.

        Raises:
            Exception: of the database's driver; nothing was stored.
        """
        if not self._database.exists():
            return Written([], [], list(batch), [])
        with self._database.connect() as connection:
            cursor = connection.cursor()
            if not has_tables(self._database, cursor):
                return Written([], [], list(batch), [])
            revision = self._revision(cursor)
            if revision is None:
                return Written([], [], [], list(batch))
            places = {key: self._place(cursor, *key) for key in {_experiment(trace) for trace in batch}}
            # The rows are made before the lock is taken.
            link = models.linking(functools.partial(self._has_model, cursor))
            made = list(_made(batch, places, revision, link))
            stored, known = self._store(connection, revision, made, places)
        done = {id(one.trace) for one in (*stored, *known)}
        left = [trace for trace in batch if id(trace) not in done]
        homeless = [trace for trace in left if places[_experiment(trace)] is None]
        return Written(stored, known, homeless, [trace for trace in left if places[_experiment(trace)] is not None])

    def link(self, trace_ids: Sequence[str], model_id: str) -> bool:
        """Link stored traces to a model, except those that were deleted or name one.

        Args:
            trace_ids: MLflow's ids of the traces.
            model_id: MLflow's id of the model.

        Returns:
            False when the database is not known, and none was linked.

        Raises:
            Exception: of the database's driver; none was linked.
        """
        with self._database.connect() as connection:
            cursor = connection.cursor()
            revision = self._revision(cursor)
            self._database.begin(cursor)
            if revision is None or named_revision(self._database, cursor) != revision:
                return False
            link_stored(self._database, cursor, trace_ids, model_id)
            connection.commit()
        return True

    def create_experiments(self, names: Iterable[str]) -> None:
        """Create the experiments that are missing, as far as it is known how MLflow would.

        Raises:
            Exception: of the database's driver; none was created.
        """
        with self._database.connect() as connection:
            cursor = connection.cursor()
            if has_tables(self._database, cursor) and self._revision(cursor) is not None:
                self._database.begin(cursor)
                if named_revision(self._database, cursor) == self._checked:
                    create_experiments(self._database, cursor, names)
                connection.commit()

    def _revision(self, cursor: Any) -> Revision | None:  # noqa: ANN401 - a driver's
        """Return the database's revision if its rows are known, and its tables are as they should be."""
        revision = named_revision(self._database, cursor)
        if revision is None or revision is self._checked:
            return revision
        if not has_columns(cursor, revision):
            return None
        self._checked = revision
        return revision

    def _place(self, cursor: Any, name: str | None, experiment_id: str | None) -> Place | None:  # noqa: ANN401
        """Return where traces of an experiment go; None when there is none that is active."""
        column, value = ("name", name) if name is not None else ("experiment_id", _number(experiment_id))
        cursor.execute(_EXPERIMENT.format(column=column, mark=self._database.mark), (value,))
        found = cursor.fetchall()
        if len(found) != 1 or found[0][2] != "active":
            return None
        folder = _traces_folder(found[0][1])
        return None if folder is None else Place(found[0][0], folder)

    def _has_model(self, cursor: Any, model_id: str) -> bool:  # noqa: ANN401
        cursor.execute(_MODEL.format(mark=self._database.mark), (model_id,))
        return bool(cursor.fetchall())

    def _store(
        self,
        connection: Any,  # noqa: ANN401
        revision: Revision,
        made: Sequence[_Made],
        places: dict[tuple[str | None, str | None], Place | None],
    ) -> tuple[list[StoredTrace], list[StoredTrace]]:
        """Insert the traces that are new in one transaction; return them, and those that it has with the same spans."""
        cursor = connection.cursor()
        self._database.begin(cursor)
        if named_revision(self._database, cursor) != revision:
            return [], []
        active = {key for key, place in places.items() if place is not None and self._place(cursor, *key) == place}
        stored = self._stored(cursor, [one.trace.trace_id for one in made])
        known = self._with_same_spans(cursor, [one for one in made if one.trace.trace_id in stored])
        new = [one for one in made if one.trace.trace_id not in stored and _experiment(one.trace) in active]
        new.sort(key=lambda one: one.trace.trace_id)  # in the order in which MLflow takes its locks
        for table, columns in revision.tables.items():
            values = [tuple(map(row.get, columns)) for one in new for row in one.rows[table]]
            if values:
                statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES"
                self._database.insert(cursor, statement, values)
        connection.commit()
        self._database.after_commit(cursor)
        return [one.as_stored for one in new], [_without_link(one.as_stored) for one in known]

    def _stored(self, cursor: Any, trace_ids: Sequence[str]) -> set[str]:  # noqa: ANN401
        """Return those of the traces that the database has."""
        return {row[0].removeprefix(TRACE_ID_PREFIX) for row in self._found(cursor, _STORED, trace_ids)}

    def _with_same_spans(self, cursor: Any, made: Sequence[_Made]) -> list[_Made]:  # noqa: ANN401
        """Return those of the traces, all of which the database has, whose spans it has exactly as they are."""
        found: dict[str, dict[str, str]] = defaultdict(dict)
        for trace_id, span_id, content in self._found(cursor, _CONTENTS, [one.trace.trace_id for one in made]):
            found[trace_id][span_id] = content
        spans = [{row["span_id"]: row["content"] for row in one.rows[SPANS]} for one in made]
        return [one for one, own in zip(made, spans, strict=True) if own == found[one.as_stored.trace_id]]

    def _found(self, cursor: Any, query: str, trace_ids: Sequence[str]) -> Iterator[Sequence[Any]]:  # noqa: ANN401
        """Yield the rows of traces that a query finds."""
        for begin in range(0, len(trace_ids), _PAGE):
            page = [TRACE_ID_PREFIX + trace_id for trace_id in trace_ids[begin : begin + _PAGE]]
            cursor.execute(query.format(marks=", ".join([self._database.mark] * len(page))), page)
            yield from cursor.fetchall()


def _made(
    batch: Sequence[Trace],
    places: dict[tuple[str | None, str | None], Place | None],
    revision: Revision,
    link: Callable[[StoredTrace], None],
) -> Iterator[_Made]:
    """Yield each trace whose experiment exists, with its rows; leave out those whose rows only MLflow can make."""
    for trace in batch:
        place = places[_experiment(trace)]
        if place is None:
            continue
        try:
            values = trace_values(trace)
            as_stored = stored_trace(trace, values, str(place.experiment_id))
            link(as_stored)
            yield _Made(as_stored, trace_rows(values, place, has_metrics=revision.has_metrics))
        except Exception:  # noqa: BLE001, S112 - whatever is wrong with a trace, MLflow's API says what it is
            continue


def _without_link(known: StoredTrace) -> StoredTrace:
    """Return a trace that was stored before, without a model id: its row may have been written without one."""
    return known._replace(metadata={key: text for key, text in known.metadata.items() if key != TraceKey.MODEL_ID})


def _experiment(trace: Trace) -> tuple[str | None, str | None]:
    context: TraceContext | None = trace.context
    return (None, None) if context is None else (context["experiment"], context["experiment_id"])


def _number(experiment_id: str | None) -> int:
    """Return the id as the database has it; -1, which no experiment has, for one that is no number."""
    text = experiment_id or _DEFAULT_EXPERIMENT
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else -1  # noqa: PLR2004


def _traces_folder(location: str | None) -> str | None:
    """Return the address of the folder of an experiment's traces; None where only MLflow knows how to write it.

    See ``mlflow.utils.uri.append_to_uri_path``.
    """
    parts = urlparse(location or "")
    if parts.query or parts.fragment or parts.params or not parts.path.startswith("/"):
        return None
    if not parts.scheme:
        return posixpath.join(str(location), "traces")
    return urlunparse(parts._replace(path=posixpath.join(parts.path, "traces")))

"""Finds stored traces: ``get_trace()`` and ``search_traces()``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from langchain_autotrace import settings
from langchain_autotrace.errors import SettingsError, TraceNotFound
from langchain_autotrace.redaction import without_password
from langchain_autotrace.view import deliver, traces
from langchain_autotrace.view.catalog import Query
from langchain_autotrace.view.trace_objects import Trace, TraceList

if TYPE_CHECKING:
    from langchain_autotrace.view.export import Exported
    from langchain_autotrace.view.traces import TraceTree

_FRESHEN_SECONDS: Final = 10.0
_SESSION: Final = "metadata.`mlflow.trace.session`"
_USER: Final = "metadata.`mlflow.trace.user`"
_INTERNAL_TAG: Final = "mlflow."


def get_trace(trace_id: str = "last", *, tracking_uri: str | None = None, experiment: str | None = None) -> Trace:
    """Return a stored trace; what is still in the journal is delivered first.

    Args:
        trace_id: MLflow's id, the first or last digits of one (with or without ``tr-``), or ``last``, the newest.
        tracking_uri: MLflow's tracking URI; by default that of ``autolog()`` without arguments.
        experiment: name of the experiment to look in; all by default.

    Raises:
        TraceNotFound: there is no such trace, or more than one.
        SinkUnavailable: the store cannot be read.
    """
    uri = settings.resolve(tracking_uri=tracking_uri).tracking_uri
    if not _is_readable(uri):
        msg = f"no traces yet in {without_password(uri)}: call langchain_autotrace.autolog() and run something."
        raise TraceNotFound(msg)
    found = traces.tree(uri, trace_id, experiment=experiment)
    return Trace(_Stored(uri, found.row.trace_id, found), found.row)


def search_traces(  # noqa: PLR0913 - each is a filter
    *,
    name: str | None = None,
    status: str | None = None,
    session: str | None = None,
    user: str | None = None,
    tags: Mapping[str, str] | None = None,
    filter_string: str | None = None,
    experiment: str | None = None,
    limit: int = 100,
    tracking_uri: str | None = None,
) -> TraceList:
    """Return stored traces that meet all conditions, the newest first; what is still in the journal is delivered first.

    Args:
        name: name of the trace.
        status: OK, ERROR or IN_PROGRESS.
        session: the session's id.
        user: the user's id.
        tags: tags that the trace has, with their values.
        filter_string: further conditions in the language of ``mlflow.search_traces()``.
        experiment: name of the experiment to look in; all by default.
        limit: how many at most.
        tracking_uri: MLflow's tracking URI; by default that of ``autolog()`` without arguments.

    Raises:
        SettingsError: a value holds both kinds of quotation marks, which MLflow cannot search for.
        SinkUnavailable: the store cannot be read, has no such experiment, or does not understand ``filter_string``.
    """
    wanted = {"trace.name": name, "trace.status": status, _SESSION: session, _USER: user}
    wanted |= {f"tag.`{key}`": value for key, value in (tags or {}).items()}
    conditions = [f"{field} = {_quoted(value)}" for field, value in wanted.items() if value is not None]
    conditions += [filter_string] if filter_string else []
    uri = settings.resolve(tracking_uri=tracking_uri).tracking_uri
    if not _is_readable(uri):
        return TraceList()
    query = None if filter_string else _query(name, status, session, user, tags or {})
    condition = " AND ".join(conditions) or None
    rows = traces.newest(uri, experiment=experiment, limit=limit, condition=condition, query=query)
    return TraceList(Trace(_Stored(uri, row.trace_id), row) for row in rows)


def _is_readable(uri: str) -> bool:
    """Deliver pending traces so that they are found; return whether there is a store to read."""
    exists, _ = deliver.freshened(uri, timeout=_FRESHEN_SECONDS)
    return exists


def _query(
    name: str | None, status: str | None, session: str | None, user: str | None, tags: Mapping[str, str]
) -> Query | None:
    """Return the conditions as a query; None where it cannot ask for them: empty values, MLflow's own tags."""
    values = (name, status, session, user)
    if "" in {*values, *tags.values()} or any(key.startswith(_INTERNAL_TAG) for key in tags):
        return None
    return Query(status=status or "", name=name or "", session=session or "", user=user or "", tags=tags)


def _quoted(value: str) -> str:
    if "'" not in value:
        return f"'{value}'"
    if '"' not in value:
        return f'"{value}"'
    msg = f"MLflow cannot search for a value with both kinds of quotation marks: {value!r}"
    raise SettingsError(msg)


class _Stored:
    """A trace of a store, read when it is asked for."""

    def __init__(self, uri: str, trace_id: str, tree: TraceTree | None = None) -> None:
        self._uri, self._trace_id, self._tree = uri, trace_id, tree

    def tree(self) -> TraceTree:
        return self._tree or traces.tree(self._uri, self._trace_id)

    def exported(self, *, content: bool) -> Exported:
        from langchain_autotrace.view import export  # noqa: PLC0415 - rich is slow to import

        return export.read(self._uri, [self._trace_id], content=content)[0]

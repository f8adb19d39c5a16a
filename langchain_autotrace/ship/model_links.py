"""Link stored traces to their logged models: set the model's id in their metadata, where MLflow looks for it."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from mlflow.entities import TraceInfo
from mlflow.exceptions import MlflowException
from mlflow.tracing.constant import TraceMetadataKey
from mlflow.tracking import MlflowClient

from langchain_autotrace.semconv import Attr
from langchain_autotrace.ship.mlflow_errors import is_not_found

_logger: Final = logging.getLogger("langchain_autotrace.ship")

_PAGE: Final = 500

Link = Callable[[Sequence[str], str], bool]
"""Links stored traces (MLflow's ids) to a model, except those that were deleted or name one; returns False, or raises,
where that has to be done through MLflow's API, which takes many times as long."""


def link_traces(client: MlflowClient, trace_ids: Sequence[str], model_id: str, link: Link | None = None) -> None:
    """Link traces to a model, except those that were deleted or name a model.

    Args:
        client: client of the store.
        trace_ids: MLflow's ids of the traces.
        model_id: MLflow's id of the model.
        link: a faster way to do so than MLflow's API.

    Raises:
        Exception: a trace could not be linked; all others were tried.
    """
    if not _is_linked_by(link, trace_ids, model_id):
        _link_all(client, _rows(client, trace_ids), model_id)


def link_earlier(
    client: MlflowClient, experiment_id: str, content_hash: str, model_id: str, link: Link | None = None
) -> None:
    """Link the traces that were stored before their model: of failed runs, and of other processes.

    Args:
        client: client of the store.
        experiment_id: experiment of the model.
        content_hash: hash of its chain.
        model_id: MLflow's id of the model.
        link: a faster way to link traces than MLflow's API.

    Raises:
        Exception: as :func:`link_traces`.
    """
    pages = _unlinked(client, experiment_id, content_hash)
    left = (page for page in pages if not _is_linked_by(link, [row.trace_id for row in page], model_id))
    _link_all(client, itertools.chain.from_iterable(left), model_id)


def _is_linked_by(link: Link | None, trace_ids: Sequence[str], model_id: str) -> bool:
    """Link traces in a faster way than MLflow's API, if there is one; return whether they are linked."""
    try:
        return link is not None and link(trace_ids, model_id)
    except Exception as error:  # noqa: BLE001 - MLflow's API does it, or says what is wrong
        _logger.debug("traces could not be linked in bulk: %s", error)
        return False


def _rows(client: MlflowClient, trace_ids: Iterable[str]) -> Iterator[TraceInfo]:
    for trace_id in trace_ids:
        try:
            yield client._tracing_client.store.get_trace_info(trace_id)  # noqa: SLF001 - no public way
        except MlflowException as error:
            if not is_not_found(error):
                raise


def _unlinked(client: MlflowClient, experiment_id: str, content_hash: str) -> Iterator[list[TraceInfo]]:
    """Yield the rows of a chain's traces that name no model, the newest first, in pages."""
    token: str | None = None
    while True:
        page = client.search_traces(
            locations=[experiment_id],
            filter_string=f"metadata.`{Attr.CONTENT_HASH}` = '{content_hash}'",
            max_results=_PAGE,
            order_by=["timestamp_ms DESC"],
            page_token=token,
            include_spans=False,
        )
        found = [trace.info for trace in page if TraceMetadataKey.MODEL_ID not in trace.info.trace_metadata]
        yield found
        token = page.token
        if not token or not found:  # a page without any: the traces before it were linked when they were stored
            return


def _link_all(client: MlflowClient, rows: Iterable[TraceInfo], model_id: str) -> None:
    failure: Exception | None = None
    for row in rows:
        if TraceMetadataKey.MODEL_ID in row.trace_metadata:
            continue
        row.trace_metadata[TraceMetadataKey.MODEL_ID] = model_id
        try:
            _rewrite(client, row)
        except Exception as error:  # noqa: BLE001 - raised when the others are linked
            failure = error
    if failure is not None:
        raise failure


def _rewrite(client: MlflowClient, row: TraceInfo) -> None:
    """Write the row of a stored trace again."""
    store = client._tracing_client.store  # noqa: SLF001 - no public way
    if hasattr(store, "_save_trace_info"):  # MLflow's file store does not write a trace again by itself
        store._save_trace_info(row, store._find_trace_dir(row.trace_id), overwrite=True)  # noqa: SLF001 - no public way
    else:
        store.start_trace(row)

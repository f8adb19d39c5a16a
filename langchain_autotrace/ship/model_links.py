"""Link stored traces to their logged models: set the model's id in their metadata, where MLflow looks for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from mlflow.entities import TraceInfo
from mlflow.exceptions import MlflowException
from mlflow.tracing.constant import TraceMetadataKey
from mlflow.tracking import MlflowClient

from langchain_autotrace.semconv import Attr
from langchain_autotrace.ship.mlflow_errors import is_not_found

_PAGE: Final = 500


def link_traces(client: MlflowClient, trace_ids: Iterable[str], model_id: str) -> None:
    """Link traces to a model, except those that were deleted or name a model.

    Args:
        client: client of the store.
        trace_ids: MLflow's ids of the traces.
        model_id: MLflow's id of the model.

    Raises:
        Exception: a trace could not be linked; all others were tried.
    """
    _link_all(client, _rows(client, trace_ids), model_id)


def link_earlier(client: MlflowClient, experiment_id: str, content_hash: str, model_id: str) -> None:
    """Link the traces that were stored before their model: of failed runs, and of other processes.

    Args:
        client: client of the store.
        experiment_id: experiment of the model.
        content_hash: hash of its chain.
        model_id: MLflow's id of the model.

    Raises:
        Exception: as :func:`link_traces`.
    """
    _link_all(client, _unlinked(client, experiment_id, content_hash), model_id)


def _rows(client: MlflowClient, trace_ids: Iterable[str]) -> Iterator[TraceInfo]:
    for trace_id in trace_ids:
        try:
            yield client._tracing_client.store.get_trace_info(trace_id)  # noqa: SLF001 - no public way
        except MlflowException as error:
            if not is_not_found(error):
                raise


def _unlinked(client: MlflowClient, experiment_id: str, content_hash: str) -> Iterator[TraceInfo]:
    """Yield the rows of a chain's traces that name no model, the newest first."""
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
        yield from found
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

"""Find out which models are to be logged, and which traces linked to one, after a batch of traces was stored."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from mlflow.tracing.constant import TraceMetadataKey

from langchain_autotrace.records import ModelForm, PendingModel, ProcessInfo
from langchain_autotrace.semconv import Attr

if TYPE_CHECKING:
    from langchain_autotrace.ship.mlflow_entities import MlflowTrace
    from langchain_autotrace.trace.spans import Trace


class StoredTrace(NamedTuple):
    """A trace that was stored."""

    trace: Trace
    """As the journal has it: its id may differ from the stored one."""
    stored: MlflowTrace
    experiment_id: str


def pending_models(stored: Iterable[StoredTrace]) -> list[PendingModel]:
    """Return one entry for each chain of a process and experiment: its description, and its traces without a model."""
    found: dict[tuple[ProcessInfo | None, str, str], PendingModel] = {}
    for one in stored:
        forms: dict[str, ModelForm | None] = {model.content_hash: model.form for model in one.trace.models}
        metadata = {} if one.stored.info is None else one.stored.info.trace_metadata
        unlinked = metadata.get(Attr.CONTENT_HASH) if TraceMetadataKey.MODEL_ID not in metadata else None
        if unlinked:
            forms.setdefault(unlinked, None)
        for content_hash, form in forms.items():
            key = one.trace.process, one.experiment_id, content_hash
            entry = found.setdefault(key, _entry(one, content_hash, metadata.get(TraceMetadataKey.SOURCE_RUN)))
            if form is not None and entry.form is None:
                found[key] = entry = entry._replace(form=form, run_id=metadata.get(TraceMetadataKey.SOURCE_RUN))
            if content_hash == unlinked:
                entry.trace_ids.append(one.stored.trace_id)
    return list(found.values())


def _entry(one: StoredTrace, content_hash: str, run_id: str | None) -> PendingModel:
    return PendingModel(one.trace.trace_id, one.experiment_id, content_hash, run_id, [], None)

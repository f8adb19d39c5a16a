"""Find out which models are to be logged, and which traces linked to one, after a batch of traces was stored."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from langchain_autotrace.records import ModelForm, PendingModel, ProcessInfo
from langchain_autotrace.semconv import Attr, TraceKey

if TYPE_CHECKING:
    from langchain_autotrace.ship.trace_values import TraceValues
    from langchain_autotrace.trace.spans import Trace


class StoredTrace(NamedTuple):
    """A trace that was stored, or is about to be."""

    trace: Trace
    """As the journal has it: its id may differ from the stored one."""
    trace_id: str
    """MLflow's id (``tr-…``) of the stored trace."""
    metadata: dict[str, str]
    """Its metadata; empty for late spans, whose trace was stored before."""
    experiment_id: str


def stored_trace(trace: Trace, values: TraceValues, experiment_id: str) -> StoredTrace:
    """Return a trace whose values are stored. It shares their metadata."""
    return StoredTrace(trace, values.trace_id, {} if values.info is None else values.info.metadata, experiment_id)


def pending_models(stored: Iterable[StoredTrace]) -> list[PendingModel]:
    """Return one entry for each chain of a process and experiment: its description, and its traces without a model."""
    found: dict[tuple[ProcessInfo | None, str, str], PendingModel] = {}
    for one in stored:
        forms: dict[str, ModelForm | None] = {model.content_hash: model.form for model in one.trace.models}
        run_id = one.metadata.get(TraceKey.SOURCE_RUN)
        unlinked = one.metadata.get(Attr.CONTENT_HASH) if TraceKey.MODEL_ID not in one.metadata else None
        if unlinked:
            forms.setdefault(unlinked, None)
        for content_hash, form in forms.items():
            key = one.trace.process, one.experiment_id, content_hash
            entry = found.setdefault(key, _entry(one, content_hash, run_id))
            if form is not None and entry.form is None:
                found[key] = entry = entry._replace(form=form, run_id=run_id)
            if content_hash == unlinked:
                entry.trace_ids.append(one.trace_id)
    return list(found.values())


def _entry(one: StoredTrace, content_hash: str, run_id: str | None) -> PendingModel:
    return PendingModel(one.trace.trace_id, one.experiment_id, content_hash, run_id, [], None)

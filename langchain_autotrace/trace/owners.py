"""Says whose a trace is: its session and its user."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from langchain_autotrace.semconv import SESSION_KEYS, THREAD_KEY, USER_KEYS, Attr, Kind, metadata_of

if TYPE_CHECKING:
    from langchain_autotrace.trace.join import SpanRecords
    from langchain_autotrace.trace.spans import Span

_MAX_OWNER: Final = 250
"""MLflow's limit for the value of trace metadata (``MAX_CHARS_IN_TRACE_INFO_METADATA``)."""


def set_owners(spans: Sequence[Span], records: Sequence[SpanRecords]) -> None:
    """Set session and user on the first span of the trace that names them.

    Of a span, what its metadata says counts first, then ``configurable``, a graph's ``context``, and ``context()``.
    """
    sources = [[] if one.start.kind == Kind.SPAN else _sources(one.start.details) for one in records]
    for name, keys in ((Attr.SESSION, SESSION_KEYS), (Attr.USER, USER_KEYS)):
        for span, places in zip(spans, sources, strict=True):
            found = _first(places, keys)
            if found is not None:
                span.attributes[name] = str(found)[:_MAX_OWNER]
                break


def _first(places: Iterable[Mapping[str, Any]], keys: Sequence[str]) -> object:
    """Return the first value that is not empty under one of the keys; None where there is none."""
    for place in places:
        for key in keys:
            if value := place.get(key):
                return value
    return None


def thread_of(records: Sequence[SpanRecords]) -> str | None:
    """Return the id of LangGraph's thread that a trace is of; None when it has none."""
    for one in records:
        found = _first(_sources(one.start.details)[:2], (THREAD_KEY,))
        if found is not None:
            return str(found)[:_MAX_OWNER]
    return None


def _sources(details: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return where a span names session and user, the first one first."""
    configurable, said = details.get("configurable", {}), metadata_of(details)
    if configurable:
        # LangChain before 1.3, and LangGraph, copy what is configurable into the metadata: the metadata do not say it.
        said = {key: value for key, value in said.items() if str(value) != configurable.get(key)}
    return [said, configurable, details.get("agent_context", {}), details]

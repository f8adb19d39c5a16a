"""What a store has of traces, as plain records: the same whether MLflow's API or its tables were read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_autotrace.semconv import Attr


@dataclass(frozen=True, slots=True)
class StoredInfo:
    """A trace without its spans."""

    trace_id: str
    experiment_id: str | None
    state: str
    """OK, ERROR, IN_PROGRESS or STATE_UNSPECIFIED."""
    start_ms: int
    duration_ms: int | None
    tags: Mapping[str, str]
    metadata: Mapping[str, str]
    usage: Mapping[str, Any]
    """Token counts by MLflow's names; empty if not known."""
    cost: Mapping[str, Any]
    """Amounts in US dollars by MLflow's names; empty if not known."""
    request: str | None
    """Preview of the question."""
    response: str | None
    """Preview of the answer."""


@dataclass(frozen=True, slots=True)
class StoredSpan:
    """A span of a trace."""

    span_id: str
    parent_id: str | None
    name: str
    status: str
    """OK, ERROR or UNSET."""
    message: str | None
    """Message of the status."""
    start_ns: int
    end_ns: int | None
    attributes: dict[str, Any]
    """All attributes, inputs and outputs among them."""
    events: list[dict[str, Any]]
    """Name, time in nanoseconds and attributes of each event."""


@dataclass(frozen=True, slots=True)
class StoredTrace:
    """A trace with its spans."""

    info: StoredInfo
    spans: list[StoredSpan]


def numbers_in(text: str | None) -> dict[str, Any]:
    """Return the object that a metadata entry has as JSON, such as the token usage; empty for whatever else it has."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def text_of(span: StoredSpan) -> str:
    """Return what a search for a text looks in: name, inputs, outputs, message and events, in small letters."""
    parts = (span.name, span.attributes.get(Attr.INPUTS), span.attributes.get(Attr.OUTPUTS), span.message)
    texts = (one if isinstance(one, str) else json.dumps(one, ensure_ascii=False, default=str) for one in parts if one)
    events = ({key: value for key, value in event.items() if key not in {"name", "time_ns"}} for event in span.events)
    return "\n".join([*texts, *map(str, events)]).casefold()

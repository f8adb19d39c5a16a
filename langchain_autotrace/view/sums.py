"""Sums over traces and calls of models: by period of time, by name, by model."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from langchain_autotrace.view.catalog import Bucket, Group

if TYPE_CHECKING:
    from langchain_autotrace.view.catalog import ListedTrace

_SECOND: Final = 1_000
_MINUTE: Final = 60 * _SECOND
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_LENGTHS: Final = (
    *(n * _SECOND for n in (1, 5, 15, 30)),
    *(n * _MINUTE for n in (1, 5, 15, 30)),
    *(n * _HOUR for n in (1, 3, 6, 12)),
    *(n * _DAY for n in (1, 7, 28)),
)
_MAX_GROUPS: Final = 50
_MEDIAN: Final = 0.5
_P95: Final = 0.95
_P99: Final = 0.99

Key = TypeVar("Key", bound=Hashable)
One = TypeVar("One")


class Call(NamedTuple):
    """A call of a model."""

    model: str
    failed: bool
    duration_ms: float | None
    tokens: int
    cost_usd: float


def bucket_length(starts_ms: Sequence[int], periods: int) -> int:
    """Return the shortest round length in milliseconds by which that many periods hold all starts."""
    if not starts_ms:
        return _HOUR
    first, last = min(starts_ms), max(starts_ms)
    fits = (length for length in _LENGTHS if last // length - first // length < periods)
    return next(fits, _DAY * math.ceil((last - first) / _DAY / max(periods - 1, 1)))


def buckets(traces: Iterable[ListedTrace], length_ms: int) -> tuple[Bucket, ...]:
    """Return the sums of each period that has a trace, in order."""
    grouped = _grouped(traces, lambda one: one.row.start_ms // length_ms)
    return tuple(_bucket(number * length_ms, grouped[number]) for number in sorted(grouped))


def _bucket(start_ms: int, traces: Sequence[ListedTrace]) -> Bucket:
    rows = [one.row for one in traces]
    durations = sorted(row.duration_ms for row in rows if row.duration_ms is not None)
    return Bucket(
        start_ms=start_ms,
        traces=len(rows),
        errors=sum(row.status == "ERROR" for row in rows),
        p50_ms=percentile(durations, _MEDIAN),
        p95_ms=percentile(durations, _P95),
        p99_ms=percentile(durations, _P99),
        input_tokens=sum(row.tokens.input or 0 for row in rows),
        output_tokens=sum(row.tokens.output or 0 for row in rows),
        cost_usd=sum(row.cost_usd or 0.0 for row in rows),
    )


def by_name(traces: Iterable[ListedTrace]) -> tuple[Group, ...]:
    """Return the sums of the traces of each name, the most frequent first."""
    calls = [
        Call(
            one.row.name,
            one.row.status == "ERROR",
            one.row.duration_ms,
            one.row.tokens.total or 0,
            one.row.cost_usd or 0.0,
        )
        for one in traces
    ]
    return by_model(calls)


def by_model(calls: Iterable[Call]) -> tuple[Group, ...]:
    """Return the sums of the calls of each model, the most frequent first."""
    grouped = _grouped(calls, lambda one: one.model)
    groups = [_group(name, some) for name, some in grouped.items()]
    return tuple(sorted(groups, key=lambda group: (-group.count, group.name))[:_MAX_GROUPS])


def _group(name: str, calls: Sequence[Call]) -> Group:
    durations = sorted(call.duration_ms for call in calls if call.duration_ms is not None)
    return Group(
        name=name,
        count=len(calls),
        errors=sum(call.failed for call in calls),
        p50_ms=percentile(durations, _MEDIAN),
        p95_ms=percentile(durations, _P95),
        total_tokens=sum(call.tokens for call in calls),
        cost_usd=sum(call.cost_usd for call in calls),
    )


def percentile(in_order: Sequence[float], share: float) -> float | None:
    """Return the smallest number that at least that share of them does not exceed; None where there are none."""
    return in_order[max(math.ceil(share * len(in_order)) - 1, 0)] if in_order else None


def _grouped(values: Iterable[One], key: Callable[[One], Key]) -> dict[Key, list[One]]:
    found: dict[Key, list[One]] = defaultdict(list)
    for value in values:
        found[key(value)].append(value)
    return found

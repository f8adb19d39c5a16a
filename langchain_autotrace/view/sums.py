"""Sums over traces and calls of models: by period of time, by name, by model."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from langchain_autotrace.view.catalog import Bucket, Group

if TYPE_CHECKING:
    from langchain_autotrace.view.catalog import ListedTrace
    from langchain_autotrace.view.traces import TraceRow

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
MAX_GROUPS: Final = 50
_MEDIAN: Final = 0.5
_P95: Final = 0.95
_P99: Final = 0.99

Key = TypeVar("Key", bound=Hashable)
One = TypeVar("One")
Number = TypeVar("Number", int, float)


class Call(NamedTuple):
    """A call of a model."""

    model: str
    failed: bool
    duration_ms: float | None
    tokens: int | None
    cost_usd: float | None


class Sums(NamedTuple):
    """Sums over traces, or over calls of models."""

    number: int
    errors: int
    durations_ms: Sequence[float]
    """Of all that have one."""
    total_tokens: int | None
    """Sum of those that are known; None where none is. The same for the other sums."""
    cost_usd: float | None
    input_tokens: int | None = None
    output_tokens: int | None = None


def bucket_length(starts_ms: Sequence[int], periods: int) -> int:
    """Return the shortest round length in milliseconds by which that many periods hold all starts."""
    if not starts_ms:
        return _HOUR
    first, last = min(starts_ms), max(starts_ms)
    fits = (length for length in _LENGTHS if last // length - first // length < periods)
    return next(fits, _DAY * math.ceil((last - first) / _DAY / max(periods - 1, 1)))


def buckets(traces: Iterable[ListedTrace], length_ms: int) -> tuple[Bucket, ...]:
    """Return the sums of each period that has a trace, in order."""
    grouped = _grouped((one.row for one in traces), lambda row: row.start_ms // length_ms)
    return tuple(bucket_of(number * length_ms, _sums(grouped[number])) for number in sorted(grouped))


def _sums(rows: Sequence[TraceRow]) -> Sums:
    return Sums(
        number=len(rows),
        errors=sum(row.status == "ERROR" for row in rows),
        durations_ms=[row.duration_ms for row in rows if row.duration_ms is not None],
        input_tokens=total(row.tokens.input for row in rows),
        output_tokens=total(row.tokens.output for row in rows),
        total_tokens=total(row.tokens.total for row in rows),
        cost_usd=total(row.cost_usd for row in rows),
    )


def bucket_of(start_ms: int, sums: Sums) -> Bucket:
    """Return the sums of the traces of a period as a bucket."""
    durations = sorted(sums.durations_ms)
    return Bucket(
        start_ms=start_ms,
        traces=sums.number,
        errors=sums.errors,
        p50_ms=percentile(durations, _MEDIAN),
        p95_ms=percentile(durations, _P95),
        p99_ms=percentile(durations, _P99),
        input_tokens=sums.input_tokens,
        output_tokens=sums.output_tokens,
        cost_usd=sums.cost_usd,
    )


def by_name(traces: Iterable[ListedTrace]) -> tuple[Group, ...]:
    """Return the sums of the traces of each name, the most frequent first."""
    grouped = _grouped((one.row for one in traces), lambda row: row.name)
    return in_order(group_of(name, _sums(rows)) for name, rows in grouped.items())


def by_model(calls: Iterable[Call]) -> tuple[Group, ...]:
    """Return the sums of the calls of each model, the most frequent first."""
    grouped = _grouped(calls, lambda one: one.model)
    return in_order(group_of(name, _sums_of_calls(some)) for name, some in grouped.items())


def _sums_of_calls(calls: Sequence[Call]) -> Sums:
    return Sums(
        number=len(calls),
        errors=sum(call.failed for call in calls),
        durations_ms=[call.duration_ms for call in calls if call.duration_ms is not None],
        total_tokens=total(call.tokens for call in calls),
        cost_usd=total(call.cost_usd for call in calls),
    )


def in_order(groups: Iterable[Group], most: int = MAX_GROUPS) -> tuple[Group, ...]:
    """Return the most frequent groups, the most frequent first."""
    return tuple(sorted(groups, key=lambda group: (-group.count, group.name))[:most])


def group_of(name: str, sums: Sums) -> Group:
    """Return the sums of what has a name as a group."""
    durations = sorted(sums.durations_ms)
    return Group(
        name=name,
        count=sums.number,
        errors=sums.errors,
        p50_ms=percentile(durations, _MEDIAN),
        p95_ms=percentile(durations, _P95),
        total_tokens=sums.total_tokens,
        cost_usd=sums.cost_usd,
    )


def added(parts: Sequence[Sums]) -> Sums:
    """Return the sums of several parts as those of the whole."""
    return Sums(
        number=sum(part.number for part in parts),
        errors=sum(part.errors for part in parts),
        durations_ms=[one for part in parts for one in part.durations_ms],
        input_tokens=total(part.input_tokens for part in parts),
        output_tokens=total(part.output_tokens for part in parts),
        total_tokens=total(part.total_tokens for part in parts),
        cost_usd=total(part.cost_usd for part in parts),
    )


def total(numbers: Iterable[Number | None]) -> Number | None:
    """Return the sum of the numbers that are known; None when none is."""
    known = [one for one in numbers if one is not None]
    return sum(known[1:], start=known[0]) if known else None


def percentile(in_order: Sequence[float], share: float) -> float | None:
    """Return the smallest number that at least that share of them does not exceed; None where there are none."""
    return in_order[max(math.ceil(share * len(in_order)) - 1, 0)] if in_order else None


def _grouped(values: Iterable[One], key: Callable[[One], Key]) -> dict[Key, list[One]]:
    found: dict[Key, list[One]] = defaultdict(list)
    for value in values:
        found[key(value)].append(value)
    return found

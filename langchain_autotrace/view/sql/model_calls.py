"""Keeps what sums need of the calls of models of an SQLite file in memory, and up to date.

No index of MLflow's has the models, so that sums over all of them read the whole table of spans, most of which is
content. The first sums do; those after it read what has changed.
"""

from __future__ import annotations

import math
import threading
from array import array
from collections import Counter, defaultdict
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from langchain_autotrace.ship.bulk.databases import Sqlite
from langchain_autotrace.view.sql.call_rows import call_rows
from langchain_autotrace.view.sql.connections import Identity, drop, identity_of, opened
from langchain_autotrace.view.sums import Sums, total

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from langchain_autotrace.view.sql.tables import Row, Tables

_ALL_SPANS: Final = "spans s NOT INDEXED"
_SPANS_OF: Final = "s.trace_id IN (SELECT value FROM json_each(?))"
_LAST_ROW: Final = "SELECT COALESCE(max(rowid), 0) FROM spans"
_TRACES_SINCE: Final = "SELECT DISTINCT trace_id FROM spans NOT INDEXED WHERE rowid > ?"
_ROWS: Final = "SELECT rowid, trace_id, span_id FROM spans WHERE rowid IN (SELECT value FROM json_each(?))"
_STEP: Final = 500
"""Rows of spans between two marks."""
_MANY: Final = 50_000
"""Number of new rows above which the whole table is read, instead of the spans of the changed traces."""
_NO_DURATION: Final = -(2**63)
_NANOSECONDS: Final = 1e6


class _Columns:
    """The calls of one model, a column for each of their facts."""

    __slots__ = ("costs", "durations", "failed", "tokens", "traces")

    def __init__(self) -> None:
        self.traces, self.failed, self.durations = array("I"), array("B"), array("q")
        self.tokens, self.costs = array("d"), array("d")

    def add(self, trace: int, failed: int, duration: int | None, tokens: float | None, cost: float | None) -> None:
        self.traces.append(trace)
        self.failed.append(failed)
        self.durations.append(_NO_DURATION if duration is None else duration)
        self.tokens.append(math.nan if tokens is None else tokens)
        self.costs.append(math.nan if cost is None else cost)

    def sums(self, is_wanted: bytearray) -> Sums:
        """Return the sums of the calls whose trace has a 1 at its number in ``is_wanted``."""
        kept = bytes(map(is_wanted.__getitem__, self.traces))
        durations = compress(self.durations, kept)
        tokens, cost = (_known(compress(one, kept)) for one in (self.tokens, self.costs))
        return Sums(
            number=sum(kept),
            errors=sum(compress(self.failed, kept)),
            durations_ms=[one / _NANOSECONDS for one in durations if one != _NO_DURATION],
            total_tokens=None if tokens is None else int(tokens),
            cost_usd=cost,
        )

    def renumbered(self, numbers: Sequence[int]) -> _Columns:
        """Return the calls of the traces that have a new number; the others have -1."""
        kept, found = [numbers[one] >= 0 for one in self.traces], _Columns()
        found.traces.extend(map(numbers.__getitem__, compress(self.traces, kept)))
        for name in ("failed", "durations", "tokens", "costs"):
            getattr(found, name).extend(compress(getattr(self, name), kept))
        return found


def _known(numbers: Iterable[float]) -> float | None:
    return total(one for one in numbers if not math.isnan(one))


class ModelCalls:
    """The calls of models in one SQLite file. Thread-safe.

    What is new is found by the rows' numbers: SQLite gives new rows the highest numbers, and numbers that were given
    before only after the last rows were deleted, or to all rows behind a gap (``VACUUM``). So rows up to a mark, a row
    that is remembered with its ids, are those that were read, if the mark is still where it was; or they were deleted,
    with their traces. A trace with a new span is read anew as a whole, and so are the traces of the last rows before:
    a span that is sent again is changed where it is.
    """

    def __init__(self, database: Sqlite) -> None:
        """Read nothing yet."""
        self._lock = threading.Lock()
        self._watch = opened(database)
        self._clear()

    def _clear(self) -> None:
        self._version: int | None = None
        """SQLite's ``data_version``: another number after each change of the file by another connection."""
        self._marks: list[tuple[int, str, str]] = []
        self._numbers: dict[str, int] = {}
        """Trace id -> number in the columns; a trace that is read anew has another."""
        self._next = 0
        self._models: dict[str, _Columns] = defaultdict(_Columns)

    def sums(self, tables: Tables, trace_ids: Iterable[str]) -> dict[str, Sums]:
        """Return model -> sums of its calls in these traces."""
        with self._lock:
            self._renew(tables)
            is_wanted = self._marked(trace_ids)
            found = {model: calls.sums(is_wanted) for model, calls in self._models.items()}
        return {model: sums for model, sums in found.items() if sums.number}

    def counts(self, tables: Tables, trace_ids: Iterable[str]) -> Counter[str]:
        """Return model -> number of its calls in these traces."""
        with self._lock:
            self._renew(tables)
            is_wanted = self._marked(trace_ids)
            counted = {model: sum(map(is_wanted.__getitem__, one.traces)) for model, one in self._models.items()}
        return +Counter(counted)

    def traces_with(self, tables: Tables, model: str) -> frozenset[str]:
        """Return the ids of the traces that called a model; some may be deleted by now."""
        with self._lock:
            self._renew(tables)
            if model not in self._models:
                return frozenset()
            numbers = set(self._models[model].traces)
            return frozenset(trace_id for trace_id, number in self._numbers.items() if number in numbers)

    def close(self) -> None:
        """Close the connection; what is asked after that raises."""
        with self._lock:
            self._watch.close()

    @property
    def size(self) -> int:
        """How many calls are kept, those that are not counted any more included."""
        return sum(len(one.traces) for one in self._models.values())

    def _marked(self, trace_ids: Iterable[str]) -> bytearray:
        """Return an array with 1 at the number of each of these traces, and 0 elsewhere."""
        found = bytearray(self._next)
        for trace_id in trace_ids:
            number = self._numbers.get(trace_id)
            if number is not None:
                found[number] = 1
        return found

    def _renew(self, tables: Tables) -> None:
        """Read what has changed since the last time."""
        (version,) = self._watch.execute("PRAGMA data_version").fetchone()
        if version == self._version:
            return
        try:
            self._read(tables)
        except BaseException:
            self._clear()  # marks may stand for rows that were not read
            raise
        self._version = version

    def _read(self, tables: Tables) -> None:
        since, last = self._unchanged(tables), tables.all(_LAST_ROW)[0][0]
        if last - since > _MANY:
            self._clear()
            self._set_marks(tables, 0, last)
            self._add(tables.in_parts("spans", call_rows(tables, _ALL_SPANS, "{part}")))
            return
        self._set_marks(tables, since, last)
        changed = [trace_id for (trace_id,) in tables.all(_TRACES_SINCE, (since,))]
        self._forget(changed)
        self._add(tables.all(call_rows(tables, "spans s", _SPANS_OF), (tables.listed(changed),)))

    def _unchanged(self, tables: Tables) -> int:
        """Return the number of the last mark but one that is where it was; 0 when there is none."""
        while self._marks and tables.all(_ROWS, (tables.listed([self._marks[-1][0]]),)) != [self._marks[-1]]:
            self._marks.pop()
        del self._marks[-1:]
        return self._marks[-1][0] if self._marks else 0

    def _set_marks(self, tables: Tables, since: int, last: int) -> None:
        """Mark rows behind a mark, before they are read: if they change meanwhile, they are read again."""
        numbers = range(since - since % _STEP + _STEP, last + 1, _STEP)
        self._marks += sorted(tables.all(_ROWS, (tables.listed(numbers),)))

    def _forget(self, trace_ids: Sequence[str]) -> None:
        for trace_id in trace_ids:
            self._numbers.pop(trace_id, None)
        if self._next > 2 * len(self._numbers) + _MANY:
            self._compact()

    def _compact(self) -> None:
        """Remove the calls of traces that were read again since, and renumber the other traces."""
        numbers = [-1] * self._next
        for new, old in enumerate(self._numbers.values()):
            numbers[old] = new
        self._numbers = {trace_id: new for new, trace_id in enumerate(self._numbers)}
        self._next = len(self._numbers)
        self._models = defaultdict(_Columns, {name: one.renumbered(numbers) for name, one in self._models.items()})

    def _add(self, rows: Iterable[Row]) -> None:
        for trace_id, model, *facts in rows:
            number = self._numbers.setdefault(trace_id, self._next)
            self._next += number == self._next
            self._models[model].add(number, *facts)


_kept: Final[dict[Path, tuple[Identity, ModelCalls]]] = {}
_lock: Final = threading.Lock()


def model_calls(tables: Tables) -> ModelCalls | None:
    """Return the calls of models of a database; None where it is no SQLite file."""
    found = tables.database
    if not isinstance(found, Sqlite):
        return None
    identity = identity_of(found)
    with _lock:
        known = _kept.get(found.path)
        if known is not None and known[0] == identity:
            return known[1]
        if known is not None:
            drop([known[1]], known[0], identity)
        calls = ModelCalls(found)
        _kept[found.path] = identity, calls
        return calls

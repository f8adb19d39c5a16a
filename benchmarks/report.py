"""From results to tables in Markdown. Standard library only.

A figure is the median over all turns of all rounds. What a tracer *adds* is the median of its figure less that of `off`
in the same turn, so that a slow moment of the machine, which both had, drops out.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

from plan import BASELINE, CASES, FLOOR, OURS, PEERS, Case

if TYPE_CHECKING:
    from collections.abc import Callable

    Cell = Callable[["View", str], str]

NONE = "-"
LEAST_US = 10.0
"""Below this what `noop` adds is noise, and a multiple of it would be too."""

UNREST = 1.3
"""`off` varying by more than this factor within the middle half of its turns is worth a warning."""


@dataclass(frozen=True, slots=True)
class View:
    """The results of one case."""

    figures: dict[str, dict[tuple[int, int], dict[str, float]]]
    """Contestant, round and turn, figure."""
    errors: dict[str, list[str]]
    """Contestant, and a reason for each turn that failed."""

    def each(self, name: str, figure: str) -> list[float]:
        """List a figure of a contestant, a value a turn."""
        return [found[figure] for found in self.figures.get(name, {}).values() if figure in found]

    def median(self, name: str, figure: str) -> float | None:
        """Take the median over turns; None where there is none."""
        values = self.each(name, figure)
        return median(values) if values else None

    def differences(self, name: str, figure: str) -> list[float]:
        """List what a contestant has more than `off`, a value a turn that both finished."""
        mine, base = self.figures.get(name, {}), self.figures.get(BASELINE, {})
        return [mine[at][figure] - base[at][figure] for at in mine if at in base and figure in mine[at]]

    def added(self, name: str, figure: str) -> float | None:
        """Take the median of the differences; None for `off` itself."""
        values = self.differences(name, figure)
        return median(values) if values and name != BASELINE else None


def views(results: list[dict[str, Any]]) -> dict[str, View]:
    """Sort the results of all processes by case."""
    found: dict[str, View] = defaultdict(lambda: View(defaultdict(dict), defaultdict(list)))
    for result in results:
        view, name = found[result["case"]], result["contestant"]
        if result["error"]:
            view.errors[name].append(result["error"])
        else:
            view.figures[name][result["round"], result["turn"]] = result["figures"]
    return dict(found)


def _number(value: float | None, digits: int = 0) -> str:
    return NONE if value is None else f"{value:,.{digits}f}"


def figure(name: str, per: float = 1.0, digits: int = 0) -> Cell:
    """Make a cell of a figure's median, divided by `per`."""

    def cell(view: View, contestant: str) -> str:
        value = view.median(contestant, name)
        return _number(value if value is None else value / per, digits)

    return cell


def added(name: str, per: float = 1.0, digits: int = 0) -> Cell:
    """Make a cell of what the contestant adds to a figure, divided by `per`."""

    def cell(view: View, contestant: str) -> str:
        value = view.added(contestant, name)
        return _number(value if value is None else value / per, digits)

    return cell


def added_range(name: str, per: float = 1.0, digits: int = 0) -> Cell:
    """Make a cell of what the contestant added in the middle half of the turns."""

    def cell(view: View, contestant: str) -> str:
        values = [] if contestant == BASELINE else view.differences(contestant, name)
        return _range(values, per, digits)

    return cell


def figure_range(name: str, per: float = 1.0, digits: int = 0) -> Cell:
    """Make a cell of the figure in the middle half of the turns."""

    def cell(view: View, contestant: str) -> str:
        return _range(view.each(contestant, name), per, digits)

    return cell


def _range(values: list[float], per: float, digits: int) -> str:
    if not values:
        return NONE
    least, most = middle_half(values)
    return f"{_number(least / per, digits)} to {_number(most / per, digits)}"


def middle_half(values: list[float]) -> tuple[float, float]:
    """Find between which values the middle half of them lies; both for one or two."""
    if len(values) < 3:  # noqa: PLR2004
        return min(values), max(values)
    least, _, most = quantiles(values, n=4, method="inclusive")
    return least, most


def times_floor_added(name: str) -> Cell:
    """Make a cell of what the contestant adds in multiples of what `noop` adds, unless that is noise."""

    def cell(view: View, contestant: str) -> str:
        mine, floor = view.added(contestant, name), view.added(FLOOR, name)
        return NONE if mine is None or floor is None or floor < LEAST_US else f"{mine / floor:.1f}"

    return cell


def times_floor_total(name: str) -> Cell:
    """Make a cell of the contestant's figure in multiples of the same figure of `noop`."""

    def cell(view: View, contestant: str) -> str:
        mine, floor = view.median(contestant, name), view.median(FLOOR, name)
        return NONE if mine is None or not floor else f"{mine / floor:.2f}"

    return cell


def _delivered(view: View, contestant: str) -> str:
    shares = view.each(contestant, "delivered")
    if not shares:
        return NONE
    return "all" if min(shares) == max(shares) == 1 else f"{min(shares):.0%}"


_ARRIVAL: dict[str, Cell] = {"spans per run": figure("spans_per_run"), "delivered": _delivered}

_RUN_COLUMNS: dict[str, Cell] = {
    "µs per run": figure("median_us"),
    "added µs": added("median_us"),
    "added µs, middle half": added_range("median_us"),
    "added µs, mean": added("mean_us"),
    "added µs of the thread's CPU": added("thread_cpu_us"),
    "added µs of the process's CPU": added("cpu_us"),
    "added, times noop's": times_floor_added("median_us"),
    **_ARRIVAL,
}

_DELIVERY_COLUMNS: dict[str, Cell] = {
    "new file, traces/s": figure("cold_traces_per_s"),
    "then, traces/s": figure("warm_traces_per_s"),
    "new file, CPU ms per run": figure("cold_cpu_ms_per_run", 1, 1),
    "then, CPU ms per run": figure("warm_cpu_ms_per_run", 1, 2),
    "then, added CPU ms": added("warm_cpu_ms_per_run", 1, 2),
    "application busy, s": figure("cold_app_s", 1, 2),
    "rows alone, traces/s": figure("raw_traces_per_s"),
    "rows alone, CPU ms": figure("raw_cpu_ms_per_trace", 1, 2),
    "stored, bytes per trace": figure("bytes_per_trace"),
    "peak memory, MB": figure("peak_mb"),
    "traces": figure("traces"),
    "of": figure("expected"),
    **_ARRIVAL,
}

COLUMNS: dict[str, dict[str, Cell]] = {
    "chain": _RUN_COLUMNS,
    "long": _RUN_COLUMNS,
    "paced": _RUN_COLUMNS,
    "agent": _RUN_COLUMNS,
    "span": {title: cell for title, cell in _RUN_COLUMNS.items() if "noop" not in title},
    "chain_span": {title: cell for title, cell in _RUN_COLUMNS.items() if "noop" not in title},
    "async": {title: cell for title, cell in _RUN_COLUMNS.items() if "thread" not in title},
    "stream": {
        "ms per stream": figure("median_us", 1e3, 1),
        "added ms": added("median_us", 1e3, 1),
        "total, times noop's": times_floor_total("median_us"),
        "added ms of the process's CPU": added("cpu_us", 1e3, 1),
        **_ARRIVAL,
    },
    "threads": {
        "p50 ms": figure("p50_us", 1e3, 1),
        "p50 ms, middle half": figure_range("p50_us", 1e3, 1),
        "p99 ms": figure("p99_us", 1e3, 1),
        "p99 ms, middle half": figure_range("p99_us", 1e3, 1),
        "p50, times noop's": times_floor_total("p50_us"),
        **_ARRIVAL,
    },
    "startup": {
        "switching on, ms": figure("setup_ms", 1, 1),
        "first run, ms": figure("first_ms", 1, 1),
        "both, ms": figure("total_ms", 1, 1),
        "added ms": added("total_ms", 1, 1),
        "readable after ms": figure("readable_ms"),
        "spans per run": figure("spans_per_run"),
    },
    "delivery": _DELIVERY_COLUMNS,
    "delivery_agent": _DELIVERY_COLUMNS,
    "delivery_postgresql": _DELIVERY_COLUMNS,
    "delivery_postgresql_agent": _DELIVERY_COLUMNS,
    "script": {
        "last line, ms": figure("existing_wall_ms"),
        "readable, ms": figure("existing_all_ms"),
        "after the last line, ms": figure("existing_readable_ms"),
        "CPU, ms": figure("existing_cpu_ms"),
        "added CPU, ms": added("existing_cpu_ms"),
        "new database: readable, ms": figure("new_all_ms"),
        "after the last line, new": figure("new_readable_ms"),
        "added CPU, new": added("new_cpu_ms"),
        "after the last line, first of all": figure("first_readable_ms"),
        "added CPU, first of all": added("first_cpu_ms"),
    },
    "many": {
        "traces/s": figure("traces_per_s"),
        "behind at most, s": figure("behind_s", 1, 2),
        "shipper's CPU ms per trace": figure("shipper_cpu_ms", 1, 2),
        "shipper's peak memory, MB": figure("shipper_peak_mb"),
        "traces": figure("traces"),
        "of": figure("expected"),
        "delivered": _delivered,
    },
    "span_size": {
        "spans": figure("spans"),
        "text, bytes": figure("text_bytes"),
        "stored, bytes": figure("stored_bytes"),
        "beside the text, bytes": figure("beside_text_bytes"),
        "of the largest span": figure("largest_beside_text_bytes"),
    },
}


def columns_of(case: Case, view: View) -> dict[str, Cell]:
    """Choose the columns of a case; memory has one for each mark that was reached."""
    if case.name in COLUMNS:
        return COLUMNS[case.name]
    marks = {mark: None for rounds in view.figures.values() for found in rounds.values() for mark in found}
    return {f"MB after {int(mark.rpartition('_')[2]):,} runs": figure(mark, 1, 1) for mark in marks}


def row(view: View, contestant: str, columns: dict[str, Cell]) -> list[str]:
    """Fill one row; a contestant that never finished has its reason instead of figures."""
    failures = view.errors.get(contestant, [])
    if contestant not in view.figures:
        return [contestant, *[NONE] * len(columns), f"failed: {failures[0]}"]
    note = f"{len(failures)} turns failed: {failures[0]}" if failures else ""
    return [contestant, *[cell(view, contestant) for cell in columns.values()], note]


def table(header: list[str], rows: list[list[str]]) -> str:
    """Align a Markdown table: names and notes to the left, figures to the right."""
    if not any(line[-1] for line in rows):
        header, rows = header[:-1], [line[:-1] for line in rows]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    numeric = [at > 0 and title != "note" for at, title in enumerate(header)]

    def line(cells: list[str]) -> str:
        padded = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, numeric, strict=True)
        )
        return f"| {' | '.join(padded)} |"

    rule = [f"{'-' * (width - 1)}:" if right else "-" * width for width, right in zip(widths, numeric, strict=True)]
    return "\n".join(line(cells) for cells in (header, rule, *rows))


def verdict(view: View) -> str:
    """Say in one line how ours compares with the fastest peer; empty as long as one of the two is missing."""
    ours = view.added(OURS, "median_us")
    peers = {peer: cost for peer in PEERS if (cost := view.added(peer, "median_us")) is not None}
    if ours is None or not peers:
        return ""
    fastest = min(peers, key=peers.__getitem__)
    told = f"The fastest peer, {fastest}, adds {peers[fastest]:,.0f} µs a run; ours adds {ours:,.0f} µs"
    times = f"{peers[fastest] / ours:.1f} times as much" if ours >= LEAST_US else "which is noise"
    return f"\n{told}: {times}.\n"


def unrest(view: View) -> str:
    """Say so when the untraced program itself varied between turns: the machine had other work."""
    for name in ("median_us", "p50_us"):
        values = view.each(BASELINE, name)
        least, most = middle_half(values) if values else (0.0, 0.0)
        if most > UNREST * least:
            return f"\nA restless machine: `off` itself took {least:,.0f} to {most:,.0f} µs in the middle half.\n"
    return ""


def section(case: Case, view: View) -> str:
    """Render one case."""
    columns = columns_of(case, view)
    taking_part = [name for name in case.contestants if name in view.figures or name in view.errors]
    rows = [row(view, name, columns) for name in taking_part]
    body = table(["", *columns, "note"], rows)
    return f"### {case.name}: {case.title}\n\n{body}\n{verdict(view)}{unrest(view)}"


def render(document: dict[str, Any]) -> str:
    """Render everything that was measured."""
    machine = document["machine"]
    rounds = max((result["round"] for result in document["results"]), default=0)
    turns = max((result["turn"] for result in document["results"]), default=0)
    found = views(document["results"])
    about = (
        f"{machine['date']}, Python {machine['python']}, {machine['system']}, {machine['cpus']} CPUs, "
        f"medians of {rounds} rounds of up to {turns} turns.\n"
    )
    return "\n".join([about, *[section(case, found[case.name]) for case in CASES if case.name in found]])

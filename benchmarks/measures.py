"""How each case is measured: one function a case, from a contestant's `begin` to a turn, which gives figures.

What a function does before it returns the turn is not measured; some cases have but one turn.

All clocks are `perf_counter`. CPU is that of the whole process, background threads and the final flush included,
unless a figure's name says `thread`. The garbage collector is left as it is.
"""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean, median, quantiles
from typing import TYPE_CHECKING

import databases
import programs
import whole_programs
from contestants import spans_in_database, traces_in_database
from plan import OURS
from processes import cpu_seconds, peak_mb, working_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from contestants import Place, Tracer
    from programs import Run

    Turn = Callable[[], "Figures"]

Figures = dict[str, float]

CONCURRENT = 50
THREADS = 8
PAUSE_SECONDS = 0.05
MEMORY_MARKS = (0.1, 0.5, 1.0)
_PAGE = resource.getpagesize()


class UndeliveredError(Exception):
    """A tracer that was on delivered nothing: its other figures would be void."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much to run."""

    runs: int
    warmup: int


@dataclass(frozen=True, slots=True)
class Bench:
    """What a measure gets: the contestant, not yet on, its place, and how much to run."""

    begin: Callable[[], Tracer]
    place: Place
    effort: Effort
    name: str
    """The contestant's."""


class _Arrivals:
    """Counts what arrives of a program's spans; one untimed run tells how many to expect of each."""

    def __init__(self, tracer: Tracer, run: Run) -> None:
        """Trace one run and see it arrive."""
        self._tracer = tracer
        self._each = self._arrived_of(lambda: run(tracer.config))
        if tracer.stored is not None and not self._each:
            nothing = "one run was traced, and nothing arrived"
            raise UndeliveredError(nothing)

    def _arrived_of(self, work: Callable[[], object]) -> int:
        before = self._tracer.stored() if self._tracer.stored else 0
        work()
        self._tracer.flush()
        return (self._tracer.stored() if self._tracer.stored else 0) - before

    def of(self, runs: int, work: Callable[[], object]) -> Figures:
        """Do the work, flush, and tell the process's CPU for each run and what share of the spans arrived."""
        cpu = time.process_time()
        arrived = self._arrived_of(work)
        spent = time.process_time() - cpu
        figures = {"cpu_us": spent / runs * 1e6}
        if self._each:
            figures |= {"spans_per_run": self._each, "delivered": arrived / (runs * self._each)}
        return figures


def one_by_one(bench: Bench, run: Run, pause: float = 0.0) -> Turn:
    """Run again and again on this thread, after a pause each: the wall time of each run, and this thread's CPU."""
    tracer = bench.begin()
    arrivals = _Arrivals(tracer, run)
    _repeat(run, tracer, bench.effort.warmup)
    tracer.flush()
    return partial(_one_by_one, bench, run, pause, tracer, arrivals)


def _one_by_one(bench: Bench, run: Run, pause: float, tracer: Tracer, arrivals: _Arrivals) -> Figures:
    walls: list[float] = []
    thread_cpu: list[float] = []

    def work() -> None:
        before = time.thread_time()
        walls.extend(_repeat(run, tracer, bench.effort.runs, pause))
        thread_cpu.append(time.thread_time() - before)

    rest = arrivals.of(bench.effort.runs, work)
    return {
        "median_us": median(walls) * 1e6,
        "mean_us": fmean(walls) * 1e6,
        "thread_cpu_us": sum(thread_cpu) / bench.effort.runs * 1e6,
        **rest,
    }


def _repeat(run: Run, tracer: Tracer, times: int, pause: float = 0.0) -> list[float]:
    clock, config, walls = time.perf_counter, tracer.config, []
    for _ in range(times):
        if pause:
            time.sleep(pause)
        begun = clock()
        run(config)
        walls.append(clock() - begun)
    return walls


def chain(bench: Bench) -> Turn:
    """Invoke the chain."""
    return one_by_one(bench, programs.chain())


def paced(bench: Bench) -> Turn:
    """Invoke the chain with pauses, as a program waits for its model: what is delivered meanwhile is not waited for."""
    return one_by_one(bench, programs.chain(), PAUSE_SECONDS)


def long(bench: Bench) -> Turn:
    """Invoke the chain with long texts."""
    return one_by_one(bench, programs.chain(programs.LONG))


def stream(bench: Bench) -> Turn:
    """Read the stream of 2,000 tokens."""
    return one_by_one(bench, programs.stream())


def agent(bench: Bench) -> Turn:
    """Invoke the agent."""
    return one_by_one(bench, programs.agent())


def span(bench: Bench) -> Turn:
    """Call the function that is a span."""
    return one_by_one(bench, programs.span())


def chain_span(bench: Bench) -> Turn:
    """Invoke the chain that has a span within."""
    return one_by_one(bench, programs.chain_span())


def gathered(bench: Bench) -> Figures:
    """Run the chain 50 at a time in one event loop; the wall time of each batch, divided by 50."""
    tracer = bench.begin()
    run = programs.async_chain()

    async def batch() -> float:
        begun = time.perf_counter()
        await asyncio.gather(*(run(tracer.config) for _ in range(CONCURRENT)))
        return (time.perf_counter() - begun) / CONCURRENT

    async def batches(runs: int) -> list[float]:
        return [await batch() for _ in range(max(1, runs // CONCURRENT))]

    async def one() -> None:
        await run(tracer.config)

    arrivals = _Arrivals(tracer, lambda _config: asyncio.run(one()))
    asyncio.run(batches(bench.effort.warmup))
    tracer.flush()
    walls: list[float] = []
    rest = arrivals.of(
        max(1, bench.effort.runs // CONCURRENT) * CONCURRENT,
        lambda: walls.extend(asyncio.run(batches(bench.effort.runs))),
    )
    return {"median_us": median(walls) * 1e6, "mean_us": fmean(walls) * 1e6, **rest}


def threads(bench: Bench) -> Figures:
    """Run the chain in 8 threads while one more thread computes: whoever gives the GIL up waits long for it."""
    tracer = bench.begin()
    run = programs.chain()
    arrivals = _Arrivals(tracer, run)
    _repeat(run, tracer, bench.effort.warmup)
    tracer.flush()
    each = max(1, bench.effort.runs // THREADS)
    walls: list[float] = []

    def work() -> None:
        walls.extend(_beside_a_busy_thread(lambda: _repeat(run, tracer, each)))

    rest = arrivals.of(each * THREADS, work)
    cuts = quantiles(walls, n=100)
    return {"p50_us": cuts[49] * 1e6, "p99_us": cuts[98] * 1e6, **rest}


def _beside_a_busy_thread(task: Callable[[], list[float]]) -> list[float]:
    """Do the task in each of 8 threads, all beginning at once, while another thread counts; return all results."""
    done = False
    results: list[list[float]] = []
    start = threading.Barrier(THREADS)

    def count() -> None:
        counted = 0
        while not done:
            counted += 1

    def worker() -> None:
        start.wait()
        results.append(task())

    busy = threading.Thread(target=count)
    workers = [threading.Thread(target=worker) for _ in range(THREADS)]
    busy.start()
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    done = True
    busy.join()
    return [wall for result in results for wall in result]


def startup(bench: Bench) -> Figures:
    """Switch on and invoke once; nothing has run before, so compare with `off`."""
    import langchain_core.tracers.context  # noqa: F401 (LangChain's first run imports it, whoever has not before)

    run = programs.chain()
    begun = time.perf_counter()
    tracer = bench.begin()
    on = time.perf_counter()
    run(tracer.config)
    ran = time.perf_counter()
    tracer.flush()
    flushed = time.perf_counter()
    figures = {
        "setup_ms": (on - begun) * 1e3,
        "first_ms": (ran - on) * 1e3,
        "total_ms": (ran - begun) * 1e3,
        "readable_ms": (flushed - begun) * 1e3,
    }
    if tracer.stored is not None:
        figures["spans_per_run"] = _some(tracer.stored())
    return figures


def _some(spans: int) -> int:
    if not spans:
        nothing = "one run was traced, and nothing arrived"
        raise UndeliveredError(nothing)
    return spans


def delivery(program: Callable[[], Run], bench: Bench) -> Figures:
    """Fill a new database, then fill it further: until readable, and at what CPU, shipper's included."""
    run = program()
    cpu = _cpu_seconds(bench.place)
    tracer = bench.begin()
    cold = _filled(bench, tracer, run, cpu)
    size, spans = databases.size(bench.place), spans_in_database(bench.place)
    warm = _filled(bench, tracer, run, _cpu_seconds(bench.place))
    figures = {f"cold_{name}": figure for name, figure in cold.items()}
    figures |= {f"warm_{name}": figure for name, figure in warm.items()}
    if tracer.stored is None:
        return figures
    stored = traces_in_database(bench.place)
    return {
        **figures,
        "bytes_per_trace": (databases.size(bench.place) - size) / bench.effort.runs,
        "peak_mb": max(map(peak_mb, ("self", *working_in(bench.place.journal)))),
        "expected": 2 * bench.effort.runs,
        "traces": stored,
        "spans_per_run": spans / bench.effort.runs,
        "delivered": stored / (2 * bench.effort.runs),
        **(databases.raw(bench.place) if bench.name == OURS else {}),
    }


def _filled(bench: Bench, tracer: Tracer, run: Run, cpu: float) -> Figures:
    before = traces_in_database(bench.place)
    begun = time.perf_counter()
    _repeat(run, tracer, bench.effort.runs)
    ran = time.perf_counter()
    tracer.flush()
    readable = time.perf_counter()
    spent = _cpu_seconds(bench.place) - cpu
    figures = {"app_s": ran - begun, "cpu_ms_per_run": spent / bench.effort.runs * 1e3}
    if tracer.stored is not None:
        figures["traces_per_s"] = (traces_in_database(bench.place) - before) / (readable - begun)
    return figures


def _cpu_seconds(place: Place) -> float:
    """CPU of this process, of its ended children, and of the shipper that serves this place's journal."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    shippers = sum(map(cpu_seconds, working_in(place.journal)))
    return float(time.process_time() + ended.ru_utime + ended.ru_stime + shippers)


def span_size(bench: Bench) -> Figures:
    """Store one 2,000-token stream and weigh the span content, with and without the streamed text."""
    tracer = bench.begin()
    programs.stream()(tracer.config)
    tracer.flush()
    with closing(sqlite3.connect(bench.place.database)) as connection:
        contents = [content for (content,) in connection.execute("SELECT content FROM spans")]
    return {
        "spans": _some(len(contents)),
        "text_bytes": len(programs.STREAMED),
        "stored_bytes": sum(len(content.encode()) for content in contents),
        "beside_text_bytes": sum(len(content.replace(programs.STREAMED, "").encode()) for content in contents),
        "largest_beside_text_bytes": max(len(content.replace(programs.STREAMED, "").encode()) for content in contents),
    }


def memory(bench: Bench) -> Figures:
    """Run on and on; the resident memory after the warm-up and at each mark. What is left to deliver is not awaited."""
    tracer = bench.begin()
    run = programs.chain()
    _Arrivals(tracer, run)
    _repeat(run, tracer, bench.effort.warmup)
    figures = {f"rss_mb_after_{bench.effort.warmup}": _resident_mb()}
    done = 0
    for mark in (int(bench.effort.runs * share) for share in MEMORY_MARKS):
        for _ in range(mark - done):
            run(tracer.config)
        done = mark
        figures[f"rss_mb_after_{mark}"] = _resident_mb()
    return figures


def _resident_mb() -> float:
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * _PAGE / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # the peak, in bytes, where there is no /proc


def once(measure: Callable[[Bench], Figures]) -> Callable[[Bench], Turn]:
    """A case that has one turn, in which all is done."""
    return lambda bench: partial(measure, bench)


MEASURES: dict[str, Callable[[Bench], Turn]] = {
    "chain": chain,
    "paced": paced,
    "long": long,
    "stream": stream,
    "async": once(gathered),
    "threads": once(threads),
    "agent": agent,
    "span": span,
    "chain_span": chain_span,
    "startup": once(startup),
    "delivery": once(partial(delivery, programs.chain)),
    "delivery_agent": once(partial(delivery, partial(programs.agent, programs.LONG_QUESTION))),
    "delivery_postgresql": once(partial(delivery, programs.chain)),
    "delivery_postgresql_agent": once(partial(delivery, partial(programs.agent, programs.LONG_QUESTION))),
    "script": once(whole_programs.script),
    "many": once(whole_programs.many),
    "span_size": once(span_size),
    "memory": once(memory),
}
"""Every case by its name in the plan."""

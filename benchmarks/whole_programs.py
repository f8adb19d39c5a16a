"""How whole programs are measured, each a process: from its start until its traces can be read."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from contestants import traces_in_database
from plan import BASELINE
from processes import cpu_seconds, peak_mb, working_in

if TYPE_CHECKING:
    from contestants import Place
    from measures import Bench

    Figures = dict[str, float]

SCRIPT = Path(__file__).with_name("script.py")
PROGRAMS = 8
EACH_SECOND = 100
SECONDS = 120
"""How long to wait for the traces."""


def script(bench: Bench) -> Figures:
    """Run the program with no database, again with the one that it has made, and once more with no database."""
    figures: Figures = {}
    for kind, name in (("first", "one"), ("existing", "one"), ("new", "two")):
        found = _run(bench.name, replace(bench.place, name=name))
        figures |= {f"{kind}_{figure}": value for figure, value in found.items()}
    return figures


def _run(contestant: str, place: Place) -> Figures:
    before, cpu, begun = traces_in_database(place), _ended_cpu(), time.time()
    with _started(contestant, place, 1, 0.0) as process:
        assert process.stdout is not None
        (last,) = json.loads(process.stdout.readline())
        figures = {"wall_ms": (last - begun) * 1e3}
        if contestant != BASELINE:
            while traces_in_database(place) == before and time.time() < last + SECONDS:
                time.sleep(0.002)
            figures["readable_ms"] = (time.time() - last) * 1e3
            figures["all_ms"] = (time.time() - begun) * 1e3
    shippers = list(working_in(place.journal))
    figures["cpu_ms"] = (_ended_cpu() - cpu + sum(map(cpu_seconds, shippers))) * 1e3
    _end(shippers)
    return figures


def many(bench: Bench) -> Figures:
    """Run 8 programs of 100 traces a second at once: how far delivery is behind at most, and at what cost."""
    _run(bench.name, bench.place)  # makes the database
    begun = traces_in_database(bench.place)
    started = [_started(bench.name, bench.place, bench.effort.runs, 1 / EACH_SECOND) for _ in range(PROGRAMS)]
    expected, peak, polls = PROGRAMS * bench.effort.runs, 0.0, [(time.time(), 0)]
    give_up_at = time.time() + bench.effort.runs / EACH_SECOND + SECONDS
    while polls[-1][1] < expected and time.time() < give_up_at:
        time.sleep(0.1)
        polls.append((time.time(), traces_in_database(bench.place) - begun))
        shippers = list(working_in(bench.place.journal))
        peak, cpu = max([peak, *map(peak_mb, shippers)]), sum(map(cpu_seconds, shippers))
    ended = sorted(at for process in started for at in json.loads(process.communicate()[0]))
    return {
        "traces_per_s": expected / (ended[-1] - ended[0]),
        "behind_s": max(_behind(at, stored, ended) for at, stored in polls),
        "shipper_cpu_ms": cpu / expected * 1e3,
        "shipper_peak_mb": peak,
        "traces": polls[-1][1],
        "expected": expected,
        "delivered": polls[-1][1] / expected,
    }


def _behind(at: float, stored: int, ended: list[float]) -> float:
    """Return for how many seconds the oldest trace has waited that was not stored at that time."""
    return max(0.0, at - ended[stored]) if stored < len(ended) else 0.0


def _started(contestant: str, place: Place, runs: int, pause: float) -> subprocess.Popen[str]:
    command = [sys.executable, str(SCRIPT), contestant, str(place.folder), place.name, str(runs), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=place.folder)


def _ended_cpu() -> float:
    """CPU of the children of this process that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime


def _end(shippers: list[int]) -> None:
    """End the shippers, so that the next program has to start its own."""
    for pid in shippers:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        while Path(f"/proc/{pid}").exists():
            time.sleep(0.01)

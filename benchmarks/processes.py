"""Finding the processes that work in a folder: a detached shipper is nobody's child. Standard library only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def working_in(folder: Path) -> Iterator[int]:
    """Yield the ids of the processes, this one apart, whose command line names the folder; none without /proc."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        pid = int(entry.parent.name)
        try:
            named = os.fsencode(folder) in entry.read_bytes()
        except OSError:  # it has ended since the folder was listed
            continue
        if named and pid != os.getpid():
            yield pid


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and of its ended children; 0 when it is gone."""
    try:
        numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, numbers[11:15])) / os.sysconf("SC_CLK_TCK")


def peak_mb(pid: int | str) -> float:
    """Return the most memory that a process has had, in MB; 0 when it is gone, or without /proc."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM:")), 0.0)

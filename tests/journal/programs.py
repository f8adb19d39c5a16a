"""What the tests of the journal run in processes of their own: ``python -m tests.journal.programs NAME ARGUMENTS``."""

from __future__ import annotations

import errno
import itertools
import json
import logging
import mmap
import multiprocessing
import os
import resource
import signal
import sys
import time
from pathlib import Path

from langchain_autotrace.journal.folder import DestinationFolder
from langchain_autotrace.journal.writer import Journal
from tests.journal.support import describe, event, new_journal

SIZES = (0, 50, 3_000, 200, 700_000, 10, 1_000)
"""Bytes of content of the records of a loop: most are small, some go over a segment."""


def opened(path: str) -> Journal:
    """A journal that leaves its parent's files alone in a forked process, as ``autolog()`` has it."""
    journal = new_journal(DestinationFolder(Path(path)))
    os.register_at_fork(after_in_child=journal.after_fork)
    return journal


def slowly(path: str, count: str) -> None:
    """Write numbered records with pauses, and live on until standard input ends."""
    journal = opened(path)
    for number in range(int(count)):
        journal.append(event(number, SIZES[number % len(SIZES)]))
        time.sleep(0.001)
    sys.stdin.read()


def without_end(path: str, counter: str) -> None:
    """Write numbered records until killed; the file ``counter`` always holds the last that was written."""
    journal = opened(path)
    with Path(counter).open("r+b") as file, mmap.mmap(file.fileno(), 8) as shared:
        for number in itertools.count(1):
            journal.append(event(number, SIZES[number % len(SIZES)]))
            shared[:] = number.to_bytes(8, "little")


def fork(path: str, first: str) -> None:
    """Write in a parent and its forked child; ``first`` names the one that exits first."""
    journal = opened(path)
    journal.append(event(1))
    parent = os.getpid()
    child_is_done, parent_is_done = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        journal.append(event(100))
        if first == "parent":
            os.close(parent_is_done[1])
            os.read(parent_is_done[0], 1)
            while os.getppid() == parent:
                time.sleep(0.01)
            journal.append(event(101))
            report(journal, path)
        os._exit(0)
    if first == "child":
        os.waitpid(child, 0)
        journal.append(event(2))
        report(journal, path)
    os.close(child_is_done[1])
    os._exit(0)


def report(journal: Journal, path: str) -> None:
    """Print this process's name, and those that others see alive."""
    folder = DestinationFolder(Path(path))
    asked = multiprocessing.get_context("spawn").Process(target=tell_alive, args=(path,))
    asked.start()
    asked.join()
    sys.stdout.write(json.dumps({"self": journal.process, "processes": sorted(folder.processes())}) + "\n")
    sys.stdout.flush()


def tell_alive(path: str) -> None:
    """Print who is alive, as another process sees it."""
    folder = DestinationFolder(Path(path))
    alive = sorted(process for process in folder.processes() if folder.is_alive(process))
    sys.stdout.write(json.dumps({"alive": alive}) + "\n")
    sys.stdout.flush()


_shared: Journal | None = None


def write_in_worker(path: str, number: int) -> None:
    """Write one record in a worker, with the journal it was forked with or one of its own."""
    journal = _shared or opened(path)
    journal.append(event(number))


def workers(path: str, method: str) -> None:
    """Write in a process and in workers started by ``method``."""
    global _shared  # noqa: PLW0603 - what a fork inherits
    _shared = opened(path)
    _shared.append(event(0))
    multiprocessing.set_start_method(method)
    started = [multiprocessing.Process(target=write_in_worker, args=(path, number)) for number in (1, 2)]
    for worker in started:
        worker.start()
    for worker in started:
        worker.join()
    _shared.append(event(3))


def full_disk(path: str) -> None:
    """Write while no file may grow, and again when files may; print what came of each record."""
    logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stdout)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    now = 1_000.0
    journal = Journal(DestinationFolder(Path(path)), describe, clock=lambda: now)
    results = []
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    results += [journal.append(event(1)), journal.append(event(2))]
    now += 29.0
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    results.append(journal.append(event(3)))
    now += 2.0
    results += [journal.append(event(4)), journal.append(event(5))]
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    results += [journal.append(event(6, size=2_000_000)), journal.append(event(7))]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))  # what measures coverage writes a file too
    sys.stdout.write(json.dumps({"kept": results, "dropped": journal.dropped}))


def no_space(path: str) -> None:
    """Write to a disk with room for a few segments until it refuses; print the counters."""
    journal = opened(path)
    outcomes = [journal.append(event(number, size=100_000)) for number in range(100)]
    free = os.statvfs(path).f_bavail * os.statvfs(path).f_frsize
    result = {"kept": sum(outcomes), "dropped": journal.dropped, "free": free, "error": errno.errorcode[errno.ENOSPC]}
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])

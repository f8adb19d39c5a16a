"""One process: one contestant, one case. Started by `run.py`, in the environment being measured.

It prints a line of JSON when it is ready, and one for each line that it is given: a turn.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DISTRIBUTIONS = (
    "langchain-core",
    "langchain",
    "langgraph",
    "langfuse",
    "langsmith",
    "mlflow",
    "openinference-instrumentation-langchain",
    "opentelemetry-instrumentation-langchain",
    "opentelemetry-sdk",
)

_ENDED_LAST = ExitStack()
"""What ends with this process."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the process has to say: figures, or why there are none."""

    figures: dict[str, float] | None = None
    error: str | None = None


def versions() -> dict[str, str | None]:
    """Tell what is installed; None for what is missing."""
    return {name: _version(name) for name in DISTRIBUTIONS}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def measured(arguments: argparse.Namespace) -> Iterator[Outcome]:
    """Get ready for one case of one contestant, then take a turn whenever asked; what a tracer raises is its result."""
    try:
        turn = ready(arguments)
        yield Outcome()
        for _ in sys.stdin:
            yield Outcome(figures=turn())
    except Exception as error:  # noqa: BLE001 (the edge of the process)
        yield Outcome(error=f"{type(error).__name__}: {error}".splitlines()[0])


def ready(arguments: argparse.Namespace) -> Callable[[], dict[str, float]]:
    """Do what is not measured."""
    from contestants import CONTESTANTS, Place
    from measures import MEASURES, Bench, Effort

    server = postgresql() if "postgresql" in arguments.case else ""
    place = Place(arguments.sink, arguments.folder, server=server)
    effort = Effort(arguments.runs, arguments.warmup)
    bench = Bench(CONTESTANTS[arguments.contestant](place), place, effort, arguments.contestant)
    turn: Callable[[], dict[str, float]] = MEASURES[arguments.case](bench)
    return turn


def postgresql() -> str:
    """Start a server with an empty database until this process ends, as the tests do; give its address."""
    import psycopg2

    from tests.ship.bulk.postgresql import programs, server

    if programs() is None:
        missing = "PostgreSQL is not installed: apt-get install postgresql"
        raise RuntimeError(missing)
    address = f"me@127.0.0.1:{_ENDED_LAST.enter_context(server())}"
    connection = psycopg2.connect(f"postgresql://{address}/postgres")
    connection.autocommit = True
    connection.cursor().execute("CREATE DATABASE traces")
    connection.close()
    return address


def arguments_of(command: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--versions", action="store_true", help="print what is installed instead of measuring")
    parser.add_argument("--case")
    parser.add_argument("--contestant")
    parser.add_argument("--runs", type=int)
    parser.add_argument("--warmup", type=int)
    parser.add_argument("--sink", help="base address of the sink, with this process's tag")
    parser.add_argument("--folder", type=Path, help="an empty folder for this process")
    return parser.parse_args(command)


def main() -> None:
    """Print JSON lines on the standard output, where nothing else can write."""
    arguments = arguments_of()
    with os.fdopen(os.dup(1), "w") as output:
        os.dup2(2, 1)  # what tracers print goes to the standard error
        for result in [versions()] if arguments.versions else map(asdict, measured(arguments)):
            print(json.dumps(result), file=output, flush=True)
    _ENDED_LAST.close()


if __name__ == "__main__":
    main()

"""One process: one contestant, one case, one JSON line. Started by `run.py`, in the environment being measured."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

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


def measure(arguments: argparse.Namespace) -> Outcome:
    """Measure one case of one contestant; whatever a tracer raises is its result."""
    try:
        from contestants import CONTESTANTS, Place
        from measures import MEASURES, Bench, Effort

        place = Place(arguments.sink, arguments.folder)
        bench = Bench(CONTESTANTS[arguments.contestant](place), place, Effort(arguments.runs, arguments.warmup))
        return Outcome(figures=MEASURES[arguments.case](bench))
    except Exception as error:  # noqa: BLE001 (the edge of the process)
        return Outcome(error=f"{type(error).__name__}: {error}".splitlines()[0])


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
    """Print one JSON line on the standard output, where nothing else can write."""
    arguments = arguments_of()
    with os.fdopen(os.dup(1), "w") as output:
        os.dup2(2, 1)  # what tracers print goes to the standard error
        result = versions() if arguments.versions else asdict(measure(arguments))
        print(json.dumps(result), file=output)


if __name__ == "__main__":
    main()

"""Replay the test programs from `cassettes/`."""

from contextlib import AbstractContextManager
from pathlib import Path

from langchain_autotrace.demo.run import replayed

__all__ = ["CASSETTES", "replay"]

CASSETTES = Path(__file__).resolve().parents[1] / "cassettes"


def replay(name: str) -> AbstractContextManager[None]:
    """Replay the cassette of a program of `tests.programs`, as `replayed` does the demo's."""
    return replayed(name, CASSETTES)

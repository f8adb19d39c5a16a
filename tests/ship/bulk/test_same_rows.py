"""What is written in bulk is, row for row, what MLflow's API would leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.ship.bulk.corpus import EXAMPLES, traces
from tests.ship.bulk.support import Pair

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def pair(tmp_path: Path, new_store: Callable[[Path], str]) -> Pair:
    """Two databases."""
    return Pair(new_store(tmp_path), new_store(tmp_path))


def test_each_example(pair: Pair) -> None:
    """Each kind of trace leaves the same rows in all tables, whichever way it went."""
    ways = {}
    for number, name in enumerate(EXAMPLES, start=1):
        before = pair.bulk.in_bulk
        assert len(set(pair.write(*traces(number, name)))) == 1, name
        ways[name] = pair.bulk.in_bulk > before
        bulk, public = pair.tables()
        assert bulk == public, name
    assert ways == {name: example.in_bulk for name, example in EXAMPLES.items()}

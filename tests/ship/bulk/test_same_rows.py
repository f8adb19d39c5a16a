"""What is written in bulk is, row for row, what MLflow's API would leave."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings

from tests.ship.bulk.corpus import EXAMPLES, renumbered, traces
from tests.ship.bulk.generated import records
from tests.ship.bulk.support import Pair
from tests.ship.support import finished

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any


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
        bulk, public = pair.rows_of(number)
        assert bulk == public, name
    bulk, public = pair.tables()
    assert bulk == public
    assert len(bulk["trace_info"]) == len(EXAMPLES)
    assert ways == {name: example.in_bulk for name, example in EXAMPLES.items()}


NUMBERS = itertools.count(1)
EXAMPLES_OF_EACH_RUN = int(os.environ.get("AUTOTRACE_GENERATED_TRACES", "60"))


@settings(
    max_examples=EXAMPLES_OF_EACH_RUN,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(records=records())
def test_generated_traces(pair: Pair, records: list[Any]) -> None:
    """A trace of any tree, with any values, leaves the same rows, or the same error."""
    number = next(NUMBERS)
    bulk, public = pair.write(renumbered(finished(*records), number))

    assert bulk == public
    assert pair.rows_of(number)[0] == pair.rows_of(number)[1]

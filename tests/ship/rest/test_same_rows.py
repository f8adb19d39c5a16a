"""What a tracking server stores is, row for row, what it stores of MLflow's client."""

from __future__ import annotations

import itertools
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings

from langchain_autotrace.records import TraceFile
from tests.full_server import tracking_server
from tests.ship.bulk.corpus import EXAMPLES, renumbered, traces
from tests.ship.bulk.generated import records
from tests.ship.bulk.support import no_public
from tests.ship.mlflow_support import in_experiment
from tests.ship.rest.support import ServerPair, rest_sink
from tests.ship.support import end, finished, start, trace_id, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.server
NUMBERS = itertools.count(1_000)
NOT_ALONE: Final = {"file", "chain with a file", "type among the attributes"}
"""Examples that go to MLflow's client: files, and what the server refuses."""


@pytest.fixture(scope="module")
def pair(full_mlflow: str, empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerPair]:
    """Two servers."""
    folders = [tmp_path_factory.mktemp(name) for name in ("ours", "mlflows")]
    with ExitStack() as running:
        for folder in folders:
            shutil.copy(empty_database, folder / "mlflow.db")
        first, second = (running.enter_context(tracking_server(full_mlflow, folder)) for folder in folders)
        databases = (f"sqlite:///{folders[0]}/mlflow.db", f"sqlite:///{folders[1]}/mlflow.db")
        yield ServerPair((first, second), databases)


def files(database: str) -> dict[str, bytes]:
    """What is in the folder of a server's artifacts."""
    folder = Path(database.removeprefix("sqlite:///")).parent / "files"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check(pair: ServerPair, number: int, outcome: str | None = None) -> None:
    """Check that both servers hold the same of a trace.

    What was refused with an error is tried once more by MLflow's client, which the server counts.
    """
    ours, mlflows = pair.rows_of(number)
    for row in [*ours.get("trace_info", []), *mlflows.get("trace_info", [])] if outcome else ():
        del row["db_payload_generation"]
    assert ours == mlflows, number


def test_each_example(pair: ServerPair) -> None:
    """Each kind of trace leaves the same rows in all tables, whichever way it went."""
    ways = {}
    for number, name in enumerate(EXAMPLES, start=1):
        before = pair.bulk.in_bulk
        ours, mlflows = pair.write(*traces(number, name))
        assert ours == mlflows, name
        ways[name] = pair.bulk.in_bulk > before
        check(pair, number, ours)
    assert {name for name, is_alone in ways.items() if not is_alone} == NOT_ALONE


@settings(
    max_examples=60,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    deadline=None,
)
@given(records=records())
def test_generated_traces(pair: ServerPair, records: list[Any]) -> None:
    """A trace of any tree, with any values, leaves the same rows, or the same error."""
    number = next(NUMBERS)
    ours, mlflows = pair.write(renumbered(finished(*records), number))

    assert ours == mlflows
    check(pair, number, ours)


def test_a_large_batch(pair: ServerPair) -> None:
    """A batch of many traces, more than one request takes, leaves the same rows."""
    numbers = range(10_000, 10_150)
    assert pair.write(*(finished(*whole(number, spans=4)) for number in numbers)) == (None, None)

    for number in (*numbers[:3], *numbers[-3:]):
        check(pair, number)
    ours, mlflows = pair.tables()
    of_traces = ("spans", "trace_tags", "trace_request_metadata")
    assert [ours[table] == mlflows[table] for table in of_traces] == [True] * len(of_traces)
    assert len(ours["trace_info"]) == len(mlflows["trace_info"])


@pytest.mark.parametrize("together", [True, False])
def test_spans_that_come_late(pair: ServerPair, *, together: bool) -> None:
    """A span that ends after its trace leaves the same rows, in the batch of the trace or later."""
    number = next(NUMBERS)
    first = finished(*whole(number, spans=2), start(number, 3, 1))
    late = finished(start(number, 3, 1), end(number, 3, at=9))
    for batch in [(first, late)] if together else [(first,), (late,)]:
        assert pair.write(*batch) == (None, None)

    check(pair, number)


def test_the_same_trace_again(pair: ServerPair) -> None:
    """A trace that is delivered again leaves the same rows, each once."""
    number = next(NUMBERS)
    for _ in range(2):
        assert pair.write(finished(*whole(number))) == (None, None)

    check(pair, number)
    assert {table: len(rows) for table, rows in pair.rows_of(number)[0].items()} == {
        "spans": 2, "trace_info": 1, "trace_request_metadata": 5, "trace_tags": 2
    }  # fmt: skip


def test_new_experiments(pair: ServerPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traces of several experiments, some of them new, go to theirs, without MLflow's client."""
    monkeypatch.setattr(pair, "bulk", rest_sink(pair.servers[0], no_public))
    numbers = [next(NUMBERS) for _ in range(4)]
    contexts = [in_experiment(experiment=name) for name in ("one", "two", "one")] + [in_experiment(experiment_id="0")]
    batch = [
        finished(start(number, 1, context=context), end(number, 1))
        for number, context in zip(numbers, contexts, strict=True)
    ]
    assert pair.write(*batch) == (None, None)

    assert pair.bulk.in_bulk == len(numbers)
    for number in numbers:
        ours, mlflows = pair.rows_of(number)
        assert ours["spans"] == mlflows["spans"]
        assert ours["trace_info"] == mlflows["trace_info"]


def test_files(pair: ServerPair) -> None:
    """The files of a trace are stored at the server, beside those that MLflow's client stores."""
    number = next(NUMBERS)
    context = in_experiment(experiment="with files")
    file = TraceFile(trace_id(number), str(UUID(int=number)), "aGVsbG8=")
    assert pair.write(finished(file, start(number, 1, context=context), end(number, 1))) == (None, None)

    ours, mlflows = map(files, pair.uris)
    assert ours == mlflows
    assert list(ours.values()) == [b"hello"]


def test_an_id_of_another_program(pair: ServerPair) -> None:
    """A trace whose id another program's trace has already is stored beside it."""
    number = next(NUMBERS)
    first = finished(start(number, 1, run_id="r"), end(number, 1))
    other = finished(start(number, 1, run_id="r", at=60), end(number, 1, at=61))
    for trace in (first, other):
        assert pair.write(trace) == (None, None)

    check(pair, number)
    ours, mlflows = ([one["trace_name"] for one in tables["trace_info"]] for tables in pair.tables())
    assert ours == mlflows

"""Searches, sessions and sums over the tables of a database, compared with those over MLflow's API."""

from __future__ import annotations

import itertools
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing
from typing import TYPE_CHECKING, Any, get_args

import pytest

from langchain_autotrace.records import TraceUpdate
from langchain_autotrace.semconv import Attr, SpanType, Status
from langchain_autotrace.view import catalog, catalog_api, catalog_sql
from langchain_autotrace.view.catalog import Query, Sort
from tests.ship.bulk.corpus import renumbered
from tests.ship.bulk.support import bulk_sink
from tests.ship.mlflow_support import in_experiment
from tests.ship.support import end, finished, start, trace_id
from tests.view.support import ask, environment, traced

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_autotrace.trace.spans import Trace

QUERIES = [
    Query(),
    Query(experiment="other"),
    Query(experiment="gone"),
    Query(status="ERROR"),
    Query(name="answer"),
    Query(name="été"),
    Query(session="s-1"),
    Query(user="ada"),
    Query(user="nobody"),
    Query(logged_model="m-1"),
    Query(tags={"team": "red", "empty": ""}),
    Query(tags={"team": "red", "gone": "x"}),
    Query(min_duration_ms=2_000),
    Query(max_duration_ms=2_000),
    Query(min_cost_usd=0.0, max_cost_usd=0.001),
    Query(min_cost_usd=0.001),
    Query(since_ms=1_767_225_603_000, until_ms=1_767_225_607_000),
    Query(text="50%_off"),
    Query(text="WHERE"),
    Query(text="\\"),
    Query(status="OK", name="answer", user="ada", tags={"team": "red"}, text="where"),
]


def one(number: int) -> Trace:
    """The ``number``-th of traces that differ in all that is searched for."""
    usage = {"input_tokens": number * 1_000, "output_tokens": number, "total_tokens": number * 1_001}
    model = ["gpt-4o-mini", "gpt-4o", "local"][number % 3]
    call = {Attr.MODEL: model, Attr.PROVIDER: "openai", **({Attr.TOKEN_USAGE: usage} if number % 5 else {})}
    metadata = {"mlflow.trace.user": "ada"} if number % 2 else {}
    metadata |= {"mlflow.trace.session": f"s-{number % 4}"} if number % 4 else {}
    metadata |= {"mlflow.modelId": "m-1"} if number % 3 == 0 else {}
    tags = {"team": "red" if number % 2 else "blue"}
    context = in_experiment(experiment="other" if number % 6 == 5 else "Default", tags=tags, metadata=metadata)
    texts = ["Where is it?", "50%_off", "500 off", 'a\\b "c"', "où?"]
    begin = number // 2  # two traces at the same time
    records: list[Any] = [
        start(1, 1, name=["answer", "Été", "été"][number % 3], inputs=texts[number % 5], context=context, at=begin),
        start(1, 2, 1, type=SpanType.CHAT_MODEL, attributes=call, at=begin),
        end(1, 2, attributes={}, at=begin + number, outputs=f"needle {number}" if number % 7 == 3 else "x"),
        TraceUpdate(trace_id(1), {"state": "ERROR"}) if number % 5 == 4 else None,
        end(1, 1, at=begin + number / 2, status=Status.ERROR if number % 5 == 4 else None, outputs="yes"),
    ]
    return renumbered(finished(*filter(None, records)), number + 1)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> str:
    """A database with traces of all kinds."""
    path = tmp_path_factory.mktemp("filled") / "mlflow.db"
    path.write_bytes(empty_database.read_bytes())
    uri = f"sqlite:///{path}"
    bulk_sink(uri).write([one(number) for number in range(30)])
    return uri


def test_every_filter_and_every_sort(filled: str) -> None:
    """A page holds the same traces in the same order, and as many are counted, for each filter and each sort."""
    found = {}
    for query in QUERIES:
        for sort, descending in itertools.product(get_args(Sort), (True, False)):
            order: dict[str, Any] = {"sort": sort, "descending": descending, "limit": 12, "offset": 1}
            page = catalog_sql.search(filled, query, **order)
            expected = catalog_api.search(filled, query, **{**order, "limit": 50})
            assert page.traces == expected.traces[:12], (query, sort, descending)
            assert page.total == len(expected.traces) + min(1, page.total)
        found[str(query)] = page.total
    assert [query for query, number in found.items() if not number] == [str(QUERIES[i]) for i in (2, 8, 11)]
    assert max(found.values()) == 30


def test_a_model(filled: str) -> None:
    """A model's name is compared as a whole."""
    page = catalog_sql.search(filled, Query(model="gpt-4o"))
    assert [trace.row.trace_id for trace in page.traces] == [f"tr-{number + 1:032x}" for number in range(28, 0, -3)]
    assert catalog_sql.search(filled, Query(model="gpt-4")).total == 0


def test_sessions(filled: str) -> None:
    """Sessions hold the same sums, in the same order, page by page."""
    for query in QUERIES:
        assert catalog_sql.sessions(filled, query) == approximately(catalog_api.sessions(filled, query))
    page = catalog_sql.sessions(filled, Query(), limit=1, offset=1)
    assert page.sessions == catalog_sql.sessions(filled, Query()).sessions[1:2]
    assert page.total == 3


def test_overview(filled: str) -> None:
    """Sums by period, name and model are the same, and so are the periods."""
    for query in QUERIES:
        for periods in (3, 60):
            found = catalog_sql.overview(filled, query, periods=periods)
            assert found == approximately(catalog_api.overview(filled, query, periods=periods)), query
    of_model = catalog_sql.overview(filled, Query(model="gpt-4o"))
    assert [(group.name, group.count) for group in of_model.models] == [("gpt-4o", 10)]


def test_choices(filled: str) -> None:
    """Filters offer all values, the most frequent first."""
    found = catalog_sql.choices(filled)
    assert found.experiments == ("Default", "other")
    assert (set(found.names), set(found.models)) == ({"answer", "Été", "été"}, {"gpt-4o-mini", "gpt-4o", "local"})
    assert found.users == ("ada",)


@pytest.mark.parametrize("text", ["needle", "NEEDLE 3", "a\\b", '"c"', "où?", "50%_off", "gone", "e", "user"])
def test_text_in_spans(filled: str, text: str) -> None:
    """A text is found in the spans that have it, and nowhere else, the newest trace first."""
    found = [trace_id for part in catalog_sql.search_spans(filled, Query(), text) for trace_id in part]
    assert found == [trace_id for part in catalog_api.search_spans(filled, Query(), text) for trace_id in part]
    some = [trace_id for part in catalog_sql.search_spans(filled, Query(user="ada"), text) for trace_id in part]
    assert some == [one for one in found if int(one[3:], 16) % 2 == 0]


def test_search_that_is_stopped(filled: str) -> None:
    """A search in spans locks nobody out, not even between its parts, and may be closed."""
    parts = catalog_sql.search_spans(filled, Query(), "needle")
    next(parts)
    with closing(sqlite3.connect(filled.removeprefix("sqlite:///"), timeout=0)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        connection.rollback()
    assert isinstance(parts, Generator)
    parts.close()


def test_named_traces(filled: str) -> None:
    """Traces are listed by their ids, in the order of the ids."""
    wanted = [f"tr-{2:032x}", "tr-gone", "x'", f"tr-{1:032x}"]
    assert catalog_sql.named(filled, wanted) == catalog_api.named(filled, wanted)
    assert [one.row.trace_id for one in catalog.named(filled, wanted)] == [wanted[0], wanted[3]]


def test_the_way(filled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A known database is read by its tables, others through MLflow's API."""
    asked: list[str] = []
    monkeypatch.setattr(catalog_api, "search", lambda uri, *_, **__: asked.append(uri))
    assert catalog.search(filled, Query()).total == 30
    monkeypatch.setattr(catalog_sql, "is_known", lambda _: False)
    catalog.search(filled, Query())
    assert asked == [filled]


def test_deleted_traces(store: str) -> None:
    """Deleted traces are gone with their spans."""
    bulk_sink(store).write([one(number) for number in range(3)])
    assert catalog.delete(store, [f"tr-{1:032x}", f"tr-{3:032x}", "tr-gone"]) == 2
    assert [trace.row.trace_id for trace in catalog.search(store, Query()).traces] == [f"tr-{2:032x}"]
    with closing(sqlite3.connect(store.removeprefix("sqlite:///"))) as connection:
        assert connection.execute("SELECT DISTINCT trace_id FROM spans").fetchall() == [(f"tr-{2:032x}",)]


PROGRAM = """
import contextlib, io, sys
from langchain_autotrace import get_trace, search_traces
from langchain_autotrace.cli import main

uri = sys.argv[1]
for command in (["list"], ["list", "--json"], ["show", "last"], ["show", "last", "--json"], ["status"],
                ["diff", "last", "last"], ["export", "last", "-o", "trace.html"], ["export", "last", "-o", "trace.md"]):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            main([*command, "--tracking-uri", uri])
        except SystemExit as end:
            assert not end.code, command
    print(command, len(out.getvalue()) > 20, "mlflow" in sys.modules, "sqlalchemy" in sys.modules)
print(get_trace(tracking_uri=uri).name, [one.name for one in search_traces(user="ada", tracking_uri=uri)])
print("mlflow" in sys.modules)
"""


def test_commands_without_mlflow(store: str) -> None:
    """Commands that read a local database import neither MLflow nor SQLAlchemy, also where they deliver first."""
    traced(ask, tracking_uri=store)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, store], capture_output=True, text=True, check=False, env=environment()
    )
    assert done.stderr == ""
    *commands, objects, imported = done.stdout.splitlines()
    assert [line.split("] ")[1] for line in commands] == ["True False False"] * 8
    assert (objects, imported) == ("ask ['ask']", "False")


def approximately(expected: Any) -> Any:
    """What is equal to a record, but for how sums of costs are rounded."""
    if isinstance(expected, tuple):
        return tuple(map(approximately, expected))
    if isinstance(expected, float):
        return pytest.approx(expected)
    if hasattr(expected, "__dataclass_fields__"):
        values = {name: approximately(getattr(expected, name)) for name in expected.__dataclass_fields__}
        return type(expected)(**values)
    return expected

"""Searches, sessions and sums of traces, over MLflow's API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from langchain_autotrace.errors import AutotraceError, SinkUnavailable
from langchain_autotrace.semconv import Attr
from langchain_autotrace.view import catalog, catalog_api, sums
from langchain_autotrace.view.catalog import Bucket, Choices, Group, ListedTrace, Query, Session
from langchain_autotrace.view.catalog_filter import api_filter
from langchain_autotrace.view.traces import Tokens, TraceRow
from langchain_autotrace.view.ui import lists
from langchain_autotrace.view.ui.http_messages import Request
from tests.view import ui_store

START = 1_764_000_000_000
ODD = """it's "odd" `x`"""


@pytest.fixture(scope="module")
def uri(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with a session of two turns, a failed agent, and a trace with odd names."""
    from tests.support import copies

    store = copies(empty_database)(tmp_path_factory.mktemp("catalog"))
    odd = ui_store.make_span(
        ODD, START + 9_000, 5, inputs="Q", outputs="A", attributes={"session.id": ODD, "user.id": ODD, Attr.RUN_ID: "r"}
    )
    ui_store.write(
        store,
        ui_store.turn(START, "One?", "First.", session="s", user="ada"),
        ui_store.turn(START + 5_000, "Two?", "Second answer.", session="s", user="ada", model=ui_store.MODELS[1]),
        ui_store.agent(START + 7_000, "Atlantis", fails=True),
        ui_store.make_trace(odd, tags={"odd": ODD}),
    )
    return store


def near(number: float) -> Any:
    """A number that a sum of costs may be, which are not exact."""
    return pytest.approx(number)


def found(uri: str, **fields: Any) -> list[str]:
    """The questions of the traces that meet a query, in the order in which they are found."""
    return [one.request for one in catalog_api.search(uri, Query(**fields)).traces]


ATLANTIS = "How warm is it in Atlantis?"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ["Q", ATLANTIS, "Two?", "One?"]),
        ({"experiment": "agents"}, [ATLANTIS]),
        ({"experiment": "none"}, []),
        ({"status": "ERROR"}, [ATLANTIS]),
        ({"name": "support_chat"}, ["Two?", "One?"]),
        ({"name": ODD}, ["Q"]),
        ({"session": "s"}, ["Two?", "One?"]),
        ({"session": ODD}, ["Q"]),
        ({"user": "ada"}, ["Two?", "One?"]),
        ({"user": ODD}, ["Q"]),
        ({"model": ui_store.MODELS[0]}, ["One?"]),
        ({"model": ui_store.MODELS[1]}, [ATLANTIS, "Two?"]),
        ({"model": "gpt-4o-mini"}, []),
        ({"logged_model": "m-1"}, []),
        ({"tags": {"team": "north"}}, [ATLANTIS]),
        ({"tags": {"team": "south"}}, []),
        ({"tags": {"odd": ODD}}, ["Q"]),
        ({"min_duration_ms": 526}, [ATLANTIS, "Two?"]),
        ({"max_duration_ms": 454}, ["Q", "One?"]),
        ({"min_cost_usd": 0.000001, "max_cost_usd": 0.00053}, ["Two?", "One?"]),
        ({"max_cost_usd": 0.0}, []),
        ({"since_ms": START + 5_000, "until_ms": START + 9_000}, [ATLANTIS, "Two?"]),
        ({"text": "SECOND"}, ["Two?"]),
        ({"text": "one"}, ["One?"]),
        ({"text": "%"}, []),
    ],
)
def test_filters(uri: str, fields: dict[str, Any], expected: list[str]) -> None:
    """A search finds what meets all of a query's filters, whatever quotation marks they hold."""
    assert found(uri, **fields) == expected


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("time", ["Q", ATLANTIS, "Two?", "One?"]),
        ("duration", [ATLANTIS, "Two?", "One?", "Q"]),
        ("tokens", [ATLANTIS, "Two?", "One?", "Q"]),
        ("cost", [ATLANTIS, "Two?", "One?", "Q"]),
        ("name", [ATLANTIS, "Two?", "One?", "Q"]),
        ("status", ["Q", "Two?", "One?", ATLANTIS]),
    ],
)
def test_sort(uri: str, sort: catalog.Sort, expected: list[str]) -> None:
    """Traces are sorted by each of their facts, both ways, and pages follow each other."""
    found = [one.request for one in catalog_api.search(uri, Query(), sort=sort).traces]
    assert found == expected
    back = [one.request for one in catalog_api.search(uri, Query(), sort=sort, descending=False).traces]
    assert back == expected[::-1]
    pages = [catalog_api.search(uri, Query(), sort=sort, limit=2, offset=offset) for offset in (0, 2, 4)]
    assert [[one.request for one in page.traces] for page in pages] == [expected[:2], expected[2:], []]


def test_a_line(uri: str) -> None:
    """A found trace has its facts, its experiment's name, question and answer."""
    (one,) = catalog_api.search(uri, Query(text="first")).traces
    assert one == ListedTrace(
        row=TraceRow(
            trace_id=one.row.trace_id,
            name="support_chat",
            status="OK",
            start_ms=START,
            duration_ms=454,
            tokens=Tokens(input=204, output=6, total=210),
            cost_usd=near(0.000456),
            experiment_id=one.row.experiment_id,
            session="s",
            user="ada",
            tags={"release": "2.1"},
        ),
        experiment="support",
        request="One?",
        response="First.",
    )


def test_sessions(uri: str) -> None:
    """Sessions have the sums of their traces, the one with the newest trace first."""
    odd, talk = catalog_api.sessions(uri, Query()).sessions
    assert (odd.session, odd.traces) == (ODD, 1)
    assert talk == Session(
        session="s",
        traces=2,
        errors=0,
        first_ms=START,
        last_ms=START + 5_000,
        total_tokens=428,
        cost_usd=near(0.000976),
        user="ada",
        request="One?",
    )
    assert catalog_api.sessions(uri, Query(user="nobody")).sessions == ()


def test_overview(uri: str) -> None:
    """The overview has the sums of each period, of each name, and of each model's calls."""
    found = catalog_api.overview(uri, Query(experiment="support"), periods=1)
    assert (found.bucket_ms, found.is_capped) == (15_000, False)
    assert found.buckets == (Bucket(START, 3, 0, 454.0, 526.0, 526.0, 408, 20, near(0.000976)),)
    assert found.names == (
        Group("support_chat", 2, 0, 454.0, 526.0, 428, near(0.000976)),
        Group(ODD, 1, 0, 5.0, 5.0, None, None),
    )
    assert found.models == (
        Group(ui_store.MODELS[1], 1, 0, 486.0, 486.0, 218, near(0.00052)),
        Group(ui_store.MODELS[0], 1, 0, 414.0, 414.0, 210, near(0.000456)),
    )


def test_choices(uri: str) -> None:
    """Filters are offered what there is, the most frequent first."""
    assert catalog_api.choices(uri) == Choices(
        experiments=("support", "agents", "Default"),
        names=("support_chat", ODD, "weather_agent"),
        models=(ui_store.MODELS[1], ui_store.MODELS[0]),
        users=("ada", ODD),
    )


def test_text_in_spans(uri: str) -> None:
    """A text within spans is found in inputs, outputs and errors, with the filters of the query."""
    ids = {one.request: one.row.trace_id for one in catalog_api.search(uri, Query()).traces}

    def hits(text: str, **fields: Any) -> list[str]:
        return [one for some in catalog_api.search_spans(uri, Query(**fields), text) for one in some]

    assert hits("be BRIEF") == [ids[ATLANTIS], ids["Two?"], ids["One?"]]
    assert hits("no such city") == [ids[ATLANTIS]]
    assert hits("be brief", experiment="support") == [ids["Two?"], ids["One?"]]
    assert hits("nowhere") == []


def test_delete(new_store: Callable[[Path], str], tmp_path: Path) -> None:
    """Named traces are deleted, and counted, whatever experiments they are in; other names are ignored."""
    uri = new_store(tmp_path)
    traces = [
        ui_store.agent(START, "A"),
        ui_store.turn(START, "Q?", "A.", session="s", user="u"),
        ui_store.agent(START, "B"),
    ]
    ui_store.write(uri, *traces)
    ids = [f"tr-{trace.trace_id}" for trace in traces]
    assert catalog.delete(uri, [*ids[:2], "tr-none", "' OR ''='", "%"]) == 2
    assert [one.row.trace_id for one in catalog.search(uri, Query()).traces] == [ids[2]]


def test_more_traces_than_are_looked_at(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are more traces than are looked at, the result says that it is not all."""
    monkeypatch.setattr(catalog_api, "MAX_TRACES", 2)
    monkeypatch.setattr(catalog_api, "_PAGE", 1)
    page = catalog_api.search(uri, Query(), sort="cost")
    assert ([one.request for one in page.traces], page.total, page.is_capped) == ([ATLANTIS, "Q"], 2, True)
    assert catalog_api.overview(uri, Query()).is_capped
    assert catalog_api.sessions(uri, Query()).is_capped


def test_an_unreadable_store(tmp_path: Path) -> None:
    """A store that cannot be read is an error of this package."""
    path = tmp_path / "bad.db"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(AutotraceError):
        catalog.search(f"sqlite:///{path}", Query())


def test_mlflows_language() -> None:
    """What MLflow can filter is said in its language; what it cannot quote is left to be checked here."""
    query = Query(name="a'b", session='"', user=ODD, tags={"k": "v", "a`b": "c"}, since_ms=5, model="m", text="t")
    assert api_filter(query) == (
        "trace.name = \"a'b\" AND metadata.`mlflow.trace.session` = '\"' AND tag.`k` = 'v' "
        'AND span.attributes.mlflow.llm.model LIKE \': "_"m_""\' AND trace.timestamp_ms >= 5'
    )
    assert api_filter(Query()) is None


@pytest.mark.parametrize(
    ("starts", "periods", "expected"),
    [
        ([], 60, 3_600_000),
        ([5], 60, 1_000),
        ([0, 59_999], 60, 1_000),
        ([0, 60_000], 60, 5_000),
        ([0, 86_400_000], 60, 1_800_000),
        ([0, 10 * 365 * 86_400_000], 60, 62 * 86_400_000),
    ],
)
def test_periods(starts: list[int], periods: int, expected: int) -> None:
    """Periods have round lengths, as short as the wanted number allows."""
    assert sums.bucket_length(starts, periods) == expected


def test_percentiles() -> None:
    """A percentile is one of the numbers: the smallest that as many as wanted do not exceed."""
    hundred = list(range(1, 101))
    assert [sums.percentile(hundred, share) for share in (0.5, 0.95, 0.99)] == [50, 95, 99]
    assert [sums.percentile([7], 0.99), sums.percentile([], 0.5)] == [7, None]


def test_a_search_that_is_stopped(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the browser stops a search in spans, the store's search is stopped, too."""
    stopped: list[str] = []

    def endless(_uri: str, _query: Query, text: str) -> Iterator[list[str]]:
        try:
            while True:
                yield []
        finally:
            stopped.append(text)

    monkeypatch.setattr(catalog, "search_spans", endless)
    hits = lists.content_hits(uri, Request("/api/contents", {"text": ["x"]}))
    assert next(hits) == b'{"traces":[]}\n'
    hits.close()  # type: ignore[attr-defined] # a generator
    assert stopped == ["x"]


def test_a_store_that_fails_during_a_search(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the store fails during a search in spans, the browser gets the reason behind what was found."""

    def failing(_uri: str, _query: Query, _text: str) -> Iterator[list[str]]:
        yield []
        reason = "the disk is gone"
        raise SinkUnavailable(reason)

    monkeypatch.setattr(catalog, "search_spans", failing)
    lines = list(lists.content_hits(uri, Request("/api/contents", {"text": ["x"]})))
    assert lines == [b'{"traces":[]}\n', b'{"error":"the disk is gone"}\n']

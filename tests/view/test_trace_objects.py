"""Stored traces as Python objects."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from langchain_autotrace import get_trace, search_traces
from langchain_autotrace.errors import NotExactlyOne, SettingsError, SinkUnavailable, TraceNotFound
from langchain_autotrace.testing import Trace, capture_traces
from tests.priced_model import Model
from tests.testing.test_traces import weather_agent
from tests.view.browser import Window
from tests.view.support import ANSWER, MODEL, abandon, ask, cli_json, fail, traced
from tests.view.test_export import look


def test_the_last_trace(store: str) -> None:
    """`get_trace()` delivers what is captured, and gives the newest trace with its facts and spans."""
    traced(ask, tracking_uri=store, extra_tags={"team": "north"})
    trace = get_trace()
    facts = (trace.name, trace.status, trace.session, trace.user, trace.tags, trace.cost)
    assert facts == ("ask", "OK", "talk-1", "ada", {"team": "north"}, None)
    counts = {"input_tokens": 1200, "output_tokens": 34, "total_tokens": 1234, "cache_read_input_tokens": 1000}
    assert trace.tokens == counts
    assert [(span.name, span.type, span.status) for span in trace.spans] == [
        ("ask", "CHAIN", "OK"),
        ("GenericFakeChatModel", "CHAT_MODEL", "OK"),
        ("StrOutputParser", "PARSER", "OK"),
    ]
    root = trace.spans[0]
    assert list(root.walk()) == trace.spans
    assert (root.outputs, root.error, root.is_plumbing, root.children) == (ANSWER, None, False, trace.spans[1:])
    model = trace.find(type="CHAT_MODEL")
    assert (model.model, model.tokens, model.cost) == (MODEL, counts, None)
    assert 0 < (model.duration_ms or 0) <= (root.duration_ms or 0)
    assert trace.to_dict() == cli_json("show", trace.trace_id)


def test_the_tree(store: str) -> None:
    """A trace prints as its tree, as `show` prints it; the tree to assert on is the same for every run."""
    traced(fail, tracking_uri=store)
    trace = get_trace()
    assert [re.sub(r"^ *[<\d]\S* m?s  ", "", line).strip() for line in trace.tree(durations=True).splitlines()] == [
        "fail  CHAIN  ERROR",
        "│   ValueError: no such city: Atlantis",
        "└── weather  TOOL  ERROR",
        "ValueError: no such city: Atlantis",
    ]
    assert repr(trace) == f"{trace.trace_id} fail ERROR\n{trace.tree(durations=True)}"
    trace.assert_tree("""
        fail [CHAIN] ERROR: ValueError: no such city: Atlantis
          weather [TOOL] {"input": "Atlantis"} ERROR: ValueError: no such city: Atlantis
    """)


def test_a_span_that_is_not_the_only_one(store: str) -> None:
    """`find` gives the only span that is meant; else its message shows the tree."""
    traced(fail, tracking_uri=store)
    trace = get_trace()
    assert [span.name for span in trace.find_all(status="ERROR")] == ["fail", "weather"]
    assert repr(trace.find(name="weather")) == trace.tree().splitlines()[1].strip()
    with pytest.raises(NotExactlyOne, match=r"^2 spans with status='ERROR' in:\nfail \[CHAIN\]") as found:
        trace.find(status="ERROR")
    assert isinstance(found.value, LookupError)
    assert isinstance(found.value, AssertionError)
    assert search_traces().one.trace_id == trace.trace_id
    with pytest.raises(NotExactlyOne, match=r"^0 traces\.$"):
        _ = search_traces(name="none").one


def priced() -> None:
    """A call that costs something, with tags and metadata."""
    Model().invoke("Hello.", {"tags": ["red"], "metadata": {"team": "north", "user_id": "ada"}})


PROGRAMS = (ask, fail, abandon, priced, look, weather_agent)


def test_a_trace_of_a_test(store: str) -> None:
    """A trace captured in a test is as the stored one, whichever way it is read: facts, tree, snapshot, page, JSON."""
    traced(*PROGRAMS, tracking_uri=store, extra_tags={"shop": "1"})
    with capture_traces(extra_tags={"shop": "1"}) as captured:
        for program in PROGRAMS:
            program()
    stored = sorted(search_traces(experiment="Default"), key=lambda trace: trace.root.start_ns)

    assert [type(trace) for trace in captured] == [type(trace) for trace in stored]
    assert [trace.as_dict(plumbing=True) for trace in captured] == [trace.as_dict(plumbing=True) for trace in stored]
    assert [trace.tree() for trace in captured] == [trace.tree() for trace in stored]
    in_turn = len(PROGRAMS) - 1  # the agent's tools run side by side, in any order
    assert list(map(comparable, captured[:in_turn])) == list(map(comparable, stored[:in_turn]))
    assert [trace.cost is not None for trace in captured] == [program is priced for program in PROGRAMS]
    assert captured.cost == pytest.approx(captured[3].cost)
    assert captured.tokens["total_tokens"] == sum(trace.tokens.get("total_tokens", 0) for trace in stored)


IDS = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|tr-[0-9a-f]{32}")
TIMES = re.compile(r"id|parent|.*(?:time|start|duration|end|ttft)(?:_\w+)?|gen_ai.response.time_to_first_chunk")


def comparable(trace: Trace) -> Any:
    """Everything that a trace and its page say, without times, ids, and what only a store knows."""
    (page,) = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', trace.to_html())
    facts = (trace.name, trace.status, trace.tokens, trace.cost, trace.session, trace.user, trace.tags)
    return facts, without_times(trace.to_dict()), without_times(json.loads(page))


def without_times(value: Any) -> Any:
    """JSON data without ids and times."""
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if not TIMES.fullmatch(key)}
        kept = {key: item for key, item in kept.items() if not key.startswith(("mlflow.source", "mlflow.user"))}
        return {IDS.sub("<id>", key): without_times(item) for key, item in kept.items() if key not in STORES}
    if isinstance(value, list):
        return [without_times(item) for item in value]
    return IDS.sub("<id>", value) if isinstance(value, str) else value


STORES = {
    *("experiment_id", "trace_id", "span_id", "parent_id", "langchain_autotrace.reasoning_tokens"),
    "exception.stacktrace",
}
"""What only a store knows, ids, and stack traces, in which line numbers of this file are."""


def test_a_search(store: str) -> None:
    """`search_traces` gives the traces that meet all conditions, the newest first."""
    traced(ask, fail, tracking_uri=store, extra_tags={"team": "it's"})
    traced(abandon, tracking_uri=store, experiment="other")
    every = search_traces()
    assert [trace.name for trace in every] == ["GenericFakeChatModel", "fail", "ask"]
    assert repr(every).splitlines()[2] == f"{every[2].trace_id} ask OK"
    found = {
        "name": search_traces(name="ask"),
        "status": search_traces(status="ERROR"),
        "session": search_traces(session="talk-1", user="ada"),
        "tags": search_traces(tags={"team": "it's"}),
        "experiment": search_traces(experiment="other"),
        "filter": search_traces(name="ask", filter_string="trace.status = 'ERROR'"),
        "limit": search_traces(limit=1),
    }
    assert {key: [trace.name for trace in traces] for key, traces in found.items()} == {
        "name": ["ask"],
        "status": ["fail"],
        "session": ["ask"],
        "tags": ["fail", "ask"],
        "experiment": ["GenericFakeChatModel"],
        "filter": [],
        "limit": ["GenericFakeChatModel"],
    }
    assert found["name"][0].find(type="CHAT_MODEL").model == MODEL
    with pytest.raises(SettingsError, match="both kinds of quotation marks"):
        search_traces(name="'\"")
    with pytest.raises(SinkUnavailable):
        search_traces(filter_string="nonsense")


def test_a_data_frame(store: str) -> None:
    """Traces become a DataFrame, also none."""
    assert search_traces(name="none", tracking_uri=store).to_pandas().empty
    traced(ask, tracking_uri=store)
    frame = search_traces().to_pandas()
    row = frame.iloc[0]
    assert (row["name"], row["total_tokens"], row["session"]) == ("ask", 1234, "talk-1")
    assert pd.Timestamp.now("UTC") - row["start"] < pd.Timedelta(hours=1)
    assert frame.index[0].startswith("tr-")


def test_in_a_notebook(store: str, show: Callable[..., Window]) -> None:
    """A notebook shows the page in a frame of its own, which cannot reach the page around it."""
    traced(ask, tracking_uri=store)
    trace = get_trace()
    shown = trace._repr_html_()
    assert html.escape(trace.to_html()) in shown
    window = show(f"<!doctype html><title>Notebook</title>{shown}")
    frame = window.page.frame_locator("iframe")
    frame.locator(".row", has_text="GenericFakeChatModel").click()
    assert ANSWER in frame.locator(".detail").inner_text()
    assert window.page.locator("iframe").get_attribute("sandbox") == (
        "allow-scripts allow-downloads allow-popups allow-popups-to-escape-sandbox"
    )


def test_nothing_traced_yet() -> None:
    """Without a store, there are no traces, and no database is made."""
    with pytest.raises(TraceNotFound, match="no traces yet in sqlite:///"):
        get_trace()
    assert repr(search_traces()) == "no traces"

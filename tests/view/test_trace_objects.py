"""Stored traces as Python objects."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

import pandas as pd
import pytest

from langchain_autotrace import get_trace, search_traces
from langchain_autotrace.errors import SettingsError, SinkUnavailable, TraceNotFound
from tests.view.browser import Window
from tests.view.support import ANSWER, MODEL, abandon, ask, cli_json, fail, traced


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
    """A trace prints as its tree, with errors in place."""
    traced(fail, tracking_uri=store)
    trace = get_trace()
    assert [re.sub(r"^ *[<\d]\S* m?s  ", "", line).strip() for line in trace.tree().splitlines()] == [
        "fail  CHAIN  ERROR",
        "│   ValueError: no such city: Atlantis",
        "└── weather  TOOL  ERROR",
        "ValueError: no such city: Atlantis",
    ]
    assert repr(trace) == f"{trace.trace_id} fail ERROR\n{trace.tree()}"


def test_a_span_that_is_not_the_only_one(store: str) -> None:
    """`find` gives the only span that is meant; else its message shows the tree."""
    traced(fail, tracking_uri=store)
    trace = get_trace()
    assert [repr(span) for span in trace.find_all(status="ERROR")] == ["fail [CHAIN]", "weather [TOOL]"]
    assert trace.find(name="weather").inputs == {"input": "Atlantis"}
    with pytest.raises(LookupError, match=r"^2 spans with status='ERROR' in:\n.*fail  CHAIN"):
        trace.find(status="ERROR")


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

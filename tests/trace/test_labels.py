"""LangChain's tags and metadata of the outermost run are labels of the trace."""

from __future__ import annotations

from typing import Any

from langchain_autotrace.trace.labels import trace_metadata, trace_tags
from langchain_autotrace.trace.spans import Span


def span(
    number: int, parent: int | None = None, *, tags: Any = None, metadata: Any = None, is_run: bool = True
) -> Span:
    """A span with LangChain's tags and metadata."""
    given = {"langchain.run_id": "r" if is_run else None, "langchain.tags": tags, "metadata": metadata}
    attributes = {key: value for key, value in given.items() if value is not None}
    above = None if parent is None else str(parent)
    return Span("t", str(number), above, "n", "CHAIN", 0, 1, "OK", "", None, None, attributes, [], [])


def test_tags_of_the_root() -> None:
    """Each tag is a trace tag; those below the root, and LangChain's and LangGraph's own, are not."""
    own = ["seq:step:1", "graph:step:12", "map:key:a b", "condition:1", "branch:default", "retry:attempt:2"]
    hidden = ["langsmith:hidden", "langsmith:nostream", "nostream"]
    mine = ["prod-7", " eu ", "seq:step", "graph:steps:1", "team:blue", 7]
    spans = [span(1, tags=[*own, *mine, *hidden]), span(2, 1, tags=["below"])]

    assert trace_tags(spans) == dict.fromkeys(["prod-7", "eu", "seq:step", "graph:steps:1", "team:blue", "7"], "true")


def test_tags_that_are_no_names() -> None:
    """Tags without a letter or digit, and names of MLflow's and of this package's tags, are left out."""
    assert (
        trace_tags([span(1, tags=["", "  ", "🙂", "//", "mlflow.traceName", "MLflow.x", "langchain_autotrace.x"])])
        == {}
    )


def test_a_retriever_of_a_vector_store() -> None:
    """Names of classes that LangChain makes tags of are not the user's tags."""
    metadata = {"ls_vector_store_provider": "Chroma", "ls_embedding_provider": "Fake", "k": 4}
    spans = [span(1, tags=["mine", "Chroma", "Fake"], metadata=metadata)]

    assert (trace_tags(spans), trace_metadata(spans)) == ({"mine": "true"}, {"k": "4"})


def test_metadata_of_the_root() -> None:
    """Metadata keeps its keys and texts, other values as JSON, without LangChain's and LangGraph's own."""
    own = ["ls_provider", "langgraph_step", "lc_versions", "lc_hub_repo", "__pregel_x", "checkpoint_ns", "revision_id"]
    mine = {"customer": "x", "n": 7, "on": True, "none": None, "plan": {"a": ["é"]}, "lc_number": "1", "thread_id": "t"}
    reserved = {"mlflow.trace.user": "eve", "langchain_autotrace.content_hash": "h", "": "x"}
    spans = [span(1, metadata={**dict.fromkeys(own, "x"), **mine, **reserved}), span(2, 1, metadata={"below": "x"})]

    assert trace_metadata(spans) == {
        "customer": "x",
        "n": "7",
        "on": "true",
        "none": "null",
        "plan": '{"a":["é"]}',
        "lc_number": "1",
        "thread_id": "t",
    }


def test_runs_below_a_span_of_mlflow() -> None:
    """Where a span of MLflow's is the root, the labels are those of the runs that are below no other run."""
    spans = [
        span(1, is_run=False),
        span(2, 1, tags=["a"], metadata={"k": "first"}),
        span(3, 2, is_run=False),
        span(4, 3, tags=["below"]),
        span(5, 1, tags=["b"], metadata={"k": "second"}),
    ]
    assert (trace_tags(spans), trace_metadata(spans)) == ({"a": "true", "b": "true"}, {"k": "first"})


def test_labels_of_a_redact_hook() -> None:
    """What a redact hook has made of tags and metadata, if they are no longer lists and dicts, gives none."""
    assert (trace_tags([span(1, tags="gone")]), trace_metadata([span(1, metadata="gone")])) == ({}, {})

"""Makes trace tags and trace metadata of what the program has given to its outermost run in LangChain's config."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import orjson

from langchain_autotrace.semconv import Attr

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from langchain_autotrace.trace.spans import Span

TRUE: Final = "true"
"""Value of a trace tag that is one of LangChain's tags, which have no values."""
_INTERNAL_TAG: Final = re.compile(
    r"(?:(?:seq|graph):step:\d+|map:key:.*|condition:\d+|branch:(?:\d+|default)|retry:attempt:\d+|langsmith:.*"
    r"|nostream)\Z",
    re.DOTALL,
)
"""Tags that LangChain and LangGraph give to runs, and those that steer them."""
_INTERNAL_KEY: Final = re.compile(
    r"(?:ls_.*|langgraph_.*|langsmith.*|__.*|lc_(?:versions|agent_name|source|data|hub_.*)"
    r"|checkpoint_(?:ns|id|map)|revision_id)\Z",
    re.DOTALL,
)
"""Keys of the metadata that LangChain and LangGraph give to runs."""
_RESERVED: Final = ("mlflow.", "langchain_autotrace.")
"""Prefixes of MLflow's tags and metadata, and of this package's."""
_CLASSES: Final = ("ls_vector_store_provider", "ls_embedding_provider")
"""Metadata of a vector store's retriever: the names of classes, which LangChain also makes tags of."""


def is_run(span: Span) -> bool:
    """Return whether a span is a run of LangChain's, not a span of MLflow's own API."""
    return Attr.RUN_ID in span.attributes


def trace_tags(spans: Sequence[Span]) -> dict[str, str]:
    """Return LangChain's tags of the outermost runs as trace tags with the value "true", without internal ones."""
    found: dict[str, str] = {}
    for span in _outermost_runs(spans):
        tags, metadata = span.attributes.get(Attr.TAGS), span.attributes.get(Attr.METADATA)
        classes = [metadata.get(key) for key in _CLASSES] if isinstance(metadata, dict) else []
        for tag in tags if isinstance(tags, list) else []:
            name = _text(tag).strip()
            if tag not in classes and _is_allowed(name) and not _INTERNAL_TAG.match(name):
                found[name] = TRUE
    return found


def trace_metadata(spans: Sequence[Span]) -> dict[str, str]:
    """Return LangChain's metadata of the outermost runs, with values as text, without internal keys."""
    found: dict[str, str] = {}
    for span in _outermost_runs(spans):
        metadata = span.attributes.get(Attr.METADATA)
        for key, value in metadata.items() if isinstance(metadata, dict) else ():
            name = key.strip()
            if _is_allowed(name) and not _INTERNAL_KEY.match(name):
                found.setdefault(name, _text(value))
    return found


def _outermost_runs(spans: Sequence[Span]) -> Iterable[Span]:
    """Return the runs that are below no other: the root, or the runs below a root that is a span of MLflow's own."""
    within: set[str | None] = set()
    for span in spans:  # parents come before their children
        if span.parent_id in within:
            within.add(span.span_id)
        elif is_run(span):
            within.add(span.span_id)
            yield span


def _is_allowed(name: str) -> bool:
    return any(map(str.isalnum, name)) and not name.casefold().startswith(_RESERVED)


def _text(value: Any) -> str:  # noqa: ANN401 - JSON
    return value if isinstance(value, str) else orjson.dumps(value).decode()

"""The revisions of MLflow's database whose rows are known, each with its tables and columns."""

from __future__ import annotations

import functools
import importlib.metadata
from typing import Final, NamedTuple

INFO: Final = "trace_info"
TAGS: Final = "trace_tags"
METADATA: Final = "trace_request_metadata"
SPANS: Final = "spans"
TRACE_METRICS: Final = "trace_metrics"
SPAN_METRICS: Final = "span_metrics"
COMPUTED: Final = frozenset({"duration_ns"})
"""Columns that the database computes."""
_PACKAGES: Final = ("mlflow-skinny", "mlflow")


class Revision(NamedTuple):
    """A revision of the database, as one minor version of MLflow writes it."""

    mlflow: str
    """Minor version, ``3.17``. Another version may write other rows into the same database."""
    alembic: str
    """What the database has in ``alembic_version``."""
    tables: dict[str, tuple[str, ...]]
    """Table -> its columns but those that the database computes. Tables are in the order of their foreign keys."""

    @property
    def has_metrics(self) -> bool:
        """Whether tokens and costs are in tables of their own, not columns of traces and spans."""
        return TRACE_METRICS in self.tables


_INFO: Final = (
    "request_id", "experiment_id", "timestamp_ms", "execution_time_ms", "status", "client_request_id",
    "request_preview", "response_preview", "db_payload_generation",
)  # fmt: skip
_TOKENS: Final = (
    "input_tokens", "output_tokens", "total_tokens", "cache_read_input_tokens", "cache_creation_input_tokens",
    "cache_creation_input_tokens_above_1hr",
)  # fmt: skip
_COSTS: Final = ("input_cost", "output_cost", "total_cost")
_KEY_VALUE: Final = ("request_id", "key", "value")
_SPANS: Final = (
    "trace_id", "experiment_id", "span_id", "parent_span_id", "name", "type", "status", "start_time_unix_nano",
    "end_time_unix_nano", "content",
)  # fmt: skip
_WITH_METRICS: Final = {
    INFO: _INFO,
    TAGS: _KEY_VALUE,
    METADATA: _KEY_VALUE,
    TRACE_METRICS: _KEY_VALUE,
    SPANS: (*_SPANS, "dimension_attributes"),
    SPAN_METRICS: ("trace_id", "span_id", "key", "value"),
}
_WITH_COLUMNS: Final = {
    INFO: (*_INFO, "trace_name", "session_id", *_TOKENS, *_COSTS),
    TAGS: _KEY_VALUE,
    METADATA: _KEY_VALUE,
    SPANS: (*_SPANS, *_COSTS, "model_name", "model_provider"),
}
REVISIONS: Final = (
    Revision("3.15", "6f8d9c3b2a1e", _WITH_METRICS),
    Revision("3.16", "b7e2c1a4d9f3", _WITH_METRICS),
    Revision("3.17", "dc11669786a5", _WITH_COLUMNS),
)


def known_revision(alembic: str) -> Revision | None:
    """Return the revision of that name, if the installed MLflow is the version that writes it."""
    version = installed_version()
    return next((one for one in REVISIONS if (one.alembic, one.mlflow) == (alembic, version)), None)


def installed_version() -> str | None:
    """Return the minor version of the installed MLflow, such as ``3.17``, without importing it."""
    version = full_version()
    return None if version is None else ".".join(version.split(".")[:2])


@functools.cache
def full_version() -> str | None:
    """Return the version of the installed MLflow, such as ``3.17.2``, without importing it."""
    for name in _PACKAGES:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None

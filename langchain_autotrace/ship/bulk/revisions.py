"""The revisions of MLflow's database whose rows are known, each with its tables and columns."""

from __future__ import annotations

import functools
import importlib.metadata
from typing import Final, NamedTuple

INFO: Final = "trace_info"
TAGS: Final = "trace_tags"
METADATA: Final = "trace_request_metadata"
SPANS: Final = "spans"
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


_KEY_VALUE: Final = ("request_id", "key", "value")
_SPAN_PLACE: Final = ("trace_id", "experiment_id", "span_id", "parent_span_id", "name", "type", "status")
_SPAN_TIMES: Final = ("start_time_unix_nano", "end_time_unix_nano", "content")

REVISIONS: Final = (
    Revision(
        mlflow="3.17",
        alembic="dc11669786a5",
        tables={
            INFO: (
                "request_id",
                "experiment_id",
                "timestamp_ms",
                "execution_time_ms",
                "status",
                "client_request_id",
                "request_preview",
                "response_preview",
                "db_payload_generation",
                "trace_name",
                "session_id",
                "input_tokens",
                "output_tokens",
                "total_tokens",
                "cache_read_input_tokens",
                "cache_creation_input_tokens",
                "cache_creation_input_tokens_above_1hr",
                "input_cost",
                "output_cost",
                "total_cost",
            ),
            TAGS: _KEY_VALUE,
            METADATA: _KEY_VALUE,
            SPANS: (
                *_SPAN_PLACE,
                *_SPAN_TIMES,
                "input_cost",
                "output_cost",
                "total_cost",
                "model_name",
                "model_provider",
            ),
        },
    ),
)


def known_revision(alembic: str) -> Revision | None:
    """Return the revision of that name, if the installed MLflow is the version that writes it."""
    version = installed_version()
    return next((one for one in REVISIONS if (one.alembic, one.mlflow) == (alembic, version)), None)


@functools.cache
def installed_version() -> str | None:
    """Return the minor version of the installed MLflow, such as ``3.17``, without importing it."""
    for name in _PACKAGES:
        try:
            return ".".join(importlib.metadata.version(name).split(".")[:2])
        except importlib.metadata.PackageNotFoundError:
            continue
    return None

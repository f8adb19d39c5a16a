"""Open the sink of a destination folder, with the password of its tracking URI, which the folder does not store."""

from __future__ import annotations

import functools
import importlib
import os
from typing import TYPE_CHECKING, Final

from langchain_autotrace import destination, settings
from langchain_autotrace.errors import CredentialsNeeded, DestinationError
from langchain_autotrace.redaction import without_password

if TYPE_CHECKING:
    from langchain_autotrace.journal.folder import DestinationFolder
    from langchain_autotrace.ship.mlflow_sink import MlflowSink
    from langchain_autotrace.ship.sink import Sink

URI_VARIABLE: Final = "LANGCHAIN_AUTOTRACE_SHIP_TO"
"""Environment variable by which ``autolog()`` gives the complete tracking URI to the shipper process it starts."""
CATALOG_VARIABLE: Final = "MLFLOW_MODEL_CATALOG_URI"
"""MLflow's environment variable for the address of a price table; empty asks for none over the network."""


def tracking_uri(folder: DestinationFolder) -> str:
    """Return the folder's tracking URI, password included.

    Raises:
        CredentialsNeeded: the URI has a password, and no environment variable contains the same URI with it.
        JournalError: the folder is not a destination folder.
    """
    public = folder.public_uri()
    named = (os.environ.get(URI_VARIABLE), settings.env("tracking_uri"), os.environ.get("MLFLOW_TRACKING_URI"))
    for uri in filter(None, named):
        if without_password(destination.normalized(uri)) == public:
            return destination.normalized(uri)
    if "***" in public:
        msg = f"{public} needs its password: set MLFLOW_TRACKING_URI to the full URI."
        raise CredentialsNeeded(msg)
    return public


def open_sink(folder: DestinationFolder, uri: str | None = None) -> Sink:
    """Return the sink of the folder's destination. The first batch connects.

    Imports MLflow, but for a tracking server and a database that can be written to in bulk: there, what has to go
    through its API imports it.

    Args:
        folder: the destination folder.
        uri: the complete tracking URI; by default that of :func:`tracking_uri`.

    Raises:
        CredentialsNeeded: see :func:`tracking_uri`.
        DestinationError: MLflow, or a package it needs for this destination, is not installed.
    """
    uri = uri or tracking_uri(folder)
    # MLflow reports usage of its API, but it is not the program that makes these calls.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # MLflow downloads prices when it writes to a database itself, and retries for six seconds without a network.
    os.environ.setdefault(CATALOG_VARIABLE, "")
    if destination.kind(uri) == "server":
        return _rest_sink(uri)
    from langchain_autotrace.ship.bulk.bulk_sink import BulkSink  # noqa: PLC0415 - it imports this module
    from langchain_autotrace.ship.bulk.databases import database  # noqa: PLC0415

    found = database(uri)
    return _mlflow_sink(uri) if found is None else BulkSink(uri, found, functools.partial(_mlflow_sink, uri))


def _rest_sink(uri: str) -> Sink:
    from langchain_autotrace.ship.rest.request_settings import needs_mlflow  # noqa: PLC0415 - only for servers
    from langchain_autotrace.ship.rest.rest_sink import RestSink  # noqa: PLC0415

    return _mlflow_sink(uri) if needs_mlflow() else RestSink(uri, functools.partial(_mlflow_sink, uri))


def _mlflow_sink(uri: str) -> MlflowSink:
    """Import MLflow and return the sink that uses its API."""
    try:
        # Import the package before its submodules: if the program is importing it in another thread, Python takes the
        # import locks in another order and hands out partly initialized modules.
        importlib.import_module("mlflow")
        from langchain_autotrace.ship.mlflow_sink import MlflowSink  # noqa: PLC0415 - a second of imports
    except ImportError as error:
        msg = f"MLflow cannot be imported ({error}). Run: pip install mlflow-skinny sqlalchemy alembic."
        raise DestinationError(msg) from error
    return MlflowSink(uri)

"""Opens a folder's sink: finds the tracking URI again, password included, which the folder does not hold."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Final

from langchain_autotrace import destination, settings
from langchain_autotrace.errors import CredentialsNeeded, DestinationError
from langchain_autotrace.ship import prices

if TYPE_CHECKING:
    from langchain_autotrace.journal.folder import DestinationFolder
    from langchain_autotrace.ship.sink import Sink

URI_VARIABLE: Final = "LANGCHAIN_AUTOTRACE_SHIP_TO"
"""Set by ``autolog()`` for the process it starts: the tracking URI as the program gave it."""


def tracking_uri(folder: DestinationFolder) -> str:
    """The folder's tracking URI, complete.

    Raises:
        CredentialsNeeded: it has a password, and no variable of the environment holds the same URI with it.
        JournalError: the folder is no destination folder.
    """
    public = folder.public_uri()
    named = (os.environ.get(URI_VARIABLE), settings.env("tracking_uri"), os.environ.get("MLFLOW_TRACKING_URI"))
    for uri in filter(None, named):
        if destination.without_password(destination.normalized(uri)) == public:
            return destination.normalized(uri)
    if "***" in public:
        msg = f"{public} needs its password: set MLFLOW_TRACKING_URI to the whole URI."
        raise CredentialsNeeded(msg)
    return public


def open_sink(folder: DestinationFolder, uri: str | None = None) -> Sink:
    """The sink of the folder's destination. Imports MLflow; connects with the first batch.

    Args:
        folder: whose journals are to be delivered.
        uri: the destination's tracking URI, where the caller knows it whole; found again otherwise.

    Raises:
        CredentialsNeeded: see :func:`tracking_uri`.
        DestinationError: MLflow, or what it needs for this destination, is not installed.
    """
    uri = uri or tracking_uri(folder)
    # MLflow counts calls of its API and reports them; the program did not make these calls.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    probe = prices.Probe() if destination.kind(uri) in {"sqlite", "database"} else None
    try:
        # The package before its parts: where the program imports it in another thread at this moment, Python takes the
        # parts' locks in another order and hands out modules that are half made.
        importlib.import_module("mlflow")
        from langchain_autotrace.ship.mlflow_sink import MlflowSink  # noqa: PLC0415 - a second of imports
    except ImportError as error:
        msg = f"MLflow cannot be imported ({error}). Run: pip install mlflow-skinny sqlalchemy alembic."
        raise DestinationError(msg) from error
    if probe is not None:
        probe.settle()
    return MlflowSink(uri)

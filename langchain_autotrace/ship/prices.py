"""Keep MLflow from waiting for the network for model prices when it writes to a database itself.

The full mlflow package contains a price catalog; mlflow-skinny does not, and MLflow then downloads the current one from
GitHub. Without a network it retries for six seconds or more, while it writes the first trace.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import threading
from pathlib import Path
from typing import Final

CATALOG_VARIABLE: Final = "MLFLOW_MODEL_CATALOG_URI"
"""MLflow's environment variable for the address of the price catalog; empty loads none."""

_HOST: Final = ("github.com", 443)
_PATIENCE_SECONDS: Final = 1.0


class Probe:
    """A background check whether prices can be loaded. A variable that the user has set stays as it is."""

    def __init__(self) -> None:
        """Start the check."""
        self._reached = False
        self._thread: threading.Thread | None = None
        if CATALOG_VARIABLE not in os.environ and not _is_installed():
            self._thread = threading.Thread(target=self._reach, name="langchain-autotrace-prices", daemon=True)
            self._thread.start()

    def settle(self) -> None:
        """Wait for the check, at most a second; unless the host has answered, turn the download off."""
        if self._thread is not None:
            self._thread.join(_PATIENCE_SECONDS)
        if not self._reached:
            os.environ.setdefault(CATALOG_VARIABLE, "")

    def _reach(self) -> None:
        try:
            socket.create_connection(_HOST, timeout=_PATIENCE_SECONDS).close()
        except OSError:
            return
        self._reached = True


def _is_installed() -> bool:
    """Return whether the installed mlflow package contains the catalog."""
    mlflow = importlib.util.find_spec("mlflow")
    return (
        mlflow is not None
        and Path(str(mlflow.origin)).with_name("utils").joinpath("model_catalog/openai.json").exists()
    )

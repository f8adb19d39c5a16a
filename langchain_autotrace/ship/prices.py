"""Where MLflow finds the prices of models when it writes to a database itself.

The full mlflow package holds a catalog of prices; mlflow-skinny does not, and MLflow loads today's from GitHub. Without
a network it tries that for six seconds and more, in the midst of writing the first trace, while somebody waits.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import threading
from pathlib import Path
from typing import Final

CATALOG_VARIABLE: Final = "MLFLOW_MODEL_CATALOG_URI"
"""MLflow's own: where to load prices from; empty for nowhere."""

_HOST: Final = ("github.com", 443)
_PATIENCE_SECONDS: Final = 1.0


class Probe:
    """Finds out, beside other work, whether prices can be loaded. A variable that the user has set is left alone."""

    def __init__(self) -> None:
        """Begin."""
        self._reached = False
        self._thread: threading.Thread | None = None
        if CATALOG_VARIABLE not in os.environ and not _is_installed():
            self._thread = threading.Thread(target=self._reach, name="langchain-autotrace-prices", daemon=True)
            self._thread.start()

    def settle(self) -> None:
        """Have MLflow load prices only where that takes no time: it goes without, or with the catalog it has."""
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
    """Whether MLflow brings its catalog."""
    mlflow = importlib.util.find_spec("mlflow")
    return (
        mlflow is not None
        and Path(str(mlflow.origin)).with_name("utils").joinpath("model_catalog/openai.json").exists()
    )

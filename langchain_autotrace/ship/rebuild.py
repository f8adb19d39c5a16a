"""Asks a process of its own whether chains can be built again (``langchain_autotrace.models.rebuild``)."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import orjson

from langchain_autotrace.ship.python import interpreter, search_path
from langchain_autotrace.span import ModelSeen

_SECONDS: Final = 60.0
_MAX_SAID: Final = 300


class Rebuilt(NamedTuple):
    """What came of building a chain again."""

    reason: str | None
    """Why it cannot be loaded; None when it can."""
    allow: list[str]
    """Packages, by their first name, that loading has to allow."""
    requirements: list[str]
    """What it needs, with versions; without mlflow."""
    python: str
    """Version of the Python that built it."""
    langchain_core: str


class Rebuilding:
    """Chains that are being built, while the caller does something else."""

    def __init__(self, models: Sequence[ModelSeen]) -> None:
        """Start the process."""
        self._models = list(models)
        self._thread = threading.Thread(target=self._run, name="langchain-autotrace-rebuild", daemon=True)
        self._answers: list[bytes] = []
        self._failure = "it said nothing"
        self._thread.start()

    def result(self, model: ModelSeen) -> Rebuilt:
        """What came of it; waits for it."""
        self._thread.join()
        index = self._models.index(model)
        if index < len(self._answers):
            return Rebuilt(**orjson.loads(self._answers[index]))
        if len(self._models) > 1:  # one of the others may have ended the process
            return Rebuilding([model]).result(model)
        return Rebuilt(f"the process that builds it failed: {self._failure}", [], [], "", "")

    def _run(self) -> None:
        try:
            self._ask()
        except (OSError, subprocess.SubprocessError) as error:
            self._failure = f"{type(error).__name__}: {str(error)[:_MAX_SAID]}"

    def _ask(self) -> None:
        asked = orjson.dumps([_asked(model) for model in self._models])
        done = subprocess.run(  # noqa: S603 - our own module, in our own interpreter
            [interpreter(), "-m", "langchain_autotrace.models.rebuild"],
            input=asked,
            capture_output=True,
            timeout=_SECONDS + len(self._models),
            check=False,
            env={**os.environ, "PYTHONPATH": search_path(), "LANGCHAIN_AUTOTRACE_DISABLE": "true"},
        )
        self._answers = done.stdout.splitlines()
        said = done.stderr.decode(errors="replace").strip().splitlines()
        self._failure = f"exit status {done.returncode}; {said[-1][:_MAX_SAID] if said else 'it said nothing'}"


def _asked(model: ModelSeen) -> dict[str, Any]:
    return {**orjson.loads(model.form), "hash": model.content_hash}

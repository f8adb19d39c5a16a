"""Check in a separate process whether chains can be rebuilt (``langchain_autotrace.models.rebuild``)."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from langchain_autotrace.records import ModelSeen
from langchain_autotrace.redaction import is_secret_name, scrub_text, without_credentials
from langchain_autotrace.ship.python import interpreter, is_shutdown, search_path

_SECONDS: Final = 60.0
_DUMMY: Final = "not-a-key"
_MAX_ERROR: Final = 300


class Rebuilt(NamedTuple):
    """The result of rebuilding a chain."""

    reason: str | None
    """Why the chain cannot be loaded; None when it can."""
    code: str | None
    """Name of the file of ``model_code`` that builds it; None when it is built from JSON, or cannot be loaded."""
    allow: list[str]
    """Top-level packages that loading has to allow."""
    requirements: list[str]
    """Requirements with versions, without mlflow."""
    python: str
    """Version of the Python that rebuilt it."""
    langchain_core: str
    """Version of langchain-core that rebuilt it."""


class Rebuilding:
    """A background process that rebuilds chains."""

    def __init__(self, models: Sequence[ModelSeen]) -> None:
        """Start the process."""
        self._models = list(models)
        self._answers: list[bytes] = []
        self._failure = "no output"
        self._thread: threading.Thread | None = threading.Thread(
            target=self._run, name="langchain-autotrace-rebuild", daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError as error:
            if not is_shutdown(error):
                raise
            self._thread = None
            self._run()

    def result(self, model: ModelSeen) -> Rebuilt:
        """Wait for the process, and return the result for one of the models."""
        if self._thread is not None:
            self._thread.join()
        index = self._models.index(model)
        if index < len(self._answers):
            try:
                return Rebuilt(**orjson.loads(self._answers[index]))
            except (ValueError, TypeError):
                self._failure = f"unreadable output: {self._answers[index][:_MAX_ERROR]!r}"
        if len(self._models) > 1:  # another chain may have ended the process: retry alone
            return Rebuilding([model]).result(model)
        return Rebuilt(f"the process that rebuilds it failed: {self._failure}", None, [], [], "", "")

    def _run(self) -> None:
        try:
            self._ask()
        except Exception as error:  # noqa: BLE001 - any failure is the result of all its models
            self._failure = f"{type(error).__name__}: {str(error)[:_MAX_ERROR]}"

    def _ask(self) -> None:
        request = orjson.dumps([_asked(model) for model in self._models])
        done = subprocess.run(  # noqa: S603 - our own module, in our own interpreter
            [interpreter(), "-m", "langchain_autotrace.models.rebuild"],
            input=request,
            capture_output=True,
            timeout=_SECONDS + len(self._models),
            check=False,
            env={**_without_keys(os.environ), "PYTHONPATH": search_path(), "LANGCHAIN_AUTOTRACE_DISABLE": "true"},
        )
        self._answers = done.stdout.splitlines()
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        self._failure = f"exit status {done.returncode}; {lines[-1][:_MAX_ERROR] if lines else 'no output'}"


def _without_keys(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which no variable has a key: the process runs the program's modules."""
    return {
        name: _DUMMY if value and is_secret_name(name) else scrub_text(without_credentials(value))
        for name, value in environment.items()
    }


def _asked(model: ModelSeen) -> dict[str, Any]:
    return {**model.form, "hash": model.content_hash}

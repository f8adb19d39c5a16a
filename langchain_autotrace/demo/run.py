"""Runs the demo's programs with tracing on."""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Final, NamedTuple

from langchain_autotrace import autolog, disable, flush, last_trace_id, settings
from langchain_autotrace.demo.replay import environment, replayed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["AGENT", "EXPERIMENT", "NAMES", "Demo", "has_key", "run"]

EXPERIMENT: Final = "langchain-autotrace-demo"
AGENT: Final = "weather_agent"
"""The program whose trace says most."""

NAMES: Final = ("joke_chain", "rag_chain", "weather_agent")
"""The programs, in the order they run."""

_FLUSH_SECONDS: Final = 60.0
# Without a network MLflow would try for ten seconds to load the prices of today; the demo's answers cost nothing.
_OFFLINE: Final = {"MLFLOW_MODEL_CATALOG_URI": ""}


class Demo(NamedTuple):
    """What the programs did."""

    failed: int
    """How many raised."""
    agent_trace: str | None
    """MLflow's id of the agent's trace; None when it was not traced."""
    error: str | None
    """Why traces could not be stored; None when all are."""


def has_key() -> bool:
    """Whether the programs ask the real API."""
    return bool(os.environ.get("OPENAI_API_KEY"))


def run(tracking_uri: str, say: Callable[[str, str], None], storing: Callable[[], None] = lambda: None) -> Demo:
    """Run every program once, traced to ``tracking_uri``, and wait until the traces are stored.

    Args:
        tracking_uri: MLflow's tracking URI.
        say: is given each program's name, and its answer or its error.
        storing: called when all programs have run, before the wait.

    Raises:
        DemoNotInstalled: a package of the ``demo`` extra is missing.
        AutotraceError: the traces cannot go there.
    """
    from langchain_autotrace.demo.programs import PROGRAMS  # noqa: PLC0415 - raises where the extra is missing

    with _api():
        autolog(
            tracking_uri=tracking_uri,
            experiment=EXPERIMENT,
            # Whatever the environment says: here somebody has asked for traces.
            disable=False,
            log_traces=True,
            sample_rate=1.0,
            shipper="process" if settings.env("shipper") == "external" else None,
        )
        try:
            failed, agent_trace = _run(PROGRAMS, say)
            storing()
            return Demo(failed, agent_trace, flush(_FLUSH_SECONDS).error)
        finally:
            disable()


def _run(programs: Mapping[str, Callable[[], str]], say: Callable[[str, str], None]) -> tuple[int, str | None]:
    failed, agent_trace = 0, None
    for name, program in programs.items():
        try:
            with nullcontext() if has_key() else replayed(name):
                say(name, program())
        except Exception as error:  # noqa: BLE001 - a failed program is traced too, and the others go on
            failed += 1
            say(name, f"{type(error).__name__}: {error}")
        if name == AGENT:
            agent_trace = last_trace_id()
    return failed, agent_trace


@contextmanager
def _api() -> Iterator[None]:
    missing = {name: value for name, value in _OFFLINE.items() if name not in os.environ}
    with environment({} if has_key() else missing):
        yield

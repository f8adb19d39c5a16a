"""Runs the demo's programs with tracing on."""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from langchain_autotrace import autolog, disable, flush, last_trace_id, settings
from langchain_autotrace.demo import demo_extra
from langchain_autotrace.demo.asked import asks_the_same
from langchain_autotrace.environment import environment
from langchain_autotrace.view.backlog import folder_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["AGENT", "CASSETTES", "EXPERIMENT", "NAMES", "PLACEHOLDER_KEY", "Demo", "has_key", "replayed", "run"]

EXPERIMENT: Final = "langchain-autotrace-demo"
AGENT: Final = "weather_agent"
"""The program whose trace is shown as a tree: it is the most informative one."""

NAMES: Final = ("joke_chain", "rag_chain", "weather_agent")
"""Names of the programs, in the order in which they run."""

CASSETTES: Final = Path(__file__).parent / "cassettes"
"""The folder of the demo's recordings."""

PLACEHOLDER_KEY: Final = "placeholder-no-key-is-needed"
"""Value of `OPENAI_API_KEY` during a replay: the client requires a key, the recording does not check it."""

_FLUSH_SECONDS: Final = 30.0
"""How often to look whether the shipper still works."""
# A base URL from the user's environment would send the requests to a host that is not in the recording.
_REPLAYING: Final = {"OPENAI_API_KEY": PLACEHOLDER_KEY, "OPENAI_BASE_URL": None, "OPENAI_API_BASE": None}


class Demo(NamedTuple):
    """Result of running the programs."""

    failed: int
    """How many raised an exception."""
    agent_trace: str | None
    """MLflow's id of the agent's trace; None if it was not traced."""
    error: str | None
    """Why traces could not be stored; None if all are."""


def has_key() -> bool:
    """Return whether `OPENAI_API_KEY` is set: the programs then call the real API."""
    return bool(os.environ.get("OPENAI_API_KEY"))


@contextmanager
def replayed(name: str, folder: Path = CASSETTES) -> Iterator[None]:
    """Answer requests from a cassette within the block, with a placeholder for OpenAI's key and without a base URL.

    A request is answered if it asks what a recorded one asked that has not been played yet: the same model, last
    messages and tools, however the client's version writes them.

    Args:
        name: the cassette's file name without `.yaml`.
        folder: the cassette's folder; the demo's own recordings by default.

    Raises:
        DemoNotInstalled: vcrpy is missing.
        FileNotFoundError: the folder has no such cassette; the message names those that it has.
        NoRecording: a request has no recorded answer.
    """
    with demo_extra():
        from langchain_autotrace.testing.use import use_cassette  # noqa: PLC0415 - not installed without the extra
    with (
        environment(_REPLAYING),
        use_cassette(name, folder=folder, same_body=asks_the_same, allow_playback_repeats=False),
    ):
        yield


def run(tracking_uri: str, say: Callable[[str, str], None], storing: Callable[[], None] = lambda: None) -> Demo:
    """Run every program once, traced to ``tracking_uri``, and wait until the traces are stored.

    Args:
        tracking_uri: MLflow's tracking URI.
        say: called with each program's name, and its answer or its error.
        storing: called when all programs have run, before waiting for the traces to be stored.

    Raises:
        DemoNotInstalled: a package of the ``demo`` extra is missing.
        AutotraceError: traces cannot be stored at ``tracking_uri``, or a setting is invalid.
    """
    from langchain_autotrace.demo.programs import PROGRAMS  # noqa: PLC0415 - raises where the extra is missing

    autolog(
        tracking_uri=tracking_uri,
        experiment=EXPERIMENT,
        # These override the environment: whoever runs the demo wants traces.
        disable=False,
        log_traces=True,
        sample_rate=1.0,
        shipper="process" if settings.env("shipper") == "external" else None,
    )
    try:
        failed, agent_trace = _run(PROGRAMS, say)
        storing()
        return Demo(failed, agent_trace, _stored(tracking_uri))
    finally:
        disable()


def _stored(tracking_uri: str) -> str | None:
    """Wait until the traces are stored, as long as the shipper works; return why they are not, or None."""
    folder = folder_of(tracking_uri)
    while True:
        error = flush(_FLUSH_SECONDS).error
        if error is None or not folder.has_shipper() or folder.read_status().get("error"):
            return error


def _run(programs: Mapping[str, Callable[[], str]], say: Callable[[str, str], None]) -> tuple[int, str | None]:
    failed, agent_trace = 0, None
    for name, program in programs.items():
        try:
            with nullcontext() if has_key() else replayed(name):
                say(name, program())
        except Exception as error:  # noqa: BLE001 - a failed program is traced too, and the others still run
            failed += 1
            say(name, f"{type(error).__name__}: {error}")
        if name == AGENT:
            agent_trace = last_trace_id()
    return failed, agent_trace

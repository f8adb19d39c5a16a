"""Answers a program's calls to the OpenAI API from a recording, with vcrpy."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langchain_autotrace.demo import demo_extra
from langchain_autotrace.demo.asked import asked

__all__ = ["CASSETTES", "PLACEHOLDER_KEY", "environment", "replayed"]

CASSETTES = Path(__file__).parent / "cassettes"
"""The folder of the demo's own recordings."""

PLACEHOLDER_KEY = "placeholder-no-key-is-needed"
"""Value of `OPENAI_API_KEY` during a replay: the client requires a key, the recording does not check it."""

_HOST = "api.openai.com"
# A base URL from the user's environment would send the requests to a host that is not in the recording.
_REPLAYING = {"OPENAI_API_KEY": PLACEHOLDER_KEY, "OPENAI_BASE_URL": None, "OPENAI_API_BASE": None}


@contextmanager
def replayed(name: str, folder: Path | None = None) -> Iterator[None]:
    """Answer requests to the OpenAI API from the cassette `<name>.yaml` within the block.

    A request is answered if its method, its URI and what it asks match an interaction that has not been played
    yet. What it asks is its model, its last messages and its tools, however the client's version writes them. Any
    other request to the API fails; none is sent. Requests to other hosts, such as a tracking server, are not
    affected. Within the block `OPENAI_API_KEY` is a placeholder and no base URL is set; afterwards the
    environment is restored.

    Args:
        name: the cassette's file name without `.yaml`.
        folder: the cassette's folder; the demo's own recordings by default.

    Raises:
        DemoNotInstalled: vcrpy is missing.
        FileNotFoundError: the folder has no such cassette; the message names those that it has.

    """
    cassette = _cassette(name, CASSETTES if folder is None else folder)
    with demo_extra():
        import vcr  # noqa: PLC0415 - not installed without the extra
    recorder = vcr.VCR(record_mode="none", match_on=("method", "uri", "asked"), before_record_request=_openai_only)
    recorder.register_matcher("asked", asks_the_same)
    with environment(_REPLAYING), recorder.use_cassette(str(cassette)):
        yield


@contextmanager
def environment(values: Mapping[str, str | None]) -> Iterator[None]:
    """Set environment variables within the block, or unset those that are None, and restore them afterwards."""
    before = {name: os.environ.get(name) for name in values}
    _set(values)
    try:
        yield
    finally:
        _set(before)


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _cassette(name: str, folder: Path) -> Path:
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(cassette.stem for cassette in folder.glob("*.yaml"))) or "none"
        message = f"no cassette {name!r} in {folder}; existing cassettes: {known}"
        raise FileNotFoundError(message)
    return path


def asks_the_same(request: Any, recorded: Any) -> None:  # noqa: ANN401 - vcrpy is not typed
    new, old = asked(request.body), asked(recorded.body)
    if new != old:
        message = "\n".join(f"{name}: {new[i]!r}, recorded: {old[i]!r}" for i, name in enumerate(new._fields))
        raise AssertionError(message)


def _openai_only(request: Any) -> Any:  # noqa: ANN401 - vcrpy is not typed
    # vcrpy lets a request pass to the network if this returns None.
    return request if request.host == _HOST else None

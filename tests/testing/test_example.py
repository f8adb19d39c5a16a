"""The example of the README, run from a copy outside the repository."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.testing.conftest import Run

EXAMPLE = Path(__file__).parents[2] / "examples" / "tests"


def test_the_example(run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example's agent replays without a key and its trace is asserted; with another prompt the miss is shown."""
    shutil.copytree(EXAMPLE, pytester.path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.syspath_prepend(pytester.path)
    plugins = ("-p", "pytest_recording.plugin", "-p", "langchain_autotrace.testing.plugin", "-p", "no:cacheprovider")
    pytester.runpytest_inprocess(*plugins, "--unused-recordings=error").assert_outcomes(passed=1)
    program = pytester.path / "weather_agent.py"
    program.write_text(program.read_text().replace("in one sentence", "in two sentences"))
    result = pytester.runpytest_inprocess(*plugins)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "No recorded answer for POST https://api.openai.com/v1/chat/completions",
            "  cassette: cassettes/test_weather_agent/test_an_umbrella.yaml",
            "  nearest: recording 1 of 2",
            "  -  - content: You answer questions about the weather in one sentence.*",
            "  +  - content: You answer questions about the weather in two sentences.*",
            "  If this is meant, record anew:  pytest test_weather_agent.py::test_an_umbrella --record-mode=rewrite",
            "*- traces -*",
            "LangGraph [[]AGENT[]] ERROR: MissedRequest: *",
        ]
    )

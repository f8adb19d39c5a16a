"""What the README and the examples show runs as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from langchain_autotrace.settings import Settings
from tests.support import stored, unmeasured

ROOT = Path(__file__).parent.parent
SNIPPETS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
EXAMPLES = sorted(path for path in (ROOT / "examples").glob("*.py") if not re.match("mlflow_|services", path.name))
"""Those of MLflow's own API are run in tests/bridge/test_examples.py."""


def run(program: str, folder: Path) -> None:
    """Run a program in a folder of its own, with the default destination."""
    # A thread delivers, which spares each program the start of a process; tests/test_processes.py has those.
    named = {"LANGCHAIN_AUTOTRACE_EXIT_TIMEOUT": "60", "LANGCHAIN_AUTOTRACE_SHIPPER": "thread"}
    environment = {**unmeasured(), **named}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True, timeout=90
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_snippets_of_the_readme(snippet: str, tmp_path: Path) -> None:
    """Each Python snippet of the README runs in an empty folder."""
    run(snippet, tmp_path)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples(example: Path, store: str, tmp_path: Path) -> None:
    """Each example runs as it stands and leaves its traces in ./mlflow.db."""
    run(example.read_text(), tmp_path)
    assert stored(store)


def test_every_setting_is_in_the_readme() -> None:
    """The README's table names every setting."""
    table = (ROOT / "README.md").read_text().partition("### Settings")[2].partition("### ")[0]
    named = set(re.findall(r"`([a-z_]+)`", table))
    assert set(Settings.model_fields) - {"experiment_id"} <= named

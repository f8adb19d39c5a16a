"""What the README and the examples show runs as it stands."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import langchain_autotrace
from langchain_autotrace.settings import PREFIX, Settings
from tests.bridge.support import finished
from tests.patience import PATIENCE
from tests.support import stored
from tests.uncovered import unmeasured

ROOT = Path(__file__).parent.parent
SNIPPETS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
QUICKSTART = ROOT / "examples" / "quickstart.py"
EXAMPLES = sorted(path for path in QUICKSTART.parent.glob("*.py") if not re.match("mlflow_|services", path.name))
"""Those of MLflow's own API are run in tests/bridge/test_examples.py."""


@pytest.fixture(autouse=True)
def in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread delivers, which spares each program the start of a process; tests/test_processes.py has those."""
    monkeypatch.setenv("LANGCHAIN_AUTOTRACE_SHIPPER", "thread")
    monkeypatch.setenv("LANGCHAIN_AUTOTRACE_EXIT_TIMEOUT", "300")


def main(program: str) -> None:
    """Run a program as the one of this process."""
    sys.modules["__main__"] = module = ModuleType("__main__")
    exec(compile(program, "<program>", "exec"), vars(module))


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_snippets_of_the_readme(snippet: str, tmp_path: Path) -> None:
    """Each Python snippet of the README runs in an empty folder, with the default destination."""
    assert list(tmp_path.iterdir()) == []
    finished(main, snippet)


def test_the_first_example(store: str, tmp_path: Path) -> None:
    """What a user runs first runs as a user does it, and leaves its trace in ./mlflow.db."""
    program = QUICKSTART.read_text()
    done = subprocess.run(
        [sys.executable, "-c", program], env=unmeasured(), capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    assert stored(store)


@pytest.mark.parametrize("example", [path for path in EXAMPLES if path != QUICKSTART], ids=lambda path: path.stem)
def test_examples(example: Path, store: str, tmp_path: Path) -> None:
    """Each example runs as it stands and leaves its traces in ./mlflow.db."""
    finished(main, example.read_text())
    assert stored(store)


def test_every_setting_is_in_the_readme() -> None:
    """The README's table names every setting."""
    named = set(re.findall(r"`([a-z_]+)`", section("Settings")))
    assert set(Settings.model_fields) - {"experiment_id"} <= named


def section(heading: str) -> str:
    """The README's text below a heading."""
    return (ROOT / "README.md").read_text().partition(f"### {heading}\n")[2].partition("\n### ")[0]


def test_every_environment_variable_is_in_the_readme() -> None:
    """The README's table names every variable that the code reads, and no other."""
    settings = set(inspect.signature(langchain_autotrace.autolog).parameters) | set(Settings.model_fields)
    of_settings = {PREFIX + name.upper() for name in settings - {"redact"}}
    sources = [path.read_text() for path in Path(langchain_autotrace.__file__).parent.rglob("*.py")]
    written_out = {name for text in sources for name in re.findall(r"\bLANGCHAIN_AUTOTRACE_[A-Z_]*[A-Z]\b", text)}

    assert set(re.findall(r"`(LANGCHAIN_AUTOTRACE_[A-Z_]+)`", section("Environment variables"))) == (
        of_settings | written_out
    )


def test_environment_variables_whose_names_are_put_together() -> None:
    """Only settings, and the shipper's two periods, are read by a name that is not written out."""
    package = Path(langchain_autotrace.__file__).parent
    found = {
        str(path.relative_to(package)): names
        for path in package.rglob("*.py")
        if (names := re.findall(r"LANGCHAIN_AUTOTRACE_(?![A-Z])", path.read_text()))
    }
    assert set(found) == {"settings.py", "control.py", "ship/__main__.py"}
    periods = set(re.findall(r'_seconds\("(\w+)"', (package / "ship" / "__main__.py").read_text()))
    assert periods == {"LINGER", "PATIENCE"}

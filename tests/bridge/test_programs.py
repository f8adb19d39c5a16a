"""The trees of programs that mix LangChain with MLflow's own API, each run in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bridge.programs import PROGRAMS, tree
from tests.bridge.support import drawn, run


@pytest.mark.parametrize("name", PROGRAMS)
def test_tree(name: str, store: str, tmp_path: Path) -> None:
    """What is stored is the tree that the program's docstring draws, and nothing else."""
    found = [drawn(trace) for trace in run(PROGRAMS[name], store, tmp_path)]

    if name == "many_at_once":
        assert found == [tree(name)] * 40
    else:
        assert "\n".join(found) == tree(name)

"""``autolog(display=True)``, in a real Jupyter kernel."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

import langchain_autotrace
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

BEGIN: Final = """
import langchain_autotrace
from langchain_core.runnables import RunnableLambda
chain = RunnableLambda(lambda text: text.upper()).with_config(run_name="shout")
langchain_autotrace.autolog(display=True)
chain.invoke("before")
"""
NOWHERE: Final = """
langchain_autotrace.autolog(tracking_uri="http://127.0.0.1:9", shipper="external", display=True)
chain.invoke("nowhere")
"""
CELLS: Final = (
    BEGIN,
    "chain.invoke('once')",
    "await chain.ainvoke('later')",
    "for number in range(7): chain.invoke(str(number))",
    "1 + 1",
    NOWHERE,
    "langchain_autotrace.autolog(display=False)\nchain.invoke('unseen')",
)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[list[Any]]:
    """What is under each of the cells."""
    nbclient = pytest.importorskip("nbclient", reason="no Jupyter here: pip install nbclient ipykernel")
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    folder: Path = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANGCHAIN_AUTOTRACE_HOME", str(folder / "home"))
        patch.setenv("LANGCHAIN_AUTOTRACE_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        patch.setenv("JUPYTER_PLATFORM_DIRS", "1")
        client = nbclient.NotebookClient(notebook, timeout=PATIENCE, resources={"metadata": {"path": str(folder)}})
        client.execute()
    return [cell.outputs for cell in notebook.cells]


def displays(cell: list[Any]) -> list[str]:
    """The name and status of each trace that is shown."""
    shown = [output.data for output in cell if output.output_type == "display_data"]
    assert all(data["text/html"].startswith("<iframe sandbox=") for data in shown)
    return [data["text/plain"].splitlines()[0].partition(" ")[2] for data in shown]


def printed(cell: list[Any]) -> str:
    """What the cell has printed."""
    return "".join(output.text for output in cell if output.output_type == "stream" and output.name == "stdout")


def test_a_cell_with_a_run(outputs: list[list[Any]]) -> None:
    """Each trace that a cell makes is shown under it, whether it runs at once or is awaited."""
    assert [displays(cell) for cell in outputs[:3]] == [["shout OK"]] * 3


def test_a_cell_with_many_runs(outputs: list[list[Any]]) -> None:
    """Of many traces the first five are shown, and how to find the others."""
    assert displays(outputs[3]) == ["shout OK"] * 5
    assert printed(outputs[3]) == "langchain-autotrace: 2 more traces: langchain_autotrace.search_traces()\n"


def test_a_cell_without_a_run(outputs: list[list[Any]]) -> None:
    """Nothing is added to a cell that traces nothing, or after display=False."""
    assert [(displays(outputs[index]), printed(outputs[index])) for index in (4, 6)] == [([], "")] * 2


def test_a_store_that_is_down(outputs: list[list[Any]]) -> None:
    """Under the cell is why its trace cannot be shown."""
    assert displays(outputs[5]) == []
    assert printed(outputs[5]).startswith(
        "langchain-autotrace: the trace cannot be shown: http://127.0.0.1:9: cannot reach the server"
    )


def test_a_program(store: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside a notebook a warning says that the setting has no effect."""
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    langchain_autotrace.autolog(tracking_uri=store, shipper="external", display=True)
    assert caplog.messages == ["display=True has no effect here: it shows the traces of a notebook's cells"]

"""Traces to look at, and the command line in this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from click.testing import CliRunner
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.tools import tool

import langchain_autotrace
from langchain_autotrace.cli import main
from langchain_autotrace.control import shutdown
from langchain_autotrace.journal.folder import all_folders

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    from langchain_autotrace.journal.folder import DestinationFolder

ANSWER: Final = "It is 24 degrees in Lisbon."
MODEL: Final = "fake-model-1"


NOWHERE: Final = "http://127.0.0.1:9"
"""Nothing listens on the port of the discard service."""


def dead_process(tail: str) -> None:
    """Run a program in a process of its own that dies in the middle of a run."""
    code = (
        "import os, langchain_autotrace as la; from langchain_core.runnables import RunnableLambda\n"
        f"la.autolog(shipper='external'); {tail}"
    )
    subprocess.run([sys.executable, "-c", code], check=False, env=environment())


def environment() -> dict[str, str]:
    """The environment of a child process, in which this source tree is found."""
    root = Path(__file__).parents[2]
    return {**os.environ, "PYTHONPATH": str(root), "MLFLOW_MODEL_CATALOG_URI": ""}


def cli(*arguments: str) -> Result:
    """Run a command as the shell would, and keep what it prints."""
    return CliRunner().invoke(main, list(arguments), prog_name="langchain-autotrace")


def cli_json(*arguments: str) -> Any:
    """What a command says to programs, which is all of its standard output."""
    result = cli(*arguments, "--json")
    assert result.stderr == ""
    return json.loads(result.stdout)


def traced(*programs: Callable[[], object], **settings: Any) -> None:
    """Run programs traced; their process has ended when this returns, and nothing is delivered yet."""
    langchain_autotrace.autolog(**{"shipper": "external", **settings})
    try:
        for program in programs:
            program()
    finally:
        shutdown()


def the_folder() -> DestinationFolder:
    """The only destination's folder."""
    (folder,) = all_folders()
    return folder


def ask() -> str:
    """A chain with a model, whose usage is known."""
    answer = AIMessage(
        ANSWER,
        usage_metadata={
            "input_tokens": 1200,
            "output_tokens": 34,
            "total_tokens": 1234,
            "input_token_details": {"cache_read": 1000},
            "output_token_details": {"reasoning": 20},
        },
        response_metadata={"model_name": MODEL},
    )
    chain: Runnable[Any, str] = GenericFakeChatModel(messages=iter([answer])) | StrOutputParser()
    config: RunnableConfig = {"metadata": {"session_id": "talk-1", "user_id": "ada"}, "run_name": "ask"}
    return chain.invoke([("human", "How warm is it in Lisbon?")], config)


def fail() -> None:
    """A chain whose tool raises."""
    try:
        RunnableLambda(weather.invoke, name="fail").invoke("Atlantis")
    except ValueError:
        return


def abandon() -> None:
    """A stream that is closed before its end."""
    stream = GenericFakeChatModel(messages=iter([AIMessage("one two three")])).stream("Count.")
    next(stream)
    stream.close()  # type: ignore[attr-defined]


@tool
def weather(city: str) -> str:
    """Report the weather in a city."""
    message = f"no such city: {city}"
    raise ValueError(message)

"""Traces to look at, and the command line in this process."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import langchain_autotrace
from click.testing import CliRunner
from langchain_autotrace.autolog import shutdown
from langchain_autotrace.cli import main
from langchain_autotrace.journal.folder import all_folders
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import Runnable, RunnableGenerator, RunnableLambda
from langchain_core.tools import tool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from click.testing import Result
    from langchain_autotrace.journal.folder import DestinationFolder

ANSWER: Final = "It is 24 degrees in Lisbon."
MODEL: Final = "fake-model-1"


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
    config = {"metadata": {"session_id": "talk-1", "user_id": "ada"}, "run_name": "ask"}
    return chain.invoke([("human", "How warm is it in Lisbon?")], config)


def fail() -> None:
    """A chain whose tool raises."""
    try:
        RunnableLambda(lambda city: weather.invoke(city), name="fail").invoke("Atlantis")
    except ValueError:
        return


def abandon() -> None:
    """A stream that is closed before its end."""
    stream = _words.with_config(run_name="abandon").stream("a b c")
    next(stream)
    stream.close()


@tool
def weather(city: str) -> str:
    """Report the weather in a city."""
    message = f"no such city: {city}"
    raise ValueError(message)


def _each_word(texts: Iterator[str]) -> Iterator[str]:
    for text in texts:
        yield from text.split()


_words: Final = RunnableGenerator(_each_word)

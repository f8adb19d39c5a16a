"""The switches: ``autolog()`` and its settings, ``disable()``, handlers passed by hand."""

from __future__ import annotations

import logging
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda as TypedLambda
from langchain_core.tracers.context import _configure_hooks

import langchain_autotrace
from langchain_autotrace import AutotraceHandler, RedactContext
from langchain_autotrace.capture.guard import internal_errors
from langchain_autotrace.capture.handler import CallbackHandler
from langchain_autotrace.capture.recorder import Recorder
from langchain_autotrace.control import shutdown
from langchain_autotrace.errors import DestinationError, JournalClosed, SettingsError
from langchain_autotrace.journal.folder import all_folders
from langchain_autotrace.settings import HandlerSettings, Settings
from tests.patience import PATIENCE
from tests.support import deliver, stored

RunnableLambda: Any = TypedLambda
"""Its generic types say nothing of these programs."""

double: Any = RunnableLambda(lambda x: x * 2, name="double")


def names(uri: str) -> list[str]:
    """Names of the traces that stand in the store."""
    deliver()
    return [trace.info.tags["mlflow.traceName"] for trace in stored(uri)]


def test_called_again(store: str) -> None:
    """Calling autolog() again with the same settings changes nothing: one hook, one journal, one trace a run."""
    for _ in range(3):
        langchain_autotrace.autolog(tracking_uri=store, shipper="external")
    double.invoke(1)
    assert sum(hook[2] is CallbackHandler for hook in _configure_hooks) == 1
    (folder,) = all_folders()
    assert len(folder.processes()) == 1
    assert names(store) == ["double"]


def test_called_from_many_threads(store: str) -> None:
    """Threads that all call autolog() and run share one journal, and no trace is doubled."""

    def work() -> None:
        langchain_autotrace.autolog(tracking_uri=store, shipper="external")
        double.invoke(1)

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names(store) == ["double"] * 20


def test_other_settings(new_store: Callable[[Path], str], tmp_path: Path) -> None:
    """The last call wins: destination, tags and experiment are those of the run's start."""
    first, second = new_store(tmp_path), new_store(tmp_path)
    langchain_autotrace.autolog(tracking_uri=first, shipper="external")
    double.invoke(1)
    langchain_autotrace.autolog(tracking_uri=second, shipper="external", experiment="new", extra_tags={"a": "b"})
    double.invoke(2)
    langchain_autotrace.autolog(tracking_uri=first, shipper="external")
    double.invoke(3)
    assert names(first) == ["double", "double"]
    assert names(second) == ["double"]
    (trace,) = stored(second)
    assert trace.info.tags["a"] == "b"
    assert trace.info.experiment_id != "0"


@pytest.mark.parametrize("off", [{"disable": True}, {"log_traces": False}])
def test_switched_off_by_argument(off: dict[str, bool], store: str) -> None:
    """disable=True and log_traces=False switch tracing off, and a later call switches it on again."""
    langchain_autotrace.autolog(tracking_uri=store, shipper="external")
    langchain_autotrace.autolog(**off)  # type: ignore[arg-type]
    double.invoke(1)
    langchain_autotrace.autolog(tracking_uri=store, shipper="external")
    double.invoke(2)
    assert names(store) == ["double"]


def test_switched_off_by_environment(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """LANGCHAIN_AUTOTRACE_DISABLE switches tracing off without a change to the program."""
    monkeypatch.setenv("LANGCHAIN_AUTOTRACE_DISABLE", "true")
    langchain_autotrace.autolog(tracking_uri=store, shipper="external")
    double.invoke(1)
    assert names(store) == []


def test_a_run_open_at_disable(store: str) -> None:
    """A run that is open when tracing is disabled is traced to its end."""
    langchain_autotrace.autolog(tracking_uri=store, shipper="external")

    def turn_off(x: int) -> int:
        langchain_autotrace.disable()
        return x

    (RunnableLambda(turn_off, name="off") | double).invoke(1)
    double.invoke(2)
    deliver()
    (trace,) = stored(store)
    assert [span.name for span in trace.data.spans] == ["RunnableSequence", "off", "double"]


def test_a_handler_by_hand(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler without arguments traces without autolog(), with the environment's settings."""
    monkeypatch.setenv("LANGCHAIN_AUTOTRACE_TRACKING_URI", store)
    monkeypatch.setenv("LANGCHAIN_AUTOTRACE_SHIPPER", "external")
    double.invoke(1, {"callbacks": [AutotraceHandler()]})
    double.invoke(2)
    assert names(store) == ["double"]


def test_a_misspelt_setting_of_a_handler(store: str) -> None:
    """A setting that a handler does not have is refused, by name, with the nearest; type checkers refuse it too."""
    with pytest.raises(SettingsError, match="did you mean"):
        AutotraceHandler(tracking_uri=store, experimnt="e")  # type: ignore[call-arg] # what is tested
    assert set(HandlerSettings.__annotations__) == set(Settings.model_fields) - {"bridge", "display", "experiment_id"}


def test_a_handler_with_settings_of_its_own(new_store: Callable[[Path], str], tmp_path: Path) -> None:
    """A handler with settings sends its runs elsewhere, and autolog()'s does not trace them too."""
    usual, other = new_store(tmp_path), new_store(tmp_path)
    langchain_autotrace.autolog(tracking_uri=usual, shipper="external")
    handler = AutotraceHandler(tracking_uri=other, shipper="external")
    double.invoke(1, {"callbacks": [handler]})
    double.invoke(2)
    assert names(usual) == ["double"]
    assert names(other) == ["double"]


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"tracking_uri": "./mlruns"}, DestinationError, "sqlite:///mlflow.db"),
        ({"tracking_uri": "gopher://x"}, DestinationError, "Use one of"),
        ({"sample_rate": 2.0}, SettingsError, "sample_rate"),
        ({"shipper": "pigeon"}, SettingsError, "shipper"),
        ({"max_value_bytes": 1}, SettingsError, "max_value_bytes"),
        ({"redact": "no function"}, SettingsError, "redact"),
        ({"redact_patterns": ["(half"]}, SettingsError, r"redact_patterns.*'\(half' is not a valid regular expression"),
    ],
)
def test_bad_settings(given: dict[str, Any], error: type[Exception], says: str) -> None:
    """A setting that cannot be used is an error that names it and the fix, and tracing stays off."""
    with pytest.raises(error, match=says):
        langchain_autotrace.autolog(**given)
    assert langchain_autotrace.flush(0.1) == (True, 0, 0, 0, 0, None)


def test_a_journal_that_cannot_be_written(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal's place that is no folder is an error that names the variable which moves it."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LANGCHAIN_AUTOTRACE_HOME", str(tmp_path / "file"))
    with pytest.raises(JournalClosed, match="LANGCHAIN_AUTOTRACE_HOME"):
        langchain_autotrace.autolog(tracking_uri=store)


def test_the_redact_hook(store: str) -> None:
    """The user's hook sees inputs, outputs, metadata, events and error texts, and what it returns is kept."""

    def hook(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace("Ada", "[NAME]")
        if isinstance(value, list):
            return [hook(one) for one in value]
        return {key: hook(one) for key, one in value.items()} if isinstance(value, dict) else value

    langchain_autotrace.autolog(tracking_uri=store, shipper="external", redact=hook)
    RunnableLambda(lambda x: {"to": x}, name="greet").invoke("Ada", {"metadata": {"who": "Ada"}, "tags": ["Ada"]})
    with pytest.raises(ValueError, match="Ada"):
        RunnableLambda(int, name="fail").invoke("Ada")
    deliver()
    text = str([span.to_dict() for trace in stored(store) for span in trace.data.spans])
    assert "Ada" not in text
    assert text.count("[NAME]") >= 7


def test_a_redact_hook_that_is_told_where_a_value_stands(store: str) -> None:
    """A hook of two arguments is told span, type and field, and sees values in LangChain's form."""
    seen: dict[tuple[str, str, str], Any] = {}

    def hook(value: Any, where: RedactContext) -> Any:
        seen[where] = value
        return "hidden" if where.field in ("inputs", "outputs") else value

    langchain_autotrace.autolog(tracking_uri=store, shipper="external", redact=hook)
    usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    answer = AIMessage("yes", usage_metadata=usage, response_metadata={"model_name": "m-1"})
    model = GenericFakeChatModel(messages=iter([answer]), disable_streaming=True)
    model.invoke("hi?", {"metadata": {"who": "Ada"}, "tags": ["blue"]})

    name, kind = "GenericFakeChatModel", "CHAT_MODEL"
    assert {field for one, two, field in seen if (one, two) == (name, kind)} == {
        "inputs", "outputs", "metadata", "langchain.tags", "invocation_params"
    }  # fmt: skip
    assert seen[name, kind, "inputs"] == [[{"type": "human", "content": "hi?"}]]
    assert seen[name, kind, "outputs"]["generations"][0][0]["message"]["content"] == "yes"
    assert seen[name, kind, "metadata"]["who"] == "Ada"
    deliver()
    (span,) = stored(store)[0].data.spans
    assert (span.inputs, span.outputs) == ("hidden", "hidden")
    assert span.get_attribute("mlflow.chat.tokenUsage") == usage
    assert span.model_name == "m-1"


def test_patterns_of_secrets_of_the_user(store: str, tmp_path: Path) -> None:
    """What matches a pattern of the user's is taken out everywhere, before it reaches the disk."""
    patterns: list[str | re.Pattern[str]] = [r"ticket-\d+", re.compile("café", re.IGNORECASE)]
    langchain_autotrace.autolog(tracking_uri=store, shipper="external", redact_patterns=patterns)
    config: Any = {"metadata": {"ticket-4": "x"}, "tags": ["ticket-5"], "run_name": "for ticket-6"}
    with pytest.raises(ValueError, match="ticket-1"):
        RunnableLambda(int, name="fail").invoke('ticket-1 "CAFÉ"', config)
    written = b"".join(path.read_bytes() for path in (tmp_path / "home").rglob("*.jsonl")).decode()
    deliver()
    everything = written + str([span.to_dict() for trace in stored(store) for span in trace.data.spans])
    assert "ticket-" not in everything
    assert "CAFÉ" not in everything
    assert everything.count("[REDACTED]") > 10


def test_a_redact_hook_that_raises(store: str, caplog: pytest.LogCaptureFixture) -> None:
    """A hook that raises keeps nothing of any value, is said once, and leaves the program alone."""

    def broken(_: Any) -> Any:
        raise RuntimeError("broken hook")

    langchain_autotrace.autolog(tracking_uri=store, shipper="external", redact=broken)
    with caplog.at_level(logging.WARNING, "langchain_autotrace"):
        assert double.invoke(21, {"metadata": {"word": "SPOKEN"}}) == 42
        RunnableLambda(lambda _: "SPOKEN", name="say").invoke("SPOKEN")
    assert [record.message for record in caplog.records] == [
        "the redact hook raised RuntimeError: broken hook: the value was dropped."
    ]
    deliver()
    first, second = stored(store)
    assert "SPOKEN" not in str([span.to_dict() for trace in (first, second) for span in trace.data.spans])
    assert second.data.spans[0].inputs == "[REDACTED]: the redact hook raised RuntimeError"


def test_values_over_the_limit(store: str) -> None:
    """A value over the limit is cut, with its true size beside it; the others stay whole."""
    langchain_autotrace.autolog(tracking_uri=store, shipper="external", max_value_bytes=2_000)
    RunnableLambda(lambda x: len(x["text"]), name="count").invoke({"text": "é" * 100_000, "question": "long?"})
    deliver()
    (span,) = stored(store)[0].data.spans
    assert span.inputs["question"] == "long?"
    assert span.inputs["text"].startswith("ééé")
    assert span.outputs == 100_000
    size = len(b'{"text":""}') + 200_000 + len(',"question":"long?"')
    assert span.get_attribute("langchain_autotrace.truncated.inputs") == size
    assert len(str(span.to_dict()).encode()) < 10_000


@pytest.mark.parametrize("silent", [False, True])
def test_silent(store: str, caplog: pytest.LogCaptureFixture, *, silent: bool) -> None:
    """With silent=True no warning is logged, wherever it comes from; what is lost is counted all the same."""

    def fail(_: Any) -> Any:
        raise ValueError("no")

    langchain_autotrace.autolog(tracking_uri=store, shipper="external", silent=silent, redact=fail)
    double.invoke(1)
    (folder,) = all_folders()
    shutdown()
    langchain_autotrace.autolog(tracking_uri=store, shipper="external", silent=silent)
    shutil.rmtree(folder.path)
    double.invoke(1)
    assert langchain_autotrace.flush(PATIENCE).dropped == 2
    said = [message.split()[0] for message in caplog.messages]
    assert said == ([] if silent else ["the", "cannot"])


def test_an_internal_error(store: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """An error of our own is counted and logged once; the program gets its result."""
    monkeypatch.delenv("LANGCHAIN_AUTOTRACE_STRICT")
    langchain_autotrace.autolog(tracking_uri=store, shipper="external")

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr(Recorder, "start", fail)
    with caplog.at_level(logging.WARNING):
        assert [double.invoke(i) for i in range(3)] == [0, 2, 4]
    assert internal_errors.count == 3
    assert [record.message for record in caplog.records] == [
        "internal error, a trace may be incomplete; please report it: on_chain_start: RuntimeError: ours"
    ]

"""Every setting: its argument, its variable, its default, and what is said of a wrong one."""

from __future__ import annotations

import re
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from langchain_autotrace import settings
from langchain_autotrace.errors import SettingsError
from langchain_autotrace.settings import Settings, resolve

if TYPE_CHECKING:
    from pathlib import Path

URI = "http://host"


def hook(value: Any) -> Any:
    """Redact nothing."""
    return value


EXAMPLES: dict[str, tuple[Any, str, Any]] = {
    "tracking_uri": ("http://a", "http://b", "http://b"),
    "experiment": ("x", "y", "y"),
    "experiment_id": ("1", "2", "2"),
    "extra_tags": ({"a": "1"}, "a=1, b = x=y ,", {"a": "1", "b": "x=y"}),
    "sample_rate": (0.5, "0.25", 0.25),
    "redact_patterns": ((re.compile("a+"),), "a+\n\n\\d b", (re.compile("a+"), re.compile(r"\d b"))),
    "capture_content": (False, "no", False),
    "max_value_bytes": (5_000, "2000", 2_000),
    "max_file_bytes": (5_000_000, "0", 0),
    "shipper": ("thread", "external", "external"),
    "silent": (True, "TRUE", True),
    "display": (True, "1", True),
    "exit_timeout": (1.5, "0", 0.0),
    "bridge": (False, "off", False),
    "log_models": (True, "yes", True),
    "log_input_examples": (True, "1", True),
    "log_model_signatures": (False, "0", False),
    "registered_model_name": ("x", "y", "y"),
    "model_code": ((__file__,), __file__, (__file__,)),
    "code_paths": ((__file__,), __file__, (__file__,)),
}
"""For each setting an argument, the text of a variable, and what that means."""


def test_every_setting_has_an_example() -> None:
    """A setting that is added is tested here; the hook alone cannot be a variable."""
    assert set(EXAMPLES) | {"redact"} == set(Settings.model_fields)


def test_defaults(tmp_path: Path) -> None:
    """Without anything said, traces go to the file that MLflow makes, whole, by a process."""
    assert resolve().model_dump() == {
        "tracking_uri": f"sqlite:///{tmp_path}/mlflow.db",
        "experiment": None,
        "experiment_id": None,
        "extra_tags": {},
        "sample_rate": 1.0,
        "redact": None,
        "redact_patterns": (),
        "capture_content": True,
        "max_value_bytes": 1_000_000,
        "max_file_bytes": 20_000_000,
        "shipper": "process",
        "silent": False,
        "display": False,
        "exit_timeout": 5.0,
        "bridge": True,
        "log_models": False,
        "log_input_examples": False,
        "log_model_signatures": True,
        "registered_model_name": None,
        "model_code": (),
        "code_paths": (),
    }


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_setting(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting is its argument, else its variable; an empty variable is none."""
    argument, text, meaning = EXAMPLES[name]
    default = getattr(resolve(tracking_uri=URI), name)
    variable = f"LANGCHAIN_AUTOTRACE_{name.upper()}"
    monkeypatch.setenv(variable, text)
    from_variable = getattr(resolve(), name)
    from_argument = getattr(resolve(**{name: argument}), name)
    not_given = getattr(resolve(**{name: None}), name)
    monkeypatch.setenv(variable, "")
    from_nothing = getattr(resolve(**({} if name == "tracking_uri" else {"tracking_uri": URI})), name)

    assert (from_variable, from_argument, not_given) == (meaning, argument, meaning)
    assert from_nothing == default or name == "tracking_uri"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("sample_rate", "2", "LANGCHAIN_AUTOTRACE_SAMPLE_RATE='2': Input should be less than or equal to 1."),
        (
            "sample_rate",
            "half",
            "LANGCHAIN_AUTOTRACE_SAMPLE_RATE='half': Input should be a valid number, unable to parse",
        ),
        ("sample_rate", "nan", "LANGCHAIN_AUTOTRACE_SAMPLE_RATE='nan': Input should be"),
        ("extra_tags", "a", "LANGCHAIN_AUTOTRACE_EXTRA_TAGS='a': should be key=value,key=value."),
        (
            "redact_patterns",
            "a\n(b",
            "LANGCHAIN_AUTOTRACE_REDACT_PATTERNS='a\\n(b': '(b' is not a valid regular expression (missing )",
        ),
        ("capture_content", "maybe", "LANGCHAIN_AUTOTRACE_CAPTURE_CONTENT='maybe': Input should be a valid boolean"),
        (
            "max_value_bytes",
            "10",
            "LANGCHAIN_AUTOTRACE_MAX_VALUE_BYTES='10': Input should be greater than or equal to 1000.",
        ),
        (
            "shipper",
            "nobody",
            "LANGCHAIN_AUTOTRACE_SHIPPER='nobody': Input should be 'process', 'thread' or 'external'.",
        ),
        ("silent", "loud", "LANGCHAIN_AUTOTRACE_SILENT='loud': Input should be a valid boolean"),
        ("exit_timeout", "-1", "LANGCHAIN_AUTOTRACE_EXIT_TIMEOUT='-1': Input should be greater than or equal to 0."),
        ("redact", "my.hook", "LANGCHAIN_AUTOTRACE_REDACT='my.hook': should be a function, passed as an argument."),
    ],
)
def test_a_variable_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, name: str, text: str, said: str) -> None:
    """An error in a variable names the variable, its value, and what would do."""
    monkeypatch.setenv(f"LANGCHAIN_AUTOTRACE_{name.upper()}", text)

    with pytest.raises(SettingsError) as refused:
        resolve()

    assert str(refused.value).startswith(said)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sample_rate": 1.5}, "sample_rate=1.5: Input should be less than or equal to 1."),
        ({"experiment": 5}, "experiment=5: Input should be a valid string."),
        ({"experiment": ""}, "experiment='': String should have at least 1 character."),
        ({"redact": "no"}, "redact='no': should be a function, passed as an argument."),
        ({"redact_patterns": 5}, "redact_patterns=5: Input should be a valid tuple."),
        ({"extra_tags": ["a"]}, "extra_tags=['a']: Input should be a valid dictionary."),
        ({"experimnt": "x"}, "experimnt='x': unknown setting (did you mean 'experiment'?)."),
        (
            {"zzz": "mysql://me:s3cret@h/d", "silent": "x"},
            (
                "silent='x': Input should be a valid boolean, unable to interpret input. zzz='mysql://me:***@h/d': "
                f"unknown setting; the settings are {', '.join(Settings.model_fields)}."
            ),
        ),
    ],
)
def test_an_argument_that_cannot_be_used(given: dict[str, Any], said: str) -> None:
    """An error in an argument names it, its value, and what would do; a name that does not exist, the nearest."""
    with pytest.raises(SettingsError) as refused:
        resolve(tracking_uri=URI, **given)

    assert str(refused.value) == said


def test_equality() -> None:
    """Equal settings are equal, whatever they came from, and different ones are not."""
    same = [resolve(tracking_uri=URI, redact=hook, extra_tags={"a": 1}) for _ in range(2)]
    assert same[0] == same[1]
    assert same[0] != resolve(tracking_uri=URI, redact=lambda value: value, extra_tags={"a": "1"})
    for name, (argument, _, _) in EXAMPLES.items():
        assert resolve(tracking_uri=URI) != resolve(**{"tracking_uri": URI, name: argument})


def test_settings_do_not_change() -> None:
    """Settings cannot be changed after they were made."""
    with pytest.raises(ValueError, match="frozen"):
        resolve().silent = True


def test_a_tag_that_is_no_text() -> None:
    """Tags become text."""
    assert resolve(extra_tags={"a": 1, 2: None}).extra_tags == {"a": "1", "2": "None"}


def test_patterns_as_texts() -> None:
    """A pattern is a text or compiled; flags that it was compiled with stay."""
    compiled = re.compile("b", re.IGNORECASE)

    assert resolve(redact_patterns=["a", compiled]).redact_patterns == (re.compile("a"), compiled)


@pytest.mark.parametrize("given", [{"experiment": "given"}, {"experiment_id": "7"}])
def test_an_experiment_that_is_given(monkeypatch: pytest.MonkeyPatch, given: dict[str, str]) -> None:
    """An experiment given as an argument, by name or id, overrules both variables and MLflow's choice."""
    for name in ("EXPERIMENT", "EXPERIMENT_ID"):
        monkeypatch.setenv(f"LANGCHAIN_AUTOTRACE_{name}", "variable")
        monkeypatch.setenv(f"MLFLOW_{name}", "mlflow's")
    found = resolve(**given)

    assert {"experiment": found.experiment, "experiment_id": found.experiment_id} == {
        "experiment": None, "experiment_id": None, **given
    }  # fmt: skip


def test_an_experiment_of_another_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """The experiment that was chosen in MLflow counts for MLflow's store: ids of another mean something else there."""
    chosen = SimpleNamespace(is_tracking_uri_set=lambda: True, get_tracking_uri=lambda: "http://mlflows")
    monkeypatch.setitem(sys.modules, "mlflow", chosen)
    monkeypatch.setitem(sys.modules, "mlflow.tracking.fluent", SimpleNamespace(_active_experiment_id="5"))

    assert [(one.tracking_uri, one.experiment_id) for one in (resolve(), resolve(tracking_uri=URI))] == [
        ("http://mlflows", "5"),
        (URI, None),
    ]


@pytest.mark.parametrize(
    ("text", "meaning"),
    [("1", True), ("True", True), ("on", True), ("0", False), ("NO", False), ("", True), (None, True)],
)
def test_a_switch(monkeypatch: pytest.MonkeyPatch, text: str | None, *, meaning: bool) -> None:
    """A switch is its argument, else its variable, else its default."""
    if text is not None:
        monkeypatch.setenv("LANGCHAIN_AUTOTRACE_LOG_TRACES", text)

    assert settings.flag("log_traces", given=None, default=True) is meaning
    assert settings.flag("log_traces", given=not meaning, default=True) is not meaning


def test_a_switch_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in a switch names the variable."""
    monkeypatch.setenv("LANGCHAIN_AUTOTRACE_DISABLE", "perhaps")

    with pytest.raises(SettingsError, match=r"^LANGCHAIN_AUTOTRACE_DISABLE='perhaps': use true or false\.$"):
        settings.flag("disable", given=None, default=False)

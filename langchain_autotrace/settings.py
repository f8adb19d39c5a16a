"""All settings, their defaults, and the environment variables and MLflow settings that they may come from."""

from __future__ import annotations

import difflib
import inspect
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeAlias, TypedDict

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from langchain_autotrace import destination
from langchain_autotrace.errors import SettingsError
from langchain_autotrace.redaction import without_password

PREFIX: Final = "LANGCHAIN_AUTOTRACE_"
"""Prefix of the environment variables of settings; the setting's name in capitals follows."""


class RedactContext(NamedTuple):
    """The location of a value that is passed to the ``redact`` hook."""

    span_name: str
    """Name of the span."""
    span_type: str
    """Type of the span: CHAIN, CHAT_MODEL, TOOL, …; empty for an event of a span of MLflow's own API."""
    field: str
    """``inputs``, ``outputs``, the name of an attribute (``metadata``), ``events.`` plus the event's name, ``status``,
    ``exception.message`` or ``exception.stacktrace``."""


Redact: TypeAlias = Callable[[Any], Any] | Callable[[Any, RedactContext], Any]
"""A user's hook that takes one captured value as JSON data (dict, list, str, number, bool or None, in LangChain's form)
and returns what is stored in its place. A hook of two arguments also receives the value's :class:`RedactContext`. It is
called on the program's threads. If it raises, nothing of the value is stored."""

MLFLOW_RATIO: Final = "MLFLOW_TRACE_SAMPLING_RATIO"
"""MLflow's environment variable for the share of traces kept; used when ``sample_rate`` is not given."""

_EXPERIMENT: Final = {"experiment", "experiment_id"}

Shipper: TypeAlias = Literal["process", "thread", "external"]


def _tags(value: object) -> object:
    """Return tags as a dict of strings; parse ``key=value,key=value``, the form in an environment variable."""
    if not isinstance(value, str):
        return {str(key): str(text) for key, text in value.items()} if isinstance(value, Mapping) else value
    pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
    if any(not separator for _, separator, _ in pairs):
        msg = "should be key=value,key=value"
        raise ValueError(msg)
    return {key.strip(): text.strip() for key, _, text in pairs}


def _patterns(value: object) -> object:
    """Return a tuple of compiled regular expressions; split text from an environment variable into lines."""
    if isinstance(value, str):
        value = [line for line in value.splitlines() if line.strip()]
    if not isinstance(value, list | tuple):
        return value
    try:
        return tuple(one if isinstance(one, re.Pattern) else re.compile(str(one)) for one in value)
    except re.error as error:
        msg = f"{error.pattern!r} is not a valid regular expression ({error})"
        raise ValueError(msg) from None


def _paths(value: object) -> object:
    """Return a tuple of absolute paths; split text, the form in an environment variable, at ``os.pathsep``."""
    if isinstance(value, str):
        value = [part for part in value.split(os.pathsep) if part]
    if isinstance(value, os.PathLike):
        value = [value]
    if not isinstance(value, list | tuple) or not all(isinstance(one, str | os.PathLike) for one in value):
        return value
    return tuple(str(Path(one).absolute()) for one in value)


def _python_files(value: object) -> object:
    """Return the absolute paths of Python files, which must exist."""
    paths = _paths(value)
    for path in paths if isinstance(paths, tuple) else ():
        if not path.endswith(".py") or not Path(path).is_file():
            msg = f"should be a Python file that builds the chain; there is no Python file at {path}"
            raise ValueError(msg)
    return paths


def _existing(value: object) -> object:
    """Return the absolute paths of files and folders, which must exist."""
    paths = _paths(value)
    for path in paths if isinstance(paths, tuple) else ():
        if not Path(path).exists():
            msg = f"should be files or folders of Python modules; there is nothing at {path}"
            raise ValueError(msg)
    return paths


class Settings(BaseModel):
    """The settings of one call of ``autolog()``. Immutable; equal settings share one journal."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    tracking_uri: str
    """MLflow tracking URI; a path in it is absolute."""
    experiment: str | None = Field(default=None, min_length=1)
    """Name of the experiment, which is created when it does not exist."""
    experiment_id: str | None = Field(default=None, min_length=1)
    """Id of the experiment, when MLflow's own settings give an id instead of a name."""
    extra_tags: Annotated[dict[str, str], BeforeValidator(_tags)] = Field(default_factory=dict)
    """Tags added to every trace."""
    sample_rate: float = Field(default=1.0, ge=0.0, le=1.0)
    """Share of traces kept, 0.0 to 1.0. Decided at the root: a trace is kept whole or not at all."""
    redact: Callable[..., Any] | None = None
    """Hook that is called with each captured value, and returns what is stored in its place."""
    redact_patterns: Annotated[tuple[re.Pattern[str], ...], BeforeValidator(_patterns)] = ()
    """Regular expressions of secrets, in addition to the built-in ones."""
    capture_content: bool = True
    """False keeps names, times, types, models, token counts and statuses, but no inputs, outputs or other content."""
    max_value_bytes: int = Field(default=1_000_000, ge=1_000)
    """Maximum size of one value (inputs, outputs, one set of attributes), in bytes of JSON.

    A larger value is cut, and its size recorded.
    """
    max_file_bytes: int = Field(default=20_000_000, ge=0)
    """Maximum size of one file (an image, audio, a PDF) within a value, in bytes.

    Of a larger one the type and the size are recorded; with 0, of every file.
    """
    shipper: Shipper = "process"
    """The kind of shipper: a detached process, a thread, or external (``langchain-autotrace ship`` runs elsewhere)."""
    silent: bool = False
    """True suppresses all warnings and the summary at exit. Counters still count."""
    display: bool = False
    """True shows the traces of a notebook's cell under it."""
    bridge: bool = True
    """False leaves spans of MLflow's own API to MLflow."""
    exit_timeout: float = Field(default=5.0, ge=0.0)
    """Seconds that the process waits at exit for the delivery of its traces, where the shipper ends with it."""
    log_models: bool = False
    """True logs each chain that has completed a run as an MLflow model, once per content."""
    log_input_examples: bool = False
    """True adds the chain's first input to the model as an example."""
    log_model_signatures: bool = True
    """False logs models without a signature (the types of the chain's first input and output)."""
    registered_model_name: str | None = Field(default=None, min_length=1)
    """Name of the registered model to which each loadable model is added as a version."""
    model_code: Annotated[tuple[str, ...], BeforeValidator(_python_files)] = ()
    """Absolute paths of Python files, each of which builds a chain and passes it to ``mlflow.models.set_model``."""
    code_paths: Annotated[tuple[str, ...], BeforeValidator(_existing)] = ()
    """Absolute paths of modules and packages that are copied into models, so that they load elsewhere."""

    @property
    def redact_takes_context(self) -> bool:
        """Whether the ``redact`` hook takes a second argument, a :class:`RedactContext`."""
        if self.redact is None:
            return False
        try:
            inspect.signature(self.redact).bind(None, None)
        except (TypeError, ValueError):  # one argument, or a builtin without a signature
            return False
        return True


class CaptureSettings(TypedDict, total=False):
    """Keyword arguments of ``testing.capture_traces()``, with the same meaning as those of ``autolog()``."""

    extra_tags: Mapping[str, str]
    sample_rate: float
    redact: Redact
    redact_patterns: Sequence[str | re.Pattern[str]]
    capture_content: bool
    max_value_bytes: int
    max_file_bytes: int


class HandlerSettings(CaptureSettings, total=False):
    """Keyword arguments of ``AutotraceHandler()``, with the same meaning as those of ``autolog()``."""

    experiment: str
    tracking_uri: str
    silent: bool
    shipper: Shipper
    exit_timeout: float
    log_models: bool
    log_input_examples: bool
    log_model_signatures: bool
    registered_model_name: str
    model_code: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
    code_paths: Sequence[str | os.PathLike[str]]


def checked(**given: object) -> Settings:
    """Return settings from arguments and defaults alone, whatever the environment says.

    Args:
        **given: any field of :class:`Settings`; None means not given.

    Raises:
        SettingsError: as for :func:`resolve`.
    """
    return _validated({name: value for name, value in given.items() if value is not None}, {})


def resolve(**given: object) -> Settings:
    """Return settings from arguments, else environment variables, else MLflow's own settings, else defaults.

    Args:
        **given: any field of :class:`Settings`; None means not given.

    Raises:
        SettingsError: a value is invalid. The message names the argument or variable, the value, and valid values.
    """
    values = {name: value for name, value in given.items() if value is not None}
    from_environment = {
        name: text
        for name in Settings.model_fields
        # Both name the experiment: an argument for one overrides the variables of both.
        if name not in values and not (name in _EXPERIMENT and values.keys() & _EXPERIMENT) and (text := env(name))
    }
    values = from_environment | values
    if "sample_rate" not in values and (ratio := _ratio_of_mlflow()) is not None:
        values["sample_rate"] = ratio
    default_uri = destination.default_uri()
    uri = values["tracking_uri"] = destination.normalized(str(values.get("tracking_uri") or default_uri))
    if not values.keys() & _EXPERIMENT:
        values["experiment"], experiment_id = destination.default_experiment()
        # An experiment id is only valid in the store it comes from.
        values["experiment_id"] = experiment_id if uri == destination.normalized(default_uri) else None
    return _validated(values, from_environment)


def _validated(values: Mapping[str, object], from_environment: Mapping[str, str]) -> Settings:
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_explain(error, from_environment)) from None
    if settings.log_models and not settings.capture_content:
        msg = (
            "log_models=True cannot be combined with capture_content=False: a model contains prompts and parameters, "
            "which are content. Use only one of them."
        )
        raise SettingsError(msg)
    return settings


def _ratio_of_mlflow() -> float | None:
    """Return MLflow's share of traces kept; None when invalid, which MLflow ignores with a warning of its own."""
    try:
        ratio = float(os.environ.get(MLFLOW_RATIO, ""))
    except ValueError:
        return None
    return ratio if 0.0 <= ratio <= 1.0 else None


def env(name: str) -> str | None:
    """Return the environment variable of the setting ``name``; None when it is unset or empty."""
    return os.environ.get(PREFIX + name.upper()) or None


def flag(name: str, *, given: bool | None, default: bool) -> bool:
    """Return a boolean setting from its argument, else from its environment variable, else its default.

    Raises:
        SettingsError: the variable is neither true nor false.
    """
    if given is not None:
        return given
    text = (env(name) or str(default)).lower()
    if text not in {"1", "true", "yes", "on", "0", "false", "no", "off"}:
        msg = f"{PREFIX}{name.upper()}={text!r}: use true or false."
        raise SettingsError(msg)
    return text in {"1", "true", "yes", "on"}


def _explain(error: ValidationError, from_environment: Mapping[str, str]) -> str:
    lines = []
    for problem in error.errors():
        name = str(problem["loc"][0])
        where = f"{PREFIX}{name.upper()}" if name in from_environment else name
        lines.append(f"{where}={problem['input']!r}: {_advice(name, problem['type'], problem['msg'])}.")
    return without_password(" ".join(lines))


def _advice(name: str, kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(name, Settings.model_fields, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else f"; the settings are {', '.join(Settings.model_fields)}"
        return f"unknown setting{hint}"
    if kind == "callable_type":
        return "should be a function, passed as an argument"
    return message.removeprefix("Value error, ")

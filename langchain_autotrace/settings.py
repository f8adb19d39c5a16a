"""Every setting, once: its name, its meaning, its default, and where else it may come from."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from langchain_autotrace import destination
from langchain_autotrace.errors import SettingsError

PREFIX: Final = "LANGCHAIN_AUTOTRACE_"
"""Each setting can be given as an environment variable: this, and its name in capitals."""

Redact: TypeAlias = Callable[[Any], Any]
"""A user's hook: takes one captured value in JSON form (dict, list, str, number, bool or None) and returns what is
kept of it. It is called on the program's threads; an exception keeps nothing of the value."""

MLFLOW_RATIO: Final = "MLFLOW_TRACE_SAMPLING_RATIO"
"""MLflow's own variable for the share of traces kept; it counts where ``sample_rate`` is not given."""

_EXPERIMENT: Final = {"experiment", "experiment_id"}

Shipper: TypeAlias = Literal["process", "thread", "external"]


def _tags(value: object) -> object:
    """Read ``key=value,key=value``, the form of an environment variable."""
    if not isinstance(value, str):
        return {str(key): str(text) for key, text in value.items()} if isinstance(value, Mapping) else value
    pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
    if any(not mark for _, mark, _ in pairs):
        msg = "should be key=value,key=value"
        raise ValueError(msg)
    return {key.strip(): text.strip() for key, _, text in pairs}


def _python_file(value: object) -> object:
    """The absolute path of a file that is there."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str):
        return value
    path = Path(value).absolute()
    if path.suffix != ".py" or not path.is_file():
        msg = f"should be a Python file that builds the chain; there is none at {path}"
        raise ValueError(msg)
    return str(path)


class Settings(BaseModel):
    """What one call of ``autolog()`` decided. Immutable; equal settings share one journal."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    tracking_uri: str
    """MLflow's tracking URI, absolute."""
    experiment: str | None = Field(default=None, min_length=1)
    """Name of the experiment; created when it does not exist."""
    experiment_id: str | None = Field(default=None, min_length=1)
    """Id of the experiment, where MLflow's own settings give an id."""
    extra_tags: Annotated[dict[str, str], BeforeValidator(_tags)] = Field(default_factory=dict)
    """Tags put on every trace."""
    sample_rate: float = Field(default=1.0, ge=0.0, le=1.0)
    """Share of traces kept, decided at each root; a trace is kept whole or not at all."""
    redact: Redact | None = None
    capture_content: bool = True
    """False keeps names, times, types, models, token counts and statuses, and none of what was said."""
    max_value_bytes: int = Field(default=1_000_000, ge=1_000)
    """Bytes of JSON kept of one value (inputs, outputs, one attribute set); a larger one is cut and its size noted."""
    shipper: Shipper = "process"
    """Who delivers: a detached process, a thread of this one, or nothing (``langchain-autotrace ship`` elsewhere)."""
    silent: bool = False
    """True prints no line, neither warnings nor what is left at exit. Counters go on."""
    bridge: bool = True
    """False leaves the spans of MLflow's own API to MLflow."""
    exit_timeout: float = Field(default=5.0, ge=0.0)
    """Seconds the process waits at its exit for the delivery of its traces."""
    log_models: bool = False
    """True logs each chain that has run to its end as an MLflow model, once for each content."""
    log_input_examples: bool = False
    """True gives the model its first input as an example."""
    log_model_signatures: bool = True
    """False leaves the model without the types of its first input and output."""
    registered_model_name: str | None = Field(default=None, min_length=1)
    """The registered model of which each model that can be loaded becomes a version."""
    model_code: Annotated[str | None, BeforeValidator(_python_file)] = None
    """The Python file that builds the chain and names it with ``mlflow.models.set_model``; absolute."""


def resolve(**given: object) -> Settings:
    """Settings from arguments, then environment variables, then MLflow's own settings, then defaults.

    Args:
        **given: any field of :class:`Settings`; ``None`` means not given.

    Raises:
        SettingsError: a value cannot be used; says which, where it came from, and what would do.
    """
    values = {name: value for name, value in given.items() if value is not None}
    from_environment = {
        name: text
        for name in Settings.model_fields
        # Two names of one thing: an argument for it overrules both variables.
        if name not in values and not (name in _EXPERIMENT and values.keys() & _EXPERIMENT) and (text := env(name))
    }
    values = from_environment | values
    if "sample_rate" not in values and (ratio := _ratio_of_mlflow()) is not None:
        values["sample_rate"] = ratio
    default_uri = destination.default_uri()
    uri = values["tracking_uri"] = destination.normalized(str(values.get("tracking_uri") or default_uri))
    if not values.keys() & _EXPERIMENT:
        values["experiment"], experiment_id = destination.default_experiment()
        # An id means something in its own store only.
        values["experiment_id"] = experiment_id if uri == destination.normalized(default_uri) else None
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_explain(error, from_environment)) from None
    if settings.log_models and not settings.capture_content:
        msg = (
            "log_models=True and capture_content=False: a model is made of prompts and parameters, which are content. "
            "Use one of them."
        )
        raise SettingsError(msg)
    return settings


def _ratio_of_mlflow() -> float | None:
    """MLflow's share of traces kept; it ignores one that is none, with a warning of its own."""
    try:
        ratio = float(os.environ.get(MLFLOW_RATIO, ""))
    except ValueError:
        return None
    return ratio if 0.0 <= ratio <= 1.0 else None


def env(name: str) -> str | None:
    """The environment variable of the setting ``name``; ``None`` when it is unset or empty."""
    return os.environ.get(PREFIX + name.upper()) or None


def flag(name: str, *, given: bool | None, default: bool) -> bool:
    """A switch from its argument or its environment variable.

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
    return destination.without_password(" ".join(lines))


def _advice(name: str, kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(name, Settings.model_fields, n=1)
        known = f"perhaps {near[0]} is meant" if near else f"the settings are {', '.join(Settings.model_fields)}"
        return f"there is no such setting; {known}"
    if kind == "callable_type":
        return "should be a function, given as an argument"
    return message.removeprefix("Value error, ")

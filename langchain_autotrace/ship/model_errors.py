"""Errors of logging a model: at which step, and whether a retry may help."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

import requests
import sqlalchemy.exc
from mlflow.exceptions import MlflowException

from langchain_autotrace.ship.mlflow_errors import blames_content

_FINAL: Final = frozenset(
    {
        *("BAD_REQUEST", "ENDPOINT_NOT_FOUND", "FEATURE_DISABLED", "INVALID_PARAMETER_VALUE", "NOT_FOUND"),
        *("NOT_IMPLEMENTED", "PERMISSION_DENIED", "RESOURCE_DOES_NOT_EXIST"),
    }
)
"""MLflow's error codes of a store without models or without permission, where a retry does not help."""


class StepError(Exception):
    """A step of logging a model has failed.

    Attributes:
        step: name of the step.
        cause: the exception.
    """

    def __init__(self, step: str, cause: Exception) -> None:
        super().__init__(step)
        self.step = step
        self.cause = cause


@contextlib.contextmanager
def at_step(name: str) -> Iterator[None]:
    """Raise any exception of the block as a :class:`StepError`."""
    try:
        yield
    except Exception as error:
        raise StepError(name, error) from error


def is_final(error: Exception) -> bool:
    """Return whether a retry would not help: no models in this store, no permission, refused, or a fault of ours."""
    if isinstance(error, MlflowException) and not isinstance(error.__cause__, sqlalchemy.exc.SQLAlchemyError):
        return error.error_code in _FINAL or blames_content(error)
    if isinstance(error, OSError):  # of the disk; those of the network may pass
        return not isinstance(error, (ConnectionError, TimeoutError, requests.RequestException))
    return isinstance(error, NotImplementedError) or blames_content(error)

"""Models as they stand in the store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
from mlflow.entities import LoggedModel

from langchain_autotrace.ship.model_files import fetch


class Logged(NamedTuple):
    """A model, as far as it does not differ from run to run."""

    name: str
    status: str
    loadable: str
    traces: int
    """Traces that name it."""


def models(uri: str, experiment_id: str = "0") -> list[LoggedModel]:
    """All models of an experiment, the oldest first."""
    found = mlflow.MlflowClient(uri).search_logged_models([experiment_id])
    return sorted(found, key=lambda model: (model.creation_timestamp, model.model_id))


def logged(uri: str, experiment_id: str = "0") -> list[Logged]:
    """All models of an experiment, by their names."""
    return sorted(
        Logged(
            model.name, str(model.status.value), model.tags["langchain_autotrace.loadable"], len(traces_of(uri, model))
        )
        for model in models(uri, experiment_id)
    )


def traces_of(uri: str, model: LoggedModel) -> list[str]:
    """Ids of the traces that name a model."""
    found = mlflow.MlflowClient(uri).search_traces(
        locations=[model.experiment_id],
        filter_string=f"metadata.`mlflow.modelId` = '{model.model_id}'",
        include_spans=False,
    )
    return [trace.info.trace_id for trace in found]


def files(uri: str, model: LoggedModel, folder: Path) -> dict[str, str]:
    """The texts of a model's files, by their names."""
    folder.mkdir()
    found = fetch(uri, f"models:/{model.model_id}", str(folder))
    return {path.name: path.read_text() for path in sorted(found.iterdir())}


def document(text: str) -> Any:
    """What JSON says."""
    return json.loads(text)

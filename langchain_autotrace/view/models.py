"""Reads chains logged as models through MLflow's client, as small frozen records."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from langchain_autotrace.errors import ModelNotFound
from langchain_autotrace.redaction import without_password
from langchain_autotrace.semconv import LOADABLE_TAG, REASON_TAG, STEPS_TAG, Attr
from langchain_autotrace.view import store
from langchain_autotrace.view.traces import locations

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

_OURS: Final = f"tags.`{Attr.CONTENT_HASH}` != ''"
_NEWEST: Final = [{"field_name": "creation_timestamp", "ascending": False}]
_INTERNAL: Final = ("mlflow.", "langchain_autotrace.")
_MAX_TRACES: Final = 100
_MAX_RUNS: Final = 1_000
_MAX_LINE: Final = 80
_MANY: Final = 5


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model as shown in a list."""

    model_id: str
    name: str
    status: str
    """READY, PENDING (being written) or FAILED."""
    created_ms: int
    """When it was created, in milliseconds since the Unix epoch."""
    loadable: bool
    reason: str | None
    """Why it cannot be loaded; None if no reason was logged."""
    content_hash: str
    experiment_id: str
    experiment: str
    """Name of the experiment."""
    steps: str
    """Names of the chain's steps, or of a graph's nodes, separated by `` | ``."""
    runs: int
    """Number of traces that belong to it; at most 1000 are counted."""
    source_run_id: str | None
    tags: dict[str, str]
    """The user's tags; MLflow's and this package's are left out."""


@dataclass(frozen=True, slots=True)
class Step:
    """A part of a chain, as shown in its structure."""

    depth: int
    """Depth in the chain; 0 for the chain itself."""
    name: str
    detail: str
    """Its scalar arguments as text, shortened."""


@dataclass(frozen=True, slots=True)
class ModelPage:
    """A model with its details."""

    row: ModelRow
    uri: str
    """Model URI that ``load_model()`` takes."""
    params: dict[str, str]
    steps: list[Step]
    drawing: str | None
    """Mermaid text of the first graph in it; None when there is none."""
    problems: list[list[str]]
    """Path, class or function, and reason of each part that cannot be built."""
    left_out: list[str]
    """Paths of values that were not logged because they look like secrets."""
    secrets: list[str]
    """Environment variables that the chain reads its keys from."""
    code: str | None
    """Name of the program's file that builds it; None if it is built from JSON."""
    example: Any
    has_example: bool
    inputs: list[Any] | None
    """Columns of the signature, in MLflow's format; the same for ``outputs``."""
    outputs: list[Any] | None
    traces: list[str] = field(default_factory=list)
    """Ids of the traces that belong to it, newest first; at most 100."""


def newest(uri: str, *, experiment: str | None, limit: int, counts: bool = True) -> list[ModelRow]:
    """Return the newest models, at most ``limit``, the newest first.

    Args:
        uri: the tracking URI.
        experiment: name of the experiment to look in; all by default.
        limit: maximum number of models.
        counts: whether to count the runs, which takes a query for each model.

    Raises:
        SinkUnavailable: the store cannot be read, or has no such experiment.
    """
    with store.reading(uri) as client:
        found = client.search_logged_models(
            experiment_ids=locations(client, uri, experiment),
            filter_string=_OURS,
            order_by=_NEWEST,
            max_results=limit,
        )
        names = {model.experiment_id: "" for model in found}
        for experiment_id in names:
            names[experiment_id] = client.get_experiment(experiment_id).name
        return [_row(model, names[model.experiment_id], _runs(client, model) if counts else 0) for model in found]


def page(uri: str, model_id: str, *, experiment: str | None) -> ModelPage:
    """Return one model with its details.

    Args:
        uri: the tracking URI.
        model_id: its id, the beginning of it, or ``last``.
        experiment: name of the experiment to look in; all by default.

    Raises:
        ModelNotFound: there is no such model, or more than one.
        SinkUnavailable: the store cannot be read.
    """
    from langchain_autotrace.ship.model_files import fetch  # noqa: PLC0415 - a second of imports

    row = _named(uri, model_id, newest(uri, experiment=experiment, limit=1_000, counts=False))
    with store.reading(uri) as client, tempfile.TemporaryDirectory() as folder:
        model = client.get_logged_model(row.model_id)
        traces = client.search_traces(
            locations=[row.experiment_id],
            filter_string=f"metadata.`mlflow.modelId` = '{row.model_id}'",
            max_results=_MAX_TRACES,
            include_spans=False,
        )
        files = fetch(uri, f"models:/{row.model_id}", folder)
        chain = _json(files / "chain.json") or {}
        mlmodel = yaml.safe_load((files / "MLmodel").read_text()) if (files / "MLmodel").exists() else {}
        signature = mlmodel.get("signature") or {}
        example = files / "input_example.json"
        return ModelPage(
            row=replace(row, runs=_runs(client, model)),
            uri=f"models:/{row.model_id}",
            params=dict(model.params),
            steps=list(steps(chain.get("chain"), "", 0)),
            drawing=_drawing(chain.get("chain")),
            problems=chain.get("problems", []),
            left_out=chain.get("left_out", []),
            secrets=chain.get("secrets", []),
            code=chain.get("code"),
            example=_json(example),
            has_example=example.exists(),
            inputs=json.loads(signature["inputs"]) if signature.get("inputs") else None,
            outputs=json.loads(signature["outputs"]) if signature.get("outputs") else None,
            traces=[trace.info.trace_id for trace in traces],
        )


def steps(node: Any, label: str, depth: int) -> Iterator[Step]:
    """Yield the parts of a chain in order, each after the part that contains it."""
    if isinstance(node, list):
        for item in node:
            yield from steps(item, label, depth)
    elif isinstance(node, dict) and "lc" not in node:
        for key, item in node.items():
            yield from steps(item, key, depth)
    elif isinstance(node, dict) and "made_of" in node:
        yield from steps(node["made_of"], label, depth)
    elif isinstance(node, dict) and (name := _name(node)):
        inner = node.get("kwargs") or {}
        plain = {key: item for key, item in inner.items() if isinstance(item, str | int | float | bool)}
        detail = ", ".join(f"{key}={_short(item)}" for key, item in plain.items())
        yield Step(depth, f"{label}: {name}" if label and label not in _POSITIONS else name, detail)
        yield from _of_graph(node.get("graph") or {}, depth + 1)
        for key, item in inner.items():
            yield from steps(item, key, depth + 1)
    elif isinstance(node, dict):
        yield from steps(node.get("items"), label, depth)


def _of_graph(graph: dict[str, Any], depth: int) -> Iterator[Step]:
    """Yield what a graph or agent is made of: nodes, edges, models, tools, prompts, middleware, graphs within."""
    if graph:
        yield Step(depth, "nodes", ", ".join(graph["nodes"]))
        yield Step(depth, "edges", ", ".join(f"{start} -> {end}" for start, end in graph["edges"]))
    for model in graph.get("models", []):
        yield from steps(model, "model", depth)
    for prompt in graph.get("system_prompts", []):
        yield Step(depth, "system prompt", _short(prompt))
    yield from steps(graph.get("prompts", []), "prompt", depth)
    for tool in graph.get("tools", []):
        arguments = ((tool.get("schema") or {}).get("properties") or {}).items()
        shown = ", ".join(f"{key}: {value.get('type', 'any')}" for key, value in arguments)
        yield Step(depth, f"tool: {tool['name']}({shown})", _short(tool["description"]))
    for one in graph.get("middleware", []):
        settings = ", ".join(f"{key}={_short(value)}" for key, value in one["settings"].items())
        yield Step(depth, f"middleware: {one['name']}", settings)
        for model in one.get("models", []):
            yield from steps(model, "model", depth + 1)
    for name, inner in graph.get("graphs", {}).items():
        yield Step(depth, f"graph: {name}", "")
        yield from _of_graph(inner, depth + 1)


def _drawing(node: Any) -> str | None:
    """Return the Mermaid text of the first graph in a chain."""
    if isinstance(node, dict):
        graph = node.get("graph")
        if isinstance(graph, dict) and graph.get("mermaid"):
            return str(graph["mermaid"])
        node = list(node.values())
    found = map(_drawing, node if isinstance(node, list) else ())
    return next(filter(None, found), None)


_POSITIONS: Final = frozenset({"first", "middle", "last", "bound", "steps", "messages", "prompt", "mapper"})
"""Fields that are shown without their names, which only give the order of the parts."""


def _name(node: dict[str, Any]) -> str:
    if node.get("type") == "itemgetter":
        return f"itemgetter({', '.join(map(repr, node['keys']))})"
    if node.get("type") == "secret":
        return ""
    named = node.get("class") or node.get("ref") or (node.get("id") or [""])[-1]
    return str(named).rpartition(":")[2].rpartition(".")[2]


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_LINE else f"{text[:_MAX_LINE]}…"


def _named(uri: str, model_id: str, rows: list[ModelRow]) -> ModelRow:
    found = rows[:1] if model_id == "last" else [row for row in rows if row.model_id.startswith(model_id)]
    exact = [row for row in found if row.model_id == model_id]
    if len(exact or found) == 1:
        return (exact or found)[0]
    where = without_password(uri)
    if not found:
        msg = f"no model {model_id!r} in {where}; see: langchain-autotrace models list"
        raise ModelNotFound(msg)
    many = ", ".join(row.model_id for row in found[:_MANY])
    msg = f"{len(found)} models start with {model_id!r}: {many}. Use a longer id."
    raise ModelNotFound(msg)


def _runs(client: MlflowClient, model: LoggedModel) -> int:
    found = client.search_traces(
        locations=[model.experiment_id],
        filter_string=f"metadata.`mlflow.modelId` = '{model.model_id}'",
        max_results=_MAX_RUNS,
        include_spans=False,
    )
    return len(found)


def _row(model: LoggedModel, experiment: str, runs: int) -> ModelRow:
    return ModelRow(
        model_id=model.model_id,
        name=model.name,
        status=model.status.value,
        created_ms=model.creation_timestamp,
        loadable=model.tags.get(LOADABLE_TAG) == "true",
        reason=model.tags.get(REASON_TAG) or None,
        content_hash=model.tags.get(Attr.CONTENT_HASH, ""),
        experiment_id=model.experiment_id,
        experiment=experiment,
        steps=model.tags.get(STEPS_TAG, ""),
        runs=runs,
        source_run_id=model.source_run_id,
        tags={key: value for key, value in model.tags.items() if not key.startswith(_INTERNAL)},
    )


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

"""Formats logged models for a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

from langchain_autotrace.view.content import clean, shortened
from langchain_autotrace.view.text import MAX_DRAWN, level_mark, moment

if TYPE_CHECKING:
    from rich.console import RenderableType

    from langchain_autotrace.view.models import ModelPage, ModelRow, Step

_DIM: Final = "dim"
_YES, _NO = "green", "yellow"
_LINES: Final = 6
_NEWEST: Final = 3


def table(rows: Sequence[ModelRow]) -> Table:
    """Return the table of models."""
    found = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("time", "experiment", "name", "steps", "runs", "loadable", "model id"):
        found.add_column(heading, overflow="fold")
    for row in rows:
        found.add_row(
            moment(row.created_ms),
            Text(clean(row.experiment)),
            Text(clean(row.name)),
            Text(clean(row.steps)),
            Text(str(row.runs)),
            _loadable(row),
            Text(row.model_id),
        )
    return found


def page(one: ModelPage) -> Iterator[RenderableType]:
    """Yield the details of one model: facts, structure, and the parts that cannot be built."""
    row = one.row
    yield Text.assemble((clean(row.name), "bold"), "  ", row.model_id)
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style=_DIM)
    facts.add_column(overflow="fold")
    for name, fact in _facts(one):
        facts.add_row(f"  {name}", fact)
    yield facts
    yield Text("\nStructure", "bold")
    yield from map(_step, one.steps)
    if one.drawing:
        yield Text("\nMermaid", "bold")
        yield Text(clean(one.drawing))
    if one.problems:
        yield Text("\nParts that cannot be rebuilt", "bold")
        for path, name, reason in one.problems:
            yield Text(f"  {clean(path.lstrip('.') or 'the chain itself')} ({clean(name)}): {clean(reason)}", _NO)


def _facts(one: ModelPage) -> Iterator[tuple[str, Text]]:
    row = one.row
    yield "created", Text(moment(row.created_ms, whole=True))
    yield "experiment", Text(clean(row.experiment))
    if row.steps:
        yield "steps", Text(clean(row.steps))
    if row.status != "READY":
        yield "status", Text(row.status, _NO)
    yield "loadable", Text(f'yes: langchain_autotrace.load_model("{one.uri}")') if row.loadable else _loadable(row)
    if row.reason:
        yield "", Text(clean(row.reason))
    if one.code:
        yield "code", Text(f"{clean(one.code)}; load it with allow_code=True")
    yield from _labels(one)
    yield from _interface(one)
    yield "traces", _traces(one)


def _labels(one: ModelPage) -> Iterator[tuple[str, Text]]:
    row = one.row
    if one.secrets:
        yield "API keys from", Text(", ".join(map(clean, one.secrets)))
    if one.left_out:
        yield "left out", Text(", ".join(map(clean, one.left_out)), _NO)
    if row.source_run_id:
        yield "run", Text(row.source_run_id)
    if row.tags:
        yield "tags", Text(", ".join(f"{clean(key)}={clean(value)}" for key, value in row.tags.items()))
    for name, value in one.params.items():
        yield clean(name), Text(clean(value))


def _interface(one: ModelPage) -> Iterator[tuple[str, Text]]:
    yield "example", Text(shortened(clean(_json(one.example)), _LINES) if one.has_example else "none")
    if one.inputs is not None:
        yield "inputs", Text(_columns(one.inputs))
    if one.outputs is not None:
        yield "outputs", Text(_columns(one.outputs))


def _traces(one: ModelPage) -> Text:
    more = len(one.traces) - _NEWEST
    newest = ", ".join(one.traces[:_NEWEST])
    return Text(f"{newest} and {more} more" if more > 0 else newest or "none")


def _columns(columns: Sequence[dict[str, Any]]) -> str:
    return ", ".join(
        f"{clean(column['name'])}: {_type(column)}" if "name" in column else _type(column) for column in columns
    )


def _type(column: dict[str, Any]) -> str:
    kind = str(column["type"])
    if kind == "array":
        kind = f"list of {_type({**column['items'], 'required': True})}"
    if kind == "object":
        kind = f"{{{_columns([{**own, 'name': name} for name, own in column['properties'].items()])}}}"
    return kind if column.get("required", True) else f"{kind}, optional"


def _step(step: Step) -> Text:
    line = Text("  " * (min(step.depth, MAX_DRAWN) + 1) + level_mark(step.depth)).append(clean(step.name))
    return line.append(f"  {clean(step.detail)}", _DIM) if step.detail else line


def _loadable(row: ModelRow) -> Text:
    return Text("yes", _YES) if row.loadable else Text("no", _NO)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)

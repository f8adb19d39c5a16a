"""What SQLite and PostgreSQL, and MLflow's versions, write differently in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from langchain_autotrace.semconv import Attr, TraceKey

if TYPE_CHECKING:
    from langchain_autotrace.ship.bulk.revisions import Revision

_USAGE: Final = f'"{Attr.TOKEN_USAGE}": "'
"""How the attribute begins in a span's JSON. Within a text of the span its quotes would be escaped."""
_LONGEST_USAGE: Final = 400
_TOTAL: Final = 'total_tokens\\":'
NAMED: Final = "COALESCE(NULLIF({0}, ''), '-')"
"""Name of a trace as it is shown, of the expression of the name."""


class Dialect(NamedTuple):
    """What a database writes differently."""

    mark: str
    """Placeholder of a parameter."""
    like: str
    """Operator of patterns that ignores case."""
    folded: str
    """Expression of the text ``{0}`` in small letters; :func:`fold` is the function of SQLite's."""
    joined: str
    """Expression of the numbers ``{0}`` of a group, with commas between them."""
    all_rows: str
    """What follows a table's name so that it is read from one end to the other."""
    number_in_json: str
    """Expression of the number ``{1}`` in the JSON object ``{0}``."""
    text_in_json: str
    """Expression of the text ``{1}`` in the JSON object ``{0}``."""
    usage_at: str
    """Expression of the place of the token usage in the JSON of a span ``s``: to parse it takes ten times as long."""
    usage: str
    """Expression of the token usage, and what follows, of a span's ``content`` and ``usage_at``."""
    total: str
    """Expression of the total in such a ``usage``."""
    barrier: str
    """End of a subquery whose expressions are computed before the rows are grouped: else whole spans are sorted."""
    is_in: str
    """Condition that ``{0}`` is in a list, given as :meth:`Tables.listed` makes it."""


SQLITE: Final = Dialect(
    mark="?",
    like="LIKE",
    folded="fold({0})",
    joined="group_concat({0})",
    all_rows=" NOT INDEXED",
    number_in_json="CAST(json_extract({0}, '$.\"{1}\"') AS REAL)",
    text_in_json="json_extract({0}, '$.\"{1}\"')",
    # As bytes, of which SQLite takes parts without looking at each letter.
    usage_at=f"instr(CAST(s.content AS BLOB), x'{_USAGE.encode().hex()}')",
    usage=f"substr(CAST(content AS BLOB), NULLIF(usage_at, 0), {_LONGEST_USAGE})",
    total=(f"CAST(substr(usage, NULLIF(instr(usage, x'{_TOTAL.encode().hex()}'), 0) + {len(_TOTAL)}, 20) AS TEXT) + 0"),
    barrier=" LIMIT -1 OFFSET 0",
    is_in="{0} IN (SELECT value FROM json_each(?))",
)
POSTGRESQL: Final = Dialect(
    mark="%s",
    like="ILIKE",
    folded='lower({0}) COLLATE "C"',
    joined="string_agg(CAST({0} AS text), ',')",
    all_rows="",
    number_in_json="CAST(CAST({0} AS json) ->> '{1}' AS float)",
    text_in_json="(CAST({0} AS json) ->> '{1}')",
    usage_at="0",
    usage=f"substring(content from '{_USAGE.replace('.', '[.]')}[^}}]*')",
    total="CAST(substring(usage from 'total_tokens\\\\\": *([0-9]+)') AS bigint)",
    barrier=" OFFSET 0",
    is_in="{0} = ANY(?)",
)


def fold(text: str | None) -> str | None:
    """Return a text in small letters, of any language; SQLite's own ``lower`` and ``LIKE`` know English ones."""
    return None if text is None else text.casefold()


class Columns(NamedTuple):
    """Expressions of what a revision has of a trace ``t`` and of a span ``s``."""

    name: str
    session: str
    input_tokens: str
    output_tokens: str
    total_tokens: str
    cost: str
    model_of_span: str
    cost_of_span: str


_WITH_COLUMNS: Final = Columns(
    "t.trace_name", "t.session_id", "t.input_tokens", "t.output_tokens", "t.total_tokens", "t.total_cost",
    "s.model_name", "s.total_cost",
)  # fmt: skip


def columns(revision: Revision, dialect: Dialect) -> Columns:
    """Return the expressions for a revision."""
    if not revision.has_metrics:
        return _WITH_COLUMNS
    return Columns(
        name=tag(TraceKey.NAME),
        session=metadata(TraceKey.SESSION),
        input_tokens=_metric("input_tokens"),
        output_tokens=_metric("output_tokens"),
        total_tokens=_metric("total_tokens"),
        cost=dialect.number_in_json.format(metadata(TraceKey.COST), "total_cost"),
        model_of_span=dialect.text_in_json.format("s.dimension_attributes", Attr.MODEL),
        cost_of_span=(
            "(SELECT m.value FROM span_metrics m "
            "WHERE m.trace_id = s.trace_id AND m.span_id = s.span_id AND m.key = 'total_cost')"
        ),
    )


def tag(key: str) -> str:
    """Return the expression of a tag of the trace; ``key`` is a name of MLflow's."""
    return f"(SELECT g.value FROM trace_tags g WHERE g.key = '{key}' AND g.request_id = t.request_id)"  # noqa: S608


def metadata(key: str) -> str:
    """Return the expression of a metadata entry of the trace; ``key`` is a name of MLflow's."""
    return f"(SELECT d.value FROM trace_request_metadata d WHERE d.key = '{key}' AND d.request_id = t.request_id)"  # noqa: S608


def _metric(key: str) -> str:
    return f"(SELECT m.value FROM trace_metrics m WHERE m.request_id = t.request_id AND m.key = '{key}')"  # noqa: S608

"""Generated traces: any tree of runs and of MLflow's own spans, with any values."""

from __future__ import annotations

import json
from typing import Any, Final

from hypothesis import strategies as st

from langchain_autotrace.records import TraceUpdate
from langchain_autotrace.semconv import Attr, Kind, SpanType, Status
from tests.ship.mlflow_support import in_experiment
from tests.ship.support import end, event, start, trace_id

_TEXTS: Final = st.text(max_size=12) | st.sampled_from(
    ["", "\0", "[", "{}", '"x"', "\u2028", "ü" * 1_001, "gpt-4o-mini"]
)
_SCALARS: Final = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXTS
)
_KEYS: Final = _TEXTS | st.sampled_from(["model", "messages", "role", "content", "choices", "input", "request", "text"])
VALUES: Final = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3), max_leaves=8
)
_MESSAGES: Final = st.fixed_dictionaries(
    {"messages": st.lists(st.fixed_dictionaries({"role": st.sampled_from(["user", "ai"]), "content": VALUES}))}
)
_DOCUMENTS: Final = VALUES | VALUES.map(json.dumps) | _MESSAGES | st.fixed_dictionaries({"model": _SCALARS})
_COUNTS: Final = st.dictionaries(
    st.sampled_from(["input_tokens", "output_tokens", "total_tokens", "cache_read_input_tokens", "more"]),
    st.integers(0, 10**6) | _SCALARS,
    max_size=4,
)
_COSTS: Final = st.dictionaries(
    st.sampled_from(["input_cost", "output_cost", "total_cost", "more"]), st.floats(0, 10) | _SCALARS, max_size=4
)
_NAMES: Final = st.sampled_from(
    [
        Attr.CHAT_TOOLS, Attr.MESSAGE_FORMAT, Attr.METADATA, Attr.INVOCATION_PARAMS, Attr.REQUEST_MODEL, Attr.OUTCOME,
        Attr.TAGS, Attr.TRUNCATED + ".inputs", Attr.PLUMBING, Attr.FINISH_REASONS, Attr.SPAN_TYPE, Attr.RESUMES,
        "mine", "gen_ai.response.model", "input.value", "llm.token_count.prompt", "gen_ai.operation.name",
    ]
)  # fmt: skip
_ATTRIBUTES: Final = st.fixed_dictionaries(
    {},
    optional={
        Attr.MODEL: st.sampled_from(["gpt-4o-mini", "unheard-of"]) | VALUES,
        Attr.PROVIDER: st.sampled_from(["openai", "ollama"]) | VALUES,
        Attr.TOKEN_USAGE: _COUNTS | VALUES,
        Attr.COST: _COSTS | VALUES,
        Attr.SESSION: _TEXTS | VALUES,
        Attr.USER: _TEXTS | VALUES,
    },
)
_PAIRS: Final = st.dictionaries(
    _TEXTS | st.sampled_from(["mlflow.trace.session", "mlflow.trace.user", "mlflow.source.name"]), _TEXTS, max_size=3
)
_EVENTS: Final = st.lists(
    st.tuples(
        st.sampled_from(["exception", "chunk", "gen_ai.content.prompt", "tool.output"]) | _TEXTS,
        st.dictionaries(_KEYS | st.sampled_from(["gen_ai.prompt", "output"]), VALUES, max_size=3),
    ),
    max_size=2,
)
_TYPES: Final = [value for name, value in vars(SpanType).items() if name.isupper()]
_STATUSES: Final = st.sampled_from([Status.OK, Status.ERROR])
_TIMES: Final = st.integers(0, 5_000_000).map(lambda micros: micros / 1_000_000)


@st.composite
def _span(draw: st.DrawFn, number: int) -> list[Any]:
    """The records of a span."""
    parent = None if number == 1 else draw(st.integers(1, number - 1))
    started, took = draw(_TIMES), draw(_TIMES)
    ended: dict[str, Any] = {}
    fields: dict[str, Any] = {"inputs": draw(st.just(None) | _DOCUMENTS), "name": draw(_TEXTS)}
    if draw(st.booleans()):
        fields["type"] = draw(st.sampled_from(_TYPES) | _TEXTS.filter(bool))
        fields["attributes"] = {**draw(_ATTRIBUTES), **draw(st.dictionaries(_NAMES, VALUES, max_size=2))}
        ended = {"attributes": {}, "status": draw(_STATUSES), "message": draw(_TEXTS)}
    else:
        fields |= {"kind": draw(st.sampled_from([Kind.CHAIN, Kind.TOOL, Kind.RETRIEVER])), "run_id": "r"}
        fields["tags"] = draw(st.none() | st.lists(_TEXTS, max_size=2))
    if number == 1:
        fields["context"] = in_experiment(tags=draw(_PAIRS), metadata=draw(_PAIRS))
    records: list[Any] = [start(1, number, parent, at=started, **fields)]
    records += [event(1, number, at=started)._replace(name=name, details=details) for name, details in draw(_EVENTS)]
    if number == 1 or draw(st.integers(0, 5)):
        records.append(end(1, number, at=started + took, outputs=draw(st.just(None) | _DOCUMENTS), **ended))
    return records


@st.composite
def records(draw: st.DrawFn) -> list[Any]:
    """The records of a trace, the root's end last."""
    spans = [draw(_span(number)) for number in range(1, draw(st.integers(1, 4)) + 1)]
    update = draw(
        st.none()
        | st.fixed_dictionaries(
            {"tags": _PAIRS, "metadata": _PAIRS},
            optional={"request_preview": _TEXTS, "client_request_id": _TEXTS, "state": _STATUSES},
        )
    )
    updates = [] if update is None else [TraceUpdate(trace_id(1), update)]
    (*first, last), *others = spans
    return [*first, *updates, *(record for span in others for record in span), last]

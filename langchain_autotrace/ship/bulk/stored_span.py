"""Turns a span's values into what MLflow stores of it, as its ``translate_span_when_storing`` does.

MLflow looks into every span for attributes of a dozen other tracers. Spans of LangChain's runs are known to have none,
and are turned here; all others go through MLflow's function.
"""

from __future__ import annotations

import binascii
import functools
import importlib.util
import json
from typing import TYPE_CHECKING, Any, Final

import orjson

from langchain_autotrace.semconv import Attr, SpanType
from langchain_autotrace.ship.mlflow_cost import has_prices

if TYPE_CHECKING:
    from collections.abc import Mapping

_UNREAD: Final = frozenset({
    Attr.INPUTS, Attr.OUTPUTS, Attr.SPAN_TYPE, Attr.TRACE_REQUEST_ID, Attr.CHAT_TOOLS, Attr.TOKEN_USAGE, Attr.COST,
    Attr.MODEL, Attr.PROVIDER, Attr.MESSAGE_FORMAT, Attr.SESSION, Attr.USER, Attr.METADATA, Attr.INVOCATION_PARAMS,
    Attr.FINISH_REASONS, Attr.TIME_TO_FIRST_TOKEN, Attr.REASONING_TOKENS, Attr.OUTCOME,
})  # fmt: skip
"""Attributes that none of MLflow's translators reads."""
_UNREAD_PREFIXES: Final = ("langchain.", "langchain_autotrace.", "langgraph.")
_UNREAD_EVENTS: Final = frozenset({"exception"})
"""Events in which MLflow does not look for inputs and outputs."""
_SIZES: Final = [16, 8, 8]
"""Bytes of the ids of a trace, a span and its parent."""
_OUR_MODEL_KEY: Final = ('"model":',)
"""What an object contains that this package has written, where it has the key "model"."""
_ANY_MODEL_KEY: Final = ('"model"', "\\u")
"""What any JSON contains that has this key, or one whose letters may be escaped."""
_NO_ID: Final = "AAAAAAAAAAA="
_MAY_NEST: Final = ("{", "[", "\\")
"""Beginnings of a string within a string that may be JSON; quotes and line ends are escaped there."""


def stored_span(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the span as MLflow stores it.

    Args:
        values: the span as :func:`~langchain_autotrace.ship.trace_values.trace_values` makes it.
    """
    if not _is_known(values):
        return _translated(values)
    attributes = {key: _unquoted(text) for key, text in values["attributes"].items()}
    if Attr.MODEL not in attributes and (model := _named_model(attributes, values["attributes"])):
        attributes[Attr.MODEL] = json.dumps(model, ensure_ascii=False)
    if Attr.MODEL in attributes and Attr.TOKEN_USAGE in attributes and Attr.COST not in attributes and _may_price():
        return _translated(values)
    end = values["end_time_unix_nano"] or None
    return {**values, "end_time_unix_nano": end, "attributes": attributes, "links": [*map(_link, values["links"])]}


def _is_known(values: Mapping[str, Any]) -> bool:
    attributes = values["attributes"]
    others = attributes.keys() - _UNREAD
    if not all(key.startswith(_UNREAD_PREFIXES) or key == Attr.REQUEST_MODEL for key in others):
        return False
    if Attr.REQUEST_MODEL in attributes and (
        Attr.MODEL not in attributes or attributes[Attr.SPAN_TYPE] == f'"{SpanType.UNKNOWN}"'
    ):
        return False
    return _has_known_ids(values) and _has_known_events(values)


def _has_known_ids(values: Mapping[str, Any]) -> bool:
    ids = (values["trace_id"], values["span_id"], values["parent_span_id"] or values["span_id"])
    return [len(binascii.a2b_base64(one)) for one in ids] == _SIZES and _NO_ID not in ids


def _has_known_events(values: Mapping[str, Any]) -> bool:
    is_whole = Attr.INPUTS in values["attributes"] and Attr.OUTPUTS in values["attributes"]
    return is_whole or all(event["name"] in _UNREAD_EVENTS for event in values["events"])


def _unquoted(text: str) -> str:
    """Return an attribute's text; of a string that is JSON itself, as MLflow does, the string."""
    if not (text.startswith('"') and text[1:].lstrip(" ").startswith(_MAY_NEST)):
        return text
    inner = json.loads(text)
    try:
        return inner if isinstance(json.loads(inner), str | dict | list) else text
    except ValueError:
        return text


def text_of(text: str) -> str:
    """Return the string that an attribute is, of one that is none its JSON."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, str) else text


def _named_model(attributes: Mapping[str, str], given: Mapping[str, str]) -> str | None:
    """Return the field "model" of the inputs or the outputs, which MLflow takes for the name of the model.

    Args:
        attributes: as they are stored.
        given: the same before :func:`_unquoted`.
    """
    for key in (Attr.INPUTS, Attr.OUTPUTS):
        text = attributes.get(key, "")
        hints = _OUR_MODEL_KEY if text is given.get(key) else _ANY_MODEL_KEY
        if not text.lstrip().startswith("{") or not any(hint in text for hint in hints):
            continue
        if model := orjson.loads(text).get("model"):
            return model if isinstance(model, str) else None
    return None


def _may_price() -> bool:
    """Return whether MLflow may know a price that this package does not know."""
    return has_prices() or _has_litellm()


@functools.cache
def _has_litellm() -> bool:
    return importlib.util.find_spec("litellm") is not None


def _link(link: Mapping[str, Any]) -> dict[str, Any]:
    return {"trace_id": link["trace_id"], "span_id": link["span_id"], "attributes": link.get("attributes")}


def _translated(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the span as MLflow's own function turns it."""
    from mlflow.entities import Span  # noqa: PLC0415 - two seconds of imports, and most programs have no such span
    from mlflow.tracing.otel.translation import translate_span_when_storing  # noqa: PLC0415

    translated: dict[str, Any] = translate_span_when_storing(Span.from_dict(dict(values)))
    return translated

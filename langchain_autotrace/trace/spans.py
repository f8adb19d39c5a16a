"""Makes the spans of a joined trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from langchain_autotrace.records import ProcessInfo, SpanEnd, SpanEvent, SpanStart, TraceContext, TraceRecord
from langchain_autotrace.semconv import Attr, Kind, Outcome, SpanType, Status, metadata_of
from langchain_autotrace.trace import chat, usage
from langchain_autotrace.trace.agents import Graphs, graphs
from langchain_autotrace.trace.endings import LOST, Ending, endings
from langchain_autotrace.trace.error_messages import message_text
from langchain_autotrace.trace.interrupts import resume_shown, set_thread, with_interrupts
from langchain_autotrace.trace.owners import set_owners
from langchain_autotrace.trace.plumbing import mark_plumbing
from langchain_autotrace.trace.tool_spans import tool_spans

if TYPE_CHECKING:
    from langchain_autotrace.records import ModelSeen
    from langchain_autotrace.trace.join import JoinedTrace, SpanRecords

_TOOL_PARAMS: Final = ("tools", "functions", "toolConfig")
"""Parameters that hold tools: of most, of OpenAI before them, of Bedrock."""
_PLACEHOLDER: Final = [{"input": ""}]
"""Inputs that LangChain gives the start of a stream: the true ones come with the end."""
_MODELS: Final = frozenset({Kind.CHAT_MODEL, Kind.LLM})
_NO_CONTEXT: Final = TraceContext(experiment=None, experiment_id=None, tags={}, metadata={})


class Event(NamedTuple):
    """Something that happened within a span."""

    name: str
    time_ns: int
    attributes: dict[str, Any]


class Span(NamedTuple):
    """A span, of plain values."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    parent_id: str | None
    name: str
    type: str
    """A value of :class:`~langchain_autotrace.semconv.SpanType`, or MLflow's of a span of its own API."""
    start_ns: int
    """Nanoseconds since the Unix epoch; the same for ``end_ns``."""
    end_ns: int | None
    """None while the span is open."""
    status: str | None
    """OK or ERROR; None while the span is open."""
    message: str
    """The error's text; empty when the status is OK."""
    inputs: list[Any] | None
    """The value in a list; None when it is not known."""
    outputs: list[Any] | None
    """The value in a list; None when there is none."""
    attributes: dict[str, Any]
    """By the names of :class:`~langchain_autotrace.semconv.Attr`, and those that the program has set."""
    events: list[Event]
    links: list[dict[str, Any]]
    """Links of a span of MLflow's own API, as MLflow has them."""


class Trace(NamedTuple):
    """A trace that can be stored, or spans of one that ended after it was stored."""

    trace_id: str
    process: ProcessInfo | None
    root: Span | None
    """None when the root was stored before, or is in another process."""
    spans: list[Span]
    context: TraceContext | None
    """Of the root, or of the first span whose parent is in another process; None for other parts of a trace."""
    update: dict[str, Any]
    """Fields of the trace that the program has set: :class:`~langchain_autotrace.records.TraceUpdate`."""
    models: tuple[ModelSeen, ...]
    """Chains that returned for the first time in it."""
    files: dict[str, str]
    """Files that values refer to: Base64 by their ids."""
    records: tuple[TraceRecord, ...]
    """What it was made of."""
    resumed_thread: str | None = None
    """Id of LangGraph's thread, when the trace resumes an interrupted one."""


def trace_of(joined: JoinedTrace) -> Trace:
    """Return the trace that the records make."""
    ended = endings(joined.records)
    known = graphs(joined.records)
    spans = [_span(one, ended.get(one.start.span_id), known) for one in joined.spans]
    spans = _with_lost_inputs(_with_streamed(spans, joined.spans))
    spans = with_interrupts(spans, joined.spans, ended)
    if joined.root is not None:
        set_owners(spans, joined.spans)
    mark_plumbing(spans, joined.spans, is_whole=joined.root is not None)
    root = next((span for span in spans if joined.root is not None and span.span_id == joined.root.span_id), None)
    resumed = None if root is None else set_thread(root, spans, joined.spans)
    spans += tool_spans(joined, spans)
    contexts = [one.start.context for one in joined.spans if one.start.context is not None]
    return Trace(
        trace_id=joined.trace_id,
        process=joined.process,
        root=root,
        spans=spans,
        context=contexts[0] if contexts else None if root is None else _NO_CONTEXT,
        update={} if joined.update is None else joined.update.fields,
        models=joined.models,
        files={file.file_id: file.content for file in joined.files},
        records=joined.records,
        resumed_thread=resumed,
    )


def _span(records: SpanRecords, ending: Ending | None, known: Graphs) -> Span:
    start, end = records.start, records.end
    is_run = start.kind != Kind.SPAN
    name, kind = known.name_and_type(start) if is_run else (str(start.name), SpanType.UNKNOWN)
    span = Span(
        trace_id=start.trace_id,
        span_id=start.span_id,
        parent_id=start.parent_id,
        name=name,
        type=kind,
        start_ns=start.time_ns,
        end_ns=None if end is None else end.time_ns,
        status=None if ending is None else ending.status,
        message="" if ending is None else ending.message,
        inputs=_inputs(records),
        outputs=_outputs(records),
        attributes=_run_attributes(records) if is_run else {},
        events=[*map(_event, records.events), *_exception(records, ending)],
        links=[],
    )
    if ending is not None and ending.outcome is not None:
        span.attributes[Attr.OUTCOME] = ending.outcome
    if end is not None and (changes := end.details.get("changes")):
        span = _changed(span, changes)
    return span if is_run else _of_mlflow(span, records)


def _event(record: SpanEvent) -> Event:
    return Event(record.name, record.time_ns, record.details)


def _exception(records: SpanRecords, ending: Ending | None) -> list[Event]:
    """Return OpenTelemetry's event of an exception that a run has raised."""
    error = records.end.details.get("error") if records.end is not None else None
    if records.end is None or not error or ending is None or ending.status != Status.ERROR:
        return []
    if ending.outcome == Outcome.LOST:
        return []
    found = {"exception.type": error["classes"][0]}
    if "message" in error:
        found |= {"exception.message": message_text(error), "exception.stacktrace": error.get("stack", "")}
    return [Event("exception", records.end.time_ns, found)]


def _inputs(records: SpanRecords) -> list[Any] | None:
    """Return a span's inputs: those of a stream's step are known at its end only."""
    start, end = records.start, records.end
    given = end.details.get("inputs") if end is not None else None
    given = start.inputs if given is None else given
    if not given or (given == _PLACEHOLDER and end is not None and end.details.get("error") == LOST):
        return None
    if start.kind == Kind.CHAT_MODEL:
        return [chat.chat_inputs(given[0])]
    if start.kind == Kind.TOOL and isinstance(given[0], str):
        return [{"input": given[0]}]
    return [resume_shown(given[0]) if start.details.get("resumes") else given[0]]


def _outputs(records: SpanRecords) -> list[Any] | None:
    start, end = records.start, records.end
    if end is None or not end.outputs:
        return None
    return [chat.chat_answer(end.outputs[0])] if start.kind in _MODELS else [end.outputs[0]]


def _run_attributes(records: SpanRecords) -> dict[str, Any]:
    """Return the attributes of a run's span."""
    details, end = records.start.details, records.end
    found: dict[str, Any] = {}
    if details.get("metadata"):
        found[Attr.METADATA] = details["metadata"]
    if records.start.tags:
        found[Attr.TAGS] = records.start.tags
    if records.start.run_id:
        found[Attr.RUN_ID] = records.start.run_id
    for name, key in _COPIED:
        if details.get(key):
            found[name] = details[key]
    if records.start.kind in _MODELS:
        found |= _model_attributes(details)
        if end is not None:
            found |= _answer_attributes(records.start, end)
    found |= _sizes(records)
    return found


def _sizes(records: SpanRecords) -> dict[str, int]:
    """Return the sizes that values had which were cut, as attributes."""
    ends = {} if records.end is None else records.end.details.get("truncated", {})
    sizes = {**records.start.details.get("truncated", {}), **ends}
    return {f"{Attr.TRUNCATED}.{_FIELDS.get(field, field)}": size for field, size in sizes.items()}


_COPIED: Final = (
    (Attr.PARENT_RUN_ID, "parent_run_id"),
    (Attr.TOOL_CALL_ID, "tool_call_id"),
    (Attr.CONTENT_HASH, "content_hash"),
)
"""Attributes, and the details that they are."""
_FIELDS: Final = {"metadata": "attributes", "tags": "attributes", "params": "attributes"}


def _model_attributes(details: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of a model's call when it starts."""
    found: dict[str, Any] = {Attr.MESSAGE_FORMAT: chat.MESSAGE_FORMAT}
    params, metadata = _params_of(details), metadata_of(details)
    asked = metadata.get("ls_model_name") or usage.model_named(params)
    if asked:
        found[Attr.MODEL] = found[Attr.REQUEST_MODEL] = str(asked)
    provider = metadata.get("ls_provider") or usage.provider_named(params)
    if provider:
        found[Attr.PROVIDER] = str(provider)
    shown = details.get("params")
    if isinstance(shown, dict):
        tools = chat.tools(next((shown[name] for name in _TOOL_PARAMS if shown.get(name)), None))
        if tools:
            found[Attr.CHAT_TOOLS] = tools
        kept = {name: value for name, value in shown.items() if not tools or name not in _TOOL_PARAMS}
        if shown:
            found[Attr.INVOCATION_PARAMS] = kept
    elif shown:
        found[Attr.INVOCATION_PARAMS] = shown
    return found


def _params_of(details: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a model's parameters, as they were before the redact hook."""
    found = details.get("params_facts", details.get("params"))
    return found if isinstance(found, dict) else {}


def _answer_attributes(start: SpanStart, end: SpanEnd) -> dict[str, Any]:
    """Return what is known of a model's call when it ends; a stream that was closed may have no answer."""
    own: dict[str, Any] = {}
    if end.details.get("chunks"):
        own[Attr.CHUNK_COUNT] = end.details["chunks"]
        own[Attr.TIME_TO_FIRST_TOKEN] = (end.details["first_chunk_ns"] - start.time_ns) / 1e9
    result = end.details.get("facts") or (end.outputs[0] if end.outputs else None)
    if not isinstance(result, dict):
        return own
    spent, model = usage.usage_and_model(result)
    if spent.details:
        own[Attr.USAGE_METADATA] = spent.details
    if spent.counts:
        own[Attr.TOKEN_USAGE] = spent.counts
    if spent.reasoning:
        own[Attr.REASONING_TOKENS] = spent.reasoning
    if spent.cached:
        own[Attr.CACHE_HIT] = True
    if model:
        own[Attr.MODEL] = model
    reasons = list(map(chat.finish_reason, chat.generations(result)))
    if any(reasons):
        own[Attr.FINISH_REASONS] = reasons
    return own


def _changed(span: Span, changes: Mapping[str, Any]) -> Span:
    """Return the span with what the program has set on its run through MLflow's API."""
    attributes = {**changes.get("attributes", {})}
    kind = attributes.pop(Attr.SPAN_TYPE, None) or span.type
    return span._replace(
        type=kind,
        inputs=changes.get("inputs") or span.inputs,
        outputs=changes.get("outputs") or span.outputs,
        attributes={**span.attributes, **attributes},
    )


def _of_mlflow(span: Span, records: SpanRecords) -> Span:
    """Return the span of MLflow's own API that the records say: its attributes are MLflow's."""
    details = {**records.start.details, **(records.end.details if records.end is not None else {})}
    started = records.start.details.get("attributes", {})
    attributes = {**started, **details.get("attributes", {}), **span.attributes}
    attributes |= _sizes(records)
    return span._replace(
        type=str(details.get("type") or span.type), attributes=attributes, links=details.get("links") or []
    )


def _with_streamed(spans: list[Span], records: Sequence[SpanRecords]) -> list[Span]:
    """Return the spans, abandoned streams with all that was said: LangChain leaves out the chunk it stopped at."""
    if not _any_ended(spans, Outcome.ABANDONED):
        return spans
    said = _said(spans, records)
    return [
        span._replace(outputs=[said[span.span_id]])
        if span.attributes.get(Attr.OUTCOME) == Outcome.ABANDONED and _is_longer(said.get(span.span_id), span.outputs)
        else span
        for span in spans
    ]


def _any_ended(spans: Sequence[Span], outcome: str) -> bool:
    return any(span.attributes.get(Attr.OUTCOME) == outcome for span in spans)


def _said(spans: Sequence[Span], records: Sequence[SpanRecords]) -> dict[str, str]:
    """Return what the models have streamed, by the ids of their spans and of those above; the first model counts."""
    parents = {span.span_id: span.parent_id for span in spans}
    texts = {one.start.span_id: _streamed_text(one) for one in records}
    found: dict[str, str] = {}
    for one in records:
        span_id: str | None = one.start.span_id
        text = texts[one.start.span_id]
        while text and span_id is not None and span_id not in found:
            found[span_id] = texts.get(span_id) or text
            span_id = parents.get(span_id)
    return found


def _streamed_text(records: SpanRecords) -> str:
    end = records.end
    if end is None:
        return ""
    if isinstance(chunks := end.details.get("streamed"), list):
        return "".join(map(chat.text_of, chunks))
    if not end.details.get("chunks"):
        return ""
    answers = chat.generations(end.outputs[0]) if end.outputs and isinstance(end.outputs[0], dict) else []
    message = answers[0].get("message") if answers else None
    return chat.text_of(message.get("content")) if isinstance(message, dict) else ""


def _is_longer(said: str | None, outputs: list[Any] | None) -> bool:
    return bool(said) and (
        not outputs or outputs[0] is None or (isinstance(outputs[0], str) and str(said).startswith(outputs[0]))
    )


def _with_lost_inputs(spans: list[Span]) -> list[Span]:
    """Return the spans; a step of a stream that was lost has the inputs of its first child, which were the same."""
    if not _any_ended(spans, Outcome.LOST):
        return spans
    given: dict[str | None, list[Any]] = {}
    made: list[Span] = []
    for span in reversed(spans):  # children come before their parents, the first one last
        is_lost = span.attributes.get(Attr.OUTCOME) == Outcome.LOST
        shown = span._replace(inputs=given.get(span.span_id)) if is_lost and span.inputs is None else span
        if shown.inputs is not None:
            given[span.parent_id] = shown.inputs
        made.append(shown)
    return made[::-1]

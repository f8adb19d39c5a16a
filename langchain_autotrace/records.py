"""Records that pass from capture and the bridge through the journal to the stages behind it.

A run is written as two records, :class:`SpanStart` and :class:`SpanEnd`, with any number of :class:`SpanEvent` between
them, so that a process that dies leaves behind what was in flight. They say what LangChain said; spans are made of them
in ``trace/``. All times are nanoseconds since the Unix epoch. Ids are lower-case hexadecimal text: 32 digits for a
trace, 16 for a span, as in W3C Trace Context; a line may have the run ids that they are made of (``ids.py``) in their
place. Every other value is plain: what JSON holds, scrubbed and cut to size.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias, TypedDict

START: Final = "start"
EVENT: Final = "event"
END: Final = "end"
"""Kinds of the lines of :class:`SpanStart`, :class:`SpanEvent` and :class:`SpanEnd`."""


class TraceContext(TypedDict):
    """What the first span of a trace, or of a trace's part in another process, says of the whole trace."""

    experiment: str | None
    """Name of the MLflow experiment; None for the one that ``experiment_id`` names."""
    experiment_id: str | None
    """Id of the MLflow experiment; None with ``experiment=None`` means MLflow's default experiment."""
    tags: dict[str, str]
    """Trace tags."""
    metadata: dict[str, str]
    """Trace metadata (immutable in MLflow), beside what the shipper adds about the process."""


class SpanStart(NamedTuple):
    """A run has started, or a span of MLflow's own API."""

    trace_id: str
    span_id: str
    parent_id: str | None
    """None for the root of the trace."""
    time_ns: int
    kind: str
    """A value of ``semconv.Kind``."""
    name: str | None
    """None when LangChain gave no name: ``details["class"]`` has the name of the class then."""
    run_id: str | None
    """LangChain's id of the run; None for a span of MLflow's. Left out of a line where the span's id is made of it."""
    tags: list[str] | None
    """LangChain's tags of the run."""
    context: TraceContext | None
    """Given on the root of a trace, and on a span whose parent is in another process."""
    inputs: list[Any] | None
    """The value in a list; None when it comes with the end or is not captured."""
    details: dict[str, Any]
    """What else was said.

    Of a run: ``parent_run_id`` (of a parent that is not traced), ``metadata``, ``class``, ``run_type``, ``params``
    (invocation parameters of a model), ``tool_call_id``, ``session_id`` and ``user_id`` (given by ``context()``),
    ``configurable`` and ``agent_context`` (session and user that a root's config or a graph's ``context`` names, by
    ``semconv.SESSION_KEYS`` and ``USER_KEYS``), ``resumes`` (whether a graph's inputs resume it), ``content_hash``;
    ``content`` is False where values are not captured.
    Of a span of MLflow's: ``type``, ``attributes``.
    Of both: ``truncated``, the sizes in bytes that cut values had, by ``inputs`` or the name of the detail.
    """


class SpanEvent(NamedTuple):
    """Something happened within an open span."""

    trace_id: str
    span_id: str
    time_ns: int
    name: str
    details: dict[str, Any]
    """Attributes of the event."""


class SpanEnd(NamedTuple):
    """A run or span has ended."""

    trace_id: str
    span_id: str
    time_ns: int
    outputs: list[Any] | None
    """The value in a list; None when there is none or it is not captured."""
    details: dict[str, Any]
    """What else was said.

    Of a run: ``inputs`` (in a list, when they were not known at the start), ``error`` (:class:`ErrorFacts`), ``chunks``
    and ``first_chunk_ns`` of a streamed answer, ``streamed`` (the text of one that was not finished), ``interrupts``
    (``value`` and ``id`` of what an interrupted graph asks), ``stopped`` (the nodes
    ``before`` which a graph has stopped, or ``after`` which it was to stop and the ``next`` ones), ``facts`` (token
    usage, models and reasons, where the redact hook may have changed the value that holds them), ``changes``
    (what the program has set on the run through MLflow's API: ``attributes``, ``status``, ``message``, ``inputs`` and
    ``outputs`` in lists); ``content`` is False where values are not captured.
    Of a span of MLflow's: ``inputs``, ``type``, ``attributes``, ``links``, ``status``, ``message``.
    Of both: ``truncated`` as in :class:`SpanStart`.
    """


class ErrorFacts(TypedDict, total=False):
    """What is known of an exception that a run has raised."""

    classes: list[str]
    """Its class and the base classes, each as ``module.name``; of Python's own only the name."""
    message: str
    """Its text."""
    stack: str
    """Its stack trace, with its causes. Left out where the exception steers a graph or a stream."""
    causes: list[ErrorFacts]
    """Of an exception group: the first exceptions in it and in groups within it, without their stack traces."""


class TraceFile(NamedTuple):
    """A file that values of a trace refer to by its id (``mlflow.tracing.attachments``). It comes before the first."""

    trace_id: str
    file_id: str
    content: str
    """Its bytes in Base64."""


class TraceUpdate(NamedTuple):
    """Fields that the program has set on an open trace. The last record counts."""

    trace_id: str
    fields: dict[str, Any]
    """``tags`` and ``metadata``, in place of the context's, and those of ``client_request_id``, ``request_preview``,
    ``response_preview``, ``state`` (OK or ERROR) and ``name`` that were set."""


class ModelForm(TypedDict):
    """Description of a chain that is to be logged as an MLflow model."""

    name: str
    """Name of its run, if the program gave one, or else of the chain, its prompt, or its steps."""
    steps: list[str]
    """Names of its steps, or of a graph's nodes."""
    chain: Any
    """The tree that ``models/revive.py`` builds it from."""
    problems: list[list[str]]
    """Why it cannot be built again: path, class or function, and reason of each part."""
    left_out: list[str]
    """Paths of values that were not written because they look like secrets."""
    secrets: list[str]
    """Environment variables that it reads its keys from."""
    packages: list[str]
    """Top-level packages that its parts come from."""
    params: dict[str, str]
    """Parameters of its models."""
    example: list[Any] | None
    """The first input, in a list; None when it was not asked for, or has no form in JSON."""
    signature: dict[str, str | None] | None
    """As in an MLmodel file."""
    code: list[list[str]] | None
    """Name and text of each file that may build it; None where the program has named none."""
    code_paths: list[list[str]]
    """Path, relative to the model's folder of code, and text of each file to copy into the model."""
    search_path: list[str]
    """The program's ``sys.path``, to find its modules again."""
    registered_model_name: str | None
    tags: dict[str, str]


class ModelSeen(NamedTuple):
    """A chain has returned for the first time in its process, and is to be logged as an MLflow model."""

    trace_id: str
    """The trace of that run."""
    content_hash: str
    """Hash of the chain, 64 hexadecimal digits: the same for the same chain in another process."""
    form: ModelForm


class PendingModel(NamedTuple):
    """A chain to log as an MLflow model, and traces to link to that model, after the traces were stored.

    The shipper keeps it in the checkpoint of the process until it is done.
    """

    trace_id: str
    """The trace whose delivery made it, as the journal names it."""
    experiment_id: str
    """Id of the MLflow experiment of its traces."""
    content_hash: str
    """As in :class:`ModelSeen`. Together with the experiment it identifies a model."""
    run_id: str | None
    """Id of the MLflow run of its trace; None when it has none."""
    trace_ids: list[str]
    """MLflow's ids (``tr-…``) of stored traces of the chain that do not name a model."""
    form: ModelForm | None
    """The description to log; None when traces are only to be linked, if there is such a model."""
    flushed: int = 0
    """Number of the last flush request that was answered before it was made."""


class Flush(NamedTuple):
    """The process asks for delivery of everything before this record, and waits for the answer."""

    number: int
    """Counts up from 1 within a process."""


class ProcessInfo(NamedTuple):
    """The first record of every journal file: the process that writes it."""

    pid: int
    host: str
    started_ns: int
    user: str
    source: str
    """The program: ``sys.argv[0]`` or the notebook's marker, MLflow's ``mlflow.source.name``."""
    folder: str
    """The working folder, from which the shipper reads the git commit."""
    package: str
    """Version of langchain_autotrace that wrote the file."""


TraceRecord: TypeAlias = SpanStart | SpanEvent | SpanEnd | TraceFile | TraceUpdate | ModelSeen
"""A record that belongs to a trace."""
Record: TypeAlias = ProcessInfo | TraceRecord | Flush

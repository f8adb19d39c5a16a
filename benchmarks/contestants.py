"""How each tracer is switched on, by its own documentation, with its default settings.

A contestant is a function of a `Place`. It does its imports and returns `begin`, which switches the tracer on and
returns the `Tracer` in use; so a caller can leave the imports out of what it measures, or not.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import urllib.request
from contextlib import closing
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plan import BEFORE_VARIABLE
from sink import COUNTED

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.runnables import RunnableConfig

EXPERIMENT = "benchmark"
FLUSH_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Place:
    """Where one process may put things."""

    sink: str
    """Base address of the local HTTP sink, ending in this process's tag."""
    folder: Path
    """An empty folder of its own."""
    name: str = "traces"
    """Of the database."""
    server: str = ""
    """Address of a PostgreSQL server that has the database; empty for SQLite."""

    @property
    def database(self) -> Path:
        """The SQLite file of the contestants that write to one."""
        return self.folder / f"{self.name}.db"

    @property
    def tracking_uri(self) -> str:
        """The database, as MLflow names it."""
        return f"postgresql+psycopg2://{self.server}/{self.name}" if self.server else f"sqlite:///{self.database}"

    def connect(self) -> Any:
        """Open the database."""
        if not self.server:
            return sqlite3.connect(self.database, timeout=60)
        import psycopg2

        return psycopg2.connect(f"postgresql://{self.server}/{self.name}")

    @property
    def journal(self) -> Path:
        """The journal's folder, by which the shipper's process is found."""
        return self.folder / "journal"


def _nothing() -> None:
    """Flush a tracer that holds nothing back."""


@dataclass(frozen=True, slots=True)
class Tracer:
    """A tracer that is switched on."""

    config: RunnableConfig = field(default_factory=dict)  # type: ignore[assignment]
    """What each run has to be called with; empty unless the tracer is attached run by run."""
    flush: Callable[[], None] = _nothing
    """Return once everything captured has left the process, or raise."""
    stored: Callable[[], int] | None = None
    """Spans that have arrived at their destination so far; None for what traces nothing."""


def spans_in_database(place: Place) -> int:
    """Count the spans in an MLflow database; 0 as long as there is none."""
    return _query(place, "SELECT count(*) FROM spans")


def traces_in_database(place: Place) -> int:
    """Count the finished traces in an MLflow database; 0 as long as there is none."""
    return _query(place, "SELECT count(*) FROM trace_info WHERE status <> 'IN_PROGRESS'")


def _query(place: Place, question: str) -> int:
    if not place.server and not place.database.exists():
        return 0
    with closing(place.connect()) as connection:
        cursor = connection.cursor()
        try:
            cursor.execute(question)
            return int(cursor.fetchone()[0])
        except Exception as error:
            if "no such table" in str(error) or "does not exist" in str(error):
                return 0
            raise


def spans_at_sink(place: Place) -> int:
    """Count the spans that this process's tag has sent to the sink."""
    with urllib.request.urlopen(f"{place.sink}/{COUNTED}") as answer:
        return int(json.load(answer)["spans"])


def off(_place: Place) -> Callable[[], Tracer]:
    """Trace nothing: what the program costs by itself, with MLflow's own spans switched off where it has some."""

    def begin() -> Tracer:
        if "mlflow" in sys.modules:
            sys.modules["mlflow"].tracing.disable()
        return Tracer()

    return begin


def noop(_place: Place) -> Callable[[], Tracer]:
    """Attach a handler whose callbacks do nothing: what LangChain asks for any tracer at all."""
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.tracers.context import register_configure_hook

    class NoopHandler(BaseCallbackHandler):
        run_inline = True

        def on_chat_model_start(self, *_args: Any, **_kwargs: Any) -> None:
            """Do nothing: the inherited one raises, and LangChain then calls `on_llm_start` with the text."""

    def begin() -> Tracer:
        handler = NoopHandler()
        holder: ContextVar[BaseCallbackHandler | None] = ContextVar("noop", default=handler)  # other threads see it too
        register_configure_hook(holder, inheritable=True, handle_class=NoopHandler)
        return Tracer()

    return begin


def ours(place: Place, **settings: Any) -> Callable[[], Tracer]:
    """Journal, and deliver to the database by the shipper process."""
    os.environ["LANGCHAIN_AUTOTRACE_HOME"] = str(place.journal)
    import langchain_autotrace

    def flush() -> None:
        report = langchain_autotrace.flush(timeout=FLUSH_SECONDS)
        if not report.ok:
            message = f"flush left {report.pending} pending after delivering {report.delivered}"
            raise RuntimeError(message)

    def begin() -> Tracer:
        langchain_autotrace.autolog(experiment=EXPERIMENT, tracking_uri=place.tracking_uri, **settings)
        return Tracer(flush=flush, stored=partial(spans_in_database, place))

    return begin


def before(place: Place) -> Callable[[], Tracer]:
    """Another version of this package, as ``ours``: it is in the folder that AUTOTRACE_BEFORE names."""
    folder = os.environ[BEFORE_VARIABLE]
    sys.path.insert(0, folder)
    os.environ["PYTHONPATH"] = folder  # its shipper too
    return ours(place)


def ours_thread(place: Place) -> Callable[[], Tracer]:
    """Journal, and deliver to SQLite by a thread of the application."""
    return ours(place, shipper="thread")


def ours_models(place: Place) -> Callable[[], Tracer]:
    """The same as ``ours``, with chains logged as models."""
    return ours(place, log_models=True, log_input_examples=True)


def skinny(contestant: Callable[[Place], Callable[[], Tracer]]) -> Callable[[Place], Callable[[], Tracer]]:
    """Make the contestant one without pandas, as with mlflow-skinny."""

    def without_pandas(place: Place) -> Callable[[], Tracer]:
        sys.modules["pandas"] = None  # type: ignore[assignment] # how an import is made to fail
        return contestant(place)

    return without_pandas


def mlflow_alone(place: Place) -> Callable[[], Tracer]:
    """MLflow's own spans alone on SQLite: its autologging needs pandas."""
    import mlflow as package

    def begin() -> Tracer:
        package.set_tracking_uri(place.tracking_uri)
        package.set_experiment(EXPERIMENT)
        return Tracer(flush=package.flush_trace_async_logging, stored=partial(spans_in_database, place))

    return begin


def mlflow(place: Place) -> Callable[[], Tracer]:
    """MLflow's own autologging on SQLite; its asynchronous logging is on by default."""
    import mlflow as package
    import mlflow.langchain

    def begin() -> Tracer:
        package.set_tracking_uri(place.tracking_uri)
        package.set_experiment(EXPERIMENT)
        mlflow.langchain.autolog()
        return Tracer(flush=package.flush_trace_async_logging, stored=partial(spans_in_database, place))

    return begin


def openinference(place: Place) -> Callable[[], Tracer]:
    """OpenInference's instrumentor, a batch processor, OTLP over HTTP."""
    from openinference.instrumentation.langchain import LangChainInstrumentor

    return _opentelemetry(place, LangChainInstrumentor)


def openllmetry(place: Place) -> Callable[[], Tracer]:
    """OpenLLMetry's instrumentor, a batch processor, OTLP over HTTP."""
    from opentelemetry.instrumentation.langchain import LangchainInstrumentor

    return _opentelemetry(place, LangchainInstrumentor)


def _opentelemetry(place: Place, instrumentor: Callable[[], Any]) -> Callable[[], Tracer]:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    def begin() -> Tracer:
        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{place.sink}/v1/traces")))
        instrumentor().instrument(tracer_provider=provider)

        def flush() -> None:
            provider.force_flush(FLUSH_SECONDS * 1000)

        return Tracer(flush=flush, stored=partial(spans_at_sink, place))

    return begin


def langfuse(place: Place) -> Callable[[], Tracer]:
    """Langfuse's callback handler, given to each run as its documentation shows."""
    from langfuse import Langfuse
    from langfuse.langchain import CallbackHandler

    def begin() -> Tracer:
        client = Langfuse(public_key="pk-lf-benchmark", secret_key="sk-lf-benchmark", base_url=place.sink)
        return Tracer(
            config={"callbacks": [CallbackHandler()]}, flush=client.flush, stored=partial(spans_at_sink, place)
        )

    return begin


def langsmith(place: Place) -> Callable[[], Tracer]:
    """LangSmith by its environment variables; they are read once, so they are set before anything runs."""
    os.environ["LANGSMITH_TRACING"] = "true"
    os.environ["LANGSMITH_ENDPOINT"] = place.sink
    os.environ["LANGSMITH_API_KEY"] = "benchmark"
    os.environ["LANGSMITH_PROJECT"] = EXPERIMENT
    from langchain_core.tracers.langchain import wait_for_all_tracers

    def begin() -> Tracer:
        return Tracer(flush=wait_for_all_tracers, stored=partial(spans_at_sink, place))

    return begin


CONTESTANTS: dict[str, Callable[[Place], Callable[[], Tracer]]] = {
    "off": off,
    "noop": noop,
    "ours": ours,
    "before": before,
    "ours-thread": ours_thread,
    "ours-models": ours_models,
    "ours-skinny": skinny(ours),
    "mlflow": mlflow,
    "mlflow-skinny": skinny(mlflow_alone),
    "openinference": openinference,
    "openllmetry": openllmetry,
    "langfuse": langfuse,
    "langsmith": langsmith,
}
"""Every contestant by its name in the tables."""

"""The sink of tracking servers: new traces over kept connections, and everything else through MLflow's API."""

from __future__ import annotations

import gzip
import itertools
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import orjson
from requests.exceptions import ConnectTimeout

from langchain_autotrace.ids import TRACE_ID_PREFIX
from langchain_autotrace.ship.pending_models import StoredTrace, stored_trace
from langchain_autotrace.ship.python import is_shutdown
from langchain_autotrace.ship.reach import unreachable
from langchain_autotrace.ship.rest.answers import LeaveToMlflowError, is_not_found, is_taken, json_of
from langchain_autotrace.ship.rest.connection import CONNECTIONS, Connection
from langchain_autotrace.ship.rest.messages import otlp_spans, start_trace
from langchain_autotrace.ship.reused_ids import is_new
from langchain_autotrace.ship.trace_values import trace_values
from langchain_autotrace.ship.two_ways import TwoWaySink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from langchain_autotrace.records import TraceContext
    from langchain_autotrace.ship.mlflow_sink import MlflowSink
    from langchain_autotrace.trace.spans import Trace

_T = TypeVar("_T")
_G = TypeVar("_G")

_logger: Final = logging.getLogger("langchain_autotrace.ship")

_EXPERIMENT: Final = "/api/2.0/mlflow/experiments/get"
_EXPERIMENT_BY_NAME: Final = "/api/2.0/mlflow/experiments/get-by-name"
_NEW_EXPERIMENT: Final = "/api/2.0/mlflow/experiments/create"
_TRACES: Final = "/api/3.0/mlflow/traces"
_MODELS: Final = "/api/2.0/mlflow/logged-models"
_SPANS: Final = "/v1/traces"
_DEFAULT_EXPERIMENT: Final = "0"
_JSON: Final = {"Content-Type": "application/json"}
_PROTOBUF: Final = {"Content-Type": "application/x-protobuf"}
_GZIP: Final = {"Content-Encoding": "gzip"}
_GZIP_LEVEL: Final = 1
_NO_GZIP: Final = frozenset({400, 415})
"""What a server answers that does not know gzip: until MLflow 3.6, it takes it for a damaged message."""
_LEFT_SECONDS: Final = 600.0
"""How long everything goes through MLflow's API to a server that is old, or has a file store."""
_PART_TRACES: Final = 64
_PART_BYTES: Final = 1_000_000
"""Largest body before it is gzipped; web servers in front of MLflow's often take no more than 1 MB."""

_Target = tuple[str | None, str | None]
"""Name and id of an experiment, of which one or both are None."""


class _Message(NamedTuple):
    """A trace, ready to be sent."""

    as_stored: StoredTrace
    row: bytes
    spans: bytes


class RestSink(TwoWaySink):
    """A sink that stores traces at one tracking server.

    Attributes:
        in_bulk: number of traces stored without MLflow's client.
    """

    def __init__(self, tracking_uri: str, open_public: Callable[[], MlflowSink]) -> None:
        """Store to a server. The first batch connects.

        Args:
            tracking_uri: the server's.
            open_public: imports MLflow and returns the sink that uses its API.
        """
        super().__init__(tracking_uri, open_public)
        self._server = Connection(tracking_uri)
        self._experiments: dict[_Target, str] = {}
        self._left_until = float("-inf")
        """Until when everything goes through MLflow's API, as the server has not the endpoints that are used here."""
        self._takes_gzip = True

    def _write_new(self, batch: Sequence[Trace]) -> list[Trace]:
        """Send the traces, each with all that it has; return those whose experiment does not exist or was deleted."""
        return self._asked(self._send, batch) or []

    def _prepare(self, contexts: Sequence[TraceContext | None]) -> bool:
        """Create the experiments of traces; return whether the server was asked to."""
        names = sorted({context["experiment"] for context in contexts if context and context["experiment"]})
        return bool(self._asked(self._create, names))

    def _asked(self, ask: Callable[[Any], _T], given: Sequence[Any]) -> _T | None:
        """Return what the server makes of what is given; None where it is left to MLflow's client.

        Raises:
            SinkUnavailable: the server does not answer, or is in trouble.
        """
        if not given or time.monotonic() < self._left_until:
            return None
        try:
            self._server.renew()
            return ask(given)
        except LeaveToMlflowError as error:
            self._experiments.clear()
            if error.has_no_endpoint:
                self._left_until = time.monotonic() + _LEFT_SECONDS
        except (OSError, HTTPException) as error:  # the errors of requests are OSErrors too
            connecting, answering = self._server.timeout
            timeout = connecting if isinstance(error, ConnectTimeout) else answering
            raise unreachable(self._uri, error, timeout=timeout) from error
        except ValueError as error:
            _logger.debug("left to MLflow's client, to say what is wrong with its settings: %s", error)
        return None

    def _send(self, batch: Sequence[Trace]) -> list[Trace]:
        targets = {target: self._experiment(*target) for target in {_target(trace) for trace in batch}}
        messages = list(_messages(batch, targets, self._known.linking(self._has_model)))
        is_started = [False] * len(messages)
        _in_parallel(self._start, messages, is_started)
        started = list(itertools.compress(messages, is_started))
        parts = list(_parts(started))
        is_stored = [False] * len(parts)
        try:
            _in_parallel(self._log_spans, parts, is_stored)
        finally:
            self._note_written(message.as_stored for part in itertools.compress(parts, is_stored) for message in part)
        if len(started) < len(messages):
            self._experiments.clear()  # the reason may be that one of them was deleted
        return [trace for trace in batch if targets[_target(trace)] is None]

    def _experiment(self, name: str | None, experiment_id: str | None) -> str | None:
        """Return the id of an experiment; None when there is none that is active."""
        found = self._experiments.get((name, experiment_id))
        if found is None:
            if name is not None:
                response = self._server.get(_EXPERIMENT_BY_NAME, experiment_name=name)
            else:
                response = self._server.get(_EXPERIMENT, experiment_id=experiment_id or _DEFAULT_EXPERIMENT)
            if is_not_found(response) or not is_taken(self._uri, response):
                return None
            experiment = json_of(response).get("experiment")
            if experiment is None:
                raise LeaveToMlflowError(response)
            if experiment["lifecycle_stage"] != "active":
                return None
            found = self._experiments[name, experiment_id] = str(experiment["experiment_id"])
        return found

    def _create(self, names: Sequence[str]) -> bool:
        """Create experiments. One that the server refuses exists by now, or was deleted: the next look will tell."""
        for name in names:
            is_taken(self._uri, self._server.post(_NEW_EXPERIMENT, orjson.dumps({"name": name}), _JSON))
        return True

    def _start(self, message: _Message) -> bool:
        """Write the trace's row; return False where MLflow's API is to do it, or to say what is wrong with it."""
        trace = message.as_stored.trace
        if not is_new(trace) and self._has(trace):
            return False
        response = self._server.post(_TRACES, message.row, _JSON)
        if not is_taken(self._uri, response):
            return False
        if "trace" not in json_of(response):
            raise LeaveToMlflowError(response)
        return True

    def _has(self, trace: Trace) -> bool:
        response = self._server.get(f"{_TRACES}/{TRACE_ID_PREFIX}{trace.trace_id}")
        return not is_not_found(response) and is_taken(self._uri, response)

    def _has_model(self, model_id: str) -> bool:
        """Return whether the server has a model; True when it does not say: a model costs no trace."""
        try:
            return not is_not_found(self._server.get(f"{_MODELS}/{model_id}"))
        except (OSError, HTTPException) as error:
            _logger.debug("could not look up a model: %s", error)
            return True

    def _log_spans(self, part: Sequence[_Message]) -> bool:
        """Write the spans of traces of one experiment; return False where MLflow's API is to do it."""
        headers = {**_PROTOBUF, "x-mlflow-experiment-id": part[0].as_stored.experiment_id}
        body = b"".join(message.spans for message in part)
        if self._takes_gzip:
            response = self._server.post(_SPANS, gzip.compress(body, _GZIP_LEVEL), headers | _GZIP)
            if response.status not in _NO_GZIP:
                return is_taken(self._uri, response)
        response = self._server.post(_SPANS, body, headers)
        self._takes_gzip = self._takes_gzip and response.status != HTTPStatus.OK
        return is_taken(self._uri, response)


def _in_parallel(send: Callable[[_G], bool], given: Sequence[_G], results: list[bool]) -> None:
    """Send all that is given, several at a time; raise what the first one raises, with the results of others so far.

    At the end of a program, where no thread starts any more, one after the other.
    """
    left = iter(range(len(given)))

    def work() -> None:
        try:
            for index in left:
                results[index] = send(given[index])
        finally:
            for _ in left:  # after an error the others stop, too
                pass

    if len(given) > 1:
        try:
            # Each thread has its share in one piece of work, as waiting for each request's result takes CPU.
            with ThreadPoolExecutor(CONNECTIONS) as pool:
                for done in [pool.submit(work) for _ in range(min(CONNECTIONS, len(given)))]:
                    done.result()
        except RuntimeError as error:
            if not is_shutdown(error):
                raise
    work()


def _target(trace: Trace) -> _Target:
    return (None, None) if trace.context is None else (trace.context["experiment"], trace.context["experiment_id"])


def _messages(
    batch: Sequence[Trace], targets: Mapping[_Target, str | None], link: Callable[[StoredTrace], None]
) -> Iterator[_Message]:
    """Yield the messages of traces that have an experiment and can be sent."""
    for trace in batch:
        experiment_id = targets[_target(trace)]
        if experiment_id is None:
            continue
        try:
            values = trace_values(trace)
            if values.info is not None:
                as_stored = stored_trace(trace, values, experiment_id)
                link(as_stored)
                yield _Message(as_stored, start_trace(values.info, experiment_id), otlp_spans(values.spans))
        except Exception:  # noqa: BLE001, S112 - whatever is wrong with a trace, MLflow's API says what it is
            continue


def _parts(messages: Sequence[_Message]) -> Iterator[list[_Message]]:
    """Yield the messages in parts, each of one experiment and not too large for one request."""
    part: list[_Message] = []
    size = 0
    for message in sorted(messages, key=lambda one: one.as_stored.experiment_id):
        is_other = part and part[0].as_stored.experiment_id != message.as_stored.experiment_id
        if is_other or len(part) == _PART_TRACES or (part and size + len(message.spans) > _PART_BYTES):
            yield part
            part, size = [], 0
        part.append(message)
        size += len(message.spans)
    if part:
        yield part

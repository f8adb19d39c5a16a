"""Log chains as MLflow LoggedModels: each content once per experiment, completely or not at all.

The hash of the content is a tag. The store is searched for it before a model is created, so that another process, or
the same one another day, finds the same model. A crash leaves the model PENDING, and the next shipper completes it.

Models are logged after their traces were stored, which are then linked to them. So no failure here can reject or delay
a trace: it is noted, and the unfinished model is deleted.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from mlflow.entities import LoggedModel, LoggedModelStatus
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from langchain_autotrace.records import ModelForm, ModelSeen, PendingModel
from langchain_autotrace.redaction import error_line
from langchain_autotrace.semconv import LOADABLE_TAG, REASON_TAG
from langchain_autotrace.ship.known_models import Key, KnownModels, key_of
from langchain_autotrace.ship.mlflow_errors import is_not_found, unavailable
from langchain_autotrace.ship.model_errors import StepError, at_step, is_final
from langchain_autotrace.ship.model_links import Link, link_earlier, link_traces
from langchain_autotrace.ship.model_store import ModelStore
from langchain_autotrace.ship.rebuild_process import Rebuilding

if TYPE_CHECKING:
    from langchain_autotrace.ship.pending_models import StoredTrace

_logger: Final = logging.getLogger("langchain_autotrace.ship")

_MAX_SEEN: Final = 100
_TRIES: Final = 3
"""How often a model is tried while the store answers."""

_FIXES: Final = {
    "search": "Models need a store of MLflow 3 or newer, and permission to read models in it",
    "rebuild": "Check that another Python process can be started",
    "create": "Check that you have permission to create models in the experiment",
    "upload": "Check that the experiment's artifact location is writable from here",
    "finalize": "Check that neither the run nor the model has been deleted",
}
"""Step -> advice for the user when it has failed."""


class ModelLog:
    """A writer of models to one store, which also links traces to their models. Logs in one thread at a time.

    Attributes:
        known: the models that were logged or found, or could not be logged.
    """

    def __init__(self, tracking_uri: str, known: KnownModels) -> None:
        self.known = known
        self._uri = tracking_uri
        self._store = ModelStore(tracking_uri)
        self._seen: dict[Key, ModelSeen] = {}
        """The last descriptions of chains, for models that are deleted while the program runs."""
        self._tries: Counter[Key] = Counter()
        self._rebuilding: dict[Key, Rebuilding] = {}

    # Called while traces are written.

    def link(self, traces: Sequence[StoredTrace]) -> None:
        """Set the model id in the metadata of new traces whose model is known, unless the program has set one."""
        link = self.known.linking(self._exists)
        for trace in traces:
            link(trace)

    def _exists(self, model_id: str) -> bool:
        """Return whether the store has a model; True when it cannot be asked: storing the traces will say why."""
        try:
            self._store.client.get_logged_model(model_id)
        except Exception as error:  # noqa: BLE001 - a model costs no trace
            _logger.debug("could not look up a model: %s", error)
            return not is_not_found(error)
        return True

    # Called in a thread of its own.

    def log(self, models: Iterable[PendingModel], link: Link | None = None) -> None:
        """Log chains as models, unless their experiment has that model, and link their traces to them.

        Args:
            models: the chains and traces.
            link: a faster way to link traces than MLflow's API.

        Raises:
            SinkUnavailable: the store is down, or may do better later. Retry the call.
        """
        groups: dict[Key, list[PendingModel]] = defaultdict(list)
        for model in models:
            groups[key_of(model)].append(model)
        self._start_rebuilding(groups)
        for key, group in groups.items():
            self._log_group(key, group, link)

    def _start_rebuilding(self, groups: Mapping[Key, Sequence[PendingModel]]) -> None:
        """Start one process that rebuilds all chains that need it: most of its time is its start."""
        new: dict[Key, ModelSeen] = {}
        for key, group in groups.items():
            with contextlib.suppress(Exception):  # raised again, and reported, when the model is logged
                seen = _seen(group)
                if seen is not None and key not in self._rebuilding and self._is_to_rebuild(key, seen.form):
                    new[key] = seen
        if new:
            started = Rebuilding(list(new.values()))
            self._rebuilding |= dict.fromkeys(new, started)

    def _is_to_rebuild(self, key: Key, form: ModelForm) -> bool:
        found = None if key in self.known.ids else self._store.find(*key)
        return key not in self.known.ids and not _is_complete(found, form)

    def _log_group(self, key: Key, group: Sequence[PendingModel], link: Link | None) -> None:
        """Log one chain and link its traces; retry, or report what fails."""
        try:
            found = self.known.ids.get(key)
            model_id = found or self._log_or_find(key, group)
            if model_id is not None:
                self.known.ids[key] = model_id
                self._link(key, [one for model in group for one in model.trace_ids], link, is_new=found is None)
        except StepError as error:
            self._tries[key] += 1
            if self._may_succeed_later(key, error.cause):
                raise unavailable(self._uri, error.cause) from error
            self._give_up(key, group, error)
        else:
            self.known.failed.discard(key)
        self._tries.pop(key, None)
        self._rebuilding.pop(key, None)

    def _link(self, key: Key, trace_ids: Sequence[str], link: Link | None, *, is_new: bool) -> None:
        """Link traces to their model; of a model that was not known before, those too that were stored earlier."""
        model_id = self.known.ids[key]
        try:
            with at_step("link"):
                link_traces(self._store.client, trace_ids, model_id, link)
        finally:
            if is_new:
                self._link_earlier(key, model_id, link)

    def _may_succeed_later(self, key: Key, error: Exception) -> bool:
        """Return whether to retry: the store is down, or fails at this model in a way that may pass."""
        if is_final(error):
            return False
        if self._tries[key] < _TRIES:
            return True
        try:
            self._store.client.get_experiment(key[0])
        except Exception as down:  # noqa: BLE001 - whatever it is, the store does not answer
            return not is_final(down)
        return False

    def _give_up(self, key: Key, group: Sequence[PendingModel], error: StepError) -> None:
        name = next((_name(model.form) for model in group if model.form is not None), None)
        if key not in self.known.ids:
            self.known.failed.add(key)
        if error.step == "link":
            count = sum(len(model.trace_ids) for model in group)
            self.known.report(
                f"{count} traces could not be linked to their model {self.known.ids[key]}: {error_line(error.cause)}"
            )
        elif name is not None:
            self._store.delete_begun(*key)
            self.known.report(
                f"the chain {name!r} could not be logged as a model ({error.step} failed: {error_line(error.cause)}); "
                f"its traces are not affected. {_FIXES[error.step]}; the next process that runs the chain will retry."
            )

    def _log_or_find(self, key: Key, group: Sequence[PendingModel]) -> str | None:
        """Return the id of the chain's model, logged if need be; None when no run of the chain has succeeded yet."""
        with at_step("search"):
            seen, model = _seen(group) or self._seen.get(key), self._store.find(*key)
            if seen is None:
                return None if model is None else str(model.model_id)
            is_complete = _is_complete(model, seen.form)
        if model is None or not is_complete:
            model = self._log(seen, key[0], group[0].run_id, model)
        self._remember(key, seen)
        self._register(seen.form, model)
        return str(model.model_id)

    def _remember(self, key: Key, seen: ModelSeen) -> None:
        while len(self._seen) >= _MAX_SEEN:
            del self._seen[next(iter(self._seen))]
        self._seen[key] = seen

    def _log(self, seen: ModelSeen, experiment_id: str, run_id: str | None, found: LoggedModel | None) -> LoggedModel:
        """Log a chain, and return its model."""
        with at_step("rebuild"):
            rebuilding = self._rebuilding.get((experiment_id, seen.content_hash)) or Rebuilding([seen])
            rebuilt = rebuilding.result(seen)
        if found is not None and found.status == LoggedModelStatus.READY and rebuilt.reason is not None:
            model = found  # still a description only
        else:
            model = self._store.save(seen, experiment_id, run_id, rebuilt, found)
        if rebuilt.reason is not None and (seen.form["code"] is not None or not seen.form["problems"]):
            # Otherwise the program has already logged the reason.
            self.known.report(
                f"the chain {seen.form['name']!r} cannot be loaded from its logged model: {rebuilt.reason}"
            )
        return model

    def _register(self, form: ModelForm, model: LoggedModel) -> None:
        name, tags = form["registered_model_name"], model.tags
        if name is None or MLFLOW_MODEL_VERSIONS in tags:
            return
        if tags[LOADABLE_TAG] != "true":
            reason = tags.get(REASON_TAG, "")
            self.known.report(
                f"the chain {form['name']!r} was not registered as a version of {name!r}: it cannot be loaded "
                f"({reason})"
            )
            return
        try:
            self._store.register(name, model)
        except Exception as error:  # noqa: BLE001 - the model is logged
            self.known.report(
                f"the model {model.model_id} could not be registered as a version of {name!r}: {error_line(error)}"
            )

    def _link_earlier(self, key: Key, model_id: str, link: Link | None) -> None:
        try:
            link_earlier(self._store.client, *key, model_id, link)
        except Exception as error:  # noqa: BLE001 - the model is logged, and the traces of this process are linked
            self.known.report(f"earlier traces could not be linked to the model {model_id}: {error_line(error)}")


def _may_improve(found: LoggedModel, form: ModelForm) -> bool:
    """Return whether a description may be replaced by a loadable model: the chain has a file or can be rebuilt."""
    return found.tags.get(LOADABLE_TAG) != "true" and (form["code"] is not None or not form["problems"])


def _is_complete(found: LoggedModel | None, form: ModelForm) -> bool:
    """Return whether nothing is to be logged: the model is there, and rebuilding the chain would not improve it."""
    return found is not None and found.status == LoggedModelStatus.READY and not _may_improve(found, form)


def _seen(group: Sequence[PendingModel]) -> ModelSeen | None:
    """Return the first description of a chain; None when there is none."""
    found = (ModelSeen(one.trace_id, one.content_hash, one.form) for one in group if one.form is not None)
    return next(found, None)


def _name(form: ModelForm) -> str:
    return str(form.get("name", "chain"))

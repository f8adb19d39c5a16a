"""What this process knows of the models in a store: to link traces to them as they are stored, before MLflow is loaded.

All ways to store traces share it, so that each links the same traces to the same models.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Final

from langchain_autotrace.redaction import error_line
from langchain_autotrace.semconv import Attr, TraceKey
from langchain_autotrace.ship.pending_models import StoredTrace, pending_models

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from langchain_autotrace.records import PendingModel

_logger: Final = logging.getLogger("langchain_autotrace.ship")

Key = tuple[str, str]
"""Experiment id and content hash, which together identify a model."""


class KnownModels:
    """The models of one store. Read while traces are stored, and changed by the thread that logs models.

    Attributes:
        ids: ids of the models logged or found.
        failed: models that could not be logged. They are retried when another process runs the chain.
        failures: what could not be logged, one line of text each.
    """

    def __init__(self, failures: list[str] | None = None) -> None:
        """Know none.

        Args:
            failures: those noted before; new ones are added to the list.
        """
        self.ids: dict[Key, str] = {}
        self.failed: set[Key] = set()
        self.failures = [] if failures is None else failures

    def linking(self, exists: Callable[[str], bool]) -> Callable[[StoredTrace], None]:
        """Return a function that sets the model id in the metadata of a new trace, before the trace is stored.

        It changes only traces whose model is known, and not those for which the program has set a model itself.

        Args:
            exists: returns whether the store still has the model of an id; called once for each model. One that was
                deleted is forgotten: it is logged again, and traces are linked to the new one.
        """

        @functools.cache
        def model_id(key: Key) -> str | None:
            found = self.ids.get(key)
            if found is None or exists(found):
                return found
            if self.ids.get(key) == found:
                self.ids.pop(key, None)
            return None

        def link(new: StoredTrace) -> None:
            content_hash = new.metadata.get(Attr.CONTENT_HASH)
            if content_hash and TraceKey.MODEL_ID not in new.metadata:
                found = model_id((new.experiment_id, content_hash))
                if found is not None:
                    new.metadata[TraceKey.MODEL_ID] = found

        return link

    def pending(self, stored: Iterable[StoredTrace]) -> list[PendingModel]:
        """Return what is to be logged and linked now that traces are stored. Never raises."""
        try:
            return [model for model in pending_models(stored) if model.form or key_of(model) not in self.failed]
        except Exception as error:  # noqa: BLE001 - traces that are stored must not be rejected
            self.report(f"the models of some traces could not be logged ({error_line(error)})")
            return []

    def report(self, text: str) -> None:
        """Add a failure to the list and log it, unless the list has it already."""
        if text not in self.failures:
            self.failures.append(text)
            _logger.warning("%s", text)


def key_of(model: PendingModel) -> Key:
    """Return what identifies the model."""
    return model.experiment_id, model.content_hash

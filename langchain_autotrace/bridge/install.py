"""Installs the bridge when the program imports MLflow, and removes it again.

This module does not import MLflow itself: an import hook runs when the program does.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import wrapt

from langchain_autotrace.bridge import targets
from langchain_autotrace.capture.interfaces import bridge_holder
from langchain_autotrace.errors import SettingsError

if TYPE_CHECKING:
    from langchain_autotrace.bridge.core import MlflowBridge
    from langchain_autotrace.capture.interfaces import Journal
    from langchain_autotrace.capture.recorder import Recorder
    from langchain_autotrace.settings import Settings

_logger: Final = logging.getLogger("langchain_autotrace")

PROVIDER: Final = "mlflow.tracing.provider"
_UNIFIED: Final = "MLFLOW_USE_DEFAULT_TRACER_PROVIDER"
_FACTORY: Final = "_get_mlflow_span_processor"
_NEEDED: Final = {
    "mlflow_runtime_context": "_current_context",
    "provider": "_isolated_tracer_provider",
    _FACTORY: "__call__",
    "_MLFLOW_TRACE_USER_DESTINATION": "get",
}
"""Names that the bridge needs in MLflow's module, each with an attribute that it must have."""


def check_provider() -> None:
    """Check that MLflow uses a tracer provider of its own.

    Raises:
        SettingsError: MLflow is set to share OpenTelemetry's global tracer provider.
    """
    if _shares_provider():
        msg = (
            f"with {_UNIFIED}=false, MLflow spans use OpenTelemetry's global context and cannot share a trace with "
            "LangChain runs. Unset it, or call autolog(bridge=False) to trace only LangChain runs."
        )
        raise SettingsError(msg)


def _shares_provider() -> bool:
    return os.environ.get(_UNIFIED, "true").strip().lower() in {"false", "0"}


class Installation:
    """Installs and removes the bridge of this process."""

    def __init__(
        self,
        current: Callable[[], Recorder | None],
        journal_for: Callable[[Settings], Journal],
        flush: Callable[[], object],
    ) -> None:
        """Take the arguments with which ``MlflowBridge`` is created later."""
        self._arguments = current, journal_for, flush
        self._snapshots: dict[Recorder, targets.SettingsSnapshot] = {}
        self._is_wanted = self._is_hooked = self._is_broken = False
        self._module: Any = None
        self._factory: Any = None
        self._bridge: MlflowBridge | None = None

    def install(self, recorder: Recorder, *, is_chosen: bool) -> None:
        """Install the bridge for ``recorder``: at once if MLflow is imported, else when the program imports it.

        Args:
            recorder: the one that ``autolog()`` has switched on.
            is_chosen: whether ``autolog()`` was given the experiment.
        """
        self._snapshots[recorder] = targets.snapshot(is_chosen=is_chosen)
        self._is_wanted = True
        if not self._is_hooked:
            self._is_hooked = True
            wrapt.register_post_import_hook(self._imported, PROVIDER)
        elif PROVIDER in sys.modules:
            self._imported(sys.modules[PROVIDER])

    def uninstall(self) -> None:
        """Remove the bridge: new MLflow spans go to MLflow's own exporter, open ones still end in the journal."""
        self._is_wanted = False
        self._snapshots.clear()
        self._take_away()

    @contextmanager
    def borrowed(self, recorder: Recorder) -> Iterator[None]:
        """Have the bridge for ``recorder`` within the block, unless MLflow shares OpenTelemetry's provider."""
        was_wanted, is_possible = self._is_wanted, not _shares_provider()
        if is_possible:
            self.install(recorder, is_chosen=True)
        try:
            yield
        finally:
            self._snapshots.pop(recorder, None)
            if is_possible and not was_wanted:
                self.uninstall()

    def after_fork(self) -> None:
        """Reset the bridge in a forked child."""
        if self._bridge is not None:
            self._bridge.after_fork()

    def _imported(self, module: ModuleType) -> None:
        if not self._is_wanted or self._is_broken or self._module is not None:
            return
        missing = missing_from(module)
        if missing:
            self._give_up(", ".join(missing))
            return
        try:
            self._put_in_place(module)
        except Exception as error:  # noqa: BLE001 - capture goes on without the bridge, whatever MLflow raises
            self._give_up(f"{type(error).__name__}: {error}")

    def _give_up(self, why: str) -> None:
        self._is_broken = True
        self._take_away()
        _logger.warning(
            "unsupported MLflow version (%s): MLflow spans will not be part of LangChain traces. LangChain runs are "
            "still captured.",
            why,
        )

    def _put_in_place(self, module: Any) -> None:  # noqa: ANN401 - MLflow's module
        from langchain_autotrace.bridge.nesting import RunAwareContext  # noqa: PLC0415 - imports OpenTelemetry

        self._module = module
        self._factory = getattr(module, _FACTORY)
        setattr(module, _FACTORY, self._processor)
        module.provider.set = self._set
        RunAwareContext.runs = bridge_holder.bridge = _Late(self._make_once)
        module.mlflow_runtime_context.__class__ = RunAwareContext
        existing = module.provider._isolated_tracer_provider  # noqa: SLF001 - there is no public way, as below
        if hasattr(existing, "_active_span_processor") and (bridge := self._make_once()) is not None:
            bridge.take_over(existing)

    def _make_once(self) -> MlflowBridge | None:
        """Return the bridge, created on first use; None if it cannot be created.

        While MLflow is being imported, the modules that the bridge needs are not there yet.
        """
        if self._bridge is None and not self._is_broken:
            try:
                self._bridge = self._make()
            except Exception as error:  # noqa: BLE001 - capture goes on without the bridge, whatever MLflow raises
                self._give_up(f"{type(error).__name__}: {error}")
        if self._bridge is not None and self._module is not None:
            from langchain_autotrace.bridge.nesting import RunAwareContext  # noqa: PLC0415 - as above

            RunAwareContext.runs = bridge_holder.bridge = self._bridge
        return self._bridge

    def _make(self) -> MlflowBridge:
        importlib.import_module("mlflow")  # another thread may be importing it: wait for the whole package
        from langchain_autotrace.bridge import core, processor  # noqa: PLC0415 - these import MLflow

        bridge = core.MlflowBridge(*self._arguments, self._snapshots)
        bridge.context = self._module.mlflow_runtime_context
        processor.spare_imports()
        return bridge

    def _processor(self, tracking_uri: str) -> Any:  # noqa: ANN401 - OpenTelemetry's SpanProcessor
        """Replace MLflow's factory of span processors, ``_get_mlflow_span_processor``."""
        bridge = self._make_once()
        return self._factory(tracking_uri) if bridge is None else bridge.processor()

    def _set(self, tracer_provider: Any) -> None:  # noqa: ANN401 - OpenTelemetry's
        """Replace the ``set()`` method by which MLflow installs the tracer provider that it has created."""
        wrapper = self._module.provider
        type(wrapper).set(wrapper, tracer_provider)
        if self._bridge is not None and self._bridge.serves(tracer_provider):
            self._bridge.adopt(tracer_provider)

    def _take_away(self) -> None:
        module, self._module = self._module, None
        if module is None:
            return
        from langchain_autotrace.bridge.nesting import RunAwareContext  # noqa: PLC0415 - as above

        bridge_holder.bridge = RunAwareContext.runs = None
        setattr(module, _FACTORY, self._factory)
        wrapper = module.provider
        del wrapper.set
        existing = wrapper._isolated_tracer_provider  # noqa: SLF001
        if self._bridge is not None and self._bridge.serves(existing):
            # MLflow creates a provider of its own for the next span; open spans keep a reference to this one.
            wrapper._isolated_tracer_provider = None  # noqa: SLF001
            wrapper.once._done = False  # noqa: SLF001
        self._bridge = None  # a later install() creates a new one, which opens its journals anew


class _Late:
    """Placeholder for the bridge that creates it when one of its attributes is first used."""

    def __init__(self, make: Callable[[], MlflowBridge | None]) -> None:
        self._make = make

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the bridge's
        bridge = self._make()
        return _nothing if bridge is None else getattr(bridge, name)


def _nothing(*_: object, **__: object) -> None:
    """Do nothing: stands in for every method of a bridge that could not be created."""


def missing_from(module: ModuleType) -> list[str]:
    """Return the names that the bridge needs and that MLflow's module lacks."""
    missing = [
        name if not hasattr(module, name) else f"{name}.{attribute}"
        for name, attribute in _NEEDED.items()
        if not hasattr(getattr(module, name, None), attribute)
    ]
    factory = getattr(module, _FACTORY, None)
    if callable(factory) and "tracking_uri" not in inspect.signature(factory).parameters:
        missing.append(f"{_FACTORY}(tracking_uri)")
    return missing

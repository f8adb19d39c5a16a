"""Puts the bridge in place when the program has imported MLflow, and takes it away again.

MLflow is not imported for it: a hook is called when the program does.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import wrapt

from langchain_autotrace.bridge import home
from langchain_autotrace.capture.place import bridged
from langchain_autotrace.errors import SettingsError

if TYPE_CHECKING:
    from langchain_autotrace.bridge.core import MlflowBridge
    from langchain_autotrace.capture.place import Journal
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
"""What is needed of MLflow's module, and what of each of these."""


def check_provider() -> None:
    """Refuse what the bridge cannot serve.

    Raises:
        SettingsError: MLflow is told to share OpenTelemetry's global tracer provider.
    """
    if os.environ.get(_UNIFIED, "true").strip().lower() in {"false", "0"}:
        msg = (
            f"{_UNIFIED}=false: MLflow's spans are then in OpenTelemetry's global context, where they and LangChain's "
            "runs cannot be one trace. Unset it, or call autolog(bridge=False) to trace LangChain's runs alone."
        )
        raise SettingsError(msg)


class Installation:
    """The bridge of this process, in place or not."""

    def __init__(
        self,
        current: Callable[[], Recorder | None],
        recorders: Callable[[], Iterable[Recorder]],
        journal_for: Callable[[Settings], Journal],
        flush: Callable[[], object],
    ) -> None:
        """As for ``MlflowBridge``."""
        self._arguments = current, recorders, journal_for, flush
        self._marks: dict[Recorder, home.Mark] = {}
        self._is_wanted = self._is_hooked = self._is_broken = False
        self._module: Any = None
        self._factory: Any = None
        self._bridge: MlflowBridge | None = None

    def install(self, recorder: Recorder, *, is_chosen: bool) -> None:
        """Have MLflow's spans in the traces of ``recorder`` from now on, whenever the program imports MLflow.

        Args:
            recorder: the one that ``autolog()`` has switched on.
            is_chosen: whether ``autolog()`` was told the experiment.
        """
        self._marks[recorder] = home.mark(is_chosen=is_chosen)
        self._is_wanted = True
        if not self._is_hooked:
            self._is_hooked = True
            wrapt.register_post_import_hook(self._imported, PROVIDER)
        elif PROVIDER in sys.modules:
            self._imported(sys.modules[PROVIDER])

    def uninstall(self) -> None:
        """Leave MLflow's spans to MLflow from now on; those that are open go on."""
        self._is_wanted = False
        self._marks.clear()
        self._take_away()

    def after_fork(self) -> None:
        """In a forked child."""
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
        except Exception as error:  # noqa: BLE001 - whatever MLflow has become, capture goes on
            self._give_up(f"{type(error).__name__}: {error}")

    def _give_up(self, why: str) -> None:
        self._is_broken = True
        self._take_away()
        _logger.warning(
            "this version of MLflow is not as expected (%s): spans of MLflow's own API will not be in the traces of "
            "LangChain's runs, which are captured as before.",
            why,
        )

    def _put_in_place(self, module: Any) -> None:  # noqa: ANN401 - MLflow's module
        from langchain_autotrace.bridge.nesting import RunAwareContext  # noqa: PLC0415 - imports OpenTelemetry

        self._module = module
        self._factory = getattr(module, _FACTORY)
        setattr(module, _FACTORY, self._processor)
        module.provider.set = self._set
        RunAwareContext.runs = bridged.api = _Late(self._made)
        module.mlflow_runtime_context.__class__ = RunAwareContext
        existing = module.provider._isolated_tracer_provider  # noqa: SLF001 - there is no public way, as below
        if hasattr(existing, "_active_span_processor") and (bridge := self._made()) is not None:
            bridge.take_over(existing)

    def _made(self) -> MlflowBridge | None:
        """The bridge itself, made when it is first needed: while MLflow is being imported, its parts are not there."""
        if self._bridge is None and not self._is_broken:
            try:
                self._bridge = self._make()
            except Exception as error:  # noqa: BLE001 - whatever MLflow has become, capture goes on
                self._give_up(f"{type(error).__name__}: {error}")
        if self._bridge is not None and self._module is not None:
            from langchain_autotrace.bridge.nesting import RunAwareContext  # noqa: PLC0415 - as above

            RunAwareContext.runs = bridged.api = self._bridge
        return self._bridge

    def _make(self) -> MlflowBridge:
        importlib.import_module("mlflow")  # another thread may be importing it: the package before its parts
        from langchain_autotrace.bridge import core, processor  # noqa: PLC0415 - these import MLflow

        bridge = core.MlflowBridge(*self._arguments, self._marks)
        bridge.context = self._module.mlflow_runtime_context
        processor.spare_imports()
        return bridge

    def _processor(self, tracking_uri: str) -> Any:  # noqa: ANN401 - OpenTelemetry's SpanProcessor
        """In place of MLflow's own factory."""
        bridge = self._made()
        return self._factory(tracking_uri) if bridge is None else bridge.processor()

    def _set(self, tracer_provider: Any) -> None:  # noqa: ANN401 - OpenTelemetry's
        """In place of the method by which MLflow sets the tracer provider that it has made."""
        wrapper = self._module.provider
        type(wrapper).set(wrapper, tracer_provider)
        if self._bridge is not None and self._bridge.serves(tracer_provider):
            self._bridge.adopt(tracer_provider)

    def _take_away(self) -> None:
        module, self._module = self._module, None
        if module is None:
            return
        from langchain_autotrace.bridge.nesting import RunAwareContext  # noqa: PLC0415 - as above

        bridged.api = RunAwareContext.runs = None
        setattr(module, _FACTORY, self._factory)
        wrapper = module.provider
        del wrapper.set
        existing = wrapper._isolated_tracer_provider  # noqa: SLF001
        if self._bridge is not None and self._bridge.serves(existing):
            # The next span makes MLflow's own provider; spans that are open hold on to this one.
            wrapper._isolated_tracer_provider = None  # noqa: SLF001
            wrapper.once._done = False  # noqa: SLF001
        self._bridge = None  # the next one asks for the journals anew


class _Late:
    """Stands for the bridge until somebody asks it something."""

    def __init__(self, make: Callable[[], MlflowBridge | None]) -> None:
        self._make = make

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the bridge's
        bridge = self._make()
        return _nothing if bridge is None else getattr(bridge, name)


def _nothing(*_: object, **__: object) -> None:
    """The answer of a bridge that could not be made."""


def missing_from(module: ModuleType) -> list[str]:
    """What the bridge needs and MLflow's module does not have."""
    missing = [
        name if not hasattr(module, name) else f"{name}.{attribute}"
        for name, attribute in _NEEDED.items()
        if not hasattr(getattr(module, name, None), attribute)
    ]
    factory = getattr(module, _FACTORY, None)
    if callable(factory) and "tracking_uri" not in inspect.signature(factory).parameters:
        missing.append(f"{_FACTORY}(tracking_uri)")
    return missing

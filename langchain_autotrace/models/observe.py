"""Recognizes the chains that run in this process, and describes each one once, to be logged as a model."""

from __future__ import annotations

import logging
import sys
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson
from langchain_core.output_parsers import BaseLLMOutputParser
from langchain_core.prompts import BasePromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableBinding
from langchain_core.tools import BaseTool
from pydantic import BaseModel

from langchain_autotrace.capture.guard import internal_errors
from langchain_autotrace.models.code_files import code_of, copies_of
from langchain_autotrace.models.encode import IDS_OF_A_CALL, Content, content_of
from langchain_autotrace.models.example import NoFormError, input_example, output_form
from langchain_autotrace.models.find import outermost_runnable
from langchain_autotrace.models.names import model_name, step_names
from langchain_autotrace.models.reasons import Problem
from langchain_autotrace.models.signature import signature
from langchain_autotrace.records import ModelForm
from langchain_autotrace.semconv import Kind
from langchain_autotrace.settings import Settings

_logger: Final = logging.getLogger("langchain_autotrace")

MAX_MODELS: Final = 50
"""Models logged per process. More come from chains built for each request, with the request in their prompts."""
_PARTS: Final = (BaseLLMOutputParser, BasePromptTemplate, BaseRetriever, BaseTool)
"""Classes of runnables that are not logged when they run alone: they are parts of chains."""
_MODELS: Final = frozenset({Kind.CHAT_MODEL, Kind.LLM})
"""Kinds of runs that end with LangChain's ``LLMResult`` instead of the value that the model returned."""
_MAX_DEPTH: Final = 12
_MAX_ITEMS: Final = 64
_TOO_LARGE: Final = "it is larger than max_value_bytes"
_SIZED: Final = frozenset({dict, list, tuple})
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})


class _Known:
    """A chain object that has run."""

    __slots__ = ("chain", "configured", "content", "is_changed_by_calls", "running", "snapshot")

    def __init__(self, chain: weakref.ref[Any], snapshot: object, content: Content) -> None:
        self.chain = chain
        self.snapshot = snapshot
        """Taken after the last run: state that a run changes does not make it a different chain."""
        self.content = content
        self.configured: dict[str, Content] = {}
        """Contents by the values given through ``configurable``."""
        self.running = 0
        self.is_changed_by_calls = True
        """Whether to take a new snapshot after each run; False once a run has changed nothing."""


class Call:
    """An open run of a chain.

    Attributes:
        content: the chain's content.
    """

    __slots__ = ("content", "given", "kind", "known", "name", "target")

    def __init__(self, name: str, kind: str, content: Content, known: _Known | None, target: object) -> None:
        self.name = name
        self.kind = kind
        self.content = content
        self.known = known
        self.target = target
        self.given: object = None
        """The input as an example, ``(value,)``, or the reason why there is none; None if it is not needed."""


class ObservedChains:
    """The chains that have run in this process, for one set of settings. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._known: dict[int, _Known] = {}
        self._logged: set[tuple[object, str]] = set()
        self._hashes: set[str] = set()
        self._said: set[str] = set()

    # Called by the recorder.

    def started(self, name: str, kind: str, inputs: tuple[object] | None, target: object) -> Call | None:
        """Return a new call for a root run that starts, to be passed to ``ended``; None if no chain was found.

        Args:
            name: name of its span.
            kind: a value of ``semconv.Kind``.
            inputs: inputs of the run, in a tuple; None if they come with the end.
            target: identifies the target of its trace: a model is logged once for each target.
        """
        try:
            chain, configurable = outermost_runnable(sys._getframe(1))  # noqa: SLF001 - no other way to the caller's object
            if chain is None or isinstance(chain, _PARTS):
                return None
            known, content = self._find(chain)
            if configurable and (chosen := _declared(chain, configurable)):
                content = _configured(chain, chosen, known)
            call = Call(name, kind, content, known, target)
            if inputs is not None and (target, content.hash) not in self._logged:
                call.given = _example(inputs, kind)  # converted now: the program may change the input later
        except Exception as error:  # noqa: BLE001 - the run is traced whatever the chain's objects raise
            internal_errors.note("log_models", error)
            return None
        return call

    def ended(self, call: Call, inputs: tuple[object] | None, outputs: object, *, is_ok: bool) -> ModelForm | None:
        """Return the model to log after a chain's first successful run; None after any other run.

        Args:
            call: the value that ``started`` returned.
            inputs: inputs of the run, in a tuple, if they came with the end.
            outputs: outputs of the run.
            is_ok: whether the run returned, and was neither interrupted nor abandoned.
        """
        try:
            self._end(call)
            if not is_ok or not self._claim(call):
                return None
            return self._form(call, call.given if inputs is None else _example(inputs, call.kind), outputs)
        except Exception as error:  # noqa: BLE001 - as in started()
            internal_errors.note("log_models", error)
            return None

    def after_fork(self) -> None:
        """Reset in a forked child: open runs are the parent's, and a thread of the parent may hold the lock."""
        self._lock = threading.Lock()
        for known in self._known.values():
            known.running = 0

    def _find(self, chain: Any) -> tuple[_Known | None, Content]:
        """Return the chain's entry and content, from memory if the program has not changed it since its last run."""
        with self._lock:
            known = self._known.get(id(chain))
            if known is not None and known.chain() is chain and known.running:
                known.running += 1
                return known, known.content
        snapshot = _snapshot(chain)
        if known is None or known.chain() is not chain or known.snapshot != snapshot:
            known = self._remember(chain, snapshot, content := content_of(chain, describes=False))
            if known is None:
                return None, content
        with self._lock:
            known.running += 1
        return known, known.content

    def _remember(self, chain: Any, snapshot: object, content: Content) -> _Known | None:
        key, objects = id(chain), self._known
        try:
            reference = weakref.ref(chain, lambda gone: _forget(objects, key, gone))
        except TypeError:  # a class with __slots__ has no weak references
            return None
        known = objects[key] = _Known(reference, snapshot, content)
        return known

    def _end(self, call: Call) -> None:
        known = call.known
        if known is None:
            return
        with self._lock:
            known.running -= 1
            is_idle = not known.running
        chain = known.chain() if is_idle else None
        if chain is not None and known.is_changed_by_calls:
            snapshot = _snapshot(chain)
            known.is_changed_by_calls = known.snapshot != snapshot
            known.snapshot = snapshot

    def _claim(self, call: Call) -> bool:
        """Return whether this run is the one that logs the chain; warn if too many chains were logged."""
        key = call.target, call.content.hash
        if key in self._logged:
            return False
        with self._lock:
            if key in self._logged:
                return False
            is_full = call.content.hash not in self._hashes and len(self._hashes) >= MAX_MODELS
            if not is_full:
                self._logged.add(key)
                self._hashes.add(call.content.hash)
        if is_full:
            self._say(
                f"{MAX_MODELS} different chains were logged as models; no more will be logged in this process. If you "
                "build a chain or prompt for each request, pass the changing part as an input instead."
            )
        return not is_full

    def _form(self, call: Call, given: object, returned: object) -> ModelForm:
        settings, chain = self._settings, None if call.known is None else call.known.chain()
        name, content = model_name(call.name, chain), _described(call.content, chain)
        problems, tree = list(content.problems), content.tree
        if len(orjson.dumps(tree)) > settings.max_value_bytes:
            problems.append(Problem("", name, _TOO_LARGE))
            tree = {"lc": 1, "type": "not_implemented", "id": [name]}
        example = self._fitting(name, given)
        form: ModelForm = {
            "name": name,
            "steps": step_names(chain) if chain is not None else [],
            "chain": tree,
            "problems": [list(problem) for problem in problems],
            "left_out": content.left_out,
            "secrets": content.secrets,
            "packages": content.packages,
            "params": content.params,
            "example": example if settings.log_input_examples else None,
            "signature": _signature(example, call.kind, returned) if settings.log_model_signatures else None,
            "code": code_of(settings.model_code),
            "code_paths": copies_of(settings.code_paths, settings.max_value_bytes, self._say),
            "search_path": [str(Path(folder or ".").absolute()) for folder in sys.path],
            "registered_model_name": settings.registered_model_name,
            "tags": dict(settings.extra_tags),
        }
        if problems and form["code"] is None:
            self._say_descriptor(name, problems[0])
        return form

    def _fitting(self, name: str, given: object) -> list[Any] | None:
        """Return the example as ``[value]``, or None if there is none; warn if an example was requested."""
        reason = given if isinstance(given, str) else None
        if isinstance(given, tuple) and len(orjson.dumps(given[0])) > self._settings.max_value_bytes:
            reason = _TOO_LARGE
        if reason is None:
            return list(given) if isinstance(given, tuple) else None
        if self._settings.log_input_examples:
            self._say(f"the model {name!r} was logged without an input example: {reason}.")
        return None

    def _say_descriptor(self, name: str, problem: Problem) -> None:
        self._say(
            f"the chain {name!r} cannot be loaded from its logged model: {problem}. Its description and traces are "
            "still logged."
        )

    def _say(self, text: str) -> None:
        with self._lock:
            is_new = text not in self._said and len(self._said) <= MAX_MODELS
            self._said.add(text)
        if is_new:
            _logger.warning("%s", text)


def _declared(chain: Any, configurable: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that the chain declares as configurable: with others it is the same chain."""
    given = configurable.keys() - IDS_OF_A_CALL
    declared = {spec.id for spec in chain.config_specs} if given else set()
    return {key: configurable[key] for key in sorted(given & declared)}


def _configured(chain: Any, chosen: dict[str, Any], known: _Known | None) -> Content:
    """Return the content of a chain with these values, as ``with_config`` would set them: what ran is another chain."""
    key = repr(chosen)
    found = None if known is None else known.configured.get(key)
    if found is None:
        found = content_of(RunnableBinding(bound=chain, config={"configurable": chosen}), describes=False)
        if known is not None and len(known.configured) < MAX_MODELS:
            known.configured[key] = found
    return found


def _described(content: Content, chain: object) -> Content:
    """Return the content with what graphs in it are made of; unchanged if there are none, or the chain has changed."""
    if chain is None or not content.problems:
        return content
    found = content_of(chain)
    return found if found.hash == content.hash else content


def _forget(known: dict[int, _Known], key: int, gone: object) -> None:
    found = known.get(key)
    if found is not None and found.chain is gone:
        del known[key]


def _example(inputs: tuple[Any], kind: str) -> object:
    """Return a run's input as an example, ``(value,)``, or the reason why there is none."""
    given = inputs[0]
    if kind in _MODELS and len(given) == 1:
        given = given[0]  # a model's run gets a list of prompts, or of lists of messages
    try:
        return (input_example(given),)
    except NoFormError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - the program's objects may raise anything, or contain themselves
        return f"{type(error).__name__}: {error}"


def _signature(example: list[Any] | None, kind: str, returned: object) -> dict[str, str | None] | None:
    if example is None or isinstance(example[0], list):
        return None  # with a signature, MLflow would turn a list within a list into a table
    try:
        return signature(example[0], None if kind in _MODELS else output_form(returned))
    except Exception:  # noqa: BLE001 - the output has no JSON form, or as above
        return signature(example[0], None)


def _snapshot(value: Any, depth: int = 0) -> object:
    """Return a value that changes when an object is changed: its scalar fields, and the ids of the objects in others.

    It is taken for each run and has to be fast: it sees attributes that are set and lists that are edited, but does not
    read code.
    """
    kind = type(value)
    if depth > _MAX_DEPTH:
        return id(value)
    depth += 1
    if kind in _SIZED and len(value) > _MAX_ITEMS:
        return id(value), len(value)
    if kind is list or kind is tuple:
        return [item if type(item) in _PLAIN else _snapshot(item, depth) for item in value]
    if kind is dict:
        return [*value, [item if type(item) in _PLAIN else _snapshot(item, depth) for item in value.values()]]
    if isinstance(value, Runnable | BaseModel):
        fields = vars(value).values()
        return id(value), [item if type(item) in _PLAIN else _snapshot(item, depth) for item in fields]
    return id(value)

"""The chains that run in this process: which is which, and what is to be logged of one that has run to its end."""

from __future__ import annotations

import logging
import sys
import threading
import weakref
from pathlib import Path
from typing import Any, Final

import orjson
from langchain_core.output_parsers import BaseLLMOutputParser
from langchain_core.prompts import BasePromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from pydantic import BaseModel

from langchain_autotrace.capture.guard import internal_errors
from langchain_autotrace.models.encode import Content, Problem, content_of
from langchain_autotrace.models.example import NoFormError, chat_example, input_example, json_form, output_form
from langchain_autotrace.models.find import outermost_runnable
from langchain_autotrace.models.signature import signature
from langchain_autotrace.settings import Settings
from langchain_autotrace.span import Attr, ModelForm, SpanType

_logger: Final = logging.getLogger("langchain_autotrace")

MAX_MODELS: Final = 50
"""Models logged of one process. More come of a chain that is built for each request, with the request in its prompt."""
_PARTS: Final = (BaseLLMOutputParser, BasePromptTemplate, BaseRetriever, BaseTool)
"""What is a part of a chain, and no chain when it runs alone."""
_MODELS: Final = frozenset({SpanType.CHAT_MODEL, SpanType.LLM})
"""Runs whose outputs are of our own making, and not what the model returned."""
_MAX_DEPTH: Final = 12
_MAX_ITEMS: Final = 64
_TOO_LARGE: Final = "it is larger than max_value_bytes"
_SIZED: Final = frozenset({dict, list, tuple})
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})


class _Known:
    """A chain that has run, as an object."""

    __slots__ = ("chain", "content", "is_changed_by_calls", "mark", "running")

    def __init__(self, chain: weakref.ref[Any], mark: object, content: Content) -> None:
        self.chain = chain
        self.mark = mark
        """What :func:`_mark` gave last: after a run, for what a run itself changes makes no other chain."""
        self.content = content
        self.running = 0
        self.is_changed_by_calls = True
        """Whether to look again after each run: until one has left all as it was."""


class Call:
    """A run of a chain that is open.

    Attributes:
        content: what the chain is.
    """

    __slots__ = ("content", "given", "home", "kind", "known", "name")

    def __init__(self, name: str, kind: str, content: Content, known: _Known | None, home: object) -> None:
        self.name = name
        self.kind = kind
        self.content = content
        self.known = known
        self.home = home
        self.given: object = None
        """The input as an example, as ``(value,)`` or why there is none; None where it is not needed."""


class Chains:
    """Tells the chains of a process apart, for one set of settings. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._known: dict[int, _Known] = {}
        self._logged: set[tuple[object, str]] = set()
        self._hashes: set[str] = set()
        self._said: set[str] = set()

    # As the recorder calls it.

    def started(self, name: str, kind: str, attributes: dict[str, object], inputs: object, home: object) -> Call | None:
        """A root run starts; None when it is of no chain.

        Args:
            name: the run's.
            kind: a value of ``SpanType``.
            attributes: the run's; the chain's hash is put into them.
            inputs: of the run, in ``(value,)``; None when they come with the end.
            home: where its trace goes: each such place gets the model once.
        """
        try:
            chain = outermost_runnable(sys._getframe(1))  # noqa: SLF001 - no other way to the caller's object
            if chain is None or isinstance(chain, _PARTS):
                return None
            known, content = self._find(chain)
            attributes[Attr.CONTENT_HASH] = content.hash
            call = Call(name, kind, content, known, home)
            if inputs is not None and (home, content.hash) not in self._logged:
                call.given = _example(inputs, kind)  # as it is now: the program may change it
        except Exception as error:  # noqa: BLE001 - whatever a chain is made of, its run is traced
            internal_errors.note("log_models", error)
            return None
        return call

    def ended(self, call: Call, given: object, returned: object, *, is_ok: bool) -> ModelForm | None:
        """The run ended; what is to be logged of its chain, the first time that it ended well.

        Args:
            call: what ``started`` gave.
            given: inputs that came with the end, as ``(value,)``, else None.
            returned: the run's output.
            is_ok: whether it returned, and was not interrupted or abandoned.
        """
        try:
            self._end(call)
            if not is_ok or not self._claim(call):
                return None
            return self._form(call, call.given if given is None else _example(given, call.kind), returned)
        except Exception as error:  # noqa: BLE001 - as in started()
            internal_errors.note("log_models", error)
            return None

    def after_fork(self) -> None:
        """In a forked child: runs that were open are the parent's, and so may the lock be."""
        self._lock = threading.Lock()
        for known in self._known.values():
            known.running = 0

    def _find(self, chain: Any) -> tuple[_Known | None, Content]:
        """What the chain is, from memory as long as the program has not changed it between two runs."""
        with self._lock:
            known = self._known.get(id(chain))
            if known is not None and known.chain() is chain and known.running:
                known.running += 1
                return known, known.content
        mark = _mark(chain)
        if known is None or known.chain() is not chain or known.mark != mark:
            known = self._remember(chain, mark, content := content_of(chain))
            if known is None:
                return None, content
        with self._lock:
            known.running += 1
        return known, known.content

    def _remember(self, chain: Any, mark: object, content: Content) -> _Known | None:
        key, objects = id(chain), self._known
        try:
            reference = weakref.ref(chain, lambda gone: _forget(objects, key, gone))
        except TypeError:  # a class with slots
            return None
        known = objects[key] = _Known(reference, mark, content)
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
            mark = _mark(chain)
            known.is_changed_by_calls = known.mark != mark
            known.mark = mark

    def _claim(self, call: Call) -> bool:
        """Whether it is for this run to log the chain."""
        key = call.home, call.content.hash
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
                f"{MAX_MODELS} different chains were logged as models; no more are logged in this process. Is a chain "
                "or a prompt built anew for each request? Give what changes as an input."
            )
        return not is_full

    def _form(self, call: Call, given: object, returned: object) -> ModelForm:
        name, content, settings = call.name, call.content, self._settings
        problems, tree = list(content.problems), content.tree
        if len(orjson.dumps(tree)) > settings.max_value_bytes:
            problems.append(Problem("", name, _TOO_LARGE))
            tree = {"lc": 1, "type": "not_implemented", "id": [name]}
        example = self._fitting(name, given)
        form: ModelForm = {
            "name": name,
            "chain": tree,
            "problems": [list(problem) for problem in problems],
            "left_out": content.left_out,
            "secrets": content.secrets,
            "packages": content.packages,
            "params": content.params,
            "example": example if settings.log_input_examples else None,
            "signature": _signature(example, call.kind, returned) if settings.log_model_signatures else None,
            "code": _code(settings.model_code),
            "search_path": [str(Path(folder or ".").absolute()) for folder in sys.path],
            "registered_model_name": settings.registered_model_name,
            "tags": dict(settings.extra_tags),
        }
        if problems and form["code"] is None:
            self._say_descriptor(name, problems[0])
        return form

    def _fitting(self, name: str, given: object) -> list[Any] | None:
        """The example as ``[value]``; None where there is none, which is said when one was asked for."""
        reason = given if isinstance(given, str) else None
        if isinstance(given, tuple) and len(orjson.dumps(given[0])) > self._settings.max_value_bytes:
            reason = _TOO_LARGE
        if reason is None:
            return list(given) if isinstance(given, tuple) else None
        if self._settings.log_input_examples:
            self._say(f"the model of {name!r} is logged without an input example: {reason}.")
        return None

    def _say_descriptor(self, name: str, problem: Problem) -> None:
        self._say(
            f"the chain {name!r} is logged as a description that cannot be loaded: {problem}. Its traces and example "
            "are there. To load it, move functions and classes into a module, or give the file that builds the chain "
            "with autolog(model_code=...)."
        )

    def _say(self, text: str) -> None:
        with self._lock:
            is_new = text not in self._said and len(self._said) <= MAX_MODELS
            self._said.add(text)
        if is_new:
            _logger.warning("%s", text)


def _forget(known: dict[int, _Known], key: int, gone: object) -> None:
    found = known.get(key)
    if found is not None and found.chain is gone:
        del known[key]


def _example(inputs: Any, kind: str) -> object:
    given = inputs[0]
    if kind == SpanType.LLM and len(given) == 1:
        given = given[0]  # a text model's run has a list of prompts
    try:
        if kind == SpanType.CHAT_MODEL:
            return (chat_example(json_form(given["messages"])),)
        return (input_example(given),)
    except NoFormError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - the program's objects raise anything, and may hold themselves
        return f"{type(error).__name__}: {error}"


def _signature(example: list[Any] | None, kind: str, returned: object) -> dict[str, str | None] | None:
    if example is None or isinstance(example[0], list):
        return None  # by a signature MLflow would make a table of a list within a list
    try:
        return signature(example[0], None if kind in _MODELS else output_form(returned))
    except Exception:  # noqa: BLE001 - no form in JSON; or as above
        return signature(example[0], None)


def _mark(value: Any, depth: int = 0) -> object:
    """What tells that an object was changed: values of its simple fields, and which objects the others are.

    It is taken at each call: so it sees attributes that are set and lists that are edited, and does not read code.
    """
    kind = type(value)
    if depth > _MAX_DEPTH:
        return id(value)
    depth += 1
    if kind in _SIZED and len(value) > _MAX_ITEMS:
        return id(value), len(value)
    if kind is list or kind is tuple:
        return [item if type(item) in _PLAIN else _mark(item, depth) for item in value]
    if kind is dict:
        return [*value, [item if type(item) in _PLAIN else _mark(item, depth) for item in value.values()]]
    if isinstance(value, Runnable | BaseModel):
        fields = vars(value).values()
        return id(value), [item if type(item) in _PLAIN else _mark(item, depth) for item in fields]
    return id(value)


def _code(path: str | None) -> list[str] | None:
    """Name and text of the program's file."""
    return None if path is None else [Path(path).name, Path(path).read_text(encoding="utf-8")]

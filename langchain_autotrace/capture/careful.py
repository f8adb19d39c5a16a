"""The careful way an event is written: converted, cut to size, scrubbed, and shown to the user's hook.

Events come here that the fast way (``fast.py``) cannot write: one that is too large, holds what cannot be read without
a guard around each step, or may hold a secret. All events do when there is a ``redact`` hook, there are patterns, or
content is off. The steps for each value are those of ``CarefulWriter._value``, in this order.
"""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson
from langchain_core.messages import BaseMessage
from langchain_core.outputs import Generation, LLMResult

from langchain_autotrace import redaction
from langchain_autotrace.capture.changes import changed_paths
from langchain_autotrace.capture.convert import convert
from langchain_autotrace.capture.cut import fit
from langchain_autotrace.capture.describe import STOPPED, beginning
from langchain_autotrace.capture.exceptions import error_text
from langchain_autotrace.capture.files import Replace
from langchain_autotrace.placeholders import scrub_tree
from langchain_autotrace.records import (
    ModelForm,
    ModelSeen,
    SpanEnd,
    SpanEvent,
    SpanStart,
    TraceContext,
    TraceFile,
    TraceUpdate,
)
from langchain_autotrace.semconv import SESSION_KEYS, USAGE_PLACES, USER_KEYS, WITHOUT_CONTENT, Attr
from langchain_autotrace.settings import RedactContext, Settings

_logger: Final = logging.getLogger("langchain_autotrace")

_MAX_NAME: Final = 1_000
_CHANGED: Final = "it looks like a secret, or was changed by redact_patterns or the redact hook"
_DETAILS: Final = frozenset({"metadata", "params"})
"""Details that are values of the user's."""
_CONTENT: Final = frozenset({"streamed", "interrupts"})
"""Details that hold content: the parts of a streamed answer, and the questions of an interrupted graph."""
_FIELDS: Final = {
    "metadata": Attr.METADATA,
    "params": Attr.INVOCATION_PARAMS,
    "tags": Attr.TAGS,
    "streamed": "outputs",
    "interrupts": "outputs",
}
"""What the redact hook is told of a field: what it is called on the span."""
_PREVIEWS: Final = ("request_preview", "response_preview")
_KNOWN_METADATA: Final = frozenset(
    {
        *("ls_model_name", "ls_provider", "ls_integration", "lc_agent_name", "langgraph_node", "langgraph_triggers"),
        *SESSION_KEYS,
        *USER_KEYS,
    }
)
"""Metadata that says which model, agent, session and user it is, and not what was said."""
_KNOWN_TEXTS: Final = frozenset(
    {
        *("model", "model_name", "model_id", "modelId", "_type"),
        *("finish_reason", "stop_reason", "done_reason", "finishReason", "stopReason"),
    }
)
"""Names of texts in a model's parameters and answers that are no content."""


class Subject(NamedTuple):
    """The span that an event belongs to.

    ``name`` and ``type`` are for the user's hook; ``replace`` takes files out of its values.
    """

    name: str
    type: str
    replace: Replace | None = None


class CarefulWriter:
    """Makes plain records of events, for one set of settings.

    Attributes:
        redact_failures: values lost to an exception of the user's hook.
    """

    def __init__(self, settings: Settings) -> None:
        self.redact_failures = 0
        self._hook = settings.redact
        self._takes_context = settings.redact_takes_context
        self._patterns = settings.redact_patterns
        self._content = settings.capture_content
        self._limit = settings.max_value_bytes
        self._lock = threading.Lock()

    def plain(self, event: SpanStart | SpanEvent | SpanEnd, subject: Subject) -> SpanStart | SpanEvent | SpanEnd:
        """Return the record of an event whose values are of any types."""
        if isinstance(event, SpanStart):
            return self._start(event, subject)
        return self._end(event, subject) if isinstance(event, SpanEnd) else self._event(event, subject)

    def _start(self, event: SpanStart, subject: Subject) -> SpanStart:
        sizes: dict[str, int] = {}
        tags = self._tags(event.tags, subject, sizes)
        inputs = self._optional(event.inputs, "inputs", subject, sizes) if self._content else None
        details = self._details(event.details, subject, sizes)
        return event._replace(
            name=None if event.name is None else self._text(str(event.name)),
            context=None if event.context is None else self._context(event.context),
            run_id=None if event.run_id is None else str(event.run_id),
            tags=tags,
            inputs=inputs,
            details=details if self._content else {**details, "content": False},
        )

    def _event(self, event: SpanEvent, subject: Subject) -> SpanEvent:
        """Return an event; only its name and the class of its exception, where content is not captured."""
        kind = event.details.get("exception.type")
        details = {"exception.type": self._text(str(kind))} if kind else {}
        if self._content:
            details = self._object(event.details, f"events.{event.name}", subject, {})
        return event._replace(name=self._text(str(event.name)), details=details)

    def _end(self, event: SpanEnd, subject: Subject) -> SpanEnd:
        sizes: dict[str, int] = {}
        outputs = self._optional(event.outputs, "outputs", subject, sizes) if self._content else None
        details = self._details(event.details, subject, sizes)
        if event.outputs is not None and (self._hook is not None or not self._content or "outputs" in sizes):
            facts = _answer_facts(event.outputs[0])
            details |= {"facts": self._scrubbed(fit(facts, self._limit).value)} if facts else {}
        return event._replace(outputs=outputs, details=details if self._content else {**details, "content": False})

    def file(self, record: TraceFile) -> TraceFile | None:
        """Return the record of a file; None where nothing unseen may pass: the hook sees JSON."""
        return record if self._content and self._hook is None else None

    def update(self, record: TraceUpdate) -> TraceUpdate:
        """Return the record of a trace's own fields: labels, and previews, which are content."""
        fields = self._labels(record.fields)
        for name in _PREVIEWS:
            if name in fields:
                shown = (
                    self._redacted(fields[name], name, Subject(str(fields.get("name", "")), ""))
                    if self._content
                    else ""
                )
                fields[name] = str(shown)
        return record._replace(fields={name: field for name, field in fields.items() if field or name not in _PREVIEWS})

    def model(self, record: ModelSeen) -> ModelSeen:
        """Return the record of a chain's description. A part that is changed here cannot be built again."""
        form, subject = record.form, Subject(record.form["name"], "")
        shown: ModelForm = {**form, "name": self._text(form["name"]), "problems": [*form["problems"]]}
        shown["steps"] = [self._text(step) for step in form["steps"]]
        shown["chain"] = tree = self._of_model(form["chain"], "chain", subject)
        if isinstance(tree, dict):
            shown["problems"] += [[path, "str", _CHANGED] for path in changed_paths(form["chain"], tree)]
        else:
            shown["chain"] = {"lc": 1, "type": "not_implemented", "id": [redaction.REDACTED]}
            shown["problems"].append(["", "chain", _CHANGED])
        if form["code"] is not None:
            shown["code"] = [self._code(one, subject) for one in form["code"]]
        copies = [(one, self._code([*one, ""], subject)) for one in form["code_paths"]]
        shown["code_paths"] = [one for one, seen in copies if not seen[2]]
        if form["example"] is not None:
            shown["example"] = [self._redacted(self._scrubbed(form["example"][0]), "example", subject)]
        for labels in ("params", "tags"):
            shown[labels] = self._scrubbed(form[labels])
        return record._replace(form=shown)

    def _of_model(self, given: Any, part: str, subject: Subject) -> Any:  # noqa: ANN401 - JSON
        """Return a part of a chain's description after scrubbing, with its names and placeholders, and the hook."""
        clean = redaction.replace(scrub_tree(given), self._patterns)
        return clean if self._hook is None else self._redacted(copy.deepcopy(clean), part, subject)  # it may be changed

    def _code(self, file: list[str], subject: Subject) -> list[str]:
        name, text, reason = file
        given = [name, text]
        return file if self._of_model(given, "code", subject) == given else [name, "", reason or _CHANGED]

    def _details(self, details: Mapping[str, Any], subject: Subject, sizes: dict[str, int]) -> dict[str, Any]:
        """Return the details, with the sizes of the values that were cut."""
        kept: dict[str, Any] = {}
        for name, value in details.items():
            if name == "inputs":
                # Also without content: inputs that come with the end say that the run was a stream.
                kept["inputs"] = self._optional(value, "inputs", subject, sizes) if self._content else None
            elif name == "error":
                kept["error"] = self._error(value, subject)
            elif name in _CONTENT:
                kept |= {name: self._value(value, name, subject, sizes)} if self._content else {}
            elif name in _DETAILS:
                kept |= self._detail(name, value, subject, sizes)
            else:
                kept[name] = self._fact(name, value, subject, sizes)
        return {**kept, "truncated": sizes} if sizes else kept

    def _fact(self, name: str, value: Any, subject: Subject, sizes: dict[str, int]) -> Any:  # noqa: ANN401 - JSON
        """Return a detail that is no value of the user's, but may hold what was set through MLflow's API."""
        if name == "changes":
            return self._changes(value, subject, sizes)
        if name == "attributes":
            return self._attributes(value, subject, sizes)
        if name == "links":
            return [
                {**link, "attributes": self._attributes(link["attributes"] or {}, subject, sizes)} for link in value
            ]
        if name == "message":
            return self._message(value, "status", subject)
        return self._scrubbed(fit(value, self._limit).value)

    def _detail(self, name: str, value: Any, subject: Subject, sizes: dict[str, int]) -> dict[str, Any]:  # noqa: ANN401
        """Return a detail of the user's; and what it says about the model, where the detail itself may not be kept."""
        if not value:
            return {}
        if self._content and self._hook is None:
            return {name: self._value(value, name, subject, sizes)}
        facts = _known(self._scrubbed(fit(value, self._limit).value), name)
        if not self._content:
            return {name: facts} if facts else {}
        return {name: self._value(value, name, subject, sizes), f"{name}_facts": facts}

    def _tags(self, tags: Sequence[str] | None, subject: Subject, sizes: dict[str, int]) -> list[str] | None:
        if not tags:
            return None
        shown = self._value(list(tags), "tags", subject, sizes)
        return [*map(str, shown)] if isinstance(shown, list) else [str(shown)] if shown else None

    def _error(self, facts: Mapping[str, Any], subject: Subject) -> dict[str, Any]:
        shown: dict[str, Any] = {"classes": facts["classes"]}
        if "causes" in facts:
            shown["causes"] = [self._error(cause, subject) for cause in facts["causes"]]
        if not self._content:
            return shown
        shown["message"] = self._message(facts["message"], "exception.message", subject)
        if "stack" in facts:
            shown["stack"] = self._message(facts["stack"], "exception.stacktrace", subject)
        return shown

    def _changes(self, changes: Mapping[str, Any], subject: Subject, sizes: dict[str, int]) -> dict[str, Any]:
        shown = {"status": changes["status"], "message": self._message(changes["message"], "status", subject)}
        if not self._content:
            return shown
        values = {name: self._optional(changes[name], name, subject, sizes) for name in ("inputs", "outputs")}
        return {**shown, **values, "attributes": self._attributes(changes["attributes"], subject, sizes)}

    def _attributes(self, given: Mapping[str, Any], subject: Subject, sizes: dict[str, int]) -> dict[str, Any]:
        """Return attributes that the program has set through MLflow's API."""
        own = {name: value for name, value in given.items() if name in WITHOUT_CONTENT}
        kept: dict[str, Any] = self._scrubbed(fit(own, self._limit).value)
        if self._content:
            theirs = {name: value for name, value in given.items() if name not in own}
            kept |= self._object(theirs, "attributes", subject, sizes) if theirs else {}
        return kept

    def _optional(
        self, given: Sequence[Any] | None, field: str, subject: Subject, sizes: dict[str, int]
    ) -> list[Any] | None:
        return None if given is None else [self._value(given[0], field, subject, sizes)]

    def _object(self, value: object, field: str, subject: Subject, sizes: dict[str, int]) -> dict[str, Any]:
        shown = self._value(value, field, subject, sizes)
        return shown if isinstance(shown, dict) else {"redacted": shown}

    def _value(self, value: object, field: str, subject: Subject, sizes: dict[str, int]) -> Any:  # noqa: ANN401 - JSON
        """Convert a value and cut it to size, scrub it, and show it to the user's hook."""
        plain, size = fit(value, self._limit, subject.replace)
        if size is not None:
            sizes[field] = size
        return self._redacted(self._scrubbed(plain), _FIELDS.get(field, field), subject)

    def _scrubbed(self, plain: Any) -> Any:  # noqa: ANN401 - JSON
        clean = redaction.scrub(plain)
        return redaction.replace(clean, self._patterns) if self._patterns else clean

    def _redacted(self, plain: Any, field: str, subject: Subject) -> Any:  # noqa: ANN401 - JSON
        """Return what the user's hook makes of a value. On an exception nothing of the value is left."""
        if self._hook is None:
            return plain
        try:
            context = (RedactContext(subject.name, subject.type, field),) if self._takes_context else ()
            return orjson.loads(orjson.dumps(self._hook(plain, *context), option=orjson.OPT_NON_STR_KEYS))
        except Exception as error:  # noqa: BLE001 - whatever it is, the value must not pass
            self._note_failure(error)
            return f"{redaction.REDACTED}: the redact hook raised {type(error).__name__}"

    def _note_failure(self, error: Exception) -> None:
        with self._lock:
            self.redact_failures += 1
            first = self.redact_failures == 1
        if first:
            _logger.warning("the redact hook raised %s: the value was dropped.", error_text(error))

    def _text(self, text: str) -> str:
        """Return a name: cut and scrubbed, but no content for the hook."""
        clean = redaction.scrub_text(_valid(_first(text, _MAX_NAME)))
        return str(redaction.replace(clean, self._patterns))

    def _message(self, text: str, field: str, subject: Subject) -> str:
        """Return an error's text; only the type that it begins with, where content is not captured."""
        if not self._content:
            return self._text(redaction.error_class(text))
        clean = redaction.scrub_text(_valid(_first(text, self._limit // 4)))
        shown = self._redacted(redaction.replace(clean, self._patterns), field, subject) if clean else ""
        return "" if shown is None else str(shown)

    def _context(self, context: TraceContext) -> TraceContext:
        labels = self._labels({"tags": context["tags"], "metadata": context["metadata"]})
        return {**context, "tags": labels["tags"], "metadata": labels["metadata"]}

    def _labels(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        plain = fit(fields, self._limit).value
        return {name: self._scrubbed(field) for name, field in plain.items()}


def _known(plain: Any, name: str) -> Any:  # noqa: ANN401 - JSON
    """Return what details of the user's say about a run, without content."""
    if not isinstance(plain, dict):
        return {}
    if name == "metadata":
        return {key: value for key, value in plain.items() if key in _KNOWN_METADATA}
    return _numbers(plain)


def _answer_facts(output: Any) -> dict[str, Any] | None:  # noqa: ANN401 - any value
    """Return what an output says about its run without content: a model's usage, name and reasons, a tool's status."""
    try:
        result = _fields(output)
        if batches := result.get("generations"):
            answers = [[_facts_of(_fields(one)) for one in batch] for batch in batches]
            return {"generations": answers, "llm_output": _numbers(result.get("llm_output"))}
        return {"type": "tool", "status": result["status"]} if result.get("type") == "tool" else None
    except STOPPED:
        raise
    except BaseException:  # noqa: BLE001 - user objects raise anything; the others are no answers
        return None


def _fields(value: Any) -> Mapping[str, Any]:  # noqa: ANN401 - any value
    found = convert(value) if isinstance(value, LLMResult | Generation | BaseMessage) else value
    return found if isinstance(found, dict) else {}


def _facts_of(answer: Mapping[str, Any]) -> dict[str, Any]:
    message = _fields(answer.get("message"))
    found: dict[str, Any] = {"generation_info": _numbers(answer.get("generation_info"))}
    if message:
        found["message"] = {
            "type": message.get("type"),
            "usage_metadata": _numbers(message.get("usage_metadata"), is_usage=True),
            "response_metadata": _numbers(message.get("response_metadata")),
        }
    return found


def _numbers(plain: Any, *, is_usage: bool = False) -> dict[str, Any]:  # noqa: ANN401 - any value
    """Return the numbers, and names of models and reasons, that a model's parameters or answer hold.

    Of the objects within it, only those with the token usage: the names in others (of words, or of fields that the
    program has defined) are content.
    """
    found: dict[str, Any] = {}
    for name, value in plain.items() if isinstance(plain, dict) else ():
        if isinstance(value, dict):
            if is_usage or name in USAGE_PLACES:
                found[name] = _numbers(value, is_usage=True)
        elif isinstance(value, int | float) or (isinstance(value, str) and name in _KNOWN_TEXTS):
            found[name] = value
    return found


def _first(text: str, most: int) -> str:
    return text if len(text) <= most else beginning(text, most)


def _valid(text: str) -> str:
    """UTF-8 has no lone surrogates: they are kept, readable as escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()

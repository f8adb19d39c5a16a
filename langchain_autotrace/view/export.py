"""Writes stored traces into a file: a page, JSON or Markdown."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from langchain_autotrace.errors import ExportError
from langchain_autotrace.view import attachments, markdown, page_html, private, sources, terminal, traces
from langchain_autotrace.view.page_data import trace_data

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_autotrace.view.attachments import Attachment
    from langchain_autotrace.view.stored import StoredTrace
    from langchain_autotrace.view.traces import TraceTree

_PAGES: Final = frozenset({".html", ".htm"})


@dataclass(frozen=True, slots=True)
class Exported:
    """A trace, without secrets, and the files that its values refer to."""

    tree: TraceTree
    files: dict[str, Attachment]
    """File id -> file; empty where files are not wanted."""


def check_format(path: str) -> None:
    """Check that the name of a file ends as one of the formats does.

    Raises:
        ExportError: it does not.
    """
    if _suffix(path) not in _FORMATS:
        msg = f"cannot tell the format of {path!r}: its name must end with {', '.join(_FORMATS)}."
        raise ExportError(msg)


def has_files(path: str) -> bool:
    """Return whether the format of a file holds the attachments of traces too: only pages do."""
    return _suffix(path) in _PAGES


def read(
    uri: str, trace_ids: Sequence[str], *, experiment: str | None = None, content: bool = True, files: bool = True
) -> list[Exported]:
    """Return traces of a store in the order of their ids, each once, with ``[REDACTED]`` in place of secrets.

    Args:
        uri: the tracking URI.
        trace_ids: MLflow's ids, the first or last digits of some (with or without ``tr-``), or ``last``.
        experiment: name of the experiment to look in; all by default.
        content: False leaves out inputs, outputs, error messages and files.
        files: read attachments, of all traces together up to ``attachments.MAX_BYTES``.

    Raises:
        TraceNotFound: an id has no trace, or more than one.
        SinkUnavailable: the store cannot be read.
    """
    found: dict[str, Exported] = {}
    room = attachments.MAX_BYTES
    with sources.reading(uri) as source:
        for wanted in trace_ids:
            trace = traces.chosen(source, uri, wanted, experiment=experiment)
            if trace.info.trace_id not in found:
                one = _exported(uri, trace, content=content, room=room if files and content else None)
                found[trace.info.trace_id] = one
                room -= sum(len(file.content or b"") for file in one.files.values())
    return list(found.values())


def _exported(uri: str, trace: StoredTrace, *, content: bool, room: int | None) -> Exported:
    def files(tree: TraceTree) -> dict[str, Attachment]:
        return {} if room is None else attachments.read(uri, trace.info, attachments.references_in(tree), room=room)

    return without_secrets(traces.tree_of_stored(trace), files, content=content)


def without_secrets(
    tree: TraceTree, files_of: Callable[[TraceTree], dict[str, Attachment]], *, content: bool
) -> Exported:
    """Return a trace with ``[REDACTED]`` in place of secrets.

    Args:
        tree: the trace.
        files_of: returns the files that a trace's values refer to.
        content: False leaves out inputs, outputs, error messages and files.
    """
    clean = private.scrubbed(tree)
    return Exported(clean, files_of(clean)) if content else Exported(private.without_content(clean), {})


def write(path: str, exported: Sequence[Exported]) -> None:
    """Write traces into a file, in the format that its name ends with. The file is replaced at once, or not at all.

    Raises:
        ExportError: the name ends with no known format.
        OSError: the file cannot be written.
    """
    check_format(path)
    content = _FORMATS[_suffix(path)](exported).encode("utf-8", "backslashreplace")
    target = Path(path)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        error.filename = path  # the temporary file's name says nothing to the user
        raise


def summary(path: str, exported: Sequence[Exported]) -> str:
    """Return what was written, in a line or two."""
    number, spans = len(exported), sum(len(one.tree.spans) for one in exported)
    size = Path(path).stat().st_size
    line = f"{path}: {_number(number, 'trace')}, {_number(spans, 'span')}, {size / 1000:,.0f} kB"
    missing = sum(file.content is None for one in exported for file in one.files.values())
    if not missing:
        return line
    limit = attachments.MAX_BYTES // 1_000_000
    return (
        f"{line}\nNot in it: {_number(missing, 'attachment')}, because the store does not have them, the page can not "
        f"show them, or all together are larger than {limit} MB."
    )


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _suffix(path: str) -> str:
    return Path(path).suffix.lower()


def page(exported: Sequence[Exported]) -> str:
    """Return traces as one page for the browser."""
    return page_html.page([trace_data(one.tree, one.files) for one in exported])


def _as_json(exported: Sequence[Exported]) -> str:
    """Return one trace as ``langchain-autotrace show --json`` prints it; several as a list of them."""
    found: list[dict[str, Any]] = [terminal.tree_json(one.tree) for one in exported]
    return terminal.json_text(found[0] if len(found) == 1 else found)


def _as_markdown(exported: Sequence[Exported]) -> str:
    return "\n---\n\n".join(markdown.document(one.tree) for one in exported)


_FORMATS: Final[dict[str, Callable[[Sequence[Exported]], str]]] = {
    **dict.fromkeys(sorted(_PAGES, reverse=True), page),
    ".json": _as_json,
    ".md": _as_markdown,
}

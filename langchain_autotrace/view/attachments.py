"""Reads the files that a trace's values refer to."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from langchain_autotrace.semconv import ATTACHMENT

if TYPE_CHECKING:
    from mlflow.entities import TraceInfo

    from langchain_autotrace.view.stored import StoredInfo
    from langchain_autotrace.view.traces import TraceTree

MAX_BYTES: Final = 25_000_000
"""Size of all files that a page gets at most; what is larger is named by its type and size."""
_REFERENCE: Final = re.compile(re.escape(ATTACHMENT) + r"([\w-]{1,64})\?([\w.%+/=&;-]{0,500})")
_EMBEDDED: Final = re.compile(r"(?:image|audio|video)/[\w.+-]+|application/pdf", re.ASCII)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of a trace."""

    type: str
    """Media type, such as ``image/png``."""
    size: int | None
    """Size in bytes; None if not known."""
    content: bytes | None
    """None if it is of another kind than images, audio, video and PDF, too large, or missing in the store."""


def references(texts: Iterable[str]) -> dict[str, Attachment]:
    """Return file id -> attachment without content for the references in texts, such as spans as JSON."""
    found: dict[str, Attachment] = {}
    for text in texts:
        for file_id, query in _REFERENCE.findall(text) if ATTACHMENT in text else ():
            facts = parse_qs(query)
            size = facts.get("size", [""])[0]
            kind = facts.get("content_type", ["application/octet-stream"])[0]
            found[file_id] = Attachment(kind, int(size) if size.isdecimal() else None, None)
    return found


def references_in(tree: TraceTree) -> dict[str, Attachment]:
    """Return what :func:`references` finds in the values of a trace."""
    return references(json.dumps((span.inputs, span.outputs, span.attributes), default=str) for span in tree.spans)


def read(
    uri: str, info: StoredInfo | TraceInfo, named: Mapping[str, Attachment], *, room: int
) -> dict[str, Attachment]:
    """Return the attachments of a stored trace with their content, as far as there is room.

    Only files of this trace are read, whatever the references say.

    Args:
        uri: the tracking URI.
        info: the trace.
        named: what :func:`references_in` found.
        room: bytes that all of them may have together.
    """
    return filled(named, lambda file_id: _download(uri, info.trace_id, file_id), room=room)


def filled(
    named: Mapping[str, Attachment], content_of: Callable[[str], bytes | None], *, room: int
) -> dict[str, Attachment]:
    """Return attachments with the content that a page can show, as far as there is room.

    Args:
        named: what :func:`references` found.
        content_of: returns the content of a file by its id; None if it is missing.
        room: bytes that all of them may have together.
    """
    found: dict[str, Attachment] = {}
    for file_id, one in named.items():
        fits = _EMBEDDED.fullmatch(one.type) is not None and (one.size or 0) <= room
        content = content_of(file_id) if fits else None
        if content is not None and len(content) > room:
            content = None
        room -= len(content or b"")
        found[file_id] = Attachment(one.type, one.size if content is None else len(content), content)
    return found


def _download(uri: str, trace_id: str, file_id: str) -> bytes | None:
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - slow to import

    from langchain_autotrace.ship.server_client import ServerClient  # noqa: PLC0415 - imports MLflow

    try:
        client = ServerClient(uri)
        info = client.get_trace_info(trace_id)
        repository: Any = client._get_artifact_repo_for_trace(info)  # noqa: SLF001 - no public way
        with tempfile.TemporaryDirectory() as folder:
            return Path(repository.download_artifacts(f"attachments/{file_id}", folder)).read_bytes()
    except (MlflowException, OSError):  # the page says that the file is not in it
        return None

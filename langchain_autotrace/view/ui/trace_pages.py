"""Data of the pages that show one trace, a turn of a session, or two traces beside each other."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from langchain_autotrace.errors import TraceNotFound
from langchain_autotrace.trace import previews
from langchain_autotrace.trace.spans import Span
from langchain_autotrace.view import attachments, differences, private, store, traces
from langchain_autotrace.view.page_data import trace_data
from langchain_autotrace.view.terminal import row_json
from langchain_autotrace.view.ui.http_messages import FILE_POLICY, Response, failed

if TYPE_CHECKING:
    from langchain_autotrace.view.attachments import Attachment
    from langchain_autotrace.view.traces import SpanNode, TraceTree

_SHOWN: Final = re.compile(r"image/(?:png|jpe?g|gif|webp|avif|bmp)|audio/[\w.+-]+|video/(?:mp4|webm|ogg)", re.ASCII)
"""Files that the page shows; a PDF is saved."""
_PDF: Final = "application/pdf"
_WHOLE: Final = 1_000_000


def stored_trace(uri: str, trace_id: str) -> dict[str, Any]:
    """Return a trace of the store as the page draws it; its files have addresses of this server.

    Raises:
        TraceNotFound: there is no such trace.
    """
    tree, files = _read(uri, trace_id)
    data = trace_data(tree, files)
    for file_id, file in data["files"].items():
        file["data"] = None
        if _SHOWN.fullmatch(file["type"]) or file["type"] == _PDF:
            file["url"] = f"/trace/{quote(tree.row.trace_id, safe='')}/file/{file_id}"
    return data


def _read(uri: str, trace_id: str) -> tuple[TraceTree, dict[str, Attachment]]:
    if not store.exists(uri):
        msg = f"no trace {trace_id!r}: nothing is stored yet."
        raise TraceNotFound(msg)
    tree = private.scrubbed(traces.tree(uri, trace_id))
    return tree, attachments.references_in(tree)


def attachment(uri: str, trace_id: str, file_id: str) -> Response:
    """Return a file that a trace's values refer to; no other file of the store, and none of a kind that can run."""
    with store.reading(uri) as client:
        trace = traces.stored_trace(client, uri, trace_id)
        named = attachments.references_in(traces.tree_of(trace))
        wanted = {file_id: named[file_id]} if file_id in named else {}
        file = attachments.read(uri, trace.info, wanted, room=attachments.MAX_BYTES).get(file_id)
    if file is None or file.content is None or not (_SHOWN.fullmatch(file.type) or file.type == _PDF):
        return failed(HTTPStatus.NOT_FOUND, "the trace has no such file that can be shown.")
    kind = "attachment; filename=document.pdf" if file.type == _PDF else "inline"
    return Response(file.content, file.type, policy=FILE_POLICY, headers={"Content-Disposition": kind})


def turn(uri: str, trace_id: str) -> dict[str, Any]:
    """Return the whole question and answer of a trace."""
    tree, _ = _read(uri, trace_id)
    if not tree.spans:
        return {"request": "", "response": ""}
    root = _span(tree.spans[0])
    asked, answered = previews.request_preview(root, _WHOLE), previews.response_preview(root, _WHOLE)
    return {"request": asked or "", "response": answered or "", "error": tree.spans[0].error}


def _span(node: SpanNode) -> Span:
    """Return a span of the store as ``trace/`` knows it, as far as its preview needs."""
    return Span(
        trace_id="",
        span_id=node.span_id,
        parent_id=None,
        name=node.name,
        type=node.type,
        start_ns=node.start_ns,
        end_ns=None,
        status=node.status,
        message="",
        inputs=None if node.inputs is None else [node.inputs],
        outputs=None if node.outputs is None else [node.outputs],
        attributes={},
        events=[],
        links=[],
    )


def comparison(uri: str, first: str, second: str, *, plumbing: bool) -> dict[str, Any]:
    """Return two traces beside each other: their facts, and the pairs of their spans with what differs.

    Raises:
        TraceNotFound: one of them does not exist.
    """
    whole = [_read(uri, one)[0] for one in (first, second)]
    shown = whole if plumbing else [traces.folded(one)[0] for one in whole]
    pairs = differences.aligned(*shown)
    return {"traces": [row_json(one.row) for one in whole], "pairs": [_pair(*pair) for pair in pairs]}


def _pair(old: SpanNode | None, new: SpanNode | None) -> dict[str, Any]:
    one = old or new
    changes = {} if old is None or new is None else dict(differences.changes(old, new))
    return {
        "depth": one.depth if one else 0,
        "name": one.name if one else "",
        "type": one.type if one else "",
        "spans": [_side(old), _side(new)],
        "changes": [{"name": name, "lines": lines} for name, lines in changes.items()],
    }


def _side(span: SpanNode | None) -> dict[str, Any] | None:
    if span is None:
        return None
    duration = None if span.duration_ns is None else span.duration_ns / 1000
    return {"id": span.span_id, "status": span.status, "duration_us": duration, "tokens": span.tokens.total}

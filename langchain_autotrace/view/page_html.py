"""Writes the trace page: one HTML file that holds its traces, style and script, and loads nothing."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from langchain_autotrace.view.page_data import json_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_STYLES: Final = ("base", "tree", "span", "narrow")
_SCRIPTS: Final = (
    *("elements", "text", "theme", "markdown", "media", "json", "messages", "chat", "documents", "request"),
    *("spans", "axis", "waterfall", "detail", "find", "bar", "keys", "main"),
)
"""Files of ``page/``, in an order in which each one's names are defined before they are used."""
_PLACE: Final = re.compile(r"\{\{(\w+)\}\}")
_SPECIAL: Final = re.compile("[<>&\u2028\u2029\ud800-\udfff]")


def page(traces: Sequence[Mapping[str, Any]]) -> str:
    """Return the page of one or more traces, as :func:`~langchain_autotrace.view.page_data.trace_data` returns them."""
    return _PLACE.sub(lambda found: _part(found[1], traces), file("page.html"))


def _part(name: str, traces: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(map(data_element, traces)) if name == "traces" else _fixed_part(name)


@cache
def _fixed_part(name: str) -> str:
    return {"style": style, "script": script}.get(name, _policy)()


def style() -> str:
    """Return the style of the page."""
    return "".join(file(f"{one}.css") for one in _STYLES)


def script(*, before_main: str = "") -> str:
    """Return the script of the page.

    Args:
        before_main: script to put before the part that draws the page.
    """
    *parts, main = (file(f"{one}.js") for one in _SCRIPTS)
    return "(() => {\n'use strict';\n" + "".join(parts) + before_main + main + "})();\n"


def _policy() -> str:
    """Return the content security policy: the page's own script and style, files within the page, and nothing else."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash(_fixed_part('script'))}",
            f"style-src {_hash(_fixed_part('style'))}",
            "img-src data:",
            "media-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def data_element(trace: Mapping[str, Any]) -> str:
    """Return the element that holds the data of a trace."""
    row = trace["trace"]
    trace_id, name = (html.escape(_without_surrogates(str(row[key]))) for key in ("trace_id", "name"))
    data = _in_script(json_text(trace))
    return f'<script type="application/json" class="trace" data-id="{trace_id}" data-name="{name}">{data}</script>'


def _in_script(text: str) -> str:
    """Return JSON that can neither end nor begin an element or a comment, whatever its strings hold."""
    return _SPECIAL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _without_surrogates(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def file(name: str) -> str:
    """Return the text of a file of the page."""
    return resources.files("langchain_autotrace.view").joinpath("page", name).read_text(encoding="utf-8")

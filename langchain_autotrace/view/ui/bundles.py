"""The files of the pages: scripts and styles joined from ``pages/`` and the trace page's ``page/``, and the HTML."""

from __future__ import annotations

import hashlib
import html
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Final

from langchain_autotrace.view import page_html
from langchain_autotrace.view.ui.http_messages import PAGE_POLICY, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

_SHARED: Final = ("elements", "text", "theme")
_UI_SCRIPTS: Final = (
    *("context", "address", "server", "ask", "frame", "parts", "filters", "rows", "list", "contents"),
    *("conversation", "sessions", "charts", "overview", "compare", "models", "follow", "start"),
)
_UI_STYLES: Final = ("frame", "question", "list", "views", "narrow-ui")
_CACHED: Final = {"Cache-Control": "private, max-age=31536000, immutable"}
_HTML: Final = "text/html; charset=utf-8"
_JS: Final = "text/javascript; charset=utf-8"
_CSS: Final = "text/css; charset=utf-8"


def _ui_script() -> str:
    own = [*map(_page, (*_SHARED, "markdown", "media")), *map(_own, _UI_SCRIPTS)]
    return f"(() => {{\n'use strict';\n{''.join(own)}}})();\n"


def _trace_script() -> str:
    own = "".join(map(_own, ("server", "ask", "served", "growing")))
    return page_html.script(before_main=own)


def _page(name: str) -> str:
    return page_html.file(f"{name}.js")


def _own(name: str) -> str:
    return _file(f"{name}.js")


def _file(name: str) -> str:
    return resources.files("langchain_autotrace.view.ui").joinpath("pages", *name.split("/")).read_text("utf-8")


def _ui_style() -> str:
    styles = [page_html.file("base.css"), page_html.file("tree.css"), page_html.file("span.css")]
    return "".join([*styles, _file("vendor/uplot.css"), *(_file(f"{name}.css") for name in _UI_STYLES)])


def _trace_style() -> str:
    return page_html.style() + _file("question.css") + _file("served.css")


_FILES: Final[Mapping[str, tuple[Callable[[], str], str]]] = {
    "ui.js": (_ui_script, _JS),
    "trace.js": (_trace_script, _JS),
    "early.js": (lambda: _file("early.js"), _JS),
    "uplot.js": (lambda: _file("vendor/uplot.js"), _JS),
    "ui.css": (_ui_style, _CSS),
    "trace.css": (_trace_style, _CSS),
}


@cache
def _content(name: str) -> bytes:
    return _FILES[name][0]().encode()


@cache
def _link(name: str) -> str:
    """Return a file's address, which changes with its content."""
    return f"/static/{name}?v={hashlib.sha256(_content(name)).hexdigest()[:16]}"


def static(name: str) -> Response | None:
    """Return a script or a style; None when there is none of that name."""
    if name not in _FILES:
        return None
    return Response(_content(name), _FILES[name][1], headers=_CACHED)


def page(csrf: str, *, destination: str) -> Response:
    """Return the page of all views but the trace's.

    Args:
        csrf: what requests that change something have to repeat.
        destination: the store's address, without its password.
    """
    scripts = "".join(f'<script src="{_link(name)}" defer></script>' for name in ("uplot.js", "ui.js"))
    return _html("ui.css", csrf, destination, scripts)


def trace_page(csrf: str, data: Mapping[str, Any], *, destination: str) -> Response:
    """Return the page of a trace."""
    script = f'<script src="{_link("trace.js")}" defer></script>'
    return _html("trace.css", csrf, destination, page_html.data_element(data) + script)


def _html(style: str, csrf: str, destination: str, rest: str) -> Response:
    text = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="csrf" content="{csrf}">
<meta name="store" content="{html.escape(destination.encode("utf-8", "replace").decode())}">
<title>Traces</title>
<link rel="icon" href="data:,">
<script src="{_link("early.js")}"></script>
<link rel="stylesheet" href="{_link(style)}">
</head>
<body>
<div id="app"><noscript>This page needs JavaScript. It loads nothing from elsewhere.</noscript></div>
{rest}
</body>
</html>
"""
    return Response(text.encode("utf-8", "backslashreplace"), _HTML, policy=PAGE_POLICY)

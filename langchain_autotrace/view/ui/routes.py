"""What the server answers: which address leads to which page or data."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from langchain_autotrace.errors import AutotraceError, ModelNotFound, SettingsError, TraceNotFound
from langchain_autotrace.redaction import error_line, without_password
from langchain_autotrace.view import catalog
from langchain_autotrace.view.ui import bundles, lists, trace_pages
from langchain_autotrace.view.ui.http_messages import Request, Response, as_json, failed
from langchain_autotrace.view.ui.live import Live

if TYPE_CHECKING:
    from langchain_autotrace.view.ui.admission import Guard

_MAX_WAIT: Final = 10.0
_MAX_DELETED: Final = 1_000
_VIEWS: Final = "|sessions|session|overview|compare|models|model"

Route = Callable[["Site", Request, re.Match[str]], Response]


class Site:
    """The pages over one store."""

    def __init__(self, uri: str, guard: Guard) -> None:
        """Show the store at ``uri``."""
        self.uri, self.guard = uri, guard
        self.live = Live(uri)
        self.has_answered = threading.Event()
        """Set when the first data was asked for: what is slow to import may be imported now."""

    def answer(self, method: str, request: Request) -> Response:
        """Return the response to a request; errors of the store are responses too."""
        try:
            return self._routed(method, request)
        except (TraceNotFound, ModelNotFound) as error:
            return failed(HTTPStatus.NOT_FOUND, str(error))
        except (SettingsError, ValueError) as error:
            return failed(HTTPStatus.BAD_REQUEST, str(error))
        except AutotraceError as error:
            return failed(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        except Exception as error:  # noqa: BLE001 - a page says it, the server goes on
            return failed(HTTPStatus.INTERNAL_SERVER_ERROR, f"unexpected error: {error_line(error)}")
        finally:
            if request.path.startswith("/api/"):
                self.has_answered.set()

    def _routed(self, method: str, request: Request) -> Response:
        is_known = False
        for allowed, pattern, route in _ROUTES:
            found = pattern.fullmatch(request.path)
            if found and method == allowed:
                return route(self, request, found)
            is_known = is_known or found is not None
        if is_known:
            return failed(HTTPStatus.METHOD_NOT_ALLOWED, "this address is not asked in this way.")
        return (
            failed(HTTPStatus.NOT_FOUND, "there is no such data.")
            if request.path.startswith("/api/")
            else _not_there(self)
        )


def _view(site: Site, *_: object) -> Response:
    return bundles.page(site.guard.csrf, destination=without_password(site.uri))


def _static(_site: Site, _request: Request, found: re.Match[str]) -> Response:
    return bundles.static(found[1]) or failed(HTTPStatus.NOT_FOUND, "there is no such file.")


def _not_there(site: Site) -> Response:
    return replace(_view(site), status=HTTPStatus.NOT_FOUND)


def _trace_page(site: Site, _request: Request, found: re.Match[str]) -> Response:
    """Return the page of a trace; where there is none, the page that says so, under the same address."""
    try:
        data = _trace_data(site, unquote(found[1]))
    except TraceNotFound:
        return _not_there(site)
    return bundles.trace_page(site.guard.csrf, data, destination=without_password(site.uri))


def _trace_data(site: Site, trace_id: str, since: int = 0) -> dict[str, Any]:
    return site.live.trace(trace_id, since) or trace_pages.stored_trace(site.uri, trace_id)


def _trace(site: Site, request: Request, found: re.Match[str]) -> Response:
    """Return a trace as data; of a running one what has changed, as soon as something has."""
    trace_id, since = unquote(found[1]), int(request.param("since", "0"))
    if since:
        site.live.wait(int(request.param("seen", "0")), min(float(request.param("wait", "0")), _MAX_WAIT))
    seen = site.live.version()
    return as_json({**_trace_data(site, trace_id, since), "seen": seen})


def _changes(site: Site, request: Request, _found: re.Match[str]) -> Response:
    """Return the version as soon as something has changed: anything, or the store alone."""
    wait = min(float(request.param("wait", "0")), _MAX_WAIT)
    is_stored = request.param("of") == "store"
    return as_json({"version": site.live.wait(int(request.param("version", "0")), wait, is_stored=is_stored)})


def _file(site: Site, _request: Request, found: re.Match[str]) -> Response:
    return trace_pages.attachment(site.uri, unquote(found[1]), found[2])


def _contents(site: Site, request: Request, _found: re.Match[str]) -> Response:
    return Response(lists.content_hits(site.uri, request), "application/x-ndjson")


def _compare(site: Site, request: Request, _found: re.Match[str]) -> Response:
    plumbing = request.param("all") == "1"
    return as_json(trace_pages.comparison(site.uri, request.param("a"), request.param("b"), plumbing=plumbing))


def _delete(site: Site, request: Request, _found: re.Match[str]) -> Response:
    body = request.json()
    ids = body.get("ids") if isinstance(body, dict) else None
    if not isinstance(ids, list) or not 0 < len(ids) <= _MAX_DELETED or not all(isinstance(one, str) for one in ids):
        msg = f"ids is a list of 1 to {_MAX_DELETED} ids of traces."
        raise ValueError(msg)
    return as_json({"deleted": catalog.delete(site.uri, ids)})


_ROUTES: Final[tuple[tuple[str, re.Pattern[str], Route], ...]] = tuple(
    (method, re.compile(pattern), route)
    for method, pattern, route in (
        ("GET", rf"/(?:{_VIEWS})", _view),
        ("GET", r"/static/([\w.-]+)", _static),
        ("GET", r"/trace/([^/]+)", _trace_page),
        ("GET", r"/trace/([^/]+)/file/([\w-]{1,64})", _file),
        ("GET", r"/api/traces", lambda site, request, _: as_json(lists.trace_list(site.uri, site.live, request))),
        ("GET", r"/api/changes", _changes),
        ("GET", r"/api/trace/([^/]+)", _trace),
        ("GET", r"/api/turn/([^/]+)", lambda site, _, found: as_json(trace_pages.turn(site.uri, unquote(found[1])))),
        ("GET", r"/api/contents", _contents),
        ("GET", r"/api/choices", lambda site, *_: as_json(lists.choice_lists(site.uri))),
        ("GET", r"/api/sessions", lambda site, request, _: as_json(lists.session_list(site.uri, request))),
        ("GET", r"/api/overview", lambda site, request, _: as_json(lists.overview_sums(site.uri, request))),
        ("GET", r"/api/overview/models", lambda site, request, _: as_json(lists.model_sums(site.uri, request))),
        ("GET", r"/api/compare", _compare),
        ("GET", r"/api/models", lambda site, request, _: as_json(lists.model_list(site.uri, request))),
        ("GET", r"/api/model/([^/]+)", lambda site, _, found: as_json(lists.model_page(site.uri, unquote(found[1])))),
        ("POST", r"/api/delete", _delete),
    )
)

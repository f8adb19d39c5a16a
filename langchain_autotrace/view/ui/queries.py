"""Reads the filters, the sort and the page of a list from an address."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final, get_args

from langchain_autotrace.view.catalog import Query, Sort

if TYPE_CHECKING:
    from langchain_autotrace.view.ui.http_messages import Request

MAX_ROWS: Final = 500
_UNITS: Final = {"m": 60, "h": 3_600, "d": 86_400}
_RELATIVE: Final = re.compile(r"(\d{1,6})([mhd])", re.ASCII)


def query(request: Request) -> Query:
    """Return the filters that an address names.

    Raises:
        ValueError: one of them is not a number.
    """
    texts = ("experiment", "status", "name", "session", "user", "model", "logged_model", "text")
    return Query(
        **{name: request.param(name) for name in texts},
        tags=dict(one.split("=", 1) for one in request.params.get("tag", ()) if "=" in one),
        min_duration_ms=_whole(request, "min_ms"),
        max_duration_ms=_whole(request, "max_ms"),
        min_cost_usd=_number(request, "min_cost"),
        max_cost_usd=_number(request, "max_cost"),
        since_ms=_moment(request, "since"),
        until_ms=_moment(request, "until"),
    )


def sort(request: Request) -> tuple[Sort, bool]:
    """Return what a list is sorted by, and whether the largest comes first."""
    wanted = request.param("sort")
    found: Sort = next((one for one in get_args(Sort) if one == wanted), "time")
    return found, request.param("order", "desc") != "asc"


def page(request: Request) -> tuple[int, int]:
    """Return how many lines a page has, and how many there are before it."""
    limit, offset = _whole(request, "limit"), _whole(request, "offset")
    return min(max(limit or 50, 1), MAX_ROWS), max(offset or 0, 0)


def _number(request: Request, name: str) -> float | None:
    text = request.param(name)
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        msg = f"{name} is not a number: {text!r}"
        raise ValueError(msg) from None


def _whole(request: Request, name: str) -> int | None:
    number = _number(request, name)
    if number is None or not abs(number) < float(2**53):
        return None
    return int(number)


def _moment(request: Request, name: str) -> int | None:
    """Return a moment in milliseconds: a number, or how long ago it is, such as ``24h``."""
    relative = _RELATIVE.fullmatch(request.param(name))
    if relative is None:
        return _whole(request, name)
    return int((time.time() - int(relative[1]) * _UNITS[relative[2]]) * 1000)

"""Requests and responses, as the routes see them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from langchain_autotrace.view.page_data import json_text

if TYPE_CHECKING:
    from collections.abc import Sequence

_NOTHING: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content security policy of the pages: scripts and styles are files of this server, none is within a page."""
FILE_POLICY: Final = f"{_NOTHING}; sandbox"


@dataclass(frozen=True, slots=True)
class Request:
    """What a browser asks for."""

    path: str
    params: Mapping[str, Sequence[str]]
    """Parameters of the address."""
    body: bytes = b""

    def param(self, name: str, default: str = "") -> str:
        """Return the last value of a parameter."""
        return self.params.get(name, [default])[-1]

    def json(self) -> Any:  # noqa: ANN401 - JSON
        """Return the body as JSON.

        Raises:
            ValueError: it is not JSON.
        """
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Response:
    """What the browser gets."""

    body: bytes | Iterable[bytes]
    """All of it, or parts that are sent as they come."""
    type: str = "application/json"
    status: HTTPStatus = HTTPStatus.OK
    policy: str = _NOTHING
    """Content security policy."""
    headers: Mapping[str, str] = field(default_factory=dict)


def as_json(data: object, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Return data as a response."""
    return Response(json_text(data).encode("utf-8", "backslashreplace"), status=status)


def failed(status: HTTPStatus, message: str) -> Response:
    """Return a message as a response to a page's script, which shows it."""
    return as_json({"error": message}, status)

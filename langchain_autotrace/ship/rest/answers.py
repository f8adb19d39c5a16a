"""What the answers of a tracking server mean."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from langchain_autotrace.errors import SinkUnavailable
from langchain_autotrace.redaction import without_password

if TYPE_CHECKING:
    from collections.abc import Mapping
    from http.client import HTTPMessage

_REFUSES_CONTENT: Final = frozenset({400, 413, 415, 422})
_BUSY: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
_NO_ENDPOINT: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED})
_LONGEST_TEXT: Final = 200


class Answer(NamedTuple):
    """An answer."""

    status: int
    headers: Mapping[str, str] | HTTPMessage
    """Their names in any case."""
    content: bytes


class LeaveToMlflowError(Exception):
    """Only MLflow's client can say what the answer means, or do what was wanted in another way.

    Attributes:
        has_no_endpoint: whether the server does not have what was asked for at all.
    """

    def __init__(self, response: Answer) -> None:
        """Take the answer."""
        super().__init__(f"HTTP {response.status}")
        self.has_no_endpoint = response.status in _NO_ENDPOINT and "error_code" not in json_of(response)


def is_taken(uri: str, response: Answer) -> bool:
    """Return whether the server took what was sent; False when it refuses the content.

    Raises:
        SinkUnavailable: the server is busy or in trouble, or another one answers in its place.
        LeaveToMlflowError: it refuses the user, or does not have what was asked for.
    """
    status = response.status
    if status in _REFUSES_CONTENT:
        return False
    if status in _BUSY or (status >= HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.NOT_IMPLEMENTED):
        msg = f"{without_password(uri)}: the server answers HTTP {status}: {_reason(response)}"
        raise SinkUnavailable(msg)
    if status != HTTPStatus.OK:
        raise LeaveToMlflowError(response)
    # MLflow's client takes it for success where it sends spans.
    if "html" in response.headers.get("Content-Type", ""):
        msg = f"{without_password(uri)}: a web page answers, maybe to log in, in place of MLflow's API"
        raise SinkUnavailable(msg)
    return True


def is_not_found(response: Answer) -> bool:
    """Return whether MLflow says that what was asked for does not exist."""
    return response.status == HTTPStatus.NOT_FOUND and "error_code" in json_of(response)


def _reason(response: Answer) -> str:
    text = str(json_of(response).get("message") or response.content.decode(errors="replace"))
    lines = without_password(text).strip().splitlines()
    return lines[0][:_LONGEST_TEXT] if lines else ""


def json_of(response: Answer) -> dict[str, Any]:
    """Return the object that the answer is as JSON; an empty one when it is something else."""
    try:
        found = orjson.loads(response.content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}

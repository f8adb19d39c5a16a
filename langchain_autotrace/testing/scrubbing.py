"""Removes secrets from the places of a request or an answer where they are known to be."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from vcr.filters import decode_response
from vcr.request import Request
from vcr.util import read_body

from langchain_autotrace import redaction
from langchain_autotrace.testing.bodies import body_of, fields_of, json_text, parsed_json

REDACTED: Final = "REDACTED"
"""Placeholder in a URI, where brackets would be escaped."""
KEPT_HEADERS: Final = (
    *("content-type", "anthropic-version", "anthropic-beta", "openai-beta", "retry-after", "retry-after-ms"),
    *("x-should-retry", "location", r"x-ratelimit-.*", r"anthropic-ratelimit-.*", "x-amz-target", "x-amzn-errortype"),
    r"x-amzn-bedrock-.*-count",
)
"""Headers that a replay needs or a reader wants; all others are dropped. A list of secret ones would never be whole."""
_QUERY: Final = re.compile(
    r"(?:.*[-_])?key|api[-_]?key|.*token|sig|.*signature|code|x-amz-.*|x-goog-.*|.*credential|.*secret|.*password",
    re.IGNORECASE | re.DOTALL,
)
"""Names of query parameters whose values are not kept."""
_NOT_QUERY: Final = re.compile(r"(?:page|next|continuation|max|cursor)[-_]?.*tokens?", re.IGNORECASE)
_ACCOUNTS: Final = (
    (re.compile(r"(?<![\w-])(org|proj)([-_])[A-Za-z0-9]{16,}"), r"\1\2REDACTED"),
    (re.compile(r"(arn(?::|%3A)aws[\w-]*(?::|%3A)[\w-]*(?::|%3A)[\w-]*(?::|%3A))\d{12}"), r"\g<1>000000000000"),
    (re.compile(r"(?<=/projects/)[^/?#\s\"']+"), REDACTED),
)
"""Ids of organizations, accounts and projects, and what replaces them."""
_TEXT_FIELDS: Final = ("sse", "ndjson", "aws", "json", "data")


class Scrubber:
    """Cleans requests and answers, each a copy."""

    def __init__(self, keep_headers: Iterable[str] = ()) -> None:
        """Keep these headers too, each a regular expression."""
        self._kept = re.compile("|".join((*KEPT_HEADERS, *keep_headers)), re.IGNORECASE)

    def scrubbed(self, request: Request, response: dict[str, Any]) -> tuple[Request, dict[str, Any]]:
        """Return a request and its answer as a file may have them."""
        request, response = copy.deepcopy(request), decode_response(response)
        request.uri = self.uri(request.uri)
        request.headers = self._headers(request.headers)
        request.body = self._body(read_body(request))
        response["headers"] = {
            name: values if isinstance(values, list) else [values]
            for name, values in self._headers(response["headers"]).items()
        }
        if response.get("body", {}).get("string"):
            response["body"]["string"] = self._body(response["body"]["string"])
        return request, response

    def _headers(self, headers: Mapping[str, Any]) -> dict[str, Any]:
        kept = {name.lower(): _plain(value) for name, value in headers.items() if self._kept.fullmatch(name)}
        if "location" in kept:
            kept["location"] = (
                [self.uri(one) for one in kept["location"]]
                if isinstance(kept["location"], list)
                else self.uri(kept["location"])
            )
        return dict(sorted(kept.items()))

    def uri(self, uri: str) -> str:
        """Return a URI without keys, account ids, and a user's name and password."""
        parts = urlsplit(uri)
        query = urlencode([(name, self.query_value(name, value)) for name, value in _query_of(parts.query)])
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, self.text(parts.path), query, parts.fragment))

    def query_value(self, name: str, value: str) -> str:
        """Return the value of a query parameter, or a placeholder."""
        return REDACTED if _QUERY.fullmatch(name) and not _NOT_QUERY.fullmatch(name) else value

    def text(self, text: str) -> str:
        """Return a text without ids of organizations, accounts and projects."""
        for pattern, replacement in _ACCOUNTS:
            text = pattern.sub(replacement, text)
        return text

    def data(self, value: Any) -> Any:  # noqa: ANN401 - JSON data
        """Return JSON data without the values of secrets' keys, and without ids as in :meth:`text`."""
        return self._texts(redaction.without_named_secrets(value))

    def _texts(self, value: Any) -> Any:  # noqa: ANN401 - JSON data
        if isinstance(value, dict):
            return type(value)((key, self._texts(item)) for key, item in value.items())
        if isinstance(value, list):
            return [self._texts(item) for item in value]
        return self.text(value) if isinstance(value, str) else value

    def _body(self, body: Any) -> Any:  # noqa: ANN401 - bytes, text, data or None
        fields = fields_of(body)
        key = next((one for one in _TEXT_FIELDS if one in fields), None)
        if key is None:
            return _form(self, fields["body"]) if isinstance(fields.get("body"), str) else body
        clean = self.data(fields[key])
        if clean == fields[key]:
            return body
        made = body_of({**fields, key: clean})
        return made.encode() if isinstance(made, str) else made


def _form(scrubber: Scrubber, text: str) -> Any:  # noqa: ANN401 - bytes
    """Return a text's bytes, the secret fields of a form replaced."""
    if re.fullmatch(r"[\w.~%+*-]+=[^\s&=]*(?:&[\w.~%+*-]+=[^\s&=]*)*", text):
        pairs = _query_of(text)
        clean = [(n, REDACTED if redaction.is_secret_name(n) else scrubber.query_value(n, value)) for n, value in pairs]
        text = text if clean == pairs else urlencode(clean)
    try:
        value = json.loads(text) if text.lstrip()[:1] in ("{", "[") and parsed_json(text) is None else None
    except (ValueError, RecursionError):
        value = None
    clean_value = scrubber.data(value)
    # JSON in a style of its own keeps its bytes, unless a secret has to go.
    return (scrubber.text(text) if clean_value == value else json_text(clean_value)).encode()


def _query_of(query: str) -> list[tuple[str, str]]:
    return parse_qsl(query, keep_blank_values=True)


def _plain(value: Any) -> Any:  # noqa: ANN401 - bytes or text, or a list of them
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value.decode("latin-1") if isinstance(value, bytes) else value

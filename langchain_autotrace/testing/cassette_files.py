"""Cassettes as YAML files that a person can review.

Files of plain vcrpy, and langchain-tests' gzipped ones, are read too.
"""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, NoReturn

import yaml
from vcr.persisters.filesystem import CassetteNotFoundError
from vcr.request import Request
from vcr.serialize import deserialize, serialize
from vcr.serializers import compat

from langchain_autotrace.errors import CassetteError
from langchain_autotrace.testing.bodies import OneLine, body_of, fields_of

_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_GZIP: Final = b"\x1f\x8b"
_BREAKS: Final = re.compile("[\x85\u2028\u2029\ufeff\r]")
_FEWEST_NUMBERS: Final = 4

Interaction = dict[str, Any]
Pairs = tuple[list[Request], list[dict[str, Any]]]
"""The requests of a cassette, and their answers."""


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, lists of numbers on one line, no aliases."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - PyYAML's
        super().increase_indent(flow, indentless=False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    # PyYAML loses these line breaks in every style but the double-quoted one.
    style = '"' if _BREAKS.search(text) else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _list(dumper: yaml.SafeDumper, items: list[Any]) -> yaml.Node:
    is_short = len(items) >= _FEWEST_NUMBERS and all(type(item) in {int, float} for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=is_short)


def _one_line(dumper: yaml.SafeDumper, value: OneLine) -> yaml.Node:
    return dumper.represent_mapping("tag:yaml.org,2002:map", value.items(), flow_style=True)


_Dumper.add_representer(OneLine, _one_line)
_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)


def as_yaml(value: object, *, sort: bool = False) -> str:
    """Return data as YAML, as cassettes have it."""
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=sort, allow_unicode=True, width=float("inf")))


class ReadableSerializer:
    """A serializer for vcrpy that writes bodies as data, and reads vcrpy's own files too."""

    @staticmethod
    def serialize(cassette: dict[str, Any]) -> str:
        """Return a cassette as YAML."""
        shown = [_shown(**interaction) for interaction in cassette["interactions"]]
        return as_yaml({**cassette, "interactions": shown})

    @staticmethod
    def deserialize(text: str) -> dict[str, Any]:
        """Return the cassette that a text holds, in vcrpy's form."""
        content = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
        return {**content, "interactions": [_read(**interaction) for interaction in content["interactions"]]}


class Persister:
    """Reads a cassette, and those that a mark names beside it; writes the first one, whole or not at all.

    Attributes:
        check: is called with a file's name and text before it is written; may raise.
    """

    def __init__(self, extra_paths: Iterable[str] = (), check: Callable[[Path, str], object] | None = None) -> None:
        self._extra_paths = tuple(extra_paths)
        self.check = check

    def load_cassette(self, cassette_path: str | os.PathLike[str], serializer: Any) -> Pairs:  # noqa: ANN401 - any of vcrpy's
        """Return requests and answers.

        Raises:
            CassetteNotFoundError: vcrpy's, which then takes the cassette for a new one.
            CassetteError: the file is none.
        """
        requests: list[Request] = []
        responses: list[dict[str, Any]] = []
        for path in dict.fromkeys([os.fspath(cassette_path), *self._extra_paths]):
            more = read(Path(path), serializer)
            requests += more[0]
            responses += more[1]
        if not requests:
            raise CassetteNotFoundError
        return requests, responses

    def save_cassette(
        self,
        cassette_path: str | os.PathLike[str],
        cassette_dict: dict[str, Any],
        serializer: Any,  # noqa: ANN401 - any of vcrpy's
    ) -> None:
        """Write a cassette to a draft, which then takes the file's place."""
        path = Path(cassette_path)
        text = serialize(cassette_dict, serializer)
        if self.check is not None:
            self.check(path, text)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
        try:
            draft.write_text(text, encoding="utf-8", newline="\n")
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)


def read(path: Path, serializer: Any = ReadableSerializer) -> Pairs:  # noqa: ANN401 - any of vcrpy's
    """Return requests and answers of a cassette, or of the gzipped one beside it; empty if there is neither.

    Raises:
        CassetteError: the file is none.
    """
    found = next((one for one in (path, path.with_name(f"{path.name}.gz")) if one.is_file()), None)
    if found is None:
        return [], []
    try:
        raw = found.read_bytes()
        text = (gzip.decompress(raw) if raw.startswith(_GZIP) else raw).decode("utf-8")
        pairs = _of_langchain_tests(text) or deserialize(text, serializer)
        return pairs[0], pairs[1]
    except (ValueError, TypeError, KeyError, AttributeError, EOFError, yaml.YAMLError) as error:
        _fail(found, error)


def _fail(path: Path, error: Exception) -> NoReturn:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    msg = f"{path} is not a cassette that can be read ({type(error).__name__}: {reason})"
    raise CassetteError(msg) from error


def _of_langchain_tests(text: str) -> Pairs | None:
    """Return what a file of langchain-tests holds, which has requests and answers in two lists; None for others."""
    if text.startswith(("interactions:", "version:")):
        return None
    content = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
    if "requests" not in content:
        return None
    responses = [compat.convert_to_bytes(response) for response in content["responses"]]
    return [Request(**request) for request in content["requests"]], responses


def _shown(request: Interaction, response: Interaction) -> Interaction:
    status = f"{response['status']['code']} {response['status']['message'] or ''}".strip()
    asked = {"method": request["method"], "uri": request["uri"], "headers": _single(request["headers"])}
    answered = {"status": status, "headers": _single(response["headers"])}
    return {
        "request": {**asked, **fields_of(request["body"])},
        "response": {**answered, **fields_of(response["body"].get("string"))},
    }


def _read(request: Interaction, response: Interaction) -> Interaction:
    if isinstance(response["status"], dict):  # vcrpy's own form
        return {"request": request, "response": response}
    code, _, message = response["status"].partition(" ")
    body = body_of(response)
    asked = {"method": request["method"], "uri": request["uri"], "headers": _lists(request["headers"])}
    return {
        "request": {**asked, "body": body_of(request)},
        "response": {
            "status": {"code": int(code), "message": message or None},
            "headers": _lists(response["headers"]),
            "body": {} if body is None else {"string": body},
        },
    }


def _single(headers: dict[str, Any]) -> dict[str, Any]:
    """Return one text for a header that came once."""
    return {
        name: values[0] if isinstance(values, list) and len(values) == 1 else values for name, values in headers.items()
    }


def _lists(headers: dict[str, Any]) -> dict[str, list[Any]]:
    return {name: values if isinstance(values, list) else [values] for name, values in headers.items()}

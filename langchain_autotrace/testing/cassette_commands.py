"""``langchain-autotrace cassette``: what recordings hold, whether they are clean, and old ones converted.

vcrpy is an extra, so each command imports what it needs.
"""
# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from langchain_autotrace.errors import CassetteError

if TYPE_CHECKING:
    from vcr.request import Request

_SUFFIXES: Final = (".yaml", ".yml", ".yaml.gz")
_SHOWN: Final = 2000
"""Characters of an answer that ``show`` prints."""


class _Loaded(NamedTuple):
    path: Path
    pairs: list[tuple[Request, dict[str, Any]]]
    problems: list[str]
    """Places of secrets, and what keeps the file from being as the kit writes it."""


@click.group("cassette")
def cassette() -> None:
    """Show, check and convert recorded answers of models."""


_paths: Final = click.argument(
    "paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(exists=True, path_type=Path)
)


@cassette.command("list")
@_paths
def list_cassettes(*, paths: tuple[Path, ...]) -> None:
    """List the cassettes in files and folders: recordings, size, hosts, and whether they are clean."""
    for loaded in _loaded(paths):
        hosts = ", ".join(sorted({str(request.host) for request, _ in loaded.pairs})) or "-"
        state = "clean" if not loaded.problems else f"problems: {len(loaded.problems)}"
        size = loaded.path.stat().st_size
        click.echo(f"{loaded.path}  recordings: {len(loaded.pairs)}  {size} bytes  {hosts}  {state}")


@cassette.command("show")
@_paths
@click.option("--full", is_flag=True, help="Do not shorten answers.")
def show_cassettes(*, paths: tuple[Path, ...], full: bool) -> None:
    """Print the requests and answers of cassettes, without what is secret in them."""
    from langchain_autotrace.testing.bodies import fields_of
    from langchain_autotrace.testing.cassette_files import as_yaml

    for loaded in _loaded(paths):
        click.echo(f"# {loaded.path}")
        for number, (request, response) in enumerate(_scrubbed(loaded.pairs), 1):
            status = response["status"]
            click.echo(f"\n## {number}. {request.method} {request.uri} -> {status['code']} {status['message'] or ''}")
            for heading, body in (("asked", request.body), ("answered", response.get("body", {}).get("string"))):
                text = as_yaml(fields_of(body)) if body else "-\n"
                shown = text if full or len(text) <= _SHOWN else f"{text[:_SHOWN]}... (--full shows all)\n"
                click.echo(f"{heading}:\n{_without_secrets(shown)}", nl=False)


@cassette.command("verify")
@_paths
def verify_cassettes(*, paths: tuple[Path, ...]) -> None:
    """Check that cassettes can be read, are as the kit writes them, and hold no secret; exit status 1 if not."""
    bad = 0
    for loaded in _loaded(paths):
        bad += bool(loaded.problems)
        for problem in loaded.problems:
            click.echo(f"{loaded.path}: {problem}", err=True)
    if bad:
        click.echo("Clean and convert them with: langchain-autotrace cassette scrub PATH", err=True)
        sys.exit(1)


@cassette.command("scrub")
@_paths
def scrub_cassettes(*, paths: tuple[Path, ...]) -> None:
    """Rewrite cassettes in the kit's form, without secrets, as .yaml files; exit status 1 if one cannot be."""
    from langchain_autotrace.testing.cassette_files import Persister, ReadableSerializer
    from langchain_autotrace.testing.wiring import kit

    parts, bad = kit(), 0
    for path in _files(paths):
        try:
            pairs = sorted(_scrubbed(_read(path)), key=lambda pair: parts.matcher.order(pair[0]))
            parts.scan.refuse(pairs)
        except CassetteError as error:
            bad += 1
            click.echo(f"{path}: {error}", err=True)
            continue
        content = {"requests": [request for request, _ in pairs], "responses": [response for _, response in pairs]}
        target = path.with_suffix("") if path.suffix == ".gz" else path
        before = target.read_bytes() if target.is_file() else b""
        Persister(check=lambda at, text: parts.scan.refuse_text(at.name, text)).save_cassette(
            target, content, ReadableSerializer
        )
        if target != path:
            path.unlink()
        if target.read_bytes() != before:
            click.echo(f"{target}: rewritten")
    if bad:
        sys.exit(1)


def _loaded(paths: tuple[Path, ...]) -> Iterator[_Loaded]:
    for path in _files(paths):
        try:
            pairs = _read(path)
        except CassetteError as error:
            yield _Loaded(path, [], [str(error)])
        else:
            yield _Loaded(path, pairs, list(_problems(path, pairs)))


def _files(paths: tuple[Path, ...]) -> Iterator[Path]:
    for path in paths:
        if path.is_file():
            yield path
        else:
            yield from sorted(one for one in path.rglob("*") if one.name.endswith(_SUFFIXES) and one.name[0] != ".")


def _read(path: Path) -> list[tuple[Request, dict[str, Any]]]:
    with _testing_extra():
        from langchain_autotrace.testing.cassette_files import read

    requests, responses = read(path)
    return list(zip(requests, responses, strict=True))


def _scrubbed(pairs: list[tuple[Request, dict[str, Any]]]) -> list[tuple[Request, dict[str, Any]]]:
    from langchain_autotrace.testing.scrubbing import Scrubber

    scrubber = Scrubber()
    return [scrubber.scrubbed(request, response) for request, response in pairs]


def _problems(path: Path, pairs: list[tuple[Request, dict[str, Any]]]) -> Iterator[str]:
    from vcr.serialize import serialize

    from langchain_autotrace.testing.cassette_files import ReadableSerializer
    from langchain_autotrace.testing.wiring import kit

    parts = kit()
    parts.scan.note_environment()
    yield from parts.scan.places(pairs)
    clean = sorted(_scrubbed(pairs), key=lambda pair: parts.matcher.order(pair[0]))
    content = {"requests": [request for request, _ in clean], "responses": [response for _, response in clean]}
    if path.suffix == ".gz" or path.read_text(encoding="utf-8") != serialize(content, ReadableSerializer):
        yield "not as the kit writes it"


def _without_secrets(text: str) -> str:
    from langchain_autotrace.redaction import scrub_text

    return "".join(scrub_text(line) for line in text.splitlines(keepends=True))


@contextmanager
def _testing_extra() -> Iterator[None]:
    """Say how to install what is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "vcr":
            raise
        msg = "cassettes need additional packages. Run: pip install 'langchain-autotrace[testing]'"
        raise CassetteError(msg) from error

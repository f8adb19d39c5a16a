"""``langchain-autotrace cassette``."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from langchain_autotrace.cli import main

KEY = "sk-proj-" + "Q7w8E9r0" * 6


def cassette(*args: str | Path) -> Result:
    """The result of a command."""
    return CliRunner().invoke(main, ["cassette", *map(str, args)])


def recorded(prompt: str) -> dict[str, list[dict[str, object]]]:
    """A recording in the form of langchain-tests, with a key in a header."""
    headers = {"authorization": [f"Bearer {KEY}"], "content-type": ["application/json"]}
    request: dict[str, object] = {
        "method": "POST",
        "uri": f"https://h/v1/x?key={KEY}",
        "body": f'{{"prompt":"{prompt}"}}',
        "headers": headers,
    }
    status = {"code": 200, "message": "OK"}
    answered: dict[str, object] = {
        "status": status,
        "headers": {"set-cookie": ["a=b"]},
        "body": {"string": b'{"text":"hi"}'},
    }
    return {"requests": [request], "responses": [answered]}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A gzipped cassette of langchain-tests."""
    path = tmp_path / "old.yaml.gz"
    path.write_bytes(gzip.compress(yaml.safe_dump(recorded("hello")).encode()))
    return path


def test_an_old_cassette(old: Path) -> None:
    """An old cassette fails verify for what is in it, and passes once scrub has rewritten it."""
    bad = cassette("verify", old.parent)
    assert bad.exit_code == 1
    assert f"{old}: recording 1, request.headers.authorization: OpenAI, Anthropic or similar key" in bad.output
    assert f"{old}: not as the kit writes it" in bad.output
    assert KEY not in bad.output
    new = old.with_suffix("")
    assert (cassette("scrub", old.parent).output, old.exists()) == (f"{new}: rewritten\n", False)
    assert (cassette("verify", old.parent).output, cassette("scrub", new).output) == ("", "")
    assert cassette("verify", old.parent).exit_code == 0
    assert new.read_text() == (
        "version: 1\ninteractions:\n  - request:\n      method: POST\n      uri: https://h/v1/x?key=REDACTED\n"
        "      headers:\n        content-type: application/json\n      json:\n        prompt: hello\n"
        "    response:\n      status: 200 OK\n      headers: {}\n      json:\n        text: hi\n"
    )


def test_a_secret_in_a_prompt(tmp_path: Path) -> None:
    """A secret that cannot be removed keeps scrub from rewriting the file, and its exit status says so."""
    path = tmp_path / "secret.yaml.gz"
    path.write_bytes(before := gzip.compress(yaml.safe_dump(recorded(f"my key is {KEY}")).encode()))
    result = cassette("scrub", path)

    assert (result.exit_code, path.read_bytes()) == (1, before)
    assert "recording 1, request.json.prompt: OpenAI, Anthropic or similar key" in result.output
    assert KEY not in result.output
    assert KEY not in cassette("show", path).output


def test_what_is_recorded(old: Path) -> None:
    """List has a line for each cassette, and show its requests and answers."""
    assert cassette("list", old.parent).output == (
        f"{old}  recordings: 1  {old.stat().st_size} bytes  h  problems: 3\n"
    )
    assert cassette("show", old).output == (
        f"# {old}\n\n## 1. POST https://h/v1/x?key=REDACTED -> 200 OK\n"
        "asked:\njson:\n  prompt: hello\nanswered:\njson:\n  text: hi\n"
    )


def test_a_file_that_is_no_cassette(tmp_path: Path) -> None:
    """A file that is no cassette is named, with exit status 1."""
    (tmp_path / "a.yaml").write_text("a: [")
    result = cassette("verify", tmp_path)

    assert result.exit_code == 1
    assert f"{tmp_path / 'a.yaml'} is not a cassette that can be read" in result.output

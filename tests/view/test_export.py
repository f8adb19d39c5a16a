"""Traces of a store as files: pages, JSON, Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from mlflow.tracing.client import TracingClient

from langchain_autotrace.view import attachments, markdown, private, traces
from langchain_autotrace.view.page_data import trace_data
from tests.support import deliver, stored
from tests.view.browser import Window, html, span, trace
from tests.view.support import ANSWER, abandon, ask, cli, cli_json, fail, traced
from tests.view.test_page_safety import PIXEL

SECRET = "sk-proj-" + "aB3dE5gH7jK9mN1pQ3rS5tU7vW9xY1zA3bC5"
DATA = re.compile(r'<script type="application/json" class="trace"[^>]*>(.*?)</script>', re.DOTALL)


def data_of(path: str) -> list[Any]:
    """The data of the traces in a page."""
    return [json.loads(text) for text in DATA.findall(Path(path).read_text(encoding="utf-8"))]


def look() -> None:
    """A model is shown a picture, a file of unknown kind, and a picture again."""
    import base64

    picture = "data:image/png;base64," + base64.b64encode(PIXEL * 20).decode()
    other = "data:application/zip;base64," + base64.b64encode(b"PK\x03\x04" + PIXEL * 20).decode()
    blocks: list[str | dict[str, Any]] = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": picture}},
        {"type": "file", "file": {"file_data": other, "filename": "a.zip"}},
        {"type": "image_url", "image_url": {"url": picture}},
    ]
    GenericFakeChatModel(messages=iter([AIMessage("A dot.")])).invoke([HumanMessage(blocks)])


class TestPage:
    def test_from_the_store_to_the_browser(self, store: str, show: Callable[..., Window]) -> None:
        """`export last -o trace.html` writes a page that shows what was asked and answered."""
        traced(ask, tracking_uri=store)
        result = cli("export", "last", "-o", "trace.html")
        assert (result.exit_code, result.stderr) == (0, "")
        assert re.fullmatch(r"trace\.html: 1 trace, 3 spans, \d+ kB\n", result.stdout)
        assert [path.name for path in Path().glob("*trace.html*")] == ["trace.html"]
        window = show(Path("trace.html").read_text(encoding="utf-8"))
        assert window.page.locator("h1").inner_text() == "ask"
        assert window.names() == ["ask", "GenericFakeChatModel", "StrOutputParser"]
        assert "session talk-1" in window.texts(".facts span")
        window.page.keyboard.press("ArrowDown")
        assert window.texts(".message") == ["User\nHow warm is it in Lisbon?", f"Assistant\n{ANSWER}"]

    def test_several_traces(self, store: str) -> None:
        """Traces named in one command are in one page, in that order, each once."""
        traced(ask, fail, tracking_uri=store)
        first, second = (row["trace_id"] for row in cli_json("list"))
        result = cli("export", second, "last", first[:-2], "-o", "both.html")
        assert result.stdout.startswith("both.html: 2 traces, ")
        assert [one["trace"]["trace_id"] for one in data_of("both.html")] == [second, first]

    def test_attachments(self, store: str, show: Callable[..., Window]) -> None:
        """Pictures that the trace refers to are in the page; what it can not show is counted."""
        traced(look, tracking_uri=store)
        result = cli("export", "last", "-o", "look.html")
        assert "Not in it: 1 attachment, because" in result.stdout
        files = data_of("look.html")[0]["files"].values()
        assert sorted((file["type"], file["size"], file["data"] is None) for file in files) == [
            ("application/zip", 20 * len(PIXEL) + 4, True),
            ("image/png", 20 * len(PIXEL), False),
        ]
        window = show(Path("look.html").read_text(encoding="utf-8"))
        assert window.page.evaluate("[...document.images].map((image) => image.naturalWidth)") == [1, 1]

    def test_attachments_beyond_the_limit(self, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Files that are larger than the limit together are named, not embedded."""
        traced(look, tracking_uri=store)
        monkeypatch.setattr(attachments, "MAX_BYTES", 1000)
        assert "Not in it: 2 attachments" in cli("export", "last", "-o", "look.html").stdout
        assert [file["data"] for file in data_of("look.html")[0]["files"].values()] == [None, None]

    def test_attachments_of_another_trace(self, store: str) -> None:
        """A reference reads files of its own trace only, whatever it says."""
        traced(look, tracking_uri=store)
        cli("export", "last", "-o", "look.html")
        (taken,) = [name for name, file in data_of("look.html")[0]["files"].items() if file["data"]]
        reference = f"mlflow-attachment://{taken}?content_type=image%2Fpng&trace_id=tr-{'0' * 32}&size=10"
        traced(lambda: GenericFakeChatModel(messages=iter([AIMessage("x")])).invoke(reference), tracking_uri=store)
        cli("export", "last", "-o", "other.html")
        assert data_of("other.html")[0]["files"] == {taken: {"type": "image/png", "size": 10, "data": None}}


class TestOtherFormats:
    def test_json(self, store: str) -> None:
        """A `.json` file holds what `show --json` prints; several traces are a list."""
        traced(ask, abandon, tracking_uri=store)
        cli("export", "last", "-o", "one.json")
        shown = cli_json("show", "last")
        assert json.loads(Path("one.json").read_text(encoding="utf-8")) == shown
        cli("export", *(row["trace_id"] for row in cli_json("list")), "-o", "two.JSON")
        assert json.loads(Path("two.JSON").read_text(encoding="utf-8"))[0] == shown

    def test_markdown(self, store: str) -> None:
        """A `.md` file holds the facts, the tree, and each span's values and errors in fences."""
        traced(ask, fail, tracking_uri=store)
        first, second = (row["trace_id"] for row in cli_json("list"))
        cli("export", second, first, "-o", "trace.md")
        document = Path("trace.md").read_text(encoding="utf-8")
        assert document.startswith(f"# Trace ask\n\n- id: {second}\n- status: OK\n- started: ")
        assert "\n- tokens: 1,234 (1,200 in, 34 out, 1,000 cached, 20 reasoning)\n" in document
        assert (
            "## 2. GenericFakeChatModel (CHAT\\_MODEL)\n\nInput:\n\n```text\nuser: How warm is it in Lisbon?\n```\n\n"
            f"Output:\n\n```text\nassistant: {ANSWER}\n```\n"
        ) in document
        assert "\n---\n\n# Trace fail\n" in document
        assert "Error:\n\n```text\nValueError: no such city: Atlantis\n```\n" in document

    def test_markdown_that_would_break_out(self) -> None:
        """Names and values cannot add markup to the document, or end the block that they are in."""
        tree = trace(span("<img src=x>\n# [a](b)", inputs="````\n# not a heading\n\x1b[31m", attributes={}))
        document = markdown.document(tree)
        assert document.startswith("# Trace \\<img src=x\\> \\# \\[a\\](b)\n")
        assert "`````text\n````\n# not a heading\n�[31m\n`````\n" in document


class TestPrivacy:
    def test_without_content(self, store: str) -> None:
        """`--no-content` leaves names, times, models, tokens and the class of an error, and nothing that was said."""
        traced(ask, fail, look, tracking_uri=store)
        ids = [row["trace_id"] for row in cli_json("list")]
        for suffix in ("html", "json", "md"):
            cli("export", *ids, "--no-content", "-o", f"bare.{suffix}")
            text = Path(f"bare.{suffix}").read_text(encoding="utf-8")
            written = "".join(DATA.findall(text)) or text
            assert "fail" in written
            assert re.findall("Lisbon|Atlantis|A dot|What is it|attachment:", written) == []
        spans = {one["name"]: one for page in data_of("bare.html") for one in page["spans"]}
        assert spans["fail"]["error"] == "ValueError"
        model = spans["GenericFakeChatModel"]
        assert (model["model"], model["tokens"]["total"], model["inputs"]) == ("fake-model-1", 1234, None)

    def test_secrets_that_others_stored(self, store: str) -> None:
        """What the store holds is scrubbed again: tags and spans can come from other writers."""
        traced(ask, tracking_uri=store)
        deliver()
        (found,) = stored(store)
        TracingClient(store).set_trace_tag(found.info.trace_id, "note", f"use {SECRET}")
        for suffix in ("html", "json", "md"):
            cli("export", "last", "-o", f"clean.{suffix}")
            text = Path(f"clean.{suffix}").read_text(encoding="utf-8")
            assert SECRET not in text
            assert "[REDACTED]" in text.replace("\\[REDACTED\\]", "[REDACTED]")

    def test_secrets_in_every_place(self) -> None:
        """A secret is replaced in names, values, attributes, events, errors and the trace's facts."""
        event = {"name": "exception", "time_ns": 1, "exception.message": SECRET}
        tree = trace(
            span(
                SECRET,
                inputs={"api_key": "hunter2hunter2"},
                outputs=[SECRET],
                attributes={"x": SECRET},
                events=[event],
                error=f"ValueError: {SECRET}",
            ),
            session=SECRET,
            user=SECRET,
            tags={"a": SECRET},
            metadata={"b": SECRET},
        )
        clean = private.scrubbed(tree)
        assert SECRET not in json.dumps(trace_data(clean, {}))
        assert "hunter2" not in html(clean)

    def test_nothing_else_is_changed(self, store: str) -> None:
        """Scrubbing a trace that holds no secret changes nothing in it."""
        traced(ask, fail, abandon, tracking_uri=store)
        deliver()
        for found in stored(store):
            tree = traces.tree_of(found)
            assert private.scrubbed(tree) == tree


class TestFaults:
    def test_an_unknown_format(self, store: str) -> None:
        """A file name that says no format is refused before anything is read."""
        result = cli("export", "last", "-o", "trace.pdf")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == (
            "Error: cannot tell the format of 'trace.pdf': its name must end with .html, .htm, .json, .md.\n"
        )

    def test_a_folder_that_is_missing(self, store: str) -> None:
        """A file that cannot be written is named, and nothing is left behind."""
        traced(ask, tracking_uri=store)
        result = cli("export", "last", "-o", "nowhere/trace.html")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == "Error: nowhere/trace.html: No such file or directory: nowhere/trace.html\n"

    def test_a_trace_that_is_missing(self, store: str) -> None:
        """One id without a trace fails the command, and no file is written."""
        traced(ask, tracking_uri=store)
        result = cli("export", "last", "tr-" + "0" * 32, "-o", "trace.html")
        assert result.exit_code == 1
        assert f"no trace 'tr-{'0' * 32}'" in result.stderr
        assert not Path("trace.html").exists()

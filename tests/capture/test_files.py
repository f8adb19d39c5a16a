"""Files within values: which texts are files, in the block forms of the providers, and what stands for them."""

from __future__ import annotations

import base64
import json
import os
import random
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlparse
from uuid import UUID

import orjson
import pytest
from langchain_core.documents.base import Blob
from langchain_core.messages import HumanMessage, ToolMessage

from langchain_autotrace.capture.files import Files
from langchain_autotrace.capture.recorder import Recorder
from langchain_autotrace.journal.codec import decode, encode
from langchain_autotrace.records import SpanStart, TraceFile
from langchain_autotrace.settings import RedactContext, Settings

RANDOM = random.Random(12)
BODY = RANDOM.randbytes(3_000)
PNG = b"\x89PNG\r\n\x1a\n" + BODY
JPEG = b"\xff\xd8\xff\xe0" + BODY
WAV = b"RIFF\x00\x00\x00\x00WAVEfmt " + BODY
MP3 = b"ID3\x04" + BODY
PDF = b"%PDF-1.7\n" + BODY
DOCX = b"PK\x03\x04" + BODY
MP4 = b"\x00\x00\x00\x18ftypmp42" + BODY
PCM = RANDOM.randbytes(12_000)
RUN = UUID(int=7, version=4)
TRACE = f"tr-{RUN.hex}"


def b64(raw: bytes) -> str:
    """Base64 in the standard alphabet."""
    return base64.b64encode(raw).decode()


def url(raw: bytes, kind: str) -> str:
    """A data URL."""
    return f"data:{kind};base64,{b64(raw)}"


class Lines:
    """A journal in memory."""

    def __init__(self) -> None:
        self.records: list[Any] = []

    def put(self, line: bytes) -> None:
        """Keep a line."""
        self.records.append(decode(line))

    def write(self, line: bytes) -> bool:
        """Keep a line."""
        self.put(line)
        return True


class Written:
    """What is written of inputs.

    Attributes:
        value: the inputs as they are in the event.
        files: media type and content of the files that the value refers to, in the order of the journal.
    """

    def __init__(self, value: object, **settings: Any) -> None:
        lines = Lines()
        recorder = Recorder(Settings(tracking_uri="sqlite:///x.db", **settings), encode, lines)
        recorder.start({}, "chain", RUN, None, "n", None, (value,), {})
        (start,) = (record for record in lines.records if isinstance(record, SpanStart))
        self.records = lines.records
        assert start.inputs is not None
        self.value: Any = start.inputs[0]
        self._references = dict(references(self.value))
        self.files = [
            (self._references[record.file_id], base64.b64decode(record.content))
            for record in lines.records
            if isinstance(record, TraceFile)
        ]


def references(value: Any) -> Iterator[tuple[str, str]]:
    """File id and media type of each reference within a value, as MLflow reads it."""
    if isinstance(value, str):
        for part in value.replace('"', " ").replace(")", " ").replace("(", " ").split():
            if part.startswith("mlflow-attachment://"):
                parsed = urlparse(part)
                query = parse_qs(parsed.query)
                assert query["trace_id"] == [TRACE]
                yield str(parsed.hostname), query["content_type"][0]
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from references(item)


BLOCKS: dict[str, tuple[Any, str, bytes]] = {
    "OpenAI chat image": ({"type": "image_url", "image_url": {"url": url(PNG, "image/png")}}, "image/png", PNG),
    "LangChain image_url as text": ({"type": "image_url", "image_url": url(JPEG, "image/jpeg")}, "image/jpeg", JPEG),
    "OpenAI Responses image": ({"type": "input_image", "image_url": url(PNG, "image/png")}, "image/png", PNG),
    "OpenAI audio": ({"type": "input_audio", "input_audio": {"data": b64(WAV), "format": "wav"}}, "audio/wav", WAV),
    "OpenAI raw audio": (
        {"type": "input_audio", "input_audio": {"data": b64(BODY), "format": "pcm16"}},
        "audio/L16",
        BODY,
    ),
    "OpenAI spoken answer": ({"audio": {"id": "a", "data": b64(MP3), "transcript": "hi"}}, "audio/mpeg", MP3),
    "OpenAI chat file": (
        {"type": "file", "file": {"filename": "a.pdf", "file_data": url(PDF, "application/pdf")}},
        "application/pdf",
        PDF,
    ),
    "OpenAI Responses file": (
        {"type": "input_file", "filename": "a.docx", "file_data": b64(DOCX)},
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        DOCX,
    ),
    "OpenAI generated image": ({"type": "image_generation_call", "result": b64(PNG)}, "image/png", PNG),
    "OpenAI b64_json": ({"b64_json": b64(PNG)}, "image/png", PNG),
    "LangChain 0.3 image": (
        {"type": "image", "source_type": "base64", "data": b64(BODY), "mime_type": "image/x-own"},
        "image/x-own",
        BODY,
    ),
    "LangChain 1 image": ({"type": "image", "base64": b64(JPEG), "mime_type": "image/jpeg"}, "image/jpeg", JPEG),
    "LangChain 1 audio": ({"type": "audio", "base64": b64(BODY), "mime_type": "audio/aac"}, "audio/aac", BODY),
    "LangChain 1 video": ({"type": "video", "base64": b64(MP4), "mime_type": "video/mp4"}, "video/mp4", MP4),
    "LangChain 1 file": ({"type": "file", "base64": b64(BODY), "mime_type": "text/csv"}, "text/csv", BODY),
    "Anthropic image": (
        {"type": "image", "source": {"type": "base64", "media_type": "image/webp", "data": b64(BODY)}},
        "image/webp",
        BODY,
    ),
    "Anthropic document": (
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": b64(PDF)}},
        "application/pdf",
        PDF,
    ),
    "Gemini media": ({"type": "media", "mime_type": "audio/ogg", "data": b64(BODY)}, "audio/ogg", BODY),
    "Gemini media in bytes": ({"type": "media", "mime_type": "audio/ogg", "data": BODY}, "audio/ogg", BODY),
    "Gemini inline data": ({"inline_data": {"mime_type": "image/png", "data": b64(PNG)}}, "image/png", PNG),
    "Gemini in JSON": ({"inlineData": {"mimeType": "image/heic", "data": b64(BODY)}}, "image/heic", BODY),
    "Bedrock image": ({"image": {"format": "png", "source": {"bytes": PNG}}}, "image/png", PNG),
    "Bedrock document": (
        {"document": {"format": "pdf", "name": "a", "source": {"bytes": b64(PDF)}}},
        "application/pdf",
        PDF,
    ),
    "Mistral document": (
        {"type": "document_url", "document_url": url(PDF, "application/pdf")},
        "application/pdf",
        PDF,
    ),
    "Mistral audio": ({"type": "input_audio", "input_audio": b64(MP3)}, "audio/mpeg", MP3),
    "Ollama images": ({"images": [b64(PNG)]}, "image/png", PNG),
    "MCP image": ({"type": "image", "data": b64(PNG), "mimeType": "image/png"}, "image/png", PNG),
    "MCP resource": ({"resource": {"uri": "a://b", "mimeType": "x/y", "blob": b64(BODY)}}, "x/y", BODY),
    "state": ({"upload": JPEG, "step": 1}, "image/jpeg", JPEG),
    "unknown bytes": ({"upload": BODY}, "application/octet-stream", BODY),
    "unknown Base64": ({"recording": b64(PCM)}, "application/octet-stream", PCM),
    "a text alone": (b64(PNG), "image/png", PNG),
    "lines of 76": ({"image": base64.encodebytes(PNG).decode()}, "image/png", PNG),
    "URL-safe alphabet": ({"data": base64.urlsafe_b64encode(PNG).decode()}, "image/png", PNG),
    "no padding": ({"base64": b64(PNG + b"1").rstrip("="), "mime_type": "image/png"}, "image/png", PNG + b"1"),
    "media type with parameters": (
        {"image_url": f"data:image/svg+xml;charset=utf-8;base64,{b64(BODY)}"},
        "image/svg+xml",
        BODY,
    ),
    "Markdown": (f"See ![a plot](data:image/png;base64,{b64(PNG)}) for more of it.", "image/png", PNG),
    "JSON text": (json.dumps({"mime": "image/png", "data": b64(PNG)}), "image/png", PNG),
    "JSON text of a tool": (
        ToolMessage(json.dumps([{"type": "image", "data": url(PNG, "image/png")}]), tool_call_id="1"),
        "image/png",
        PNG,
    ),
    "loaded blob": (Blob(data=PNG, mimetype="image/png"), "image/png", PNG),
    "message": (HumanMessage([{"type": "image_url", "image_url": {"url": url(PNG, "image/png")}}]), "image/png", PNG),
    "small": (
        {"url": "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"},
        "image/gif",
        base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"),
    ),
}
"""A value, and the media type and content of the file in it."""
WAYS: dict[str, dict[str, Any]] = {"fast": {}, "careful": {"redact_patterns": ("no-such-secret",)}}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", BLOCKS)
def test_a_file_in_each_form(name: str, way: str) -> None:
    """A file in the form of each provider is kept whole, once, with its type, and the value refers to it."""
    value, kind, content = BLOCKS[name]

    assert Written([value, value], **WAYS[way]).files == [(kind, content)]


@pytest.mark.parametrize("way", WAYS)
def test_what_stands_around_a_file(way: str) -> None:
    """Only the file's own text is replaced, by MLflow's reference with its type, trace and size."""
    written = Written({"type": "image", "base64": b64(PNG), "mime_type": "image/png", "id": "i"}, **WAYS[way])
    (file_id,) = (record.file_id for record in written.records if isinstance(record, TraceFile))

    query = f"content_type=image%2Fpng&trace_id={TRACE}&size={len(PNG)}"
    assert written.value == {
        "type": "image",
        "base64": f"mlflow-attachment://{file_id}?{query}",
        "mime_type": "image/png",
        "id": "i",
    }


TEXTS: dict[str, Any] = {
    "words": "The quick brown fox. " * 1_000,
    "one long word": "x" * 20_000,
    "digits": "0123456789" * 2_000,
    "hexadecimal": os.urandom(10_000).hex(),
    "DNA": "ACGT" * 5_000,
    "a path": "/9j/" + "a/b/" * 100,
    "a web address": "https://example.com/" + "a1B2" * 50,
    "a token in three parts": "eyJ" + "aB3d" * 40 + "." + "aB3d" * 40,
    "a thought signature": {"thought_signature": b64(PCM)},
    "encrypted reasoning": {"type": "reasoning", "encrypted_content": b64(PCM)},
    "a short hash": {"digest": b64(os.urandom(64))},
    "short bytes": {"digest": b"\xff" * 100},
    "plain text of a document": {"type": "text", "media_type": "text/plain", "data": "abcd" * 100},
    "a data URL without Base64": "data:image/svg+xml;utf8,<svg>" + "a" * 100,
    "Chinese": "天地玄黄宇宙洪荒" * 500,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", TEXTS)
def test_a_text_that_is_no_file(name: str, way: str) -> None:
    """Texts that only look like Base64, and Base64 that is no file, stay where they are."""
    given = TEXTS[name]
    written = Written([given], **WAYS[way])

    assert written.files == []
    if name != "short bytes":
        assert "mlflow-attachment" not in str(written.value)
        assert written.value == [given]


def test_a_file_and_a_value_that_is_too_large() -> None:
    """A file does not count for the size of its value, and is whole also where the value is cut."""
    photo = b"\x89PNG\r\n\x1a\n" + RANDOM.randbytes(1_500_000)
    fits = Written({"image": url(photo, "image/png"), "text": "word " * 1_000})
    cut = Written({"image": url(photo, "image/png"), "text": "word " * 1_000_000})

    assert fits.files == cut.files == [("image/png", photo)]
    assert fits.value["text"] == "word " * 1_000
    assert cut.value["text"].endswith("… [cut, 5000000 characters]")


@pytest.mark.parametrize("way", WAYS)
def test_a_file_that_is_too_large(way: str) -> None:
    """Of a file over ``max_file_bytes`` the type and the size are said; 0 keeps none."""
    value = {"a": url(PNG, "image/png"), "b": [b64(PDF)], "c": f"see ![x]({url(PNG, 'image/png')}) there"}
    written = Written(value, max_file_bytes=2_000, **WAYS[way])

    note = f"[image/png, {len(PNG):,} bytes: larger than max_file_bytes]"
    assert written.files == []
    assert written.value == {
        "a": note,
        "b": [f"[application/pdf, {len(PDF):,} bytes: larger than max_file_bytes]"],
        "c": f"see ![x]({note}) there",
    }
    assert Written({"a": url(PNG, "image/png")}, max_file_bytes=0, **WAYS[way]).value == {"a": note}


def test_a_redact_hook_and_files() -> None:
    """With a hook, which sees JSON and no files, no file is kept: the hook and the trace get its type and size."""
    seen: list[object] = []

    def hook(value: Any, context: RedactContext) -> Any:
        seen.append((value, context))
        return value

    written = Written({"a": url(PNG, "image/png")}, redact=hook)

    note = {"a": f"[image/png, {len(PNG):,} bytes: not captured]"}
    assert (written.value, written.files) == (note, [])
    assert seen == [(note, RedactContext("n", "CHAIN", "inputs"))]


def test_content_off_and_files() -> None:
    """Without content nothing of a file is written."""
    lines = Lines()
    recorder = Recorder(Settings(tracking_uri="sqlite:///x.db", capture_content=False), encode, lines)
    recorder.start({}, "chain", RUN, None, "n", None, ({"a": url(PNG, "image/png")},), {})

    assert [(record.inputs, record.details) for record in lines.records] == [(None, {"content": False})]


def test_one_file_in_several_forms_and_traces() -> None:
    """A file is kept once for a trace, in whatever form it comes, and for each trace anew."""
    lines = Lines()
    files = Files(encode, 20_000_000, kept=True)
    for trace in (RUN, RUN, RUN.hex, UUID(int=8)):
        for text in (url(PNG, "image/png"), b64(PNG), base64.encodebytes(PNG).decode()):
            files.replace(text, None, {}, trace, lines)

    assert [record.trace_id for record in lines.records] == [RUN.hex, UUID(int=8).hex]


def test_many_files() -> None:
    """What is remembered of files is bounded; one that was forgotten is kept again."""
    lines = Lines()
    files = Files(encode, 20_000_000, kept=True)
    for number in range(1_100):
        files.replace(url(b"%d" % number + BODY, "image/png"), None, {}, RUN, lines)
    files.replace(url(b"0" + BODY, "image/png"), None, {}, RUN, lines)

    assert len(lines.records) == 1_101


def test_long_texts_are_looked_at_in_a_bounded_time() -> None:
    """Texts of any shape cost little more than the pass that writes them."""
    files = Files(encode, 20_000_000, kept=True)
    shapes = ("word " * 4_000_000, "x" * 20_000_000, "/9j/" * 5_000_000, ("a" * 499 + " ") * 40_000, "A1b+" * 5_000_000)
    for text in shapes:
        started = time.process_time()
        files.replace(text, None, {}, RUN, Lines())
        assert time.process_time() - started < 5


def test_a_file_is_no_secret() -> None:
    """Base64 that happens to hold what looks like a key is kept as it is: scrubbed, it would be no file any more."""
    text = b64(PNG[:3_000]) + "AKIA" + "ABCDEFGHIJKLMNOP"
    written = Written({"data": text, "mime_type": "image/png", "api_key": "hunter2hunter2"})

    assert [b64(content) for _, content in written.files] == [text]
    assert written.value["api_key"] == "[REDACTED]"
    assert orjson.dumps(written.value)

"""Files within values: Base64 of images, audio, PDFs and others, which becomes an attachment of the trace.

A file is written to the journal once for each trace. In the value stands MLflow's reference to it
(``mlflow-attachment://…``), as MLflow itself puts it into spans of its own API.
"""

from __future__ import annotations

import binascii
import mimetypes
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import urlencode
from uuid import uuid4

from langchain_autotrace.capture.interfaces import Journal
from langchain_autotrace.ids import TRACE_ID_PREFIX, trace_digits
from langchain_autotrace.records import Record, TraceFile
from langchain_autotrace.semconv import ATTACHMENT

MIN_LENGTH: Final = 64
"""Characters up to which a text is no file. (A GIF of one pixel has 70 as a data URL.)"""
_MIN_UNTYPED: Final = 10_000
"""Characters of Base64 from which it is a file although nothing says so."""
_MIN_BINARY: Final = 1_000
"""Bytes from which binary data of no known type is a file, and no hash or key."""
_LONG: Final = 2_000
"""Characters from which a text is looked at in more than one place."""
_MAX_REMEMBERED: Final = 1_000
_MAX_RESULT: Final = 4_000
_UNTYPED: Final = "application/octet-stream"

_DATA_URL: Final = re.compile(r"data:([\w.+-]+/[\w.+-]+)?((?:;[\w.+-]+=[^;,\s]*)*);base64,", re.ASCII)
_EMBEDDED: Final = re.compile(_DATA_URL.pattern + r"[A-Za-z0-9+/_-]{32,}={0,2}", re.ASCII)
_ALPHABET: Final = re.compile(r"[A-Za-z0-9+/_\r\n-]*={0,2}[\r\n]*", re.ASCII)
_RUN: Final = re.compile(r"[A-Za-z0-9+/_-]{500,}={0,2}", re.ASCII)
_URL_SAFE: Final = str.maketrans("-_", "+/", "\r\n")
_MIME: Final = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)

_TYPE_KEYS: Final = ("mime_type", "media_type", "mimeType", "mediaType", "mimetype", "content_type", "contentType")
_FORMAT_KEYS: Final = ("format", "output_format")
_NAME_KEYS: Final = ("filename", "file_name", "name", "title", "path")
_DATA_KEYS: Final = frozenset(
    {"data", "base64", "bytes", "b64_json", "b64", "blob", "file_data", "image_data", "audio_data"}
)
"""Keys whose text is a file when a key beside it says the type."""
_CIPHER_KEYS: Final = ("signature", "encrypted", "token", "cursor")
"""Parts of the keys of Base64 that is no file, such as a provider's encrypted reasoning."""
_AUDIO_FORMATS: Final = {"mp3": "audio/mpeg", "wav": "audio/wav", "pcm16": "audio/L16"}

_MAGIC: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF8", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"%PDF-", "application/pdf"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b\x08", "application/gzip"),
)
"""First bytes of files, as in the media types' specifications."""
_RIFF: Final = {b"WAVE": "audio/wav", b"WEBP": "image/webp", b"AVI ": "video/x-msvideo"}
_BRANDS: Final = {b"heic": "image/heic", b"heix": "image/heic", b"mif1": "image/heif", b"avif": "image/avif"}
_OPENINGS: Final = ("iVBORw0KGg", "/9j/", "R0lGOD", "JVBERi0", "UklGR", "T2dnUw", "SUQz", "UEsDB")
"""What Base64 of the usual files begins with."""


class _File(NamedTuple):
    media_type: str
    content: str
    """Base64 in the standard alphabet, in one line."""
    size: int
    """Bytes of the file."""
    key: object
    """Equal for equal contents."""


Replace: TypeAlias = Callable[[str, object, Mapping[Any, Any]], str]
"""Returns what stands for a text: itself, unless it is or holds a file.

It is given the text, its key in the dict that holds it (None elsewhere), and that dict (an empty one elsewhere).
"""


class Files:
    """Takes files out of values and writes them to the journal, for one set of settings.

    Thread-safe by the atomicity of a dict's operations.
    """

    def __init__(self, encode: Callable[[Record], bytes], max_bytes: int, *, kept: bool) -> None:
        """Set how files are kept.

        Args:
            encode: returns the line of a record.
            max_bytes: size above which a file is not kept.
            kept: whether files are kept at all; if not, their type and size are recorded.
        """
        self._encode = encode
        self._max_bytes = max_bytes
        self._kept = kept
        self._references: dict[object, str] = {}
        self._replaced: dict[object, str] = {}

    def replace(self, text: str, key: object, beside: Mapping[Any, Any], trace: object, journal: Journal) -> str:
        """Return what stands for a text of over ``MIN_LENGTH`` characters, as :data:`Replace` says.

        Args:
            text: the text.
            key: its key, if it stands in a dict.
            beside: that dict.
            trace: what the id of the trace is made of (``ids.trace_digits``).
            journal: of the trace.
        """
        if _is_ordinary(text):
            return text
        # A text keeps its hash: that costs once. Where it stands may say its type, or not.
        known = (trace, len(text), hash(text), _is_data(key))
        found = self._replaced.get(known)
        if found is None:
            found = self._look(text, key, beside, trace, journal)
            if len(found) <= _MAX_RESULT:
                _remember(self._replaced, known, found)
            elif found is text:
                _remember(self._replaced, known, "")
        return found or text

    def _look(self, text: str, key: object, beside: Mapping[Any, Any], trace: object, journal: Journal) -> str:
        whole = _DATA_URL.match(text)
        start, given = (0, None) if whole is None else (whole.end(), whole[1] or _UNTYPED)
        found = self._file(text, start, given, key, beside)
        if found is not None:
            return self._text(found, trace, journal)
        if len(text) > 2 * self._max_bytes + _LONG:
            return text
        return self._without_embedded(text, trace, journal)

    def _without_embedded(self, text: str, trace: object, journal: Journal) -> str:
        """Return a text without the files in the midst of it: in Markdown, HTML, or JSON."""

        def reference(match: re.Match[str]) -> str:
            url = _DATA_URL.match(match[0])
            found = self._file(match[0], url.end() if url else 0, url[1] if url else None, None, {})
            return match[0] if found is None else self._text(found, trace, journal)

        if ";base64," in text:
            text = _EMBEDDED.sub(reference, text)
        return _RUN.sub(reference, text) if any(opening in text for opening in _OPENINGS) else text

    def _text(self, found: _File | str, trace: object, journal: Journal) -> str:
        return found if isinstance(found, str) else self._reference(found, trace, journal)

    def _file(
        self, text: str, start: int, given: str | None, key: object, beside: Mapping[Any, Any]
    ) -> _File | str | None:
        """Return the file whose Base64 begins at ``start``; a note when it is too large, None when it is no file."""
        size = (len(text) - start) * 3 // 4 - text.count("=", -2)
        if _ALPHABET.fullmatch(text, start, start + _LONG if len(text) - start > _LONG else len(text)) is None:
            return None
        media_type = _media_type(text[start : start + 64], given, key, beside)
        if media_type is None and (start or _may_be_untyped(text, key)):
            media_type = _said_type(beside) or _UNTYPED
        if media_type is None or (media_type == _UNTYPED and size < _MIN_BINARY):
            return None
        if size > self._max_bytes + 2:
            return _note(media_type, size, "larger than max_file_bytes") if self._kept else _note(media_type, size)
        content = _standard(text[start:])
        try:
            raw = binascii.a2b_base64(content, strict_mode=True)
        except ValueError:  # it only looks like Base64
            return None
        return _File(media_type, content, len(raw), (len(raw), hash(raw))) if raw else None

    def _reference(self, file: _File, trace: object, journal: Journal) -> str:
        if not self._kept:
            return _note(file.media_type, file.size)
        digits = trace_digits(trace)
        known = (digits, file.key)
        reference = self._references.get(known)
        if reference is None:
            file_id = str(uuid4())
            query = {"content_type": file.media_type, "trace_id": TRACE_ID_PREFIX + digits, "size": str(file.size)}
            made = f"{ATTACHMENT}{file_id}?{urlencode(query)}"
            reference = _remember(self._references, known, made)
            if reference is made:  # of two threads one writes it
                journal.write(self._encode(TraceFile(digits, file_id, file.content)))
        return reference


def _remember(held: dict[object, str], key: object, value: str) -> str:
    if len(held) >= _MAX_REMEMBERED:
        held.clear()
    return held.setdefault(key, value)


def _is_ordinary(text: str) -> bool:
    """Return whether a look at a few places is enough to see that a text holds no file."""
    if " " not in text[:MIN_LENGTH] or ";base64," in text:
        return False
    if len(text) < _LONG:
        return True
    quarter = len(text) // 4
    return all(" " in text[at : at + MIN_LENGTH] for at in (quarter, 2 * quarter, 3 * quarter))


def _is_data(key: object) -> bool:
    return type(key) is str and key in _DATA_KEYS


def _media_type(opening: str, given: str | None, key: object, beside: Mapping[Any, Any]) -> str | None:
    """Return the media type of a file by what is said of it, else by its first bytes; None when neither tells."""
    if given is not None and given != _UNTYPED:
        return given.lower()
    said = _said_type(beside) if _is_data(key) else None
    return said or _type_of(opening) or given


def _said_type(beside: Mapping[Any, Any]) -> str | None:
    """Return the media type that the keys beside a file's say; None where they say that it is a text."""
    if "text" in {beside.get("type"), beside.get("source_type")}:
        return None
    for name in _TYPE_KEYS:
        said = beside.get(name)
        found = _MIME.match(said) if isinstance(said, str) else None
        if found is not None and found[0] != _UNTYPED:
            return found[0].lower()
    for name in (*_FORMAT_KEYS, *_NAME_KEYS):
        said = beside.get(name)
        if isinstance(said, str):
            suffix = said.lower() if name in _FORMAT_KEYS else said.rpartition(".")[2].lower()
            if guessed := _AUDIO_FORMATS.get(suffix) or mimetypes.guess_type(f"a.{suffix}")[0]:
                return guessed
    return None


def _type_of(opening: str) -> str | None:
    """Return the media type by the first bytes of a file, given in Base64."""
    try:
        first = binascii.a2b_base64(_standard(opening)[:32])
    except ValueError:
        return None
    if first[:4] == b"RIFF":
        return _RIFF.get(first[8:12])
    if first[4:8] == b"ftyp":
        return _BRANDS.get(first[8:12], "audio/mp4" if first[8:11] == b"M4A" else "video/mp4")
    if first[:2] in {b"\xff\xfb", b"\xff\xf3", b"\xff\xf2"}:
        return "audio/mpeg"
    if first[:3] == b"\xff\xd8\xff" and first[3:] > b"\xc0":  # and no path that begins with /9j/
        return "image/jpeg"
    return next((name for magic, name in _MAGIC if first.startswith(magic)), None)


def _may_be_untyped(text: str, key: object) -> bool:
    """Return whether a long text of which nothing says the type is a file: as varied as Base64 of one is."""
    if len(text) < _MIN_UNTYPED or (isinstance(key, str) and any(part in key.lower() for part in _CIPHER_KEYS)):
        return False
    half = len(text) // 2
    letters = set(text[half : half + _LONG])
    kinds = (str.isupper, str.islower, str.isdigit)
    return len(letters) > 30 and all(any(map(kind, letters)) for kind in kinds)  # noqa: PLR2004 - half the alphabet


def _standard(text: str) -> str:
    """Return Base64 in the standard alphabet, in one line, padded."""
    plain = text.translate(_URL_SAFE) if "\n" in text or "-" in text or "_" in text else text
    return plain + "=" * (-len(plain) % 4)


def _note(media_type: str, size: int, why: str = "not captured") -> str:
    return f"[{media_type}, {size:,} bytes: {why}]"

"""All patterns of secrets, and the functions that remove secrets from values and texts.

Scrubbing has two steps. A sieve, one regular expression with a coarser one before it, checks whether a text could
contain a secret at all; almost none can. It runs on pydantic-core's Rust engine, which every LangChain program has
loaded: 1.6 µs for 650 bytes where Python's ``re`` takes 27 µs. Only texts that it catches are scrubbed, by the names of
keys and by shape.

Scrubbing fails closed: a value that cannot be searched is not written.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson
from pydantic_core import SchemaValidator, core_schema

REDACTED: Final = "[REDACTED]"

_MAX_DEPTH: Final = 200
_MAX_NAME: Final = 64
_MAX_LINE: Final = 500

# ASCII only: Python and Rust do not agree on the letters of Unicode.
_FLAGS: Final = re.IGNORECASE | re.ASCII

_WORDS: Final = (
    r"api[-_ .]?keys?|access[-_]?key[-_]?id|(?:access|private)[-_ ]?keys?"
    r"|(?:signing|encryption|account|subscription|master)[-_]?key|secret[-_]?keys?|secrets?|pass(?:words?|wd|phrase|code)|pwd|authorization|cookies?|credentials?"
    r"|connection[-_ ]?string|(?:amz|goog)[-_]signature|token"
)
_SUFFIX: Final = r"(?:[-_]?(?:hash|value|old|new|confirm(?:ation)?|\d+))?"
"""Words that may follow the name of a secret."""
_NAME: Final = re.compile(
    r"(?:.*(?:api[-_ .]?key|pass(?:word|wd|phrase|code)|secret|credential)s?"
    r"|(?:.*[^a-z])?(?:(?:access|private|secret)[-_ ]?keys?|(?:signing|encryption|account|subscription|master)[-_]?key"
    r"|pwd|authorization|cookies?|connection[-_ ]?string|(?:amz|goog)[-_]signature"
    r"|access[-_]?key[-_]?id|(?:access|refresh|id|auth|bearer|session|csrf|xsrf|api|security|hf|bot)?[-_ ]?token))"
    + _SUFFIX,
    _FLAGS | re.DOTALL,
)
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NOT_SECRET: Final = re.compile(
    r"(?:.*[^a-z])?(?:max|min|num|per|next|prev|page|cursor|continuation|sync|pad|eos|bos|cls|mask|unk|sep|eot|stop|start"
    r"|end|special|control|image|audio|new|first|last|current|input|output|prompt|completion|total)[-_ ]?tokens?",
    _FLAGS | re.DOTALL,
)
"""Names of tokens that are not secrets: tokens of a text, page tokens of a list."""

_SHAPES: Final = (  # its start in lower case, for the sieve; the whole key; what it is
    (r"sk-[a-z0-9_-]{16}", r"sk-[A-Za-z0-9_-]{16,}", "OpenAI, Anthropic or similar key"),
    (r"_live_|_test_", r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{10,}", "Stripe key"),
    (r"gh[pousr]_", r"gh[pousr]_[A-Za-z0-9]{20,}", "GitHub token"),
    (r"github_pat_", r"github_pat_[A-Za-z0-9_]{20,}", "GitHub token"),
    (r"glpat-", r"glpat-[A-Za-z0-9_-]{16,}", "GitLab token"),
    (r"xox[abeprs]-", r"xox[abeprs]-[A-Za-z0-9-]{10,}", "Slack token"),
    (r"akia[0-9a-z]{16}|asia[0-9a-z]{16}|aroa[0-9a-z]{16}", r"A(?:KIA|SIA|ROA)[A-Z0-9]{16}", "AWS key id"),
    (r"aiza[a-z0-9_-]{30}", r"AIza[A-Za-z0-9_-]{30,}", "Google key"),
    (r"ya29\.", r"ya29\.[A-Za-z0-9_-]{20,}", "Google token"),
    (r"hf_[a-z0-9]{20}", r"hf_[A-Za-z0-9]{20,}", "Hugging Face token"),
    (r"lsv2_", r"lsv2_[a-z]{2}_[A-Za-z0-9_]{16,}", "LangSmith key"),
    (r"gsk_[a-z0-9]{20}", r"gsk_[A-Za-z0-9]{20,}", "Groq key"),
    (r"xai-[a-z0-9]{20}", r"xai-[A-Za-z0-9]{20,}", "xAI key"),
    (r"pplx-", r"pplx-[A-Za-z0-9]{20,}", "Perplexity key"),
    (r"tvly-", r"tvly-[A-Za-z0-9_-]{16,}", "Tavily key"),
    (r"pcsk_", r"pcsk_[A-Za-z0-9_]{20,}", "Pinecone key"),
    (r"nvapi-", r"nvapi-[A-Za-z0-9_-]{20,}", "NVIDIA key"),
    (r"npm_[a-z0-9]{30}", r"npm_[A-Za-z0-9]{30,}", "npm token"),
    (r"pypi-[a-z0-9_-]{30}", r"pypi-[A-Za-z0-9_-]{30,}", "PyPI token"),
    (r"dapi[0-9a-f]{32}", r"dapi[0-9a-f]{32}", "Databricks token"),
    (r"eyj[a-z0-9_-]{8}", r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*", "JSON Web Token"),
)
_START: Final = r"(?:(?<![A-Za-z0-9])|(?<=\\[abfnrtv])|(?<=%[0-9A-Fa-f]{2}))"
"""Where a key may begin: not within a word ("risk-adjusted"), but after an escape, even one that ends in a letter."""
_SHAPE: Final = re.compile(
    _START + "(?:" + "|".join(shape for _, shape, _ in _SHAPES) + ")"
    r"|-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----(?:(?s:.)*?-----END [A-Z ]{0,30}PRIVATE KEY-----|(?s:.)*)"
)
_SCHEME: Final = re.compile(_START + r"(Bearer|Basic|Token|ApiKey)( +)([A-Za-z0-9._~+/=-]{8,})", _FLAGS)
_USERINFO: Final = re.compile(r"(://[^\s/:@\"']*):[^\s/@\"']+@", re.ASCII)
_URI_SECRETS: Final = (
    # SQLAlchemy ends a password at the first @; an unescaped password may go on to the last one.
    (re.compile(r"(?<![\w+.-])((?!https?:)[A-Za-z][\w+.-]*://[^\s/@:]*):[^@\n]*@(?:[^\s/?#@]*@)*"), r"\1:***@"),
    (re.compile(r"\b(https?://[^\s/?#@:]*):[^\s/?#]*@", re.IGNORECASE), r"\1:***@"),
    # A user name without a password may be a token.
    (re.compile(r"\b(https?://)[^\s/?#@:]+@", re.IGNORECASE), r"\1***@"),
    (
        re.compile(
            r"((?:[?&;=]|%3B)(?:password|passwd|pwd|sslpassword|token|access_token|secret|api_?key)(?:=|%3D))"
            r"(?:(?!%3B)[^&;#\s])*",
            re.IGNORECASE,
        ),
        r"\1***",
    ),
)
"""Patterns of secrets in a tracking URI, before the host or in the query, and their replacements."""
_URI_CREDENTIALS: Final = re.compile(r"(://)[^/@\s:{}]*:(?:[^/@\s{}]*@)+|(https?://)(?:[^/@\s:{}]+@)+")
"""User name and password, or a token alone, before the host of a URL."""
_SIGNATURE: Final = re.compile(r"(?<=[?&])(sig=)[^\s&\"']+", _FLAGS)
_HEADER: Final = re.compile(
    r"(authorization[\\\"']*\s*[:=]\s*[\\\"']*(?:bearer|basic|token|apikey|negotiate) +)[^\s\"'\\$<{%\[][^\s\"'\\]*"
    r"|((?:authorization[\\\"']*\s*[:=]\s*[\\\"']*(?:digest|aws4-hmac-sha256) +"
    r"|cookie[\\\"']*\s*:\s*[\\\"']*(?=[^\s=;:&\"'\\]+=)))[^\s\"'\\\[][^\r\n\"'\\]*",
    _FLAGS,
)
_PAIR: Final = re.compile(
    rf"(?P<word>(?:{_WORDS}){_SUFFIX})(?P<mark>[\\\"']*\s*(?:=>|[=:])\s*(?:[bru]{{1,2}}(?=[\"']))?)(?P<value>"
    r"(?P<quote>[\"'])(?P<quoted>(?:\\.|(?!(?P=quote))[^\\\r\n])*)(?P=quote)(?=[\s,;:.+&})\]<\\]|$)"
    r"|(?P<escape>\\+[\"'])(?P<escaped>(?:(?!(?P=escape))[^\r\n])*)(?P=escape)"
    r"|[{\[][^{}\[\]]*[}\]]"
    r"|(?P<bare>[^\s\"'\\,;&{}<>()\[\]]{1,256}))",
    _FLAGS,
)
"""``key=value`` and ``key: value`` in a text: query strings, ``repr`` of a dict, JSON in a text, headers."""
_OPTION: Final = re.compile(
    rf"(--[a-z0-9_.-]{{0,64}}?(?:{_WORDS}){_SUFFIX} +|<[a-z0-9_.-]{{0,64}}?(?:{_WORDS}){_SUFFIX}>)([^\s<>-][^\s<>]*)",
    _FLAGS,
)
"""``--key value`` and ``<key>value</key>``."""
_BEFORE: Final = re.compile(r"[a-z0-9_.-]*\Z", _FLAGS)
_REST: Final = re.compile(r"[^\s\"'\\,;&{}<>()\[\]]*", re.ASCII)
_TEMPLATE: Final = re.compile(r"\$?\{{1,2}[\w .]*\}{1,2}|\$\w+|%\(?\w*\)?s?|<[^>]*>|\*+|\.{3}|…")
_REFERENCE: Final = re.compile(r"[A-Za-z_][A-Za-z_.-]*")
_CODE: Final = frozenset(
    {"none", "null", "true", "false", "str", "string", "bytes", "int", "any", "optional", "secretstr"}
)
_SCHEMA: Final = re.compile(r"[{\[]\s*[\\\"']*(?:type|\$ref|description|title|anyOf|oneOf|allOf|enum|default)\b")
SCHEMA_KEYS: Final = frozenset({"type", "$ref", "anyOf", "oneOf", "allOf", "enum"})
_EXAMPLES: Final = frozenset({"default", "const", "enum", "example", "examples"})

_SIEVE: Final = (
    r"api_key|api-key|apikey|api key|api\.key|_key|-key|accesskey|access key|privatekey|private key|signingkey"
    r"|encryptionkey|accountkey|subscriptionkey|masterkey|secret|passw|passphrase|passcode|pwd|authorization"
    r"|cookie|credential|connection_string|connection-string|connection string|connectionstring"
    r"|amz-signature|amz_signature|goog-signature|goog_signature|\?sig=|&sig="
    r"|token[\"'\\>]|token\s*[=:]|token +[a-z0-9._~+/=-]*[0-9]|-token |_token "
    r"|bearer +[a-z0-9]|basic +[a-z0-9+/]{8}|apikey |://[^ /:@\"]*:[^ /@\"]+@"
    + "".join(f"|{start}" for start, _, _ in _SHAPES)
)
"""Regular expression for lower-case text. Each alternative begins with a literal, and they are few enough for the
engine to search for all at once; a case-insensitive expression takes four times as long."""
HINTS: Final = (
    *("key", "secret", "pass", "pwd", "authoriz", "cookie", "credent", "connection", "signature", "sig=", "token"),
    *("bearer", "basic", "://", "sk-", "sk_", "_live_", "_test_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat"),
    *("glpat", "xox", "akia", "asia", "aroa", "aiza", "ya29", "hf_", "lsv2_", "xai-", "pplx-", "tvly-", "pi-", "npm_"),
    *("dapi", "eyj"),
)
"""Strings of which everything that the sieve finds contains one. The engine searches for so few literals with vector
instructions. Most values contain none, so that the sieve's tables, which are not in the processor's caches, are not
read."""


_ERROR_CLASS: Final = re.compile(r"[A-Za-z_][\w.]*(?=:)", re.ASCII)


def _search(pattern: str) -> Callable[[str | bytes], bool]:
    schema = core_schema.str_schema(pattern=pattern, regex_engine="rust-regex")
    return SchemaValidator(schema).isinstance_python


_hints_at_secret: Final = _search("|".join(map(re.escape, HINTS)))
"""Return whether a lower-case text, or its UTF-8, is to be checked by :data:`_holds_secret`."""
_holds_secret: Final = _search(_SIEVE)
"""Return whether lower-case text, or its UTF-8, may contain a secret. False is certain, but for lone surrogates."""


def may_hold_secret(text: str | bytes) -> bool:
    """Return whether text, or its UTF-8, may contain a secret. False is certain, but for lone surrogates."""
    lower = text.lower()
    return _hints_at_secret(lower) and _holds_secret(lower)


def scrub(data: Any) -> Any:  # noqa: ANN401 - JSON data
    """Return JSON data with ``[REDACTED]`` in place of secrets, recognized by the name of the key or by shape."""
    try:
        return _clean(data, 0) if may_hold_secret(orjson.dumps(data)) else data
    except Exception as error:  # noqa: BLE001 - nested too deep for orjson, or not JSON: it cannot be searched
        return f"{REDACTED}: could not be searched for secrets ({type(error).__name__})"


def scrub_text(text: str) -> str:
    """Return a plain text (an error message, a name) with ``[REDACTED]`` in place of secrets."""
    # The Rust engine cannot search text with lone surrogates.
    return _clean_text(text) if may_hold_secret(text) or has_surrogates(text) else text


def secret_kinds(text: str) -> list[str]:
    """Return what kinds of secrets :func:`scrub_text` would remove from a text, never their values."""
    return [] if scrub_text(text) == text else shapes_of(text) or ["value named as a password, token or key"]


def shapes_of(text: str) -> list[str]:
    """Return what kinds of keys a text contains, recognized by their shape alone."""
    kinds = [kind for _, shape, kind in _SHAPES if re.search(_START + shape, text)] if may_hold_secret(text) else []
    kinds += ["private key"] if "PRIVATE KEY-----" in text else []
    return list(dict.fromkeys(kinds))


def without_named_secrets(data: Any) -> Any:  # noqa: ANN401 - JSON data
    """Return JSON data with ``[REDACTED]`` for values whose key names a secret; texts are returned as they are."""
    if isinstance(data, list):
        return [without_named_secrets(item) for item in data]
    if not isinstance(data, dict):
        return data
    return {
        key: _secret_replacement(key, item, 0) if _names_secret(data, key) else without_named_secrets(item)
        for key, item in data.items()
    }


def replace(data: Any, patterns: Sequence[re.Pattern[str]]) -> Any:  # noqa: ANN401 - JSON data
    """Return JSON data with ``[REDACTED]`` in place of each match of a pattern, in strings and keys."""
    if isinstance(data, str):
        for pattern in patterns:
            data = pattern.sub(REDACTED, data)
        return data
    if isinstance(data, dict):
        return {replace(key, patterns): replace(item, patterns) for key, item in data.items()}
    return [replace(item, patterns) for item in data] if isinstance(data, list) else data


def without_password(text: str) -> str:
    """Return a tracking URI, or a text that contains URIs, with ``***`` in place of passwords."""
    for pattern, replacement in _URI_SECRETS:
        text = pattern.sub(replacement, text)
    return text


def error_class(text: str) -> str:
    """Return the class name that the text of an error begins with (``ValueError: …``); empty if it has none.

    It is what may be shown of an error where its text is content.
    """
    found = _ERROR_CLASS.match(text)
    return found[0] if found else ""


def error_line(error: BaseException) -> str:
    """Return the ``strerror`` of an exception, else its class and first line of text, without passwords."""
    if isinstance(error, OSError) and error.strerror:
        return without_password(f"{error.strerror}: {error.filename}" if error.filename else error.strerror)
    lines = [line.strip() for line in without_password(str(error)).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:_MAX_LINE]}" if lines else type(error).__name__


def without_credentials(text: str) -> str:
    """Return a text without the user names and passwords of URLs in it (``https://user:password@host``)."""
    return _URI_CREDENTIALS.sub(lambda found: found[1] or found[2], text)


def is_secret_name(name: str) -> bool:
    """Return whether the value of a key with this name is a secret."""
    spaced = _CAMEL.sub("_", name)
    found = _NAME.fullmatch(name) or _NAME.fullmatch(spaced)
    return found is not None and not _NOT_SECRET.fullmatch(spaced)


def has_surrogates(text: str) -> bool:
    """Return whether a text contains half of a surrogate pair, which cannot be encoded as UTF-8."""
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _clean(data: object, depth: int) -> object:
    if isinstance(data, str):
        return _clean_text(data) if may_hold_secret(data) else data
    if depth > _MAX_DEPTH:
        return f"{REDACTED}: nested too deeply to be searched"
    if isinstance(data, list):
        match data:
            case [str() as name, str()] if is_secret_name(name):  # a header or cookie as a pair
                return [name, REDACTED]
        return [_clean(item, depth + 1) for item in data]
    if isinstance(data, dict):
        return _clean_object(data, depth)
    return data


def _clean_object(data: dict[str, object], depth: int) -> dict[str, object]:
    kept: dict[str, object] = {}
    for key, item in data.items():
        if _names_secret(data, key):
            kept[_clean_key(key)] = _secret_replacement(key, item, depth)
        else:
            kept[_clean_key(key)] = _clean(item, depth + 1)
    return kept


def _names_secret(data: dict[str, object], key: str) -> bool:
    """Return whether the value of a key is a secret; of a header as ``{"name": "Authorization", "value": "…"}`` too."""
    if key == "value":
        named = data.get("name", data.get("key"))
        return isinstance(named, str) and is_secret_name(named)
    return is_secret_name(key) and not (key == "token" and "logprob" in data)  # a token of a model's answer


def _clean_key(key: str) -> str:
    return _clean_text(key) if may_hold_secret(key) else key


def _secret_replacement(name: str, value: object, depth: int) -> object:
    """Return the replacement for the value of a secret key; empty values and token counts are returned unchanged."""
    if value is None or isinstance(value, bool) or value in ("", [], {}):
        return value
    if isinstance(value, int | float) and name.lower().endswith("token"):
        return value
    if isinstance(value, dict) and not SCHEMA_KEYS.isdisjoint(value):  # the schema of a tool parameter of that name
        return {key: REDACTED if key in _EXAMPLES else _clean(item, depth + 1) for key, item in value.items()}
    return REDACTED


def _clean_text(text: str) -> str:
    if text.lstrip()[:1] in ("{", "["):
        try:
            data = orjson.loads(text)
            clean = _clean(data, 0)
        except (ValueError, RecursionError):
            pass  # not JSON: a repr, or part of a document
        else:
            return text if clean == data else orjson.dumps(clean).decode()
    text = _SHAPE.sub(REDACTED, text)
    text = _HEADER.sub(lambda found: f"{found[1] or found[2]}{REDACTED}", text)
    text = _SCHEME.sub(_clean_scheme, text)
    text = _USERINFO.sub(rf"\1:{REDACTED}@", text)
    text = _SIGNATURE.sub(rf"\1{REDACTED}", text)
    text = _OPTION.sub(_clean_option, text)
    return _clean_pairs(text)


def _clean_scheme(found: re.Match[str]) -> str:
    scheme, space, value = found.groups()
    if scheme.lower() == "basic":
        try:
            secret = b":" in base64.b64decode(value.rstrip("._~-"), validate=True)
        except ValueError:
            secret = False
    else:
        secret = any(map(str.isdigit, value))
    return f"{scheme}{space}{REDACTED}" if secret else found[0]  # not a secret: "basic understanding", "token limits"


def _clean_option(found: re.Match[str]) -> str:
    return f"{found[1]}{REDACTED}" if is_secret_name(found[1].strip("-<> ")) else found[0]


def _clean_pairs(text: str) -> str:
    parts: list[str] = []
    done = at = 0
    while found := _PAIR.search(text, at):
        start = found.start()
        before = _BEFORE.search(text, max(start - _MAX_NAME, 0), start)
        first = before.start() if before else start
        at = found.start("value")  # the value of a harmless pair may itself be a pair
        if is_secret_name(text[first : found.end("word")]) and (hidden := _pair_replacement(text, first, found)):
            parts += [text[done:at], hidden]
            done = at = found.end() if found["bare"] is None else _REST.match(text, found.end()).end()  # type: ignore[union-attr]
    return "".join(parts) + text[done:] if parts else text


def _pair_replacement(text: str, first: int, found: re.Match[str]) -> str | None:
    """Return the replacement for the value of a secret whose name begins at ``first``; None when it is not a secret."""
    quote = found["quote"] or found["escape"]
    if quote:
        inner = found["quoted"] or found["escaped"] or ""
        closes = text[max(first - 1, 0) : first] == quote and quote not in found["mark"]  # ask("password: ")
        return None if not inner or closes or _TEMPLATE.fullmatch(inner) else f"{quote}{REDACTED}{quote}"
    value = found["value"]
    if found["bare"] is None:
        return None if value == REDACTED or _TEMPLATE.fullmatch(value) or _SCHEMA.match(value) else REDACTED
    return REDACTED if _is_value(text, first, found) else None


def _is_value(text: str, first: int, found: re.Match[str]) -> bool:
    """Return whether an unquoted value is a literal, not a word of prose or an identifier in code."""
    value, mark = found["bare"].rstrip(".!?:"), found["mark"]
    counted = value.isdigit() and found["word"].lower() == "token"
    if len(value) < 4 or counted or _TEMPLATE.fullmatch(value) or is_secret_name(value.rpartition(".")[2]):  # noqa: PLR2004
        return False
    if not _REFERENCE.fullmatch(value):  # it contains digits or other characters
        return True
    after = text[found.end() : found.end() + 1]
    if value.lower() in _CODE or after in ("(", "["):
        return False
    before = text[max(first - _MAX_NAME, 0) : first]
    if mark == "=":
        return not before.rstrip().endswith(("(", ","))  # else a keyword argument: f(api_key=key)
    line = before.rpartition("\n")[2]
    alone = (not line.strip() and len(line) < _MAX_NAME) or before.rstrip().endswith(("{", ","))
    return ":" in mark and alone and after in ("", "\n", "\r", ",", "}")  # a line of YAML

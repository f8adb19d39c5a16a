"""Secrets are taken out of a value before it reaches the journal, and so the disk.

Two steps. A sieve of one regular expression (and a coarser one before it) asks whether a value could hold a secret at
all; nearly none does. It runs on pydantic-core's Rust engine, which every LangChain program has loaded: 1.6 µs for 650
bytes where Python's ``re`` takes 27 µs. Only what it catches is parsed and scrubbed, by key name and by shape.

What cannot be searched is not written: scrubbing fails closed.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import orjson
from pydantic_core import SchemaValidator, core_schema

if TYPE_CHECKING:
    from langchain_autotrace.span import Json

REDACTED: Final = "[REDACTED]"

_MAX_DEPTH: Final = 200
_MAX_NAME: Final = 64

# Python and Rust agree on what ASCII is: in Unicode the one has letters that the other has not.
_FLAGS: Final = re.IGNORECASE | re.ASCII

_WORDS: Final = (
    r"api[-_ .]?keys?|access[-_]?key[-_]?id|(?:access|private)[-_ ]?keys?"
    r"|(?:signing|encryption|account|subscription|master)[-_]?key|secret[-_]?keys?|secrets?|pass(?:words?|wd|phrase|code)|pwd|authorization|cookies?|credentials?"
    r"|connection[-_ ]?string|(?:amz|goog)[-_]signature|token"
)
_SUFFIX: Final = r"(?:[-_]?(?:hash|value|old|new|confirm(?:ation)?|\d+))?"
"""The last words of names whose values are secrets."""
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
"""Tokens that are words of a text or pages of a list."""

_SHAPES: Final = (  # how it begins in lower case, for the sieve; the whole
    (r"sk-[a-z0-9_-]{16}", r"sk-[A-Za-z0-9_-]{16,}"),  # OpenAI, Anthropic, Langfuse, OpenRouter
    (r"_live_|_test_", r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{10,}"),  # Stripe
    (r"gh[pousr]_", r"gh[pousr]_[A-Za-z0-9]{20,}"),  # GitHub
    (r"github_pat_", r"github_pat_[A-Za-z0-9_]{20,}"),
    (r"glpat-", r"glpat-[A-Za-z0-9_-]{16,}"),  # GitLab
    (r"xox[abeprs]-", r"xox[abeprs]-[A-Za-z0-9-]{10,}"),  # Slack
    (r"akia[0-9a-z]{16}|asia[0-9a-z]{16}|aroa[0-9a-z]{16}", r"A(?:KIA|SIA|ROA)[A-Z0-9]{16}"),  # AWS
    (r"aiza[a-z0-9_-]{30}", r"AIza[A-Za-z0-9_-]{30,}"),  # Google
    (r"ya29\.", r"ya29\.[A-Za-z0-9_-]{20,}"),
    (r"hf_[a-z0-9]{20}", r"hf_[A-Za-z0-9]{20,}"),  # Hugging Face
    (r"lsv2_", r"lsv2_[a-z]{2}_[A-Za-z0-9_]{16,}"),  # LangSmith
    (r"gsk_[a-z0-9]{20}", r"gsk_[A-Za-z0-9]{20,}"),  # Groq
    (r"xai-[a-z0-9]{20}", r"xai-[A-Za-z0-9]{20,}"),
    (r"pplx-", r"pplx-[A-Za-z0-9]{20,}"),  # Perplexity
    (r"tvly-", r"tvly-[A-Za-z0-9_-]{16,}"),  # Tavily
    (r"pcsk_", r"pcsk_[A-Za-z0-9_]{20,}"),  # Pinecone
    (r"nvapi-", r"nvapi-[A-Za-z0-9_-]{20,}"),  # NVIDIA
    (r"npm_[a-z0-9]{30}", r"npm_[A-Za-z0-9]{30,}"),
    (r"pypi-[a-z0-9_-]{30}", r"pypi-[A-Za-z0-9_-]{30,}"),
    (r"dapi[0-9a-f]{32}", r"dapi[0-9a-f]{32}"),  # Databricks
    (r"eyj[a-z0-9_-]{8}", r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),  # JSON Web Token
)
_START: Final = r"(?:(?<![A-Za-z0-9])|(?<=\\[abfnrtv])|(?<=%[0-9A-Fa-f]{2}))"
"""Where a key begins: "risk-adjusted" holds none. Escapes of a text within a text end in letters."""
_SHAPE: Final = re.compile(
    _START + "(?:" + "|".join(shape for _, shape in _SHAPES) + ")"
    r"|-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----(?:(?s:.)*?-----END [A-Z ]{0,30}PRIVATE KEY-----|(?s:.)*)"
)
_SCHEME: Final = re.compile(_START + r"(Bearer|Basic|Token|ApiKey)( +)([A-Za-z0-9._~+/=-]{8,})", _FLAGS)
_USERINFO: Final = re.compile(r"(://[^\s/:@\"']*):[^\s/@\"']+@", re.ASCII)
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
"""``key=value`` and ``key: value`` within a text: query strings, ``repr`` of a dict, JSON within a text, headers."""
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
    + "".join(f"|{start}" for start, _ in _SHAPES)
)
"""Of lower-case text. All of its alternatives begin with plain letters, few enough for the engine to look for them all
at once; a case-insensitive expression takes four times as long."""
HINTS: Final = (
    *("key", "secret", "pass", "pwd", "authoriz", "cookie", "credent", "connection", "signature", "sig=", "token"),
    *("bearer", "basic", "://", "sk-", "sk_", "_live_", "_test_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat"),
    *("glpat", "xox", "akia", "asia", "aroa", "aiza", "ya29", "hf_", "lsv2_", "xai-", "pplx-", "tvly-", "pi-", "npm_"),
    *("dapi", "eyj"),
)
"""What the sieve finds has one of these in it. The engine looks for so few plain texts with vector instructions: most
values pass this first, and the sieve's tables, which are not in the processor's caches, are not touched."""


def _search(pattern: str) -> Callable[[str | bytes], bool]:
    schema = core_schema.str_schema(pattern=pattern, regex_engine="rust-regex")
    return SchemaValidator(schema).isinstance_python


hints_at_secret: Final = _search("|".join(map(re.escape, HINTS)))
"""Whether a lower-case text, or its UTF-8, is worth asking :data:`holds_secret`."""
holds_secret: Final = _search(_SIEVE)
"""Whether a lower-case text, or its UTF-8, is worth a closer look. False is certain, except beside lone surrogates."""


def scrub(text: Json) -> Json:
    """The JSON ``text`` without what looks like a secret, by key name or by shape."""
    if not holds_secret(text.lower()):
        return text
    try:
        return orjson.dumps(_clean(orjson.loads(text), 0))
    except Exception as error:  # noqa: BLE001 - nested too deep for orjson, or no JSON: it cannot be searched
        return orjson.dumps(f"{REDACTED}: could not be searched for secrets ({type(error).__name__})")


def scrub_text(text: str) -> str:
    """A plain text (an error message, a name) without what looks like a secret."""
    lower = text.lower()
    # Rust knows no lone surrogates, and would find nothing beside one.
    return _clean_text(text) if holds_secret(lower) or has_surrogates(lower) else text


def apply(hook: Callable[[Any], Any], text: Json) -> tuple[Json, Exception | None]:
    """What the user's hook makes of a value. It fails closed: on an exception nothing of the value is left.

    Returns:
        The value's new JSON, and the exception of the hook or ``None``.
    """
    try:
        return orjson.dumps(hook(orjson.loads(text)), option=orjson.OPT_NON_STR_KEYS), None
    except Exception as error:  # noqa: BLE001 - whatever it is, the value must not pass
        return orjson.dumps(f"{REDACTED}: the redact hook raised {type(error).__name__}"), error


def is_secret_name(name: str) -> bool:
    """Whether a key's value is a secret by the name of the key."""
    spaced = _CAMEL.sub("_", name)
    found = _NAME.fullmatch(name) or _NAME.fullmatch(spaced)
    return found is not None and not _NOT_SECRET.fullmatch(spaced)


def has_surrogates(text: str) -> bool:
    """Whether it holds half of a surrogate pair, of which UTF-8 has none."""
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _clean(data: object, depth: int) -> object:
    if isinstance(data, str):
        return _clean_text(data) if holds_secret(data.lower()) else data
    if depth > _MAX_DEPTH:
        return f"{REDACTED}: nested too deep to be searched"
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
    named = data.get("name", data.get("key"))
    for key, item in data.items():
        # A header as {"name": "Authorization", "value": "…"}; a token of a model's answer with its probability.
        by_pair = key == "value" and isinstance(named, str) and is_secret_name(named)
        if by_pair or (is_secret_name(key) and not (key == "token" and "logprob" in data)):
            kept[_clean_key(key)] = _hidden(key, item, depth)
        else:
            kept[_clean_key(key)] = _clean(item, depth + 1)
    return kept


def _clean_key(key: str) -> str:
    return _clean_text(key) if holds_secret(key.lower()) else key


def _hidden(name: str, value: object, depth: int) -> object:
    """What is shown of a secret key's value: nothing stays nothing, and a number of tokens is no secret."""
    if value is None or isinstance(value, bool) or value in ("", [], {}):
        return value
    if isinstance(value, int | float) and name.lower().endswith("token"):
        return value
    if isinstance(value, dict) and not SCHEMA_KEYS.isdisjoint(value):  # a tool's parameter of that name
        return {key: REDACTED if key in _EXAMPLES else _clean(item, depth + 1) for key, item in value.items()}
    return REDACTED


def _clean_text(text: str) -> str:
    if text.lstrip()[:1] in ("{", "["):
        try:
            data = orjson.loads(text)
            clean = _clean(data, 0)
        except (ValueError, RecursionError):
            pass  # no JSON: a repr, or a part of a document
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
    return f"{scheme}{space}{REDACTED}" if secret else found[0]  # else: "basic understanding", "token limits"


def _clean_option(found: re.Match[str]) -> str:
    return f"{found[1]}{REDACTED}" if is_secret_name(found[1].strip("-<> ")) else found[0]


def _clean_pairs(text: str) -> str:
    parts: list[str] = []
    done = at = 0
    while found := _PAIR.search(text, at):
        start = found.start()
        before = _BEFORE.search(text, max(start - _MAX_NAME, 0), start)
        first = before.start() if before else start
        at = found.start("value")  # a pair may be the value of a harmless one
        if is_secret_name(text[first : found.end("word")]) and (hidden := _hidden_value(text, first, found)):
            parts += [text[done:at], hidden]
            done = at = found.end() if found["bare"] is None else _REST.match(text, found.end()).end()  # type: ignore[union-attr]
    return "".join(parts) + text[done:] if parts else text


def _hidden_value(text: str, first: int, found: re.Match[str]) -> str | None:
    """What stands for the value of a secret's name, which begins at ``first``; None when it is none."""
    quote = found["quote"] or found["escape"]
    if quote:
        inner = found["quoted"] or found["escaped"] or ""
        closes = text[max(first - 1, 0) : first] == quote and quote not in found["mark"]  # ask("password: ")
        return None if not inner or closes or _TEMPLATE.fullmatch(inner) else f"{quote}{REDACTED}{quote}"
    value = found["value"]
    if found["bare"] is None:
        return None if value == REDACTED or _TEMPLATE.fullmatch(value) or _SCHEMA.match(value) else REDACTED
    return REDACTED if _is_real(text, first, found) else None


def _is_real(text: str, first: int, found: re.Match[str]) -> bool:
    """Whether a value without quotes is one, and not a word of prose or a name in a program."""
    value, mark = found["bare"].rstrip(".!?:"), found["mark"]
    counted = value.isdigit() and found["word"].lower() == "token"
    if len(value) < 4 or counted or _TEMPLATE.fullmatch(value) or is_secret_name(value.rpartition(".")[2]):  # noqa: PLR2004
        return False
    if not _REFERENCE.fullmatch(value):  # it has digits or signs
        return True
    after = text[found.end() : found.end() + 1]
    if value.lower() in _CODE or after in ("(", "["):
        return False
    before = text[max(first - _MAX_NAME, 0) : first]
    if mark == "=":
        return not before.rstrip().endswith(("(", ","))  # else an argument: f(api_key=key)
    line = before.rpartition("\n")[2]
    alone = (not line.strip() and len(line) < _MAX_NAME) or before.rstrip().endswith(("{", ","))
    return ":" in mark and alone and after in ("", "\n", "\r", ",", "}")  # a line of YAML

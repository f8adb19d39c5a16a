"""Secrets leave a value by name and by shape, whatever is around them; ordinary words and code stay."""

from __future__ import annotations

import base64
import copy
import json
import re
import time
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_autotrace import redaction
from langchain_autotrace.capture.cut import fit
from langchain_autotrace.redaction import (
    REDACTED,
    error_line,
    has_surrogates,
    is_secret_name,
    may_hold_secret,
    replace,
    scrub,
    scrub_text,
    without_credentials,
)

# Put together here, so that no scanner takes them for real ones.
MIXED = "aB3dE5gH7jK9mN1pQ4sT6vW8yZ"
SECRETS = {
    "openai": "sk" + "-proj-" + MIXED + "_-" + MIXED,
    "anthropic": "sk" + "-ant-api03-" + MIXED * 3,
    "langfuse": "sk" + "-lf-" + "1234abcd-12ab-34cd-56ef-1234567890ab",
    "stripe": "sk" + "_live_" + MIXED,
    "stripe_test": "rk" + "_test_" + MIXED,
    "github": "gh" + "p_" + MIXED + MIXED[:10],
    "github_fine": "github" + "_pat_" + MIXED + "_" + MIXED,
    "gitlab": "gl" + "pat-" + MIXED[:20],
    "slack": "xo" + "xb-" + "123456789012-" + MIXED,
    "aws": "AK" + "IA" + "IOSFODNN7EXAMPL2",
    "aws_session": "AS" + "IA" + "IOSFODNN7EXAMPL2",
    "google": "AI" + "za" + "SyD-" + MIXED + MIXED[:5],
    "google_oauth": "ya" + "29." + "a0" + MIXED,
    "hugging_face": "h" + "f_" + MIXED + MIXED[:8],
    "langsmith": "ls" + "v2_pt_" + "0123456789abcdef" * 2 + "_0123456789",
    "groq": "g" + "sk_" + MIXED * 2,
    "xai": "x" + "ai-" + MIXED * 2,
    "perplexity": "pp" + "lx-" + MIXED,
    "tavily": "tv" + "ly-dev-" + MIXED,
    "pinecone": "pc" + "sk_" + MIXED,
    "nvidia": "nv" + "api-" + MIXED,
    "npm": "np" + "m_" + MIXED + MIXED[:10],
    "pypi": "py" + "pi-" + MIXED * 2,
    "databricks": "da" + "pi" + "0123456789abcdef" * 2,
    "jwt": "ey" + "JhbGciOiJIUzI1NiJ9." + "ey" + "JzdWIiOiIxMjM0NTY3ODkwIn0." + MIXED,
    "private_key": "-----BEGIN " + "RSA PRIVATE KEY-----\nMIIEow" + MIXED + "\n-----END RSA PRIVATE KEY-----",
    "half_private_key": "-----BEGIN " + "PRIVATE KEY-----\nMIIEow" + MIXED,
    "bearer": "Bearer " + MIXED,
    "basic": "Basic " + base64.b64encode(b"ada:hunter2").decode(),
    "userinfo": "postgresql://ada:hunter2!x@db:5432/x",
    "signature": "https://x/y?sv=2&sig=" + "hunter2%2Bx%3D",
}
HEARTS = {
    **{name: secret.rpartition(" ")[2] for name, secret in SECRETS.items()},
    "private_key": "MIIEow" + MIXED,
    "half_private_key": "MIIEow" + MIXED,
    "userinfo": "hunter2!x",
    "signature": "hunter2%2Bx%3D",
}
"""The part of each that must not be seen."""
kinds = st.sampled_from(sorted(SECRETS))


def words(text: str) -> list[str]:
    """Return the words of a text."""
    return text.split()


NAMES = words("""
api_key apikey api-key apiKey API_KEY api.key OPENAI_API_KEY openai_api_key openaiApiKey x-api-key X-Api-Key api_keys
Authorization proxy-authorization authorization password Password db_password dbPassword userpassword PGPASSWORD passwd
passphrase passcode pwd secret client_secret clientSecret SecretKey secret_key secret_access_key aws_secret_access_key
AWS_ACCESS_KEY_ID accessKeyId token access_token accessToken refresh_token id_token authToken bearer_token csrf-token
x-amz-security-token AWS_SESSION_TOKEN GITHUB_TOKEN hf_token bot_token api_token private_key privateKey signing_key
account_key AccountKey subscription-key Ocp-Apim-Subscription-Key cookie Cookie Set-Cookie cookies credentials
connection_string ConnectionString X-Amz-Signature password2 password_hash password_confirmation api_key_2 new_password
userPassword azure_subscription_key session_token
""")
OTHER_NAMES = words("""
max_tokens max_token min_tokens num_tokens total_tokens prompt_tokens completion_tokens input_tokens output_tokens
token_usage token_count tokens tokenizer tokenize cached_tokens reasoning_tokens next_token nextToken next_page_token
page_token continuation_token pad_token eos_token bos_token mask_token stop_token cost_per_token time_to_first_token
first_token keyboard monkey key keys primary_key foreign_key public_key hotkey keyword secretary authorized authorize
author authorization_url passenger compass bypass pass pwdx cookie_policy credentials_profile_name private_key_path
""")


@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_known_by_its_shape(kind: str) -> None:
    """A secret is known by its shape, in any place of a value and next to any text."""
    secret, heart = SECRETS[kind], HEARTS[kind]
    for text in (
        *(secret, f"({secret})", f"é{secret}é", f"key={secret}&x=1", f"see {secret}, and", f"日本{secret}日本"),
        *(json.dumps({"a": [f"\n{secret}\t"]}), repr(["x\n" + secret]), f"%3D{secret}", f"`{secret}`", f"😀{secret}"),
    ):
        for value in (text, {"deep": [{"er": [text]}]}, {text: 1}, [["x", text]]):
            clean = json.dumps(scrub(value))
            assert heart not in clean, value
            assert REDACTED in clean
        assert heart not in scrub_text(text)


@pytest.mark.parametrize("name", NAMES)
def test_a_secret_known_by_the_name_of_its_key(name: str) -> None:
    """A secret is known by the name of its key: in objects, headers, and in every way to write pairs in a text."""
    secret = "correct horse-7 b@ttery"
    assert is_secret_name(name)
    assert scrub({name: secret}) == {name: REDACTED}
    assert scrub({"a": [{name: [secret, {"x": secret}]}]}) == {"a": [{name: REDACTED}]}
    assert scrub([[name, secret], ["Accept", "*/*"]]) == [[name, REDACTED], ["Accept", "*/*"]]
    assert scrub([{"name": name, "value": secret}]) == [{"name": name, "value": REDACTED}]
    assert scrub({"a": json.dumps({name: secret, "x": 1.5})}) == {"a": f'{{"{name}":"{REDACTED}","x":1.5}}'}
    assert scrub(f"{{'a': 1, '{name}': '{secret}'}}") == f"{{'a': 1, '{name}': '{REDACTED}'}}"
    assert scrub(f'so: {{"{name}": "{secret}"}}') == f'so: {{"{name}": "{REDACTED}"}}'
    twice = json.dumps({"a": f'say {{"{name}": "{secret}"}}'})
    assert secret not in scrub(f"so: {twice}")
    for text in (
        *(f"GET /x?{name}=s3cr3t&page=2", f"{name}: s3cr3t\nAccept: x", f"run --{name} s3cr3t now"),
        *(f"<{name}>s3cr3t</", f"{name} = s3cr3t;", f"{name}=>s3cr3t"),
    ):
        assert scrub(text) == text.replace("s3cr3t", REDACTED)
    assert scrub(f"{name}: swordfish\nuser: ada") == f"{name}: {REDACTED}\nuser: ada"
    assert scrub(f"x?{name}=swordfish") == f"x?{name}={REDACTED}"


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_a_name_that_resembles_a_secret_one(name: str) -> None:
    """Names that merely resemble those of secrets keep their values."""
    assert not is_secret_name(name)
    for value in ({name: "hunter2!x"}, [name, "hunter2!x"], f"?{name}=hunter2!x", f"{{'{name}': 'hunter2!x'}}"):
        assert scrub(value) == value


ORDINARY = [
    "Basic ideas, basic understanding, Basic TypeScript, basic internationalization, Basic MathematicsA=",
    "A token is a word or a part of one. Token limitations apply: token counting, token 42, 8192 tokens, token: 512",
    "The secretary authorized the keyboard. Secret: nobody knows. The password: should be long! Cookies: yes, please.",
    "bearer certificates and Bearer internationalization; risk-adjusted-returns-over-time, task-management-systems",
    "password must have at least 8 characters; forgot your password? credentials = what you know",
    "Use os.environ['OPENAI_API_KEY'] and api_key = os.environ['KEY_2']; or api_key=os.getenv('X1').",
    "ChatOpenAI(model='gpt-4o', api_key=api_key, token=token, password=settings.db_password)",
    "def login(user: str, password: str, api_key: SecretStr | None = None, token: str = '') -> Token: ...",
    "client = Client(api_key=key, secret=load())\nself.token = response\npassword = getpass('Password: ')\n",
    'api_key = input("api_key: ")\nif not api_key:\n    raise ValueError("api_key: missing")',
    "curl -H 'Authorization: Bearer $TOKEN' -d password=${PASSWORD} --api-key <key> https://user@host/x:y",
    "export OPENAI_API_KEY=<your key>; api_key: '...'; password='****' secret={secret} {api_key: apiKey, b: 1}",
    "see https://example.com:8080/a@b?page=2&per_token=3#top, mailto:ada@example.com, ratio 3:2@x",
    "Set OPENAI_API_KEY in the environment and keep it; the secretary of the cookie company speaks of a basic token.",
    "eyJ is how JSON begins in base64; sk-learn; AKIA; hf_hub; ghp_; npm_config; pypi-server; sk-SK",
    {
        "usage": {"total_tokens": 12, "token_usage": {"prompt_tokens": 3}},
        "max_tokens": 100,
        "token": 12,
        "tokenizer": "b",
    },
    {"password": None, "api_key": "", "secret": False, "cookies": {}, "credentials": [], "session_token": 7},
    {"logprobs": [{"token": "Hello", "logprob": -0.1, "top_logprobs": [{"token": "Hi", "logprob": -2}]}]},
    {"properties": {"password": {"type": "string", "description": "what the user types"}, "token": {"anyOf": []}}},
]


@pytest.mark.parametrize("value", ORDINARY, ids=range(len(ORDINARY)))
def test_ordinary_text_and_code(value: Any) -> None:
    """Prose, token counts, schemas, and code that mentions keys stay as they are."""
    assert scrub(value) == value


def test_the_text_around_a_secret() -> None:
    """The placeholder stands exactly where the secret was, and the rest of the text is unchanged."""
    pairs = {
        "Authorization: Bearer letters\nAccept: x": f"Authorization: Bearer {REDACTED}\nAccept: x",
        "Authorization: Digest username=a, response=b1\nX: y": f"Authorization: Digest {REDACTED}\nX: y",
        "Cookie: a=b1; theme=dark\nX: y": f"Cookie: {REDACTED}\nX: y",
        "basic " + base64.b64encode(b"a:b" * 3).decode(): f"basic {REDACTED}",
        "redis://:hunter2@h/0 and x://a:b@c": f"redis://:{REDACTED}@h/0 and x://a:{REDACTED}@c",
        "password=swordfish host=db": f"password={REDACTED} host=db",
        "{'credentials': {'user': 'a', 'x': 'y'}, 'b': 1}": f"{{'credentials': {REDACTED}, 'b': 1}}",
        "headers={'authorization': b'Bearer letters'}": f"headers={{'authorization': b'{REDACTED}'}}",
        "token='it\\'s 2' x": f"token='{REDACTED}' x",
        "max_token=5 next_token={'password': 'p w'}": f"max_token=5 next_token={{'password': '{REDACTED}'}}",
    }
    assert {text: scrub(text) for text in pairs} == pairs
    schema = {"password": {"type": "string", "default": "hunter2", "examples": ["hunter2"], "description": "d"}}
    assert scrub(schema) == {"password": {**schema["password"], "default": REDACTED, "examples": REDACTED}}


FRAGMENTS = [
    *("api_key", "Token", "PASSWORD", "\u017fecret", "to\u212aen", "cookie", "authorization", "Basic ", "bearer "),
    *("'", '"', "\\", '\\"', "\n", "\t", "\x0b", "\u00a0", " ", "{", "}", "[", "]", "<", ">", "--", "?sig=", "&"),
    *("://a:", "@", "=", ": ", "x7Q!", "abcd", "é"),
    *(secret[: len(secret) // 2] for secret in SECRETS.values()),
    *SECRETS.values(),
]
texts = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=8), max_size=9).map("".join)
utf8 = texts.filter(lambda text: not re.search("[\ud800-\udfff]", text))
steady = settings(max_examples=200, derandomize=True, deadline=None)


@steady
@given(utf8)
def test_any_text_before_the_sieve(text: str) -> None:
    """The sieve catches everything that the scrubber would change, in JSON and in plain text."""
    for value in (text, {"key": text}, {text: "abcdefgh1"}, [text, "abcdefgh1"]):
        line = orjson.dumps(value)
        clean = redaction._clean(value, 0)
        if clean != value:
            assert may_hold_secret(line)
            assert may_hold_secret(line.decode())
        assert scrub(value) == clean
    assert scrub_text(text) == redaction._clean_text(text)


@steady
@given(st.text(max_size=20), kinds, st.text(max_size=20), st.sampled_from([" ", "\n", "(", ",", "é"]))
def test_a_secret_between_any_texts(before: str, kind: str, after: str, gap: str) -> None:
    """A secret is taken out whatever stands around it."""
    text = f"{before}{gap}{SECRETS[kind]}{gap}{after}"
    assert HEARTS[kind] not in ascii(scrub_text(text))
    if not re.search("[\ud800-\udfff]", text):
        assert HEARTS[kind] not in scrub(text)


@steady
@given(st.sampled_from(NAMES), st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20))
def test_any_value_of_a_secret_key(name: str, secret: str) -> None:
    """The value of a secret key is taken out, whatever it is."""
    assert scrub({name: secret}) == {name: REDACTED}
    assert scrub([[name, secret]]) == [[name, REDACTED]]


@steady
@given(kinds, st.integers(100, 700), st.integers(0, 600), st.sampled_from(["x ", "word", "é, ", '"a":1,']))
def test_a_secret_at_the_cut(kind: str, limit: int, at: int, filler: str) -> None:
    """A value that is cut within a secret keeps no half of it, which no pattern would know."""
    text = (filler * 600)[:at] + " " + SECRETS[kind] + " " + filler * 600
    for value in (text, {"a": "b", "text": text}, [text, 1], [{"x": {"y": text}}, text]):
        seen = json.dumps(scrub(fit(value, limit).value))
        assert not any(HEARTS[kind][i : i + 8] in seen for i in range(len(HEARTS[kind]) - 7))


def nested(value: Any, depth: int) -> Any:
    """Return the value within so many lists."""
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(("depth", "kept"), [(190, True), (240, False), (900, False), (5_000, False), (100_000, False)])
def test_a_value_that_is_nested_too_deep(depth: int, kept: bool) -> None:  # noqa: FBT001 - an expectation
    """JSON data that is nested too deep to be searched is not kept, and the rest of the value is."""
    found = scrub({"deep": nested(["password=hunter2", "hunter2"], depth), "x": 1})

    seen = orjson.dumps(found)
    assert (REDACTED.encode() in seen, b'"hunter2"' in seen) == (True, kept)
    assert b"=hunter2" not in seen


@pytest.mark.parametrize(
    "value",
    [
        {"n": 10**40, "password": "hunter2"},
        "\ud800 password=hunter2",
        {"\ud800": "hunter2"},
        {1: "hunter2"},
        ["hunter2", object()],
    ],
    ids=["large integer", "lone surrogate", "lone surrogate in a key", "key that is no text", "object"],
)
def test_a_value_that_is_no_json(value: Any) -> None:
    """What orjson cannot write cannot be searched, and nothing of it is kept."""
    found = scrub(value)

    assert re.fullmatch(re.escape(REDACTED) + r": could not be searched for secrets \((JSONEncode|Type)Error\)", found)


def test_a_secret_beside_a_lone_surrogate() -> None:
    """A plain text with half of a surrogate pair is searched too."""
    found = ascii(scrub_text("\ud800 " + SECRETS["openai"]))  # pytest-xdist cannot report a text that is no UTF-8

    assert found == rf"'\ud800 {REDACTED}'"
    assert ascii(scrub_text("\ud800")) == r"'\ud800'"


@pytest.mark.parametrize(
    ("text", "found"), [("", False), ("a", False), ("é😀", False), ("\ud83d", True), ("é\udc00a", True)]
)
def test_halves_of_a_surrogate_pair(text: str, found: bool) -> None:  # noqa: FBT001 - an expectation
    """Only half of a surrogate pair is one that UTF-8 does not have."""
    assert has_surrogates(text) is found


def test_the_value_that_is_searched() -> None:
    """The caller's value is not changed."""
    value = {"password": "hunter2", "rows": [["token", "hunter2"], {"text": "api_key=hunter2!x"}], "C-12": "C-12"}
    before = copy.deepcopy(value)

    assert scrub(value) != before
    assert replace(value, [re.compile(r"C-\d+")]) != before
    assert value == before


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("order C-12 of Ada", f"order {REDACTED} of {REDACTED}"),
        ("C-12C-13", REDACTED * 2),
        ({"C-12": "x", "x": "C-12"}, {REDACTED: "x", "x": REDACTED}),
        ([{"a": [["Ada", {"b": "to Ada"}]]}], [{"a": [[REDACTED, {"b": f"to {REDACTED}"}]]}]),
        ({"a": 'she said "yes"\n"no" and left'}, {"a": f"she said {REDACTED} and left"}),
        (
            {"a": [12, 1.5, True, None, "", [], {}], "ada": "c-12"},
            {"a": [12, 1.5, True, None, "", [], {}], "ada": "c-12"},
        ),
        (None, None),
        (12, 12),
    ],
)
def test_patterns_of_the_user(value: Any, expected: Any) -> None:
    """Each match of each pattern is replaced in texts and in names of keys, at any depth, and nothing else is."""
    patterns = [re.compile(r"C-\d+"), re.compile("Ada"), re.compile(r'"yes"\s"no"')]

    assert replace(value, patterns) == expected
    assert replace(value, []) == value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://user:password@host/x?y=1", "https://host/x?y=1"),
        ("https://token@host:80", "https://host:80"),
        ("https://:password@host", "https://host"),
        ("postgresql+psycopg://me:s3cret@host:5432/db", "postgresql+psycopg://host:5432/db"),
        ("use http://a:b@c/d, or ftp://e:f@g/h", "use http://c/d, or ftp://g/h"),
        ("https://me:s3@cret@host", "https://host"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("https://host/a:b@c", "https://host/a:b@c"),
        (
            "https://{user}:{password}@host and https://{token}@host",
            "https://{user}:{password}@host and https://{token}@host",
        ),
        ("mailto:ada@example.com at 12:30@home", "mailto:ada@example.com at 12:30@home"),
    ],
)
def test_an_address_with_credentials(text: str, expected: str) -> None:
    """The name and the password, or the token, before a host are left out; templates of them stay."""
    assert without_credentials(text) == expected


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("wrong"), "ValueError: wrong"),
        (ValueError("\n  \n  wrong \nand more"), "ValueError: wrong"),
        (ValueError(), "ValueError"),
        (ValueError(" \n"), "ValueError"),
        (ValueError("x" * 1_000), "ValueError: " + "x" * 500),
        (
            RuntimeError("no answer from postgresql://me:s3cret@host/db"),
            "RuntimeError: no answer from postgresql://me:***@host/db",
        ),
        (OSError(2, "No such file or directory"), "No such file or directory"),
        (OSError(2, "No such file or directory", "/a/b"), "No such file or directory: /a/b"),
        (OSError("wrong"), "OSError: wrong"),
        (OSError(5, "no answer from http://me:s3cret@host"), "no answer from http://me:***@host"),
    ],
)
def test_an_error_in_one_line(error: BaseException, line: str) -> None:
    """An error is shown by the operating system's text, or by its type and first line, without passwords."""
    assert error_line(error) == line


WORST = [
    *("a-1_" * 83_000, "password " * 33_000, "token=" * 50_000, "eyJ" * 100_000, "://a" * 66_000),
    *("-----BEGIN " * 26_000, "password: '" * 26_000, "x" * 400_000 + " api_key=hunter2", '{"password":' * 26_000),
    *(
        "\\" * 166_000 + "password\\" * 9,
        "max_token=" * 33_000,
        "password: abcd " * 23_000,
        "password: abcd\n" * 23_000,
    ),
]


@pytest.mark.parametrize("text", WORST, ids=range(len(WORST)))
def test_the_worst_texts(text: str) -> None:
    """A few hundred kilobytes of the worst text are searched in a bounded time."""
    started = time.process_time()
    scrub_text(text)
    scrub([text, "password=hunter2"])
    assert time.process_time() - started < 5


@settings(max_examples=500)
@given(text=st.from_regex(re.compile(redaction._SIEVE, re.ASCII), fullmatch=True))
def test_any_text_that_the_sieve_catches(text: str) -> None:
    """What the sieve catches passes the coarser one before it."""
    assert redaction._holds_secret(text)
    assert redaction._hints_at_secret(text)
    assert may_hold_secret(text)
    assert may_hold_secret(text.upper().encode())


@pytest.mark.parametrize("piece", redaction._SIEVE.split("|"))
def test_each_alternative_of_the_sieve(piece: str) -> None:
    """Each alternative has one of the hints in its plain letters, or stands for several that have."""
    plain = piece.replace(r"\.", ".").replace("gh[pousr]_", "ghp_").replace("xox[abeprs]-", "xoxb-")
    assert any(hint in plain for hint in redaction.HINTS)

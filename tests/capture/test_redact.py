"""Secrets leave a value by name and by shape, whatever is around them; ordinary words and code stay."""

from __future__ import annotations

import base64
import json
import re
import time
import timeit
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_autotrace.capture import redact
from langchain_autotrace.capture.encode import encode
from langchain_autotrace.capture.redact import REDACTED, apply, holds_secret, is_secret_name, scrub, scrub_text

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
    """The words of a text."""
    return text.split()


NAMES = words("""
api_key apikey api-key apiKey API_KEY api.key OPENAI_API_KEY openai_api_key openaiApiKey x-api-key X-Api-Key api_keys
Authorization proxy-authorization authorization password Password db_password dbPassword userpassword PGPASSWORD passwd
passphrase passcode pwd secret client_secret clientSecret SecretKey secret_key secret_access_key aws_secret_access_key
AWS_ACCESS_KEY_ID accessKeyId token access_token accessToken refresh_token id_token authToken bearer_token csrf-token
x-amz-security-token AWS_SESSION_TOKEN GITHUB_TOKEN hf_token bot_token api_token private_key privateKey signing_key
account_key AccountKey subscription-key Ocp-Apim-Subscription-Key cookie Cookie Set-Cookie cookies credentials
connection_string ConnectionString X-Amz-Signature password2 password_hash password_confirmation api_key_2 new_password
""")
OTHER_NAMES = words("""
max_tokens max_token min_tokens num_tokens total_tokens prompt_tokens completion_tokens input_tokens output_tokens
token_usage token_count tokens tokenizer tokenize cached_tokens reasoning_tokens next_token nextToken next_page_token
page_token continuation_token pad_token eos_token bos_token mask_token stop_token cost_per_token time_to_first_token
first_token keyboard monkey key keys primary_key foreign_key public_key hotkey keyword secretary authorized authorize
author authorization_url passenger compass bypass pass pwdx cookie_policy credentials_profile_name private_key_path
""")


def cleaned(value: Any) -> Any:
    """The value as it would be written."""
    return json.loads(scrub(orjson.dumps(value)))


@pytest.mark.parametrize("kind", SECRETS)
def test_shapes(kind: str) -> None:
    """A secret is known by its shape, in any place of a value and beside any neighbour."""
    secret, heart = SECRETS[kind], HEARTS[kind]
    for text in (
        *(secret, f"({secret})", f"é{secret}é", f"key={secret}&x=1", f"see {secret}, and", f"日本{secret}日本"),
        *(json.dumps({"a": [f"\n{secret}\t"]}), repr(["x\n" + secret]), f"%3D{secret}", f"`{secret}`", f"😀{secret}"),
    ):
        for value in (text, {"deep": [{"er": [text]}]}, {text: 1}, [["x", text]]):
            assert heart not in json.dumps(cleaned(value)), value
        assert heart not in scrub_text(text)


@pytest.mark.parametrize("name", NAMES)
def test_names(name: str) -> None:
    """A secret is known by the name of its key: in objects, headers, and in every way to write pairs in a text."""
    secret = "correct horse-7 b@ttery"
    assert is_secret_name(name)
    assert cleaned({name: secret}) == {name: REDACTED}
    assert cleaned({"a": [{name: [secret, {"x": secret}]}]}) == {"a": [{name: REDACTED}]}
    assert cleaned([[name, secret], ["Accept", "*/*"]]) == [[name, REDACTED], ["Accept", "*/*"]]
    assert cleaned([{"name": name, "value": secret}]) == [{"name": name, "value": REDACTED}]
    assert cleaned({"a": json.dumps({name: secret, "x": 1.5})}) == {"a": f'{{"{name}":"{REDACTED}","x":1.5}}'}
    assert cleaned(f"{{'a': 1, '{name}': '{secret}'}}") == f"{{'a': 1, '{name}': '{REDACTED}'}}"
    assert cleaned(f'so: {{"{name}": "{secret}"}}') == f'so: {{"{name}": "{REDACTED}"}}'
    twice = json.dumps({"a": f'say {{"{name}": "{secret}"}}'})
    assert secret not in cleaned(f"so: {twice}")
    for text in (
        *(f"GET /x?{name}=s3cr3t&page=2", f"{name}: s3cr3t\nAccept: x", f"run --{name} s3cr3t now"),
        *(f"<{name}>s3cr3t</", f"{name} = s3cr3t;", f"{name}=>s3cr3t"),
    ):
        assert cleaned(text) == text.replace("s3cr3t", REDACTED)
    assert cleaned(f"{name}: swordfish\nuser: ada") == f"{name}: {REDACTED}\nuser: ada"
    assert cleaned(f"x?{name}=swordfish") == f"x?{name}={REDACTED}"


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_other_names(name: str) -> None:
    """Names that merely resemble those of secrets keep their values."""
    assert not is_secret_name(name)
    for value in ({name: "hunter2!x"}, [name, "hunter2!x"], f"?{name}=hunter2!x", f"{{'{name}': 'hunter2!x'}}"):
        assert cleaned(value) == value


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
def test_ordinary(value: Any) -> None:
    """Ordinary talk, counts of tokens, schemas, and code that mentions keys stay as they are."""
    assert cleaned(value) == value


def test_forms() -> None:
    """What is left says where a secret was, and the rest stays readable."""
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
    assert {text: cleaned(text) for text in pairs} == pairs
    schema = {"password": {"type": "string", "default": "hunter2", "examples": ["hunter2"], "description": "d"}}
    assert cleaned(schema) == {"password": {**schema["password"], "default": REDACTED, "examples": REDACTED}}


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
def test_sieve(text: str) -> None:
    """The sieve lets pass nothing that the scrubber would clean."""
    for value in (text, {"key": text}, {text: "abcdefgh1"}, [text, "abcdefgh1"]):
        written = orjson.dumps(value)
        clean = redact._clean(value, 0)
        if clean != value:
            assert holds_secret(written.lower().decode())
        assert json.loads(scrub(written)) == clean
    assert scrub_text(text) == redact._clean_text(text)


@steady
@given(st.text(max_size=20), kinds, st.text(max_size=20), st.sampled_from([" ", "\n", "(", ",", "é"]))
def test_planted(before: str, kind: str, after: str, gap: str) -> None:
    """Whatever stands around a secret, it is taken out."""
    text = f"{before}{gap}{SECRETS[kind]}{gap}{after}"
    assert HEARTS[kind] not in scrub_text(text)
    if not re.search("[\ud800-\udfff]", text):
        assert HEARTS[kind] not in json.loads(scrub(orjson.dumps(text)))


@steady
@given(kinds, st.integers(100, 700), st.integers(0, 600), st.sampled_from(["x ", "word", "é, ", '"a":1,']))
def test_cut(kind: str, limit: int, at: int, filler: str) -> None:
    """A secret at the place where the encoder cuts is not left there in half."""
    text = (filler * 600)[:at] + " " + SECRETS[kind] + " " + filler * 600
    for value in (text, {"a": "b", "text": text}, [text, 1], [{"x": {"y": text}}, text]):
        kept = json.loads(scrub(encode(value, limit).json))
        seen = json.dumps(kept)
        assert not any(HEARTS[kind][i : i + 8] in seen for i in range(len(HEARTS[kind]) - 7))


def test_what_cannot_be_searched() -> None:
    """JSON that is nested too deep is not written unsearched, and numbers of any size do no harm."""
    for depth, kept in ((190, True), (240, False), (900, False), (5_000, False), (100_000, False)):
        found = scrub(b"[" * depth + b'"password=hunter2","hunter2"' + b"]" * depth)
        assert (REDACTED in found.decode(), b'"hunter2"' in found) == (True, kept)
    assert json.loads(scrub(b'{"password":"x","n":%d}' % 10**40))["password"] == REDACTED
    assert scrub(b'{"password":') == b'"[REDACTED]: could not be searched for secrets (JSONDecodeError)"'
    assert scrub(b'"\\ud800 password=hunter2"').startswith(b'"[REDACTED]')
    assert scrub_text("\ud800 " + SECRETS["openai"]) == f"\ud800 {REDACTED}"
    assert scrub_text("\ud800") == "\ud800"


def test_hook() -> None:
    """The hook's result takes the value's place; an exception, or a result that is no JSON, leaves nothing of it."""
    assert apply(lambda value: {**value, "b": 2}, b'{"a":1}') == (b'{"a":1,"b":2}', None)
    assert apply(lambda _: None, b'{"a":1}') == (b"null", None)
    fails: list[Any] = [lambda _: 1 // 0, lambda _: {1, 2}, lambda _: "\ud800", lambda _: 2**64]
    for hook, text in (*((fail, b'"x"') for fail in fails), (str, b"{")):
        kept, error = apply(hook, text)
        assert kept == orjson.dumps(f"{REDACTED}: the redact hook raised {type(error).__name__}")


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
def test_time(text: str) -> None:
    """Some hundred kilobytes of the worst text are searched in a bounded time."""
    started = time.process_time()
    scrub_text(text)
    scrub(orjson.dumps([text, "password=hunter2"]))
    assert time.process_time() - started < 5


def test_cost() -> None:
    """Most values pay for the sieve alone: a microsecond or two for 650 bytes, with room for a busy machine."""
    text = orjson.dumps({"messages": [{"role": "user", "content": "Tell me about cats and dogs. " * 21}]})
    assert len(text) > 650
    assert min(timeit.repeat(lambda: scrub(text), timer=time.process_time, number=1_000, repeat=5)) < 0.01


@settings(max_examples=500)
@given(text=st.from_regex(re.compile(redact._SIEVE, re.ASCII), fullmatch=True))
def test_hints(text: str) -> None:
    """What the sieve catches passes the coarser one before it."""
    assert redact.holds_secret(text)
    assert redact.hints_at_secret(text)


@pytest.mark.parametrize("piece", redact._SIEVE.split("|"))
def test_every_part_of_the_sieve_has_a_hint(piece: str) -> None:
    """Each alternative has one of the hints in its plain letters, or stands for several that have."""
    plain = piece.replace(r"\.", ".").replace("gh[pousr]_", "ghp_").replace("xox[abeprs]-", "xoxb-")
    assert any(hint in plain for hint in redact.HINTS)

"""What the plugin does for marked tests, each seen through a pytest run of its own."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE
from tests.testing.conftest import KEYS, Run
from tests.testing.fake_models import seen

ASK = """
@pytest.mark.vcr
def test_a():
    for prompt in {}:
        chat(prompt)
"""
TWO = 'assert [chat("a"), chat("b")]'


def cassette(pytester: pytest.Pytester, name: str = "test_a") -> Path:
    """The file of a test's cassette."""
    return pytester.path / "cassettes" / "test_it" / f"{name}.yaml"


def test_without_a_marker(tmp_path: Path) -> None:
    """The plugin imports neither vcrpy, yaml, LangChain nor MLflow where no test asks."""
    (tmp_path / "test_it.py").write_text("import sys\ndef test_a():\n    print('IMPORTED', sorted(sys.modules))")
    args = ["-p", "pytest_recording.plugin", "-p", "langchain_autotrace.testing.plugin", "-q", "-s"]
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    program = [sys.executable, "-m", "pytest", *args, str(tmp_path)]
    done = subprocess.run(program, env=env, capture_output=True, text=True, timeout=PATIENCE)

    assert done.returncode == 0, done.stdout + done.stderr
    imported = set(done.stdout.partition("IMPORTED")[2].partition("]")[0].replace("'", "").strip(" [").split(", "))
    assert "langchain_autotrace.testing.plugin" in imported
    assert imported & {"vcr", "yaml", "langchain_core", "mlflow", "langchain_autotrace.control", "pydantic"} == set()


def test_the_cost_of_the_plugin(tmp_path: Path) -> None:
    """Importing the plugin takes under 3 ms of a processor: less than a fiftieth of what importing pytest takes."""
    program = """
import sys, time
start = time.process_time()
import pytest
whole = time.process_time() - start
sys.dont_write_bytecode, sys.pycache_prefix = False, sys.argv[1]
def spent():
    for name in [name for name in sys.modules if name.startswith("langchain_autotrace")]:
        del sys.modules[name]
    start = time.process_time()
    import langchain_autotrace.testing.plugin
    return time.process_time() - start
print(min(spent() for _ in range(9)) / whole)
"""
    args = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(args, capture_output=True, text=True, timeout=PATIENCE)

    assert float(done.stdout) < 0.02


def test_a_changed_prompt(run: Run, pytester: pytest.Pytester) -> None:
    """A changed prompt fails with the nearest recording, the changed lines of the prompt, and the command to record."""
    prompts = ["first question", "Be careful.\nAnswer in one word.\nWhat is the capital of {}?"]
    run(ASK.format([one.format("Norway") for one in prompts]), "--record-mode=rewrite").assert_outcomes(passed=1)
    result = run(ASK.format([one.format("Sweden") for one in prompts]))

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "No recorded answer for POST http://127.0.0.1:*/v1/chat/completions",
            "  cassette: cassettes/test_it/test_a.yaml",
            "  nearest: recording 2 of 2",
            "*-*Norway?*",
            "*+*Sweden?*",
            "  If this is meant, record anew:  pytest test_it.py::test_a --record-mode=rewrite",
        ]
    )
    changed = [line for line in result.outlines if line.lstrip().startswith(("-  ", "+  "))]
    assert len(changed) == 2
    assert len(result.outlines) < 40


@pytest.mark.parametrize(
    "swallowing",
    [
        "try:\n        chat(PROMPT)\n    except BaseException:\n        pass",
        (
            "from concurrent.futures import ThreadPoolExecutor\n"
            "    with ThreadPoolExecutor() as pool: pool.submit(chat, PROMPT)"
        ),
        (
            "import openai\n    openai.OpenAI(base_url=HOST + '/v1').chat.completions.create(model='m', messages=["
            "dict(role='user', content=PROMPT)])"
        ),
        "import threading\n    one = threading.Thread(target=chat, args=[PROMPT])\n    one.start()\n    one.join()",
        (
            "from langchain_core.runnables import RunnableLambda\n"
            "    RunnableLambda(chat).with_fallbacks([RunnableLambda(str)]).with_retry().invoke(PROMPT)"
        ),
    ],
    ids=["except", "pool", "openai", "thread", "retry"],
)
def test_a_miss_that_the_program_swallows(run: Run, swallowing: str) -> None:
    """A miss fails the test at once, whatever the client or the program makes of it, and is asked for only once."""
    test = f"""
PROMPT = "{{}}"
@pytest.mark.vcr
def test_a(vcr):
    try:
        {swallowing.replace(chr(10), chr(10) + "    ")}
    finally:
        assert len(vcr.misses) < 2
    """
    run(test.format("one"), "--record-mode=rewrite").assert_outcomes(passed=1)
    run(test.format("one")).assert_outcomes(passed=1)
    result = run(test.format("two"))

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*nearest: recording 1 of 1*"])


def test_a_miss_in_a_fixture(run: Run) -> None:
    """A request of a fixture that was not recorded is an error with the same message."""
    test = "@pytest.fixture\ndef answer(vcr):\n    return chat('one')\n@pytest.mark.vcr\ndef test_a(answer):\n    pass"
    result = run(test)

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["  cassette: cassettes/test_it/test_a.yaml  (does not exist)"])


def test_a_failed_test(run: Run, pytester: pytest.Pytester) -> None:
    """A test that does not pass leaves the cassette as it was, and the report says so."""
    run(ASK.format(["one"]), "--record-mode=rewrite").assert_outcomes(passed=1)
    before = cassette(pytester).read_text()
    result = run(ASK.format(["two"]) + "    assert False", "--record-mode=rewrite")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["not written: the test did not pass*"])
    assert cassette(pytester).read_text() == before
    run(ASK.format(["two"]) + "    pytest.skip()", "--record-mode=rewrite").assert_outcomes(skipped=1)
    assert cassette(pytester).read_text() == before


def test_recording_again(run: Run, pytester: pytest.Pytester) -> None:
    """Recording anew changes only the lines that the answers changed, though threads asked, and leaves no draft."""
    test = """
    from concurrent.futures import ThreadPoolExecutor
    @pytest.mark.vcr
    def test_a():
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(chat, [f"jitter {i}" for i in range(5)]))
    """
    run(test, "--record-mode=rewrite").assert_outcomes(passed=1)
    first = cassette(pytester).read_text().splitlines()
    run(test, "--record-mode=rewrite").assert_outcomes(passed=1)
    second = cassette(pytester).read_text().splitlines()

    changed = [new.strip().partition(":")[0] for old, new in zip(first, second, strict=True) if old != new]
    assert changed == ["id", "content"] * 5
    assert [path.name for path in cassette(pytester).parent.iterdir()] == ["test_a.yaml"]


def test_unused_recordings(run: Run) -> None:
    """Recordings that were not asked for fail the test where that is asked for."""
    run(ASK.format(["one", "two"]), "--record-mode=rewrite").assert_outcomes(passed=1)
    run(ASK.format(["one"])).assert_outcomes(passed=1)
    result = run(ASK.format(["one"]), "--unused-recordings=error")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["1 recordings were not asked for:", "  2. POST http://127.0.0.1:*"])


def test_a_build_server(run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where CI is set nothing is recorded: the option is refused, and a configured mode replays."""
    once = """
import pytest
@pytest.fixture
def vcr_config():
    return {"record_mode": "once", "ignore_localhost": False}
"""
    monkeypatch.setenv("CI", "true")
    run(ASK.format(["one"]), conftest=once).assert_outcomes(failed=1)
    assert not cassette(pytester).exists()
    assert run(ASK.format(["one"]), "--record-mode=rewrite").ret == pytest.ExitCode.USAGE_ERROR
    monkeypatch.delenv("CI")
    run(ASK.format(["one"]), conftest=once).assert_outcomes(passed=1)
    monkeypatch.setenv("CI", "true")
    run(ASK.format(["one"]), conftest=once).assert_outcomes(passed=1)


def test_equal_requests(run: Run) -> None:
    """Equal requests are answered in the order of their recordings, and the last one is repeated."""
    test = """
    @pytest.mark.vcr
    def test_a():
        answers = ["error" in chat("retry repeats") for _ in range({})]
        assert answers == [True] + [False] * ({} - 1)
    """
    run(test.format(2, 2), "--record-mode=rewrite").assert_outcomes(passed=1)
    run(test.format(4, 4)).assert_outcomes(passed=1)
    strict = test.replace("mark.vcr", "mark.vcr(allow_playback_repeats=False)")
    result = run(strict.format(4, 4))

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["  it was recorded 2 times, and is asked for once more"])


def test_new_episodes(run: Run) -> None:
    """Record mode new_episodes adds what is missing, each equal request anew."""
    run(ASK.format(["old"]), "--record-mode=rewrite").assert_outcomes(passed=1)
    run(ASK.format(["old", "new", "new"]), "--record-mode=new_episodes").assert_outcomes(passed=1)
    before = seen()
    run(ASK.format(["old", "new", "new"]), "--unused-recordings=error").assert_outcomes(passed=1)
    assert seen() == before + 1


def test_the_users_configuration(run: Run, pytester: pytest.Pytester) -> None:
    """A user's vcr_config, marks and hooks win over the defaults; secrets are kept out all the same."""
    conftest = """
import pytest
@pytest.fixture
def vcr_config():
    return {"match_on": ["method", "host"], "ignore_localhost": False}
def pytest_recording_configure(config, vcr):
    vcr.before_record_response = lambda response: {**response, "status": {"code": 200, "message": "MINE"}}
"""
    run(ASK.format(["one"]), "--record-mode=rewrite", conftest=conftest).assert_outcomes(passed=1)
    run(ASK.format(["two"]), conftest=conftest).assert_outcomes(passed=1)
    text = cassette(pytester).read_text()
    assert "status: 200 MINE" in text
    assert KEYS["OPENAI_API_KEY"] not in text


def test_volatile_fields(run: Run) -> None:
    """A request that differs in keys, or in fields that name the user, is answered; another one is not."""
    test = """
    @pytest.mark.vcr
    def test_a():
        chat("one", user="{0}", metadata={{"run": "{0}"}}, api_key="{0}{0}{0}", temperature={1})
    """
    run(test.format("you", 0), "--record-mode=rewrite").assert_outcomes(passed=1)
    run(test.format("me", 0)).assert_outcomes(passed=1)
    run(test.format("me", 1)).assert_outcomes(failed=1)


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        ("my key is sk-ant-api03-abcdefghijklmnop", "OpenAI, Anthropic or similar key"),
        ("use correct-horse-battery please", "the value of $SHOP_TOKEN"),
        ("-----BEGIN RSA PRIVATE KEY-----", "private key"),
        ("password=hunter22", "value named as a password, token or key"),
    ],
)
def test_a_secret(run: Run, pytester: pytest.Pytester, prompt: str, kind: str) -> None:
    """A cassette that would hold a secret is not written; the error names the place and never the value."""
    test = """
    @pytest.mark.vcr
    def test_a(monkeypatch):
        monkeypatch.setenv("SHOP_TOKEN", "correct-horse-battery")
        chat("{}")
    @pytest.mark.vcr
    def test_b():
        pass
    """
    result = run(test.format(prompt), "--record-mode=rewrite", "--tb=short")

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*would hold secrets*", f"*recording 1, request.json.messages[[]0].content: {kind}"])
    assert not cassette(pytester).exists()
    assert prompt not in result.stdout.str().partition("would hold secrets")[2]
    import http.client

    assert http.client.HTTPConnection.__module__ == "http.client"  # vcrpy's patches are gone
    allowing = run(test.format(prompt), "--record-mode=rewrite", "-o", "cassette_allow=.*")
    allowing.assert_outcomes(passed=2, errors=0)


def test_two_tests_with_one_cassette(run: Run) -> None:
    """Tests whose cassettes would be one file fail with the names of both, wherever pytest runs them."""
    test = """
    class TestA:
        class TestIn:
            @pytest.mark.vcr
            def test_same(self): pass
    class TestB:
        class TestIn:
            @pytest.mark.vcr
            def test_same(self): pass
    @pytest.mark.vcr
    @pytest.mark.parametrize("q", ["a/b", "a:b", "c"])
    def test_q(q): pass
    """
    result = run(test)

    result.assert_outcomes(passed=1, errors=4)
    result.stdout.fnmatch_lines(
        [
            "2 tests have the cassette cassettes/test_it/TestIn.test_same.yaml:",
            "  test_it.py::TestA::TestIn::test_same",
            "  test_it.py::TestB::TestIn::test_same",
        ]
    )


def test_what_passes_by(run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """Requests to this machine, to the tracking server and to LangSmith reach them, and are in no cassette."""
    test = """
    @pytest.mark.vcr
    def test_a():
        assert chat("one")["choices"]
    """
    plain = "import pytest"
    before = seen()
    run(test, "--record-mode=rewrite", conftest=plain).assert_outcomes(passed=1)
    run(test, conftest=plain).assert_outcomes(passed=1)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", host)
    run(test, "--record-mode=rewrite").assert_outcomes(passed=1)
    assert seen() >= before + 3
    assert not cassette(pytester).exists()


def test_cassettes_of_others(run: Run, pytester: pytest.Pytester, host: str) -> None:
    """Cassettes of plain vcrpy are read as they are, and langchain-tests' gzipped ones."""
    import requests
    import vcr
    import yaml

    test = """
    @pytest.mark.vcr
    def test_a():
        assert chat("one")["choices"]
    """
    path = cassette(pytester)
    with vcr.use_cassette(str(path), decode_compressed_response=True):
        data = {"model": "m", "messages": [{"role": "user", "content": "one"}]}
        requests.post(f"{host}/v1/chat/completions", json=data, timeout=PATIENCE)
    run(test, "--unused-recordings=error").assert_outcomes(passed=1)
    old = yaml.load(path.read_text(), Loader=yaml.SafeLoader)["interactions"]
    path.unlink()
    lists = {"requests": [one["request"] for one in old], "responses": [one["response"] for one in old]}
    path.with_name("test_a.yaml.gz").write_bytes(gzip.compress(yaml.safe_dump(lists).encode()))
    run(test, "--unused-recordings=error").assert_outcomes(passed=1)


def test_a_file_that_is_no_cassette(run: Run, pytester: pytest.Pytester) -> None:
    """A file that cannot be read is an error that names it, and not an empty cassette."""
    cassette(pytester).parent.mkdir(parents=True)
    cassette(pytester).write_text("interactions:\n- {oops")
    result = run(ASK.format(["one"]))

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*test_a.yaml is not a cassette that can be read (*"])


def test_langchain_tests_beside_it(run: Run, pytester: pytest.Pytester) -> None:
    """A conftest of langchain-tests works unchanged: its gzipped cassette is written by its persister, without keys."""
    pytest.importorskip("langchain_tests.conftest")
    conftest = """
import pytest
from langchain_tests.conftest import CustomPersister, CustomSerializer, base_vcr_config

@pytest.fixture(scope="session")
def vcr_config():
    path = __import__("vcr").VCR.ensure_suffix(".yaml.gz")
    return {**base_vcr_config(), "serializer": "yaml.gz", "path_transformer": path, "ignore_localhost": False}

def pytest_recording_configure(config, vcr):
    vcr.register_persister(CustomPersister())
    vcr.register_serializer("yaml.gz", CustomSerializer())
"""
    run(ASK.format(["a"]), conftest=conftest).assert_outcomes(passed=1)
    (written,) = pytester.path.rglob("*.yaml.gz")
    assert KEYS["OPENAI_API_KEY"].encode() not in gzip.decompress(written.read_bytes())
    run(ASK.format(["a"]), conftest=conftest).assert_outcomes(passed=1)
    run(ASK.format(["b"]), conftest=conftest).assert_outcomes(failed=1)


def test_processes_of_xdist(run: Run, pytester: pytest.Pytester) -> None:
    """Tests in several processes record and replay each into its own file."""
    test = """
    @pytest.mark.vcr
    @pytest.mark.parametrize("number", range(4))
    def test_a(number):
        chat(f"question {number}")
    """
    run(test, "-p", "xdist", "-n", "2", "--record-mode=rewrite").assert_outcomes(passed=4)
    assert len(list(cassette(pytester).parent.glob("*"))) == 4
    run(test, "--unused-recordings=error").assert_outcomes(passed=4)

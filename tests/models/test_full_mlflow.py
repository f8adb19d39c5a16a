"""What mlflow-skinny logs, the full MLflow loads, predicts, streams and serves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from filelock import FileLock
from mlflow import MlflowClient

from langchain_autotrace.ship.model_files import fetch
from tests.full_server import free_port, running, tracking_server
from tests.models.chat_server import ChatServer, chatting
from tests.models.full_logs import CHAINS, FILES, IMAGE, KEY, REGISTERED
from tests.patience import PATIENCE

pytestmark = pytest.mark.server

ROOT: Final = Path(__file__).parents[2]
EXPERIMENT: Final = "models"
LOADERS_KEY: Final = "sk-loader00000000000000000000000000000000000000000"
OTHER_KEY: Final = "sk-other000000000000000000000000000000000000000000"
WRONG: Final = {"wrong": "x"}
PARTS: Final = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": IMAGE}}]

ANSWERS: Final[dict[str, Any]] = {
    "text": "an answer",
    "text_alone": "of a text",
    "two_columns": "two columns",
    "parallel": {"long": "long answer", "short": "short answer"},
    "fallbacks": "first",
    "retry": "tried",
    "getters": "gathered",
    "json": {"name": "cat", "legs": 4, "says": ["miaow"]},
    "list_of_texts": "lists",
    "nested": "nested",
    "openai": "I heard: Tell me of cats (1)",
    "history": "I heard: How are you? (4)",
    "history_beside": "I heard: How are you? (3)",
    "history_tools": "I heard: two cats (4)",
    "history_parts": f"I heard: {PARTS} (3)",
    "chat": "I heard: Hello (2)",
    "chat_text": "I heard: Hello (1)",
    "chat_pairs": "of pairs",
    "chat_dicts": "I heard: Hello (1)",
    "chat_tools": "I heard: two cats (3)",
    "chat_parts": f"I heard: {PARTS} (2)",
    "list_of_numbers": {"second": 2},
    "of_a_module": "A MODULE",
    "code": "CATS!",
    "graph": {"words": ["dogs", "CATS"], "last": "cats"},
    "agent": "I heard: Hello (2)",
}
"""What each chain says to its example."""
LISTS: Final = frozenset({"chat_dicts", "chat_tools", "chat_parts", "list_of_numbers"})
"""Chains whose input is a list that MLflow cannot turn into messages."""
AS_MESSAGES: Final = frozenset({"chat", "chat_text", "chat_pairs"})
"""Those whose input is a list of messages."""
UNTYPED: Final = LISTS | {"history_parts"}
"""Those whose input has no type in MLflow's terms."""
AT_ONCE: Final = frozenset({"of_a_module", "code", "graph", "agent", "list_of_numbers"})
"""Those that end in a function, and stream one chunk."""
OVER_HTTP: Final = ("text", "openai", "chat", "described", "code", "graph")


class Logged(NamedTuple):
    """Models in a store."""

    store: str
    folder: Path
    """Where the process that logged them worked."""
    models: dict[str, str]
    """Their ids by their chains' names."""


class Material(NamedTuple):
    """What is tested: models of a store, and what the full MLflow makes of them."""

    models: dict[str, str]
    checks: dict[str, dict[str, Any]]
    """What ``full_checks.py`` says."""
    keys: list[str]
    """Authorization headers with which the models asked the chat server when they were loaded."""
    asked: list[list[dict[str, Any]]]
    """The messages that they sent."""
    files: list[str]
    """Names of all files that are left."""
    leaks: list[str]
    """Files that hold a key."""
    version: list[Any]
    """Of the registered model: its source, and what the model says of its versions."""
    served: dict[str, list[Any]]
    """What two models' servers answered: status and body for the example, the same for other columns."""


def once(name: str, factory: pytest.TempPathFactory, make: Callable[[], Material]) -> Material:
    """Make it in one of the test processes, for all of them: it takes long."""
    folder = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    path = folder / f"{name}.json"
    with FileLock(f"{path}.lock"):
        if not path.exists():
            path.write_text(json.dumps(make()), encoding="utf-8")
        return Material(*json.loads(path.read_text(encoding="utf-8")))


def environment(store: str, chat: ChatServer, **more: str) -> dict[str, str]:
    """That of a process that works with a store."""
    names = {"STORE": store, "MLFLOW_EXPERIMENT_NAME": EXPERIMENT, "CHAT_URL": chat.url, "PYTHONWARNINGS": "ignore"}
    return {**os.environ, **names, **more}


def log(store: str, folder: Path, chat: ChatServer, *names: str) -> Logged:
    """Log chains from mlflow-skinny, without numpy and pandas, which tests have and users have not."""
    for name in ("numpy", "pandas"):
        (folder / "without" / name).mkdir(parents=True)
        text = f"raise ModuleNotFoundError(\"No module named '{name}'\", name='{name}')"
        (folder / "without" / name / "__init__.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "tests.models.full_logs", *names],
        cwd=folder,
        env=environment(
            store,
            chat,
            PYTHONPATH=os.pathsep.join([str(folder / "without"), str(ROOT)]),
            LANGCHAIN_AUTOTRACE_HOME=str(folder / "home"),
            LANGCHAIN_AUTOTRACE_LINGER="0",
            OPENAI_API_KEY=OTHER_KEY,
        ),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return Logged(store, folder, json.loads(done.stdout))


def check(python: str, logged: Logged, chat: ChatServer) -> dict[str, dict[str, Any]]:
    """What the full MLflow makes of the models, and of the registered one."""
    addresses = {name: f"models:/{model_id}" for name, model_id in logged.models.items()}
    addresses["registered"] = f"models:/{REGISTERED}/1"
    asked = {name: {"uri": address, "wrong": WRONG} for name, address in addresses.items()}
    answers = logged.folder / "checks.json"
    done = subprocess.run(
        [python, str(Path(__file__).with_name("full_checks.py")), str(answers)],
        input=json.dumps(asked),
        cwd=logged.folder,
        env=loading(logged, chat, PYTHONPATH=str(logged.folder)),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, Any]] = json.loads(answers.read_text(encoding="utf-8"))
    return found


def loading(logged: Logged, chat: ChatServer, **more: str) -> dict[str, str]:
    """The environment of whoever loads models."""
    return environment(logged.store, chat, MLFLOW_TRACKING_URI=logged.store, OPENAI_API_KEY=LOADERS_KEY, **more)


def material(python: str, logged: Logged, chat: ChatServer, served: dict[str, list[Any]]) -> Material:
    """All that is tested of a store."""
    chat.keys.clear()
    chat.requests.clear()
    checks = check(python, logged, chat)
    files = [path for path in logged.folder.rglob("*") if path.is_file()]
    keys = [key.encode() for key in (KEY, OTHER_KEY, LOADERS_KEY)]
    client = MlflowClient(logged.store, logged.store)
    model = client.get_logged_model(logged.models["text"])
    return Material(
        models=logged.models,
        checks=checks,
        keys=chat.keys,
        asked=[request["messages"] for request in chat.requests],
        files=[path.name for path in files],
        leaks=[str(path) for path in files if any(key in path.read_bytes() for key in keys)],
        version=[client.get_model_version(REGISTERED, "1").source, model.tags.get("mlflow.modelVersions")],
        served=served,
    )


@pytest.fixture(scope="module")
def local(full_mlflow: str, empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Material:
    """All chains, in an SQLite file."""

    def make() -> Material:
        folder = tmp_path_factory.mktemp("logged")
        (folder / "mlflow.db").write_bytes(empty_database.read_bytes())
        with chatting() as chat:
            return material(full_mlflow, log(f"sqlite:///{folder}/mlflow.db", folder, chat), chat, {})

    return once("local", tmp_path_factory, make)


@pytest.fixture(scope="module")
def remote(full_mlflow: str, empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Material:
    """Some chains, in a tracking server, whose artifacts go through the server."""

    def make() -> Material:
        folder = tmp_path_factory.mktemp("server")
        (folder / "mlflow.db").write_bytes(empty_database.read_bytes())
        with chatting() as chat, tracking_server(full_mlflow, folder) as store:
            logged = log(store, tmp_path_factory.mktemp("logged"), chat, *OVER_HTTP)
            served = {name: serve(full_mlflow, logged, chat, name) for name in ("text", "chat")}
            return material(full_mlflow, logged, chat, served)

    return once("remote", tmp_path_factory, make)


def serving_example(logged: Logged, name: str, folder: Path) -> Path:
    """The ``serving_input_example.json`` of a model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        found = fetch(logged.store, f"models:/{logged.models[name]}", str(folder))
    return found / "serving_input_example.json"


def serve(python: str, logged: Logged, chat: ChatServer, name: str) -> list[Any]:
    """Ask ``mlflow models serve`` of a model: status and body for its serving example, and for other columns."""
    port = free_port()
    command = [python, "-m", "mlflow", "models", "serve", "-m", f"models:/{logged.models[name]}"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    folder = logged.folder / f"serve {name}"
    folder.mkdir()
    example = json.loads(serving_example(logged, name, folder).read_text())
    address = f"http://127.0.0.1:{port}"
    search = os.pathsep.join([str(Path(python).parent), os.environ["PATH"]])  # MLflow starts uvicorn by its name
    with running(command, folder, f"{address}/ping", **loading(logged, chat, PATH=search)):
        return [*post(f"{address}/invocations", example), *post(f"{address}/invocations", {"inputs": WRONG})]


def said(value: Any) -> Any:
    """What a model said, in whichever form MLflow puts it: as it is, a message, a chat completion, or a state."""
    if isinstance(value, dict):
        if "choices" in value:
            choice = value["choices"][0]
            return choice.get("message", choice.get("delta"))["content"]
        if "messages" in value:
            return said(value["messages"][-1])
        return value.get("content", value)
    return value


def one(value: Any) -> Any:
    """The prediction of an example. MLflow returns a list, but of a dict that no signature made a table of."""
    if isinstance(value, list):
        (value,) = value
    return said(value)


def served_rows(answer: dict[str, Any]) -> Any:
    """What was predicted over HTTP."""
    assert answer["status"] == 200, answer["body"]
    return json.loads(answer["body"])["predictions"]


def test_every_chain_is_tested() -> None:
    """No chain is logged whose answer is not looked at."""
    assert ANSWERS.keys() == (CHAINS | FILES).keys() - {"described"}


@pytest.fixture(scope="module")
def uv(full_mlflow: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of the program uv, which is installed where it is not there."""
    found = shutil.which("uv")
    if found:
        return str(Path(found).parent)
    folder = tmp_path_factory.mktemp("uv")
    command = [full_mlflow, "-m", "pip", "install", "--quiet", "--target", str(folder), "uv"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    if done.returncode and is_offline(done.stderr):
        pytest.skip(f"the package index cannot be reached: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    return str(folder / "bin")


def is_offline(text: str) -> bool:
    """Whether a program failed because there is no network."""
    return any(sign in text.lower() for sign in ("connection", "dns error", "error sending request", "name resolution"))


# The first, so that another process makes the material of the others meanwhile.
def test_own_environment(full_mlflow: str, uv: str, empty_database: Path, tmp_path: Path) -> None:
    """``mlflow models predict --env-manager uv`` makes the model's own environment, in which it answers."""
    (tmp_path / "mlflow.db").write_bytes(empty_database.read_bytes())
    with chatting() as chat:
        logged = log(f"sqlite:///{tmp_path}/mlflow.db", tmp_path, chat, "openai")
        (tmp_path / "example").mkdir()
        example = serving_example(logged, "openai", tmp_path / "example")
        command = [full_mlflow, "-m", "mlflow", "models", "predict", "-m", f"models:/{logged.models['openai']}"]
        command += ["-i", str(example), "-t", "json", "-o", "answer.json", "--env-manager", "uv"]
        variables = loading(
            logged, chat, PATH=os.pathsep.join([uv, os.environ["PATH"]]), MLFLOW_ENV_ROOT=str(tmp_path / "environments")
        )
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=PATIENCE)
    if done.returncode and is_offline(done.stderr):
        pytest.skip(f"the package index cannot be reached: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads((tmp_path / "answer.json").read_text()) == {"predictions": [ANSWERS["openai"]]}
    assert f"Bearer {LOADERS_KEY}" in chat.keys


@pytest.mark.parametrize("name", ANSWERS)
def test_load(name: str, local: Material) -> None:
    """Both of MLflow's ways load the model, and it is the active one then."""
    check = local.checks[name]

    assert check["pyfunc"] == {"value": None}
    assert check["active"] == local.models[name]
    if name not in AS_MESSAGES | LISTS:  # whose examples are in MLflow's form
        assert said(check["invoke"]["value"]) == ANSWERS[name]


@pytest.mark.parametrize("name", ANSWERS)
def test_predict(name: str, local: Material) -> None:
    """The model takes its example as it is."""
    check = local.checks[name]

    assert one(check["predict"]["value"]) == ANSWERS[name]
    assert one(check["their_example"]["value"]) == ANSWERS[name]


@pytest.mark.parametrize("name", ANSWERS)
def test_two_rows(name: str, local: Material) -> None:
    """A list and a table of two inputs give two predictions."""
    check = local.checks[name]

    assert [said(row) for row in check["rows"]["value"]] == [ANSWERS[name]] * 2
    assert [said(row) for row in check["frame"]["value"]] == [ANSWERS[name]] * 2


@pytest.mark.parametrize("name", ANSWERS)
def test_stream(name: str, local: Material) -> None:
    """The answer comes in pieces, where a model gives it in pieces."""
    chunks = [said(chunk) for chunk in local.checks[name]["stream"]["value"]]

    assert (len(chunks) == 1) == (name in AT_ONCE)
    if name not in AT_ONCE and isinstance(ANSWERS[name], str):
        assert "".join(chunks) == ANSWERS[name]


@pytest.mark.parametrize("name", ANSWERS)
def test_scoring(name: str, local: Material) -> None:
    """MLflow's scoring server takes ``serving_input_example.json`` as it is, and a batch."""
    check = local.checks[name]

    assert one(served_rows(check["served"])) == ANSWERS[name]
    assert [said(row) for row in served_rows(check["served_rows"])] == [ANSWERS[name]] * 2
    if "served_as_chat" in check:
        assert check["served_as_chat"]["status"] == 200, check["served_as_chat"]
        assert one(json.loads(check["served_as_chat"]["body"])) == ANSWERS[name]


@pytest.mark.parametrize("name", ANSWERS)
def test_wrong_input(name: str, local: Material) -> None:
    """What has other columns is refused: by the schema before anything runs, where the example has types."""
    check = local.checks[name]

    assert check["has_signature"] == (name not in UNTYPED)
    assert "error" in check["wrong"]
    if name not in UNTYPED | {"text_alone"}:
        assert "Model is missing inputs" in check["wrong"]["error"]
    if name not in UNTYPED:
        assert check["served_wrong"]["status"] == 400


@pytest.mark.parametrize("name", ["chat", "chat_tools", "chat_parts", "history_tools", "history_parts"])
def test_what_the_model_is_asked(name: str, local: Material) -> None:
    """Tool calls and images of the example arrive at the model."""
    asked = local.asked
    found = {
        "chat": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}] in asked,
        "chat_tools": any(
            "tool_calls" in turns[1] and turns[2]["role"] == "tool" for turns in asked if len(turns) == 3
        ),
        "chat_parts": any(turns[-1]["content"] == PARTS for turns in asked if len(turns) == 2),
        "history_tools": any("tool_calls" in turns[2] for turns in asked if len(turns) == 4),
        "history_parts": any(turns[-1]["content"] == PARTS for turns in asked if len(turns) == 3),
    }

    assert found[name]


def test_key(local: Material) -> None:
    """The chat server that the model names is asked with the key of whoever loads it, and with no other."""
    assert set(local.keys) == {f"Bearer {LOADERS_KEY}"}


@pytest.mark.parametrize("name", ["openai", "history", "chat"])
def test_no_key(name: str, local: Material) -> None:
    """Whoever has no key is told which variable is missing."""
    assert "OPENAI_API_KEY" in local.checks[name]["without_keys"]["error"]


def test_no_secret_is_stored(local: Material) -> None:
    """The key that was given as an argument, and that of the environment, are in no file and no table."""
    assert {"mlflow.db", "chain.json", "chain.py", "MLmodel"} <= set(local.files)
    assert local.leaks == []


@pytest.mark.parametrize("name", [*ANSWERS, "described"])
def test_traces(name: str, local: Material) -> None:
    """MLflow finds the traces of the model."""
    assert len(local.checks[name]["traces"]) == 2


def test_description(local: Material) -> None:
    """A chain that cannot be loaded is refused clearly, and has its example."""
    check = local.checks["described"]

    assert 'does not have the "langchain" flavor' in check["invoke"]["error"]
    assert 'does not have the "python_function" flavor' in check["pyfunc"]["error"]
    assert check["example"] == {"topic": "cats"}


def test_registered(local: Material) -> None:
    """A version of a registered model loads, and it and its model know each other."""
    model_id = local.models["text"]

    assert local.checks["registered"]["predict"] == {"value": ["an answer"]}
    assert local.checks["registered"]["active"] == model_id
    assert local.version[0] == f"models:/{model_id}"
    assert json.loads(local.version[1])[0]["name"] == REGISTERED


@pytest.mark.parametrize("name", [name for name in OVER_HTTP if name in ANSWERS])
def test_over_http(name: str, remote: Material) -> None:
    """All of it holds for a model in a tracking server, whose artifacts go through the server."""
    check = remote.checks[name]

    assert one(check["predict"]["value"]) == ANSWERS[name]
    assert one(served_rows(check["served"])) == ANSWERS[name]
    assert len(check["traces"]) == 2
    assert check["served_wrong"]["status"] == 400


def test_registered_and_described_over_http(remote: Material) -> None:
    """So do versions of registered models, and descriptions."""
    assert remote.checks["registered"]["predict"] == {"value": ["an answer"]}
    assert remote.version[0] == f"models:/{remote.models['text']}"
    assert 'does not have the "langchain" flavor' in remote.checks["described"]["invoke"]["error"]
    assert len(remote.checks["described"]["traces"]) == 2
    assert remote.leaks == []


@pytest.mark.parametrize("name", ["text", "chat"])
def test_serve(name: str, remote: Material) -> None:
    """``mlflow models serve`` answers the serving example, and refuses other columns with 400."""
    status, answer, wrong_status, refusal = remote.served[name]

    assert (status, wrong_status) == (200, 400), (answer, refusal)
    assert one(answer["predictions"]) == ANSWERS[name]
    assert "Model is missing inputs" in refusal["message"]


def post(address: str, content: Any) -> tuple[int, Any]:
    """Ask a server; its status and answer."""
    request = urllib.request.Request(address, json.dumps(content).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)

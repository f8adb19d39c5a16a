"""Files of code: which of them builds a chain, what is copied with it, and what they may do when they are looked at."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI

import langchain_autotrace
from langchain_autotrace.models import rebuild
from langchain_autotrace.models.encode import content_of
from langchain_autotrace.settings import Settings, resolve
from langchain_autotrace.ship.model_files import fetch
from langchain_autotrace.ship.rebuild_process import Rebuilding
from tests.models.chains import chain
from tests.models.chat_server import chatting
from tests.models.support import files, models
from tests.models.test_faults import seen
from tests.support import deliver
from tests.view.conftest import calm

__all__ = ["calm"]  # a fixture

BUILDS = """
import mlflow
from langchain_core.runnables import RunnableLambda
{more}
chain = RunnableLambda(lambda text: {body})
mlflow.models.set_model(chain)
"""


def program(text: str) -> Any:
    """The chain of a file, run as a program that sets no model."""
    space: dict[str, Any] = {"__name__": "__main__"}
    text = text.replace("import mlflow\n", "").replace("mlflow.models.set_model(chain)", "")
    exec(compile(text, "program.py", "exec", dont_inherit=True), space)
    return space["chain"]


def start(store: str, **settings: Any) -> None:
    langchain_autotrace.autolog(tracking_uri=store, shipper="external", log_models=True, **settings)


def loadable(store: str) -> dict[str, str | None]:
    """The models by name -> the reason why one cannot be loaded."""
    return {model.name: model.tags.get("langchain_autotrace.reason") for model in models(store)}


def test_several_files(store: str, tmp_path: Path) -> None:
    """Each chain is logged with the file that builds it; one that none builds is loaded from JSON, as without files."""
    one, two = (BUILDS.format(more="", body=body) for body in ("text + '1'", "text + '2'"))
    (tmp_path / "one.py").write_text(one)
    (tmp_path / "two.py").write_text(two)
    start(store, model_code=["one.py", tmp_path / "two.py"])
    program(one).invoke("a", {"run_name": "one"})
    program(two).invoke("a", {"run_name": "two"})
    chain().invoke({"topic": "x"}, {"run_name": "of JSON"})
    RunnableLambda(lambda text: text).invoke("a", {"run_name": "of none"})
    deliver()

    reasons = loadable(store)
    assert {name: reason for name, reason in reasons.items() if name != "of none"} == dict.fromkeys(
        ["one", "two", "of JSON"]
    )
    assert str(reasons["of none"]).startswith(
        "one.py: it builds a different chain from the one that ran; two.py: it builds a different chain from the one "
        "that ran; func (tests.models.test_code_files.test_several_files.<locals>.<lambda>): it is a lambda"
    )
    for model in models(store):
        found = files(store, model, tmp_path / model.model_id)
        expected = {"one": "one.py", "two": "two.py", "of JSON": "chain.py"}.get(model.name)
        assert [name for name in found if name.endswith(".py")] == ([] if expected is None else [expected])
        if expected == "two.py":
            assert langchain_autotrace.load_model(model.model_id, allow_code=True).invoke("a") == "a2"


HELPERS = "def shout(text):\n    return text.upper() + '!'\n"


def test_code_paths(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules and packages are copied into the model, which loads where they are not installed."""
    folder, elsewhere = tmp_path / "program", [*sys.path]
    (folder / "helping" / "__pycache__").mkdir(parents=True)
    (folder / "helping" / "__init__.py").write_text("from helping.words import shout\n")
    (folder / "helping" / "words.py").write_text(HELPERS)
    (folder / "helping" / "__pycache__" / "words.pyc").write_bytes(b"\x00\xff")
    (folder / "keys.py").write_text('API_KEY = "sk-proj-abcdefghijklmnopqrstuvwx0123456789"\n')
    text = BUILDS.format(more="from helping import shout", body="shout(text)")
    (folder / "chain.py").write_text(text)
    monkeypatch.syspath_prepend(folder)
    start(store, model_code=folder / "chain.py", code_paths=[folder / "helping", folder / "keys.py"])
    program(text).invoke("a", {"run_name": "lambda"})
    import helping  # type: ignore[import-not-found]

    (chain() | helping.shout).invoke({"topic": "x"}, {"run_name": "named"})
    deliver()

    assert loadable(store) == {"lambda": None, "named": None}
    found = {model.name: model for model in models(store)}
    for name in ("lambda", "named"):
        monkeypatch.setattr(sys, "path", [*elsewhere])
        for module in [one for one in sys.modules if one.startswith("helping")]:
            monkeypatch.delitem(sys.modules, module)
        uri = found[name].model_id
        with pytest.raises(langchain_autotrace.AutotraceError):
            langchain_autotrace.load_model(uri, allow=["helping"], allow_code=False)
        loaded = langchain_autotrace.load_model(uri, allow=["helping"], allow_code=True)
        assert loaded.invoke("a" if name == "lambda" else {"topic": "y"}) == ("A!" if name == "lambda" else "YES.!")
        (tmp_path / name).mkdir()
        local = fetch(store, f"models:/{uri}", str(tmp_path / name))
        names = sorted(str(path.relative_to(local)) for path in local.rglob("*.py"))
        assert names == ["chain.py", "code/helping/__init__.py", "code/helping/words.py"]


def test_a_file_that_holds_a_key(store: str, tmp_path: Path) -> None:
    """A file with a key is not written down; the reason names the line and the fix, and other chains load from JSON."""
    key = "sk-proj-abcdefghijklmnopqrstuvwx0123456789"
    (tmp_path / "chain.py").write_text(BUILDS.format(more=f"API_KEY = {key!r}", body="text"))
    start(store, model_code="chain.py")
    RunnableLambda(lambda text: text).invoke("a", {"run_name": "described"})
    chain().invoke({"topic": "x"}, {"run_name": "of JSON"})
    deliver()

    reasons = loadable(store)
    assert reasons["of JSON"] is None
    assert str(reasons["described"]).startswith(
        "chain.py: it holds what looks like a secret (line 4); read it from os.environ instead; func ("
    )
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "chain.py")
    assert key.encode() not in written


@pytest.mark.long
def test_a_file_that_runs_its_chain(own_process: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that runs its chain when it is imported reaches no network and sees no key; the reason says the fix."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-proj-abcdefghijklmnopqrstuvwx0123456789")
    monkeypatch.setenv("DATABASE_URL", "postgres://user:hunter2-Tr0ub4dor@host/db")
    with chatting() as server:
        build = f"from langchain_openai import ChatOpenAI\nchain = ChatOpenAI(model='m', base_url={server.url!r})\n"
        ends = "import mlflow\nmlflow.models.set_model(chain)\n"
        content = content_of(ChatOpenAI(model="m", base_url=server.url))
        shown = "import os, sys\nsys.exit(os.environ['OPENAI_API_KEY'] + ' ' + os.environ['DATABASE_URL'])\n"
        guarded = f"{build}if __name__ == '__main__':\n    chain.invoke('a')\n{ends}"
        hidden = f"{build}try:\n    chain.invoke('a')\nexcept Exception:\n    pass\n{ends}"
        texts = [f"{build}chain.invoke('a')\n{ends}", hidden, guarded, shown]
        asked = [seen(text, problems=[["", "x", "no"]], secrets=content.secrets) for text in texts]
        asked = [one._replace(content_hash=content.hash) for one in asked]
        building = Rebuilding(asked)
        reasons = [building.result(one).reason for one in asked]
        requests = list(server.requests)

    where = server.url.partition("//")[2].removesuffix("/v1")
    refused = (
        f"chain.py: it opened a connection to {where} when it was imported; put what runs the chain below "
        '`if __name__ == "__main__":`; the chain itself (x): no'
    )
    assert reasons[:3] == [refused, refused, None]
    assert str(reasons[3]).startswith("chain.py: building it raised SystemExit: not-a-key postgres://host/db")
    assert requests == []


@pytest.mark.parametrize(
    ("given", "expected"), [("a.py", ("a.py",)), (["a.py", Path("b.py")], ("a.py", "b.py")), ((), ())]
)
def test_settings(given: Any, expected: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file or several may be given, as texts or paths, or by an environment variable; a missing one is an error."""
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("")
    whole = tuple(str(tmp_path / name) for name in expected)
    monkeypatch.chdir(tmp_path)
    assert Settings(tracking_uri="sqlite://", model_code=given).model_code == whole
    monkeypatch.setenv("LANGCHAIN_AUTOTRACE_MODEL_CODE", os.pathsep.join(expected))
    assert resolve(tracking_uri="sqlite://").model_code == whole
    for setting in ("model_code", "code_paths"):
        with pytest.raises(langchain_autotrace.AutotraceError, match=rf"^{setting}=.*there is no"):
            resolve(tracking_uri="sqlite://", **{setting: ["missing.py"]})


def test_what_a_file_imports() -> None:
    """Requirements name what the chosen file and the copied modules import; a file that is no program names nothing."""
    assert rebuild._imported("import os, numpy.linalg\nfrom pandas import x\nfrom . import y\n") == {"numpy", "pandas"}
    assert rebuild._imported("{not python") == set()
